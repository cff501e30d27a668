//! The background half of a client bridge: carries what the frame wants to the client, and what
//! that tells to the frame. Knows nothing of links and attempts.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    client::{
        Client, ClientReceiver, ClientSender, End, Request, RequestError, SendError, ServerEvent,
        Session,
    },
    embed::{
        ClientCommand, ClientEnd, ClientUpdate,
        mailbox::{Orders, Updates},
    },
    link,
    wire::{Refusal, RoomName},
};

use super::held::Held;

/// Bytes of events that may wait for the frame beside those in the client's inbox: some
/// 10,000 small messages, which is what one frame may have to look at.
const LIMIT: usize = 2 << 20;

/// Bytes of events that are moved at once.
const BATCH: usize = 64 * 1024;

/// The frame's end of a client bridge, as its background sees it.
pub(super) struct Frame {
    pub(super) orders: Orders<ClientCommand>,
    pub(super) updates: Arc<Updates<ClientUpdate, usize>>,
    /// Whether the end is to be no goodbye.
    pub(super) keeps_seats: Arc<AtomicBool>,
}

/// A client bridge's task.
pub(super) struct Pump {
    frame: Frame,
    sender: ClientSender,
    receiver: ClientReceiver,
    /// What is to be asked for.
    due: VecDeque<ClientCommand>,
    held: Held,
    stage: Stage,
    /// Why there will be no session any more, if that is known better than as the client ends.
    end: Option<ClientEnd>,
}

/// How far the client is, as the frame was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It was never connected: what is said waits.
    New,
    Connected,
    /// What is said is refused.
    Disconnected,
}

/// What became of an attempt to make requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    /// Everything was asked for, or the outbox is full.
    AsMuch,
    /// The program wants no connection any more.
    Disconnect,
}

impl Frame {
    /// Refuses what was commanded and is not taken any more.
    pub(super) fn refuse_rest(&mut self, stage: Stage) {
        for command in self.orders.rest() {
            if let ClientCommand::Request(request) = command {
                self.refuse(&request, Refusal::NotConnected, stage);
            }
        }
    }

    /// Tells the program that a request could not even be sent.
    fn refuse(&self, request: &Request, reason: Refusal, stage: Stage) {
        let if_nowhere = matches!(request, Request::Join { if_nowhere: true, .. });
        // Who was somewhere need not hear of a room that was for whoever is nowhere.
        if !if_nowhere || stage == Stage::New || reason != Refusal::NotConnected {
            self.tell(request.unsent(reason));
        }
    }

    fn tell(&self, error: RequestError) {
        self.updates.push(ClientUpdate::Event(ServerEvent::Refused(error)));
    }
}

impl Pump {
    pub(super) fn new(client: Client, frame: Frame) -> Self {
        let (sender, receiver) = client.split();
        let (due, held, stage) = (VecDeque::new(), Held::default(), Stage::New);
        Self { frame, sender, receiver, due, held, stage, end: None }
    }

    /// Returns why there will be no connection any more.
    pub(super) async fn run(mut self) -> ClientEnd {
        let reason = self.converse().await;
        for (request, _) in self.held.take_all() {
            self.refuse(&request, Refusal::NotConnected);
        }
        // What the program wanted of a client that had ended, which it could not know.
        self.frame.refuse_rest(self.stage);
        self.sender.take_joins().into_iter().for_each(|error| self.frame.tell(error));
        reason
    }

    /// Asks for what the program wants and shows it what happens, until the client ends.
    async fn converse(&mut self) -> ClientEnd {
        let mut events = Vec::new();
        loop {
            let told = async {
                self.frame.updates.room(LIMIT).await;
                self.receiver.recv_many(&mut events, BATCH).await
            };
            let asked = tokio::select! {
                told = told => match told {
                    Ok(()) => self.tell(&mut events),
                    Err(end) => return self.end_as(end),
                },
                () = self.sender.room(), if !self.due.is_empty() => self.ask(),
                batch = self.frame.orders.next(), if self.due.is_empty() => match batch {
                    Some(batch) => {
                        self.due.extend(batch);
                        Asked::AsMuch
                    }
                    None => Asked::Disconnect,
                },
            };
            if asked == Asked::Disconnect {
                if self.frame.keeps_seats.load(Ordering::Acquire) {
                    self.sender.hang_up().await;
                } else {
                    self.sender.disconnect().await;
                }
                return ClientEnd::Requested;
            }
        }
    }

    /// Why there will be no connection any more, now that the client has ended.
    fn end_as(&mut self, end: End) -> ClientEnd {
        if self.ask() == Asked::Disconnect {
            return ClientEnd::Requested;
        }
        match end {
            End::Clean => ClientEnd::Requested,
            End::Lost(reason) => self.end.take().unwrap_or_else(|| reason.into()),
            End::Abandoned => ClientEnd::NetworkEnded,
        }
    }

    /// Shows events to the program.
    fn tell(&mut self, events: &mut Vec<ServerEvent>) -> Asked {
        let lost = |event: &ServerEvent| matches!(event, ServerEvent::Disconnected { .. });
        let rest = events.split_off(events.iter().position(lost).unwrap_or(events.len()));
        self.show(events.drain(..));
        // What was commanded before the program could know of the end is not left for later.
        if !rest.is_empty() && self.ask() == Asked::Disconnect {
            return Asked::Disconnect;
        }
        self.show(rest.into_iter());
        self.release();
        Asked::AsMuch
    }

    fn show(&mut self, events: impl Iterator<Item = ServerEvent>) {
        let Self { frame, sender, held, stage, end, .. } = self;
        frame.updates.change(|updates, bytes| {
            for event in events {
                *bytes += event.cost();
                held.hear(&event);
                let ticket = event.brings_ticket().then(|| sender.ticket());
                #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is told as it is")]
                match event {
                    ServerEvent::Connecting { attempt } => {
                        updates.push(ClientUpdate::Connecting { attempt });
                    }
                    ServerEvent::Connected { client_id, resumed, .. } => {
                        *stage = Stage::Connected;
                        let user = sender.user();
                        updates.push(ClientUpdate::Connected { client_id, user, resumed });
                    }
                    ServerEvent::Renewed { client_id } => {
                        let (user, resumed) = (sender.user(), None);
                        updates.push(ClientUpdate::Connected { client_id, user, resumed });
                    }
                    // Told when everything else has been.
                    ServerEvent::Disconnected { reason, retry_in: None } => {
                        *end = Some(reason.into());
                    }
                    ServerEvent::Disconnected { reason, retry_in } => {
                        if *stage == Stage::Connected {
                            *stage = Stage::Disconnected;
                        }
                        let reason = reason.into();
                        updates.push(ClientUpdate::Disconnected { reason, retry_in });
                    }
                    event => updates.push(ClientUpdate::Event(event)),
                }
                updates.extend(ticket.map(|ticket| ClientUpdate::Ticket { ticket }));
            }
        });
    }

    /// Asks for what is due, as much of it as the outbox takes.
    fn ask(&mut self) -> Asked {
        while let Some(next) = self.due.front() {
            let ClientCommand::Request(request) = next else { return Asked::Disconnect };
            match self.sender.try_request(|session| self.stage.ask(&self.held, session, request)) {
                Err(SendError::OutboxFull { .. }) => return Asked::AsMuch,
                Ok(Answer::Wait { after, lost }) => {
                    if let Err(reason) = self.held.keep(request, after, lost) {
                        self.refuse(request, reason);
                    }
                }
                Ok(Answer::Asked(asked)) => self.held.ask(request, asked),
                Ok(Answer::Noted) => {
                    if let Request::Leave { room } = request {
                        self.held.leave(room);
                    }
                }
                Err(error) => self.refuse(request, error.into_refusal()),
            }
            self.due.pop_front();
        }
        self.release();
        Asked::AsMuch
    }

    /// Puts first what waits no longer: it is for the room that it waited for.
    fn release(&mut self) {
        if self.held.is_empty() || self.stage != Stage::Connected {
            return;
        }
        let to_ask: Vec<_> = self.due.iter().filter_map(joins).cloned().collect();
        let waits = |room: &RoomName| to_ask.contains(room);
        for (mut request, after) in self.held.take(waits).into_iter().rev() {
            if let (Request::Broadcast { room, .. } | Request::ToServer { room, .. }, Some(after)) =
                (&mut request, after)
                && room.is_none()
            {
                *room = Some(after).filter(|after| self.sender.rooms().contains(after));
                if room.is_none() && matches!(request, Request::Broadcast { .. }) {
                    self.refuse(&request, Refusal::NotInRoom);
                    continue;
                }
            }
            self.due.push_front(request.into());
        }
    }

    fn refuse(&self, request: &Request, reason: Refusal) {
        self.frame.refuse(request, reason, self.stage);
    }
}

/// What became of a request.
enum Answer {
    /// It was made, if there was something to ask for.
    Asked(bool),
    /// The client will make it by itself.
    Noted,
    /// It is to wait, for the answer to the join of the room `after`; if it cannot, it is refused
    /// for the reason `lost`.
    Wait { after: Option<RoomName>, lost: Refusal },
}

impl Stage {
    /// Makes a request, or says that it waits.
    fn ask(
        self,
        held: &Held,
        session: &mut Session,
        request: &Request,
    ) -> Result<Answer, SendError> {
        if self == Self::New && !request.outlives_sessions() {
            let after = session.last_wish().filter(|_| request.is_message()).cloned();
            return Ok(Answer::Wait { after, lost: Refusal::NotConnected });
        }
        if self == Self::Connected
            && let Some(room) = held.awaited(request)
        {
            return Ok(Answer::Wait { after: Some(room), lost: Refusal::NotInRoom });
        }
        if let Request::SetMetadata { key, value } = request {
            session.note_metadata(key, value.as_deref())?;
        }
        let notes = session.greeted().is_none();
        let asked = session.request(link::now(), request)?;
        Ok(if notes { Answer::Noted } else { Answer::Asked(asked) })
    }
}

/// The room that a command asks for a seat in, if it does.
fn joins(command: &ClientCommand) -> Option<&RoomName> {
    if let ClientCommand::Request(Request::Join { room, .. }) = command { Some(room) } else { None }
}
