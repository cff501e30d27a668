//! How a session outlives its link.

use crate::{
    relay::DisconnectReason,
    wire::{
        ClientId, ClientMessage, CloseReason, Decoder, LeaveReason, MAGIC, MAX_SERVER_FRAME,
        Progress, Refusal, Replay, ResumeFailure, RoomId, Secret, SessionTicket, VERSION,
    },
};

use super::{
    Asked, Former, Greeted, Kind, Lane, Membership, Phase, Request, RequestError, ServerEvent,
    Session, Violation,
};

impl Session {
    /// The public id; nil before the server gave one.
    pub(crate) fn client_id(&self) -> ClientId {
        self.greeted.map(|greeted| greeted.client_id).unwrap_or_default()
    }

    /// What another process would need to go on with this session.
    pub(crate) fn ticket(&self) -> Option<SessionTicket> {
        let secret = self.ticket?.secret;
        self.is_held().then(|| SessionTicket { client_id: self.client_id(), secret })
    }

    /// The link ended. Whether another one makes sense; requests wait for it then.
    pub(crate) fn link_lost(&mut self, reason: &DisconnectReason) -> bool {
        let stopping =
            matches!(reason, DisconnectReason::Closed(CloseReason::ServerShutdown { .. }));
        if self.phase == Phase::Closed || !self.is_held() || stopping || !reason.may_reconnect() {
            return false;
        }
        self.phase = Phase::Away;
        self.outbox.clear();
        true
    }

    /// There is another link: asks on it for the session, or for a new one if
    /// that is over.
    pub(crate) fn reopen(&mut self) {
        if self.phase == Phase::Closed {
            return;
        }
        if !planted!("client-keeps-half-a-frame") {
            self.decoder = Decoder::new(MAX_SERVER_FRAME);
        }
        self.pings.forget();
        self.pongs = 0;
        self.outbox.clear();
        let Some(ticket) = &mut self.ticket else { return self.introduce() };
        ticket.attempt += 1;
        let ticket = *ticket;
        let less = u64::from(planted!("client-forgets-its-last-event"));
        let progress = |(id, room): (&RoomId, &Membership)| Progress {
            room: *id,
            last: room.last().saturating_sub(less),
            own: room.own(),
        };
        ClientMessage::Resume {
            magic: MAGIC,
            version: VERSION,
            epoch: ticket.epoch,
            client_id: self.client_id(),
            secret: ticket.secret,
            attempt: ticket.attempt,
            received: self.lane.confirm(),
            rooms: self.rooms.iter().map(progress).collect(),
        }
        .encode(&mut self.outbox);
        self.phase = Phase::Resuming;
    }

    /// Whether the session outlives its link, so that requests are kept until the
    /// server has confirmed them.
    pub(super) fn is_held(&self) -> bool {
        self.reconnect.enabled && self.greeted.is_some_and(Greeted::holds)
    }

    /// The server has the first `count` requests.
    pub(super) fn confirm(&mut self, count: u64) -> Result<(), Violation> {
        if self.is_held() { self.unconfirmed.confirm(count) } else { Ok(()) }
    }

    pub(super) fn on_resumed(
        &mut self,
        secret: Secret,
        received: u64,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        if received < self.unconfirmed.confirmed() {
            return Err(format!("only {received} requests, after it confirmed more").into());
        }
        self.unconfirmed.confirm(received)?;
        if let Some(ticket) = &mut self.ticket {
            ticket.secret = secret;
        }
        self.phase = Phase::Open;
        if !planted!("client-asks-once-only") {
            self.outbox.extend_from_slice(self.unconfirmed.frames());
        }
        events.push(ServerEvent::Resumed);
        Ok(())
    }

    /// The session is over; another one begins on the same link. Where too much was missed
    /// the seats are still held, and the server is asked to go on from what is now.
    pub(super) fn on_resume_failed(
        &mut self,
        reason: ResumeFailure,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        let is_held = matches!(reason, ResumeFailure::TooOld { .. });
        events.push(ServerEvent::ResumeFailed { reason });
        events.extend(self.forget_messages());
        self.introduction.session = self.ticket().filter(|_| is_held);
        self.introduce();
        self.ask_for_meta();
        (self.ticket, self.lane) = (None, Lane::default());
        self.late.clear();
        let mut rooms = std::mem::take(&mut self.rooms);
        for id in std::mem::take(&mut self.order) {
            let Some(member) = rooms.remove(&id) else { continue };
            let state = match (member.leaving, member.is_listing()) {
                (true, _) => Former::Leaving,
                (false, true) => Former::Asked,
                (false, false) => Former::Seated,
            };
            self.former.push((member.asked, state));
        }
        for room in std::mem::take(&mut self.awaited) {
            self.former.push((Asked::again(room), Former::Asked));
        }
        for (_, asked) in std::mem::take(&mut self.joins) {
            if planted!("client-forgets-to-join") {
                continue;
            }
            self.former.push((asked, Former::Asked));
        }
        if !is_held {
            self.settle(events);
        }
        Ok(())
    }

    /// Sees to the seats of a session that could not be resumed, now that it is known
    /// whether the server goes on with it.
    pub(super) fn settle(&mut self, events: &mut Vec<ServerEvent>) {
        for (asked, former) in std::mem::take(&mut self.former) {
            let is_held = self.awaited.contains(&asked.room);
            let goes_on = self.resumed.is_some();
            let reason = match former {
                // The server says by itself where the client is.
                Former::Seated | Former::Asked if is_held => continue,
                Former::Leaving if is_held => {
                    self.unwanted.push(asked.room);
                    continue;
                }
                Former::Asked => {
                    self.ask_to_join(asked);
                    continue;
                }
                Former::Seated if self.reconnect.rejoin && !goes_on => {
                    let (replay, rejoined) = (Replay::Nothing, true);
                    self.ask_to_join(Asked { replay, rejoined, ..asked });
                    continue;
                }
                Former::Seated => LeaveReason::Disconnected,
                Former::Leaving => LeaveReason::Left,
            };
            events.push(ServerEvent::Left { room: asked.room, reason });
        }
    }

    fn introduce(&mut self) {
        self.phase = Phase::Greeting;
        self.outbox = self.introduction.hello().unwrap_or_else(|_| {
            // Without a ticket it was short enough when it was said first.
            self.introduction.session = None;
            self.introduction.hello().unwrap_or_default()
        });
    }

    /// Forgets the requests of a session that is over; says so where they cannot
    /// be made again.
    fn forget_messages(&mut self) -> Vec<ServerEvent> {
        let requests = std::mem::take(&mut self.unconfirmed);
        let lost: Vec<_> = requests
            .messages()
            .filter_map(|request| match request {
                ClientMessage::Broadcast { room, .. } => Some((room, Kind::Broadcast)),
                ClientMessage::Send { room, .. } => Some((room, Kind::Send)),
                ClientMessage::Join { .. }
                | ClientMessage::Leave { .. }
                | ClientMessage::SetMeta { .. }
                | ClientMessage::ListRooms { .. }
                | ClientMessage::Hello { .. }
                | ClientMessage::Resume { .. }
                | ClientMessage::Ping { .. }
                | ClientMessage::Pong { .. }
                | ClientMessage::Received { .. }
                | ClientMessage::Close { .. } => None,
            })
            .collect();
        let count = u64::try_from(lost.len()).unwrap_or(u64::MAX);
        let numbers = self.sent.last().saturating_sub(count) + 1..;
        let unknown =
            |(_, number): &(_, u64)| !matches!(self.sent.kind(*number), Ok(Some(Kind::Answered)));
        let lost: Vec<_> = lost.into_iter().zip(numbers).filter(unknown).collect();
        self.sent.start_anew();
        let error = |((room, kind), reference): ((RoomId, Kind), u64)| {
            let room = self.rooms.get(&room).map(|room| room.name().clone());
            let request = match kind {
                Kind::Broadcast | Kind::Echo | Kind::Answered => {
                    Request::Broadcast { room, reference }
                }
                Kind::Send => Request::Send { room, reference },
            };
            let message = "the session ended before the server confirmed it: nobody knows \
                           whether it arrived"
                .to_owned();
            ServerEvent::Error(RequestError { request, reason: Refusal::Rejected { message } })
        };
        lost.into_iter().map(error).collect()
    }
}
