//! The background half of a client bridge: connects, serves, connects again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    client::{
        Attempts, Client, ClientBuilder, ClientReceiver, ClientSender, Request, RequestError,
        SendError, ServerEvent,
    },
    embed::{
        ClientCommand, ClientEnd, ClientUpdate,
        mailbox::{Orders, Updates},
    },
    wire::Refusal,
};

use super::{
    Reconnect, Target,
    due::{Due, refusal, request_of},
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
    ) -> Self {
        let builder = builder.reconnect(reconnect.clone());
        let wanted = Wanted::default();
        let (held, met) = (Held::default(), false);
        Self { builder, target, reconnect, orders, updates, wanted, held, met }
    }

    /// Returns why there will be no connection any more.
    pub(super) async fn run(mut self) -> ClientEnd {
        let reason = self.go_on().await;
        for command in self.held.take() {
            self.refuse(request_of(&command), Refusal::NotConnected);
        }
        self.give_up_wishes();
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
            let again = self.reconnect.enabled && reason.may_retry();
            if !again {
                return reason;
            }
            self.updates.push(ClientUpdate::Disconnected { reason, retry_in: Some(wait) });
            if let Err(reason) = self.wait(sleep_until(Instant::now() + wait)).await {
                return reason;
            }
        }
    }

    async fn connect(&mut self) -> Result<Client, ClientEnd> {
        let builder = self.builder.clone();
        let target = self.target.clone();
        let connect = async move { target.connect(builder).await };
        Ok(self.wait(connect).await??)
    }

    /// Remembers what a command changes for later connections, but nothing that
    /// would keep the client from introducing itself.
    fn note(&mut self, command: &ClientCommand) -> Result<Noted, Refusal> {
        if let ClientCommand::SetMeta { key, value } = command {
            self.builder.change_meta(key, value.as_deref())?;
        }
        Ok(self.wanted.note(command))
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
            match self.note(&command) {
                Ok(Noted::Disconnect) => return Err(ClientEnd::Requested),
                Ok(Noted::Later) => {}
                Ok(Noted::Now) if !self.met => self.hold(&command),
                Ok(Noted::Now) => self.refuse(request_of(&command), Refusal::NotConnected),
                Err(reason) => self.refuse(request_of(&command), reason),
            }
        }
        Ok(())
    }

    /// Keeps a command for later.
    fn hold(&mut self, command: &ClientCommand) {
        if let Err(reason) = self.held.keep(command) {
            self.refuse(request_of(command), reason);
        }
    }

    /// Wants no rooms any more, and tells the program of which it waits to hear.
    fn give_up_wishes(&mut self) {
        for wish in std::mem::take(&mut self.wanted.rooms) {
            if wish.owed && !wish.if_nowhere {
                self.refuse(Some(wish.request()), Refusal::NotConnected);
            }
        }
    }

    /// Tells the program that a request could not even be sent.
    fn refuse(&self, request: Option<Request>, reason: Refusal) {
        if let Some(request) = request {
            let error = ServerEvent::Error(RequestError { request, reason });
            self.updates.push(ClientUpdate::Event(error));
        }
    }

    /// Serves a connection until it ends.
    async fn serve(&mut self, client: Client) -> ClientEnd {
        let (client_id, resumed) = (client.client_id(), client.resumed());
        self.met = true;
        // These come by themselves.
        self.wanted.joining = resumed.clone().unwrap_or_default();
        self.updates.push(ClientUpdate::Connected { client_id, resumed });
        self.updates.push(ClientUpdate::Ticket { ticket: client.ticket() });
        let (sender, receiver) = client.split();
        let meta = self.builder.meta_changes().into_iter();
        let meta = meta.map(|(key, value)| Due::Command(ClientCommand::SetMeta { key, value }));
        let rooms = self.wanted.rooms.iter().cloned().map(Due::Wish);
        let said = self.held.take().into_iter().map(Due::Command);
        let mut due: VecDeque<_> = meta.chain(rooms).chain(said).collect();
        let reason = self.converse(&sender, &receiver, &mut due).await;
        if !self.reconnect.rejoin {
            self.give_up_wishes();
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
                    self.tell(&mut events);
                    if self.wanted.joining.is_empty() {
                        for command in self.held.take().into_iter().rev() {
                            due.push_front(Due::Command(command));
                        }
                    }
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
                            sender.close().await;
                            return ClientEnd::Requested;
                        }
                    }
                }
                batch = self.orders.next(), if due.is_empty() => match batch {
                    Some(batch) => due.extend(batch.into_iter().map(Due::Command)),
                    None => {
                        sender.close().await;
                        return ClientEnd::Requested;
                    }
                },
            }
        }
    }

    /// Shows events to the program.
    fn tell(&mut self, events: &mut Vec<ServerEvent>) {
        let wanted = &mut self.wanted;
        self.updates.change(|updates, bytes| {
            for mut event in events.drain(..) {
                *bytes += event.cost();
                wanted.hear(&mut event);
                updates.push(if let ServerEvent::Renewed { client_id } = event {
                    ClientUpdate::Connected { client_id, resumed: None }
                } else {
                    ClientUpdate::Event(event)
                });
            }
        });
    }

    /// Asks for what is due, as much of it as the outbox takes.
    fn ask(&mut self, sender: &ClientSender, due: &mut VecDeque<Due>) -> Asked {
        while let Some(next) = due.front() {
            if let Due::Command(command) = next
                && self.waits_for_a_room(command)
            {
                self.hold(command);
                due.pop_front();
                continue;
            }
            let noted = match next {
                Due::Command(command) => self.note(command),
                Due::Wish(_) => Ok(Noted::Later),
            };
            let result = match noted {
                Ok(Noted::Disconnect) => return Asked::Disconnect,
                Ok(Noted::Now | Noted::Later) => match sender.try_request(|it| next.ask(it)) {
                    Err(SendError::OutboxFull { .. }) => return Asked::AsMuch,
                    Err(SendError::Disconnected(_) | SendError::Closed) => return Asked::Over,
                    result => result.map_err(refusal),
                },
                Err(reason) => Err(reason),
            };
            match (result, next.room()) {
                (Ok(asked), Some(room)) => self.wanted.asked(room, asked),
                (Ok(_), None) => {}
                (Err(reason), _) => self.refuse(next.request(), reason),
            }
            due.pop_front();
        }
        Asked::AsMuch
    }
}

impl Session {
    /// Whether a message is for a room, or may be, that the connection was asked for before
    /// and has not answered about; those after it stay behind it.
    fn waits_for_a_room(&self, command: &ClientCommand) -> bool {
        if let ClientCommand::Broadcast { room, .. } | ClientCommand::Send { room, .. } = command {
            let joining = &self.wanted.joining;
            let asked = room.as_ref().map_or(!joining.is_empty(), |room| joining.contains(room));
            asked || !self.held.is_empty()
        } else {
            false
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
