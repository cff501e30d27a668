//! The background half of a client bridge: connects, serves, connects again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
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
    link,
    wire::{Refusal, Replay, RoomName},
};

use super::{Reconnect, Target};

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
}

/// What the program wants, with and without a connection.
#[derive(Default)]
struct Wanted {
    /// Rooms to be in, in the order in which they were joined.
    rooms: Vec<Wish>,
    /// Rooms that the connection was asked for and has not answered about.
    joining: Vec<RoomName>,
}

/// A room to be in.
#[derive(Debug)]
struct Wish {
    room: RoomName,
    data: Bytes,
    replay: Replay,
    /// Whether it is wanted only by a client that is nowhere.
    if_nowhere: bool,
    /// Whether the client has been in it.
    joined: bool,
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
        Self { builder, target, reconnect, orders, updates, wanted }
    }

    /// Returns why there will be no connection any more.
    pub(super) async fn run(mut self) -> ClientEnd {
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
                Ok(Noted::Now) => refuse(&self.updates, &command, refusal(SendError::Closed)),
                Err(reason) => refuse(&self.updates, &command, reason),
            }
        }
        Ok(())
    }

    /// Serves a connection until it ends.
    async fn serve(&mut self, client: Client) -> ClientEnd {
        let (client_id, resumed) = (client.client_id(), client.resumed());
        self.updates.push(ClientUpdate::Connected { client_id, resumed });
        self.updates.push(ClientUpdate::Ticket { ticket: client.ticket() });
        let (sender, receiver) = client.split();
        let meta = self.builder.meta_changes().into_iter();
        let meta = meta.map(|(key, value)| ClientCommand::SetMeta { key, value });
        self.wanted.joining.clear();
        let mut asked: VecDeque<_> = meta.chain(self.wanted.rooms.iter().map(Wish::ask)).collect();
        let reason = self.converse(&sender, &receiver, &mut asked).await;
        if !self.reconnect.rejoin {
            self.wanted.rooms.clear();
        }
        self.outlive(asked).err().unwrap_or(reason)
    }

    /// Asks for what the program wants and shows it what happens, until the
    /// connection ends. What could not be asked for any more stays in `asked`.
    async fn converse(
        &mut self,
        sender: &ClientSender,
        receiver: &ClientReceiver,
        asked: &mut VecDeque<ClientCommand>,
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
                    if renewed {
                        self.updates.push(ClientUpdate::Ticket { ticket: sender.ticket() });
                    }
                    match told {
                        Ok(()) => {}
                        Err(Some(reason)) => return reason.into(),
                        Err(None) => return ClientEnd::Requested,
                    }
                }
                () = sender.room(), if !asked.is_empty() && !over => {
                    match self.ask(sender, asked) {
                        Asked::AsMuch => {}
                        Asked::Over => over = true,
                        Asked::Disconnect => {
                            sender.close().await;
                            return ClientEnd::Requested;
                        }
                    }
                }
                batch = self.orders.next(), if asked.is_empty() => match batch {
                    Some(batch) => asked.extend(batch),
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

    /// Makes requests of commands, as many as the outbox takes.
    fn ask(&mut self, sender: &ClientSender, asked: &mut VecDeque<ClientCommand>) -> Asked {
        while let Some(command) = asked.front() {
            let result = match self.note(command) {
                Ok(Noted::Disconnect) => return Asked::Disconnect,
                Ok(Noted::Now | Noted::Later) => match request(sender, command) {
                    Err(SendError::OutboxFull { .. }) => return Asked::AsMuch,
                    Err(SendError::Disconnected(_) | SendError::Closed) => return Asked::Over,
                    result => result.map_err(refusal),
                },
                Err(reason) => Err(reason),
            };
            match result {
                Ok(asked) => {
                    if let ClientCommand::Join { room, .. } = command {
                        self.wanted.asked(room, asked);
                    }
                }
                Err(reason) => refuse(&self.updates, command, reason),
            }
            asked.pop_front();
        }
        Asked::AsMuch
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

/// When a command takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Noted {
    /// Only on a connection.
    Now,
    /// On the next connection too.
    Later,
    /// It ends the client.
    Disconnect,
}

impl Wanted {
    /// Remembers what a command changes for later connections.
    fn note(&mut self, command: &ClientCommand) -> Noted {
        match command {
            ClientCommand::Join { room, if_nowhere: true, .. } if self.find(room).is_some() => {}
            ClientCommand::Join { room, data, replay, if_nowhere } => {
                let (room, data, replay) = (room.clone(), data.clone(), *replay);
                let (if_nowhere, joined) =
                    (*if_nowhere, self.find(&room).is_some_and(|wish| wish.joined));
                self.forget(&room);
                self.rooms.push(Wish { room, data, replay, if_nowhere, joined });
            }
            ClientCommand::Leave { room } => self.forget(room),
            ClientCommand::SetMeta { .. } => {}
            ClientCommand::Broadcast { .. }
            | ClientCommand::Send { .. }
            | ClientCommand::Ping
            | ClientCommand::ListRooms => return Noted::Now,
            ClientCommand::Disconnect => return Noted::Disconnect,
        }
        Noted::Later
    }

    /// Forgets rooms that the client is not to be in any more, and says of others
    /// whether it was in them before.
    fn hear(&mut self, event: &mut ServerEvent) {
        let gone = if let ServerEvent::Left { room, .. } = event {
            room
        } else if let ServerEvent::Joined { room, rejoined, .. } = event {
            if let Some(wish) = self.find(room) {
                *rejoined |= std::mem::replace(&mut wish.joined, true);
                wish.if_nowhere = false;
            } else if *rejoined {
                // An earlier process took that seat.
                let (room, data, replay) = (room.clone(), Bytes::new(), Replay::Nothing);
                self.rooms.push(Wish { room, data, replay, if_nowhere: false, joined: true });
            }
            return self.answered(room);
        } else if let ServerEvent::Error(RequestError { request: Request::Join { room }, reason }) =
            event
        {
            self.answered(room);
            if matches!(reason, Refusal::AlreadyJoined { .. }) {
                return;
            }
            room
        } else {
            return;
        };
        // Unless it has asked again since.
        if !self.joining.contains(gone) {
            self.forget(gone);
        }
    }

    /// The connection was asked for a room, unless the client is to be somewhere else.
    fn asked(&mut self, room: &RoomName, asked: bool) {
        if asked {
            self.joining.push(room.clone());
        } else {
            self.rooms.retain(|wish| wish.room != *room || !wish.if_nowhere);
        }
    }

    fn find(&mut self, room: &RoomName) -> Option<&mut Wish> {
        self.rooms.iter_mut().find(|wish| wish.room == *room)
    }

    fn forget(&mut self, room: &RoomName) {
        self.rooms.retain(|wish| wish.room != *room);
    }

    fn answered(&mut self, room: &RoomName) {
        if let Some(at) = self.joining.iter().position(|joining| joining == room) {
            self.joining.remove(at);
        }
    }
}

impl Wish {
    /// What was said before is asked for once only.
    fn ask(&self) -> ClientCommand {
        let replay = if self.joined { Replay::Nothing } else { self.replay };
        let (room, data, if_nowhere) = (self.room.clone(), self.data.clone(), self.if_nowhere);
        ClientCommand::Join { room, data, replay, if_nowhere }
    }
}

/// Makes a request; returns whether it was to be made.
fn request(sender: &ClientSender, command: &ClientCommand) -> Result<bool, SendError> {
    if let ClientCommand::Join { room, data, replay, if_nowhere: true } = command {
        return sender.try_request(|session| session.join_if_nowhere(room.clone(), data, *replay));
    }
    sender.try_request(|session| match command {
        ClientCommand::Join { room, data, replay, .. } => session.join(room.clone(), data, *replay),
        ClientCommand::Leave { room } => session.leave(Some(room.as_str())),
        ClientCommand::Broadcast { room, delivery, flags, message_type, payload } => {
            let room = room.as_ref().map(RoomName::as_str);
            session.broadcast(room, *delivery, *flags, *message_type, payload).map(|_| ())
        }
        ClientCommand::Send { room, message_type, payload } => {
            let room = room.as_ref().map(RoomName::as_str);
            session.send(room, *message_type, payload).map(|_| ())
        }
        ClientCommand::Ping => session.ping(link::now()),
        ClientCommand::ListRooms => session.list_rooms(),
        ClientCommand::SetMeta { key, value } => session.set_meta(key, value.as_deref()),
        ClientCommand::Disconnect => Ok(()),
    })?;
    Ok(true)
}

/// Tells the program that a command could not even be sent.
fn refuse(updates: &Updates<ClientUpdate, usize>, command: &ClientCommand, reason: Refusal) {
    let room = match command {
        ClientCommand::Join { room, .. } | ClientCommand::Leave { room } => Some(room.clone()),
        ClientCommand::Broadcast { room, .. } | ClientCommand::Send { room, .. } => room.clone(),
        ClientCommand::Ping
        | ClientCommand::ListRooms
        | ClientCommand::SetMeta { .. }
        | ClientCommand::Disconnect => None,
    };
    let request = match (command, room) {
        (ClientCommand::Join { .. }, Some(room)) => Request::Join { room },
        (ClientCommand::Leave { .. }, room) => Request::Leave { room },
        (ClientCommand::Broadcast { .. }, room) => Request::Broadcast { room, reference: 0 },
        (ClientCommand::Send { .. }, room) => Request::Send { room, reference: 0 },
        (ClientCommand::SetMeta { .. }, _) => Request::SetMeta,
        (ClientCommand::Join { .. }, None)
        | (ClientCommand::Ping | ClientCommand::ListRooms | ClientCommand::Disconnect, _) => return,
    };
    updates.push(ClientUpdate::Event(ServerEvent::Error(RequestError { request, reason })));
}

/// Why a request could not be sent, in the words that the server would have used.
fn refusal(error: SendError) -> Refusal {
    match error {
        SendError::NotInRoom => Refusal::NotInRoom,
        SendError::PayloadTooLarge { len, max } => Refusal::PayloadTooLarge {
            len: u32::try_from(len).unwrap_or(u32::MAX),
            max: u32::try_from(max).unwrap_or(u32::MAX),
        },
        SendError::SaidByServer { .. } => Refusal::Forbidden { what: error.to_string() },
        other @ (SendError::InvalidRoomName(_)
        | SendError::InvalidMetaKey(_)
        | SendError::NothingToForget
        | SendError::OutboxFull { .. }
        | SendError::Disconnected(_)
        | SendError::Closed) => Refusal::Rejected { message: other.to_string() },
    }
}
