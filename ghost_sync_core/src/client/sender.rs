//! The half of a client that asks.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    link,
    wire::{
        ClientId, Delivery, IfMissing, JoinOptions, MessageType, Rates, RoomName, SendFlags,
        SessionTicket, Token, UserId,
    },
};

use super::{Request, RequestError, SendError, session::Session, state::State};

/// The sending half of a [`Client`](super::Client). Clones speak for the same
/// connection; requests leave in the order in which they were made.
///
/// Every request waits while the outbox is full, and is either sent whole or,
/// if its future is dropped first, not at all.
#[derive(Debug)]
pub struct ClientSender {
    state: Arc<State>,
}

/// How to send a broadcast; the default is what
/// [`broadcast`](super::Client::broadcast) does.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// The room; `None` for the one that was joined last.
    pub room: Option<RoomName>,
    /// How hard to try.
    pub delivery: Delivery,
    /// Whether to echo, whether to acknowledge.
    pub flags: SendFlags,
    /// What the bytes are.
    pub message_type: MessageType,
}

impl ClientSender {
    pub(super) fn new(state: Arc<State>) -> Self {
        state.add_handle();
        Self { state }
    }

    /// This client's public id; another one after
    /// [`ResumeFailed`](super::ServerEvent::ResumeFailed), and nil while a client that
    /// [begins anew](super::ClientBuilder::begin_anew) has no session.
    pub fn client_id(&self) -> ClientId {
        self.state.look(Session::client_id)
    }

    /// The user that the server takes this client for, as its token says
    /// ([`ClientBuilder::token`](super::ClientBuilder::token)); `None`: nobody in particular.
    pub fn user(&self) -> Option<UserId> {
        self.state.look(|session| session.user().cloned())
    }

    /// How much this client may ask for in how much time, as the server says.
    pub fn rates(&self) -> Rates {
        self.state
            .look(|session| session.greeted().map(|greeted| greeted.rates))
            .unwrap_or_default()
    }

    /// The rooms that this client is in, in the order in which it joined them.
    /// May be ahead of the events that were received: those of an earlier process whose
    /// session goes on are among them from the start.
    pub fn rooms(&self) -> Vec<RoomName> {
        self.state.look(|session| session.rooms().cloned().collect())
    }

    /// Whether the session of an earlier process goes on
    /// ([`ClientBuilder::session`](super::ClientBuilder::session)), and the rooms in which
    /// it had seats when this client was greeted. `None` for a session of its own.
    pub fn resumed(&self) -> Option<Vec<RoomName>> {
        self.state.look(|session| session.resumed().map(<[_]>::to_vec))
    }

    /// What another process needs to go on as this client, with the same id and
    /// seats, should this one die: [`ClientBuilder::session`](super::ClientBuilder::session).
    /// `None` where the server holds no sessions.
    ///
    /// It changes each time the session was resumed
    /// ([`ServerEvent::Resumed`](super::ServerEvent::Resumed)). Whoever has it is this player.
    pub fn ticket(&self) -> Option<SessionTicket> {
        self.state.look(Session::ticket)
    }

    /// Asks for a seat in `room`. The answer comes as an event:
    /// [`Joined`](super::ServerEvent::Joined), or
    /// [`AlreadyJoined`](super::ServerEvent::AlreadyJoined) where this client has a seat, or
    /// [`Refused`](super::ServerEvent::Refused). What happens where there is no such room is up
    /// to the server.
    ///
    /// # Errors
    /// [`SendError`] when the request cannot be sent.
    pub async fn join(&self, room: impl AsRef<str>) -> Result<(), SendError> {
        self.join_room(room, JoinOptions::default()).await
    }

    /// As [`join`](Self::join), with bytes for the server's rules, such as a password.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join_with(
        &self,
        room: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        self.join_room(room, with_data(data)).await
    }

    /// As [`join`](Self::join), but makes no room, whatever the server does by itself: where
    /// there is none of that name, the answer is
    /// [`RoomNotFound`](crate::wire::Refusal::RoomNotFound). For codes that people type.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join_existing(&self, room: impl AsRef<str>) -> Result<(), SendError> {
        let if_missing = IfMissing::Refuse;
        self.join_room(room, JoinOptions { if_missing, ..JoinOptions::default() }).await
    }

    /// As [`join`](Self::join), but makes the room where there is none of that name, if the
    /// server lets joins make rooms
    /// ([`CreateOnJoin`](crate::relay::CreateOnJoin)). `options` are for the server's rules:
    /// how the room is to be. When the client joins again by itself, it makes none: the others
    /// of that room would not be in it.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn create_or_join(
        &self,
        room: impl AsRef<str>,
        options: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        let options = Bytes::copy_from_slice(options.as_ref());
        let if_missing = IfMissing::Create { options };
        self.join_room(room, JoinOptions { if_missing, ..JoinOptions::default() }).await
    }

    /// Asks for a seat in the way that `options` says. With
    /// [`replay`](JoinOptions::replay), what was said before comes first, as
    /// [`Broadcast`](super::ServerEvent::Broadcast)s with `replay`; how much there is depends
    /// on the room.
    ///
    /// A client that [joins again](super::Reconnect::rejoin) by itself does so with the same
    /// options, but for the replay.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join_room(
        &self,
        room: impl AsRef<str>,
        options: JoinOptions,
    ) -> Result<(), SendError> {
        let room = RoomName::new(room.as_ref())?;
        self.ask(Request::Join { room, options, if_nowhere: false }).await
    }

    /// As [`join_with`](Self::join_with), but only if this client is in no room and has
    /// asked for none: for the first join of a program that may have
    /// [taken up](super::ClientBuilder::session) the seats of an earlier process, which
    /// joining elsewhere would give up. Returns whether it asks. A client without a session decides
    /// again when the next one begins, since the seats that it wants may be left until then.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join_if_nowhere(
        &self,
        room: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<bool, SendError> {
        let (room, options) = (RoomName::new(room.as_ref())?, with_data(data));
        self.request(Request::Join { room, options, if_nowhere: true }).await
    }

    /// Gives up the seat that was taken last. Answered by
    /// [`Left`](super::ServerEvent::Left).
    ///
    /// # Errors
    /// [`SendError::NotInRoom`] and what else keeps a request from being sent.
    pub async fn leave(&self) -> Result<(), SendError> {
        let ask = |session: &mut Session| {
            let room = session.current_room().ok_or(SendError::NotInRoom)?;
            session.request(link::now(), &Request::Leave { room })
        };
        self.state.request(ask).await.map(drop)
    }

    /// Gives up the seat in `room`.
    ///
    /// # Errors
    /// As [`leave`](Self::leave).
    pub async fn leave_room(&self, room: impl AsRef<str>) -> Result<(), SendError> {
        let room = RoomName::new(room.as_ref()).map_err(|_| SendError::NotInRoom)?;
        self.ask(Request::Leave { room }).await
    }

    /// Says something to everybody else in the room that was joined last,
    /// reliably. Returns the message's reference, for
    /// [`RequestError`](super::RequestError) and [`Ack`](super::ServerEvent::Ack).
    ///
    /// # Errors
    /// [`SendError::NotInRoom`] and [`SendError::PayloadTooLarge`], and what else
    /// keeps a request from being sent.
    pub async fn broadcast(&self, data: impl AsRef<[u8]>) -> Result<u64, SendError> {
        self.broadcast_with(data, SendOptions::default()).await
    }

    /// Says something to a room, in the way that `options` says.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub async fn broadcast_with(
        &self,
        data: impl AsRef<[u8]>,
        options: SendOptions,
    ) -> Result<u64, SendError> {
        let data = data.as_ref();
        self.state.request(|session| options.broadcast(session, data)).await
    }

    /// As [`broadcast_with`](Self::broadcast_with), but does not wait.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast), and [`SendError::OutboxFull`].
    pub fn try_broadcast(
        &self,
        data: impl AsRef<[u8]>,
        options: &SendOptions,
    ) -> Result<u64, SendError> {
        let data = data.as_ref();
        self.state.try_request(|session| options.broadcast(session, data))
    }

    /// Says something to the server program. Returns the message's reference.
    ///
    /// # Errors
    /// [`SendError::PayloadTooLarge`], and what else keeps a request from being sent.
    pub async fn send_to_server(&self, data: impl AsRef<[u8]>) -> Result<u64, SendError> {
        self.send_to_server_with(None::<&str>, MessageType::RAW, data).await
    }

    /// Says something to the server program about a room.
    ///
    /// # Errors
    /// As [`send_to_server`](Self::send_to_server), and [`SendError::NotInRoom`].
    pub async fn send_to_server_with(
        &self,
        room: Option<impl AsRef<str>>,
        message_type: MessageType,
        data: impl AsRef<[u8]>,
    ) -> Result<u64, SendError> {
        let (room, data) = (room.as_ref().map(AsRef::as_ref), data.as_ref());
        self.state.request(|session| session.send_to_server(room, message_type, data)).await
    }

    /// Measures the way to the server and back; answered by
    /// [`Pong`](super::ServerEvent::Pong). While four pings are on their way,
    /// further ones are not sent.
    ///
    /// The connection is kept alive without it.
    ///
    /// # Errors
    /// [`SendError`] when the request cannot be sent.
    pub async fn ping(&self) -> Result<(), SendError> {
        self.ask(Request::Ping).await
    }

    /// Asks for the server's rooms; answered by [`RoomList`](super::ServerEvent::RoomList).
    ///
    /// # Errors
    /// [`SendError`] when the request cannot be sent.
    pub async fn list_rooms(&self) -> Result<(), SendError> {
        self.ask(Request::ListRooms).await
    }

    /// Shows a fresh token of the same user, before the last one expires; answered by
    /// [`Authenticated`](super::ServerEvent::Authenticated). A token that is not good ends
    /// the connection.
    ///
    /// # Errors
    /// [`SendError`] when the request cannot be sent.
    pub async fn authenticate(&self, token: impl Into<Token>) -> Result<(), SendError> {
        self.ask(Request::Authenticate { token: token.into() }).await
    }

    /// Sets an entry of the own metadata, which everybody in the own rooms can
    /// see: answered there by [`PlayerMetadata`](super::ServerEvent::PlayerMetadata).
    ///
    /// # Errors
    /// [`SendError`] when the request cannot be sent.
    pub async fn set_metadata(
        &self,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<(), SendError> {
        let (key, value) = (key.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self.ask(Request::SetMetadata { key, value }).await
    }

    /// Removes an entry of the own metadata.
    ///
    /// # Errors
    /// As [`set_metadata`](Self::set_metadata).
    pub async fn remove_metadata(&self, key: impl AsRef<str>) -> Result<(), SendError> {
        let key = key.as_ref().to_owned();
        self.ask(Request::SetMetadata { key, value: None }).await
    }

    async fn ask(&self, request: Request) -> Result<(), SendError> {
        self.request(request).await.map(drop)
    }

    /// Makes a request; returns whether there was something to ask for.
    async fn request(&self, request: Request) -> Result<bool, SendError> {
        self.state.request(|session| session.request(link::now(), &request)).await
    }

    /// Makes a request now, or not.
    pub(crate) fn try_request<T>(
        &self,
        ask: impl FnOnce(&mut Session) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        self.state.try_request(ask)
    }

    /// Joins that the program waits to hear of, as it is told that nobody will answer them.
    pub(crate) fn take_joins(&self) -> Vec<RequestError> {
        self.state.change(Session::take_joins)
    }

    /// Waits until the outbox has room, or the connection has ended.
    pub(crate) async fn room(&self) {
        self.state.room().await;
    }

    /// Ends without goodbye, as if the link were lost: the server holds the seats.
    /// Requests made before still leave.
    pub(crate) async fn hang_up(&self) {
        self.state.end(false);
        self.state.finished().await;
    }

    /// Says goodbye and waits until that has left, for a second at most.
    /// Requests made before still leave.
    pub async fn disconnect(&self) {
        self.state.end(true);
        self.state.finished().await;
    }
}

impl SendOptions {
    fn broadcast(&self, session: &mut Session, data: &[u8]) -> Result<u64, SendError> {
        let room = self.room.as_ref().map(RoomName::as_str);
        session.broadcast(room, self.delivery, self.flags, self.message_type, data)
    }
}

fn with_data(data: impl AsRef<[u8]>) -> JoinOptions {
    JoinOptions { data: Bytes::copy_from_slice(data.as_ref()), ..JoinOptions::default() }
}

impl Clone for ClientSender {
    fn clone(&self) -> Self {
        Self::new(self.state.clone())
    }
}

impl Drop for ClientSender {
    fn drop(&mut self) {
        self.state.remove_handle();
    }
}
