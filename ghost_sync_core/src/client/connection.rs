//! Both halves of a client in one.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::{FusedStream, Stream};

use crate::wire::{
    ClientId, DisconnectReason, JoinOptions, MessageType, Rates, RoomName, SessionTicket, Token,
    UserId,
};

use super::{
    ClientBuilder, ClientReceiver, ClientSender, ConnectError, SendError, SendOptions, ServerAddr,
    ServerEvent, TryRecvError, state::State,
};

/// A connection to a relay.
///
/// Requests go out with `async` methods and are answered by events, which
/// [`recv`](Self::recv) and the [`Stream`] return in order. A connection that is
/// lost is replaced as [`Reconnect`](super::Reconnect) says, if the server holds sessions; a
/// session that is over as well, if the client [begins anew](ClientBuilder::begin_anew). Dropping
/// the client says goodbye, if the runtime still runs; [`disconnect`](Self::disconnect)
/// waits for that.
#[derive(Debug)]
pub struct Client {
    sender: ClientSender,
    receiver: ClientReceiver,
}

impl Client {
    /// Connects over TCP with default settings to `HOST:PORT`, or to what else makes a
    /// [`ServerAddr`]: [`ClientBuilder::connect`].
    ///
    /// # Errors
    /// [`ConnectError`] says what to change, or whether to try again.
    pub async fn connect(
        addr: impl TryInto<ServerAddr, Error: Into<ConnectError>>,
    ) -> Result<Self, ConnectError> {
        Self::builder().connect(addr).await
    }

    /// Settings to connect with.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(super) fn new(state: Arc<State>) -> Self {
        let receiver = ClientReceiver::new(state.clone());
        Self { sender: ClientSender::new(state), receiver }
    }

    /// The two halves: one that asks, one that is told.
    pub fn split(self) -> (ClientSender, ClientReceiver) {
        (self.sender, self.receiver)
    }

    /// What another process needs to go on as this client: [`ClientSender::ticket`].
    pub fn ticket(&self) -> Option<SessionTicket> {
        self.sender.ticket()
    }

    /// The half that asks; clone it to ask from elsewhere.
    pub fn sender(&self) -> &ClientSender {
        &self.sender
    }

    /// This client's public id: [`ClientSender::client_id`].
    pub fn client_id(&self) -> ClientId {
        self.sender.client_id()
    }

    /// The user that the server takes this client for: [`ClientSender::user`].
    pub fn user(&self) -> Option<UserId> {
        self.sender.user()
    }

    /// How much this client may ask for: [`ClientSender::rates`].
    pub fn rates(&self) -> Rates {
        self.sender.rates()
    }

    /// Shows a fresh token: [`ClientSender::authenticate`].
    ///
    /// # Errors
    /// [`SendError`] when the request cannot be sent.
    pub async fn authenticate(&self, token: impl Into<Token>) -> Result<(), SendError> {
        self.sender.authenticate(token).await
    }

    /// The next event; `None` after this side closed the connection. Safe in `select!`.
    ///
    /// # Errors
    /// As [`ClientReceiver::recv`].
    pub async fn recv(&mut self) -> Result<Option<ServerEvent>, DisconnectReason> {
        self.receiver.recv().await
    }

    /// The next event, if one is there.
    ///
    /// # Errors
    /// [`TryRecvError`] says whether more may come.
    pub fn try_recv(&mut self) -> Result<ServerEvent, TryRecvError> {
        self.receiver.try_recv()
    }

    /// The rooms that this client is in: [`ClientSender::rooms`].
    pub fn rooms(&self) -> Vec<RoomName> {
        self.sender.rooms()
    }

    /// Whether the session of an earlier process goes on, and where:
    /// [`ClientSender::resumed`].
    pub fn resumed(&self) -> Option<Vec<RoomName>> {
        self.sender.resumed()
    }

    /// Asks for a seat: [`ClientSender::join`].
    ///
    /// # Errors
    /// As there.
    pub async fn join(&self, room: impl AsRef<str>) -> Result<(), SendError> {
        self.sender.join(room).await
    }

    /// Asks for a seat, with bytes for the server's rules: [`ClientSender::join_with`].
    ///
    /// # Errors
    /// As there.
    pub async fn join_with(
        &self,
        room: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        self.sender.join_with(room, data).await
    }

    /// Asks for a seat in a room that is there: [`ClientSender::join_existing`].
    ///
    /// # Errors
    /// As there.
    pub async fn join_existing(&self, room: impl AsRef<str>) -> Result<(), SendError> {
        self.sender.join_existing(room).await
    }

    /// Asks for a seat in a room that is made if it is missing:
    /// [`ClientSender::create_or_join`].
    ///
    /// # Errors
    /// As there.
    pub async fn create_or_join(
        &self,
        room: impl AsRef<str>,
        options: impl AsRef<[u8]>,
    ) -> Result<(), SendError> {
        self.sender.create_or_join(room, options).await
    }

    /// Asks for a seat, in a way of choice: [`ClientSender::join_room`].
    ///
    /// # Errors
    /// As there.
    pub async fn join_room(
        &self,
        room: impl AsRef<str>,
        options: JoinOptions,
    ) -> Result<(), SendError> {
        self.sender.join_room(room, options).await
    }

    /// Asks for a seat if this client is in no room: [`ClientSender::join_if_nowhere`].
    ///
    /// # Errors
    /// As there.
    pub async fn join_if_nowhere(
        &self,
        room: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<bool, SendError> {
        self.sender.join_if_nowhere(room, data).await
    }

    /// Gives up the seat that was taken last: [`ClientSender::leave`].
    ///
    /// # Errors
    /// As there.
    pub async fn leave(&self) -> Result<(), SendError> {
        self.sender.leave().await
    }

    /// Gives up the seat in `room`: [`ClientSender::leave_room`].
    ///
    /// # Errors
    /// As there.
    pub async fn leave_room(&self, room: impl AsRef<str>) -> Result<(), SendError> {
        self.sender.leave_room(room).await
    }

    /// Says something to everybody else in the room: [`ClientSender::broadcast`].
    ///
    /// # Errors
    /// As there.
    pub async fn broadcast(&self, data: impl AsRef<[u8]>) -> Result<u64, SendError> {
        self.sender.broadcast(data).await
    }

    /// Says something to a room, in a way of choice: [`ClientSender::broadcast_with`].
    ///
    /// # Errors
    /// As there.
    pub async fn broadcast_with(
        &self,
        data: impl AsRef<[u8]>,
        options: SendOptions,
    ) -> Result<u64, SendError> {
        self.sender.broadcast_with(data, options).await
    }

    /// Says something to the server program: [`ClientSender::send_to_server`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_to_server(&self, data: impl AsRef<[u8]>) -> Result<u64, SendError> {
        self.sender.send_to_server(data).await
    }

    /// Says something to the server program about a room: [`ClientSender::send_to_server_with`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_to_server_with(
        &self,
        room: Option<impl AsRef<str>>,
        message_type: MessageType,
        data: impl AsRef<[u8]>,
    ) -> Result<u64, SendError> {
        self.sender.send_to_server_with(room, message_type, data).await
    }

    /// Measures the way to the server and back: [`ClientSender::ping`].
    ///
    /// # Errors
    /// As there.
    pub async fn ping(&self) -> Result<(), SendError> {
        self.sender.ping().await
    }

    /// Asks for the server's rooms: [`ClientSender::list_rooms`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_rooms(&self) -> Result<(), SendError> {
        self.sender.list_rooms().await
    }

    /// Sets an entry of the own metadata: [`ClientSender::set_metadata`].
    ///
    /// # Errors
    /// As there.
    pub async fn set_metadata(
        &self,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<(), SendError> {
        self.sender.set_metadata(key, value).await
    }

    /// Removes an entry of the own metadata: [`ClientSender::remove_metadata`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove_metadata(&self, key: impl AsRef<str>) -> Result<(), SendError> {
        self.sender.remove_metadata(key).await
    }

    /// Says goodbye and waits until that has left: [`ClientSender::disconnect`].
    pub async fn disconnect(&self) {
        self.sender.disconnect().await;
    }
}

impl Stream for Client {
    type Item = Result<ServerEvent, DisconnectReason>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

impl FusedStream for Client {
    fn is_terminated(&self) -> bool {
        self.receiver.is_terminated()
    }
}
