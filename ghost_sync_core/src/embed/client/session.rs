//! The background half of a client bridge: connects, serves, connects again.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    client::{
        Attempts, Client, ClientBuilder, ClientReceiver, ClientSender, ConnectError, Request,
        RequestError, SendError, ServerEvent,
    },
    embed::{
        ClientCommand, ClientEnd, ClientUpdate,
        mailbox::{Orders, Updates},
    },
    wire::{MAX_TOKEN, Refusal, RoomName},
};

use super::{
    Reconnect, Target,
    due::{Due, refusal},
    held::Held,
    wanted::{Noted, Wanted},
};

/// Bytes of events that may wait for the frame beside those in the client's inbox: some
/// 10,000 small messages, which is what one frame may have to look at.
const LIMIT: usize = 2 << 20;

/// Bytes of events that are moved at once.
const BATCH: usize = 64 * 1024;

/// A client bridge's task.
pub(super) struct Session {
    builder: ClientBuilder,
    target: Target,
    reconnect: Reconnect,
    orders: Orders<ClientCommand>,
    updates: Arc<Updates<ClientUpdate, usize>>,
    /// Whether the end is to be no goodbye.
    keeps_seats: Arc<AtomicBool>,
    wanted: Wanted,
    held: Held,
    /// Whether there was a connection: before the first, what is said waits.
    met: bool,
}

impl Session {
    pub(super) fn new(
        builder: ClientBuilder,
        target: Target,
        reconnect: Reconnect,
        orders: Orders<ClientCommand>,
        updates: Arc<Updates<ClientUpdate, usize>>,
        keeps_seats: Arc<AtomicBool>,
    ) -> Self {
        let builder = builder.reconnect(reconnect.clone());
        let wanted = Wanted::default();
        let (held, met) = (Held::default(), false);
        Self { builder, target, reconnect, orders, updates, keeps_seats, wanted, held, met }
    }

    /// Returns why there will be no connection any more.
    pub(super) async fn run(mut self) -> ClientEnd {
        let reason = self.go_on().await;
        for (request, _) in self.held.take(|_| false) {
            self.refuse(request.unsent(Refusal::NotConnected));
        }
        // What the program wanted of a connection that had ended, which it could not know.
        for command in self.orders.rest() {
            let ClientCommand::Request(request) = command else { continue };
            if let Request::Join { .. } = request {
                self.wanted.note(&request);
            } else {
                self.refuse(request.unsent(Refusal::NotConnected));
            }
        }
        self.give_up_wishes(|_| false);
        reason
    }

    /// Goes from connection to connection.
    async fn go_on(&mut self) -> ClientEnd {
        let mut attempts = Attempts::new(self.reconnect.clone());
        loop {
            self.updates.push(ClientUpdate::Connecting { attempt: attempts.failed() });
            let mut lasted = Duration::ZERO;
            let reason = match self.connect().await {
                Ok(client) => {
                    let start = Instant::now();
                    let reason = self.serve(client).await;
                    lasted = start.elapsed();
                    reason
                }
                Err(reason) => reason,
            };
            let wait = attempts.wait(lasted, reason.retry_after());
            let again = self.reconnect.enabled && self.may_retry(&reason);
            if !again {
                return reason;
            }
            self.updates.push(ClientUpdate::Disconnected { reason, retry_in: Some(wait) });
            if let Err(reason) = self.wait(sleep_until(Instant::now() + wait)).await {
                return reason;
            }
        }
    }

    /// Whether another attempt may succeed. Where a server of ours was, another service
    /// answers for a while only: a proxy, say, whose server is started again.
    fn may_retry(&self, reason: &ClientEnd) -> bool {
        let stranger = matches!(reason, ClientEnd::Connect(ConnectError::NotGhostSync { .. }));
        reason.may_retry() || stranger && self.met
    }

    async fn connect(&mut self) -> Result<Client, ClientEnd> {
        let builder = self.builder.clone();
        let target = self.target.clone();
        let connect = async move { target.connect(builder).await };
        Ok(self.wait(connect).await??)
    }

    /// Remembers what a request changes for later connections, but nothing that
    /// would keep the client from introducing itself.
    fn note(&mut self, request: &Request) -> Result<Noted, Refusal> {
        if let Request::SetMetadata { key, value } = request {
            self.builder.change_metadata(key, value.as_deref())?;
        } else if let Request::Authenticate { token } = request
            && (1..=MAX_TOKEN).contains(&token.0.len())
        {
            self.builder = self.builder.clone().token(token.clone());
        }
        Ok(self.wanted.note(request))
    }

    /// Waits for something without a connection, and takes commands meanwhile.
    /// Fails when the program wants no connection any more.
    async fn wait<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, ClientEnd> {
        let mut wait = std::pin::pin!(wait);
        loop {
            let batch = tokio::select! {
                biased;
                batch = self.orders.next() => batch.ok_or(ClientEnd::Requested)?,
                done = &mut wait => return Ok(done),
            };
            self.outlive(batch)?;
        }
    }

    /// Keeps for the next connection what commands change; what cannot wait is
    /// refused. Fails when the program wants no connection any more.
    fn outlive(
        &mut self,
        commands: impl IntoIterator<Item = ClientCommand>,
    ) -> Result<(), ClientEnd> {
        for command in commands {
            let ClientCommand::Request(request) = command else {
                return Err(ClientEnd::Requested);
            };
            match self.note(&request) {
                Ok(Noted::Later) => {}
                Ok(Noted::Now) if !self.met => {
                    let wish = self.wanted.rooms.last().filter(|_| request.is_message());
                    let after = wish.map(|wish| wish.room.clone());
                    self.hold(&request, after, Refusal::NotConnected);
                }
                Ok(Noted::Now) => self.refuse(request.unsent(Refusal::NotConnected)),
                Err(reason) => self.refuse(request.unsent(reason)),
            }
        }
        Ok(())
    }

    /// Keeps a request for later.
    fn hold(&mut self, request: &Request, after: Option<RoomName>, lost: Refusal) {
        if let Err(reason) = self.held.keep(request, after, lost) {
            self.refuse(request.unsent(reason));
        }
    }

    /// Wants no rooms any more, and tells the program of which it waits to hear, unless it will
    /// ask once more.
    fn give_up_wishes(&mut self, is_asked_again: impl Fn(&RoomName) -> bool) {
        for wish in std::mem::take(&mut self.wanted.rooms) {
            // Who was somewhere need not hear of a room that was for whoever is nowhere.
            let told = wish.owed && (!wish.if_nowhere || !self.met);
            if told && !is_asked_again(&wish.room) {
                self.refuse(wish.unsent(Refusal::NotConnected));
            }
        }
    }

    /// Tells the program that a request could not even be sent.
    fn refuse(&self, error: RequestError) {
        self.updates.push(ClientUpdate::Event(ServerEvent::Refused(error)));
    }

    /// Serves a connection until it ends.
    async fn serve(&mut self, client: Client) -> ClientEnd {
        let (client_id, user, resumed) = (client.client_id(), client.user(), client.resumed());
        self.met = true;
        // These come by themselves.
        self.wanted.joining = resumed.clone().unwrap_or_default();
        self.updates.push(ClientUpdate::Connected { client_id, user, resumed });
        self.updates.push(ClientUpdate::Ticket { ticket: client.ticket() });
        let (sender, receiver) = client.split();
        let meta = self.builder.metadata_changes().into_iter();
        let meta =
            meta.map(|(key, value)| Due::Command(Request::SetMetadata { key, value }.into()));
        let rooms = self.wanted.rooms.iter().cloned().map(Due::Wish);
        let mut due: VecDeque<_> = meta.chain(rooms).collect();
        self.release(&mut due);
        let reason = self.converse(&sender, &receiver, &mut due).await;
        if !self.reconnect.rejoin {
            self.give_up_wishes(|room| due.iter().any(|due| due.room() == Some(room)));
        }
        let commands = due.into_iter().filter_map(|due| match due {
            Due::Command(command) => Some(command),
            Due::Wish(wish) => {
                self.wanted.keep(wish);
                None
            }
        });
        let commands: Vec<_> = commands.collect();
        self.outlive(commands).err().unwrap_or(reason)
    }

    /// Asks for what the program wants and shows it what happens, until the
    /// connection ends. What could not be asked for any more stays in `due`.
    async fn converse(
        &mut self,
        sender: &ClientSender,
        receiver: &ClientReceiver,
        due: &mut VecDeque<Due>,
    ) -> ClientEnd {
        let mut events = Vec::new();
        let mut over = false;
        loop {
            let told = async {
                self.updates.room(LIMIT).await;
                receiver.recv_many(&mut events, BATCH).await
            };
            tokio::select! {
                told = told => {
                    let renewed = events.iter().any(|event| {
                        matches!(event, ServerEvent::Resumed | ServerEvent::Renewed { .. })
                    });
                    self.tell(sender, &mut events);
                    self.release(due);
                    if renewed {
                        self.updates.push(ClientUpdate::Ticket { ticket: sender.ticket() });
                    }
                    match told {
                        Ok(()) => {}
                        Err(Some(reason)) => return reason.into(),
                        Err(None) => return ClientEnd::Requested,
                    }
                }
                () = sender.room(), if !due.is_empty() && !over => {
                    match self.ask(sender, due) {
                        Asked::AsMuch => {}
                        Asked::Over => over = true,
                        Asked::Disconnect => {
                            self.part(sender).await;
                            return ClientEnd::Requested;
                        }
                    }
                }
                batch = self.orders.next(), if due.is_empty() => match batch {
                    Some(batch) => due.extend(batch.into_iter().map(Due::Command)),
                    None => {
                        self.part(sender).await;
                        return ClientEnd::Requested;
                    }
                },
            }
        }
    }

    /// Ends the connection as the program wants it.
    async fn part(&self, sender: &ClientSender) {
        if self.keeps_seats.load(Ordering::Acquire) {
            sender.hang_up().await;
        } else {
            sender.disconnect().await;
        }
    }

    /// Shows events to the program.
    fn tell(&mut self, sender: &ClientSender, events: &mut Vec<ServerEvent>) {
        let wanted = &mut self.wanted;
        self.updates.change(|updates, bytes| {
            for mut event in events.drain(..) {
                *bytes += event.cost();
                wanted.hear(&mut event);
                updates.push(if let ServerEvent::Renewed { client_id } = event {
                    ClientUpdate::Connected { client_id, user: sender.user(), resumed: None }
                } else {
                    ClientUpdate::Event(event)
                });
            }
        });
    }

    /// Asks for what is due, as much of it as the outbox takes.
    fn ask(&mut self, sender: &ClientSender, due: &mut VecDeque<Due>) -> Asked {
        while let Some(next) = due.front() {
            let noted = match next {
                Due::Command(ClientCommand::Disconnect) => return Asked::Disconnect,
                Due::Command(ClientCommand::Request(request)) => {
                    if let Some(room) = self.awaited_room(request) {
                        self.hold(request, Some(room), Refusal::NotInRoom);
                        due.pop_front();
                        continue;
                    }
                    self.note(request)
                }
                Due::Wish(_) => Ok(Noted::Later),
            };
            let result = match noted {
                Ok(Noted::Now | Noted::Later) => match sender.try_request(|it| next.ask(it)) {
                    Err(SendError::OutboxFull { .. }) => return Asked::AsMuch,
                    Err(SendError::Disconnected(_) | SendError::Closed) => return Asked::Over,
                    result => result.map_err(refusal),
                },
                Err(reason) => Err(reason),
            };
            match (result, next.room()) {
                (Ok(asked), Some(room)) => {
                    self.wanted.asked(room, asked);
                    if !asked {
                        // Where the client is already, it is heard.
                        self.held.unbind(room);
                    }
                }
                (Ok(_), None) => {}
                (Err(reason), room) => {
                    if let Some(room) = room {
                        self.wanted.cannot_be_asked(room);
                    }
                    next.unsent(reason).into_iter().for_each(|error| self.refuse(error));
                }
            }
            due.pop_front();
        }
        self.release(due);
        Asked::AsMuch
    }
}

impl Session {
    /// The room that a message is for, or may be, if the connection was asked for it before and
    /// has not answered.
    fn awaited_room(&self, request: &Request) -> Option<RoomName> {
        let joining = &self.wanted.joining;
        if let Request::Broadcast { room, .. } | Request::ToServer { room, .. } = request {
            match room {
                Some(room) => joining.contains(room).then(|| room.clone()),
                None => joining.last().cloned(),
            }
        } else {
            None
        }
    }

    /// Puts first what waits no longer: it is for the room that it waited for.
    fn release(&mut self, due: &mut VecDeque<Due>) {
        if self.held.is_empty() {
            return;
        }
        let joining = &self.wanted.joining;
        let to_ask: Vec<_> = due.iter().filter_map(Due::room).collect();
        let waits = |room: Option<&RoomName>| {
            room.is_some_and(|room| joining.contains(room) || to_ask.contains(&room))
        };
        for (mut request, after) in self.held.take(waits).into_iter().rev() {
            if let (Request::Broadcast { room, .. } | Request::ToServer { room, .. }, Some(after)) =
                (&mut request, after)
                && room.is_none()
            {
                *room = Some(after).filter(|after| self.wanted.is_in(after));
                if room.is_none() && matches!(request, Request::Broadcast { .. }) {
                    self.refuse(request.unsent(Refusal::NotInRoom));
                    continue;
                }
            }
            due.push_front(Due::Command(request.into()));
        }
    }
}

/// What became of an attempt to make requests.
enum Asked {
    /// Everything was asked for, or the outbox is full.
    AsMuch,
    /// The connection has ended.
    Over,
    /// The program wants no connection any more.
    Disconnect,
}
