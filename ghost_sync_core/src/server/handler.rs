//! What a program may hang into a server: questions it answers, facts it hears.

use std::{future::Future, net::SocketAddr};

use bytes::Bytes;

use crate::{
    identity::Identity,
    relay::Verdict,
    wire::{ClientId, DisconnectReason, LeaveReason, MessageType, MetadataEntry, Role},
};

/// Who would connect, and what it said of itself.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectInfo<'a> {
    /// The id that it will have.
    pub client_id: ClientId,
    /// Where it comes from.
    pub addr: SocketAddr,
    /// What it brought for the rules: a password, say.
    pub data: &'a [u8],
    /// Its own metadata, such as a display name.
    pub meta: &'a [MetadataEntry],
    /// The program that it says it is, for logs: at most 128 characters, without control
    /// characters, empty if it says nothing. Anybody can say anything.
    pub user_agent: &'a str,
    /// Who it is, if its token said so ([`Auth`](super::Auth)).
    pub identity: Option<&'a Identity>,
}

/// Who would join, and how.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct JoinInfo<'a> {
    /// Who.
    pub client_id: ClientId,
    /// The room's name.
    pub room: &'a str,
    /// Where the client comes from.
    pub addr: SocketAddr,
    /// What its join brought for the rules, such as a password.
    pub data: &'a [u8],
    /// As what it would be in the room.
    pub role: Role,
    /// How it wants the room to be, if it would make it
    /// ([`IfMissing::Create`](crate::wire::IfMissing::Create)): at most as long as a payload.
    /// `None` for who only joins, and always in [`on_join`](ServerHandler::on_join).
    pub options: Option<&'a [u8]>,
    /// Who it is, if its token said so ([`Auth`](super::Auth)).
    pub identity: Option<&'a Identity>,
}

/// The rules and ears of a server. Every method has a default that accepts, or
/// does nothing.
///
/// Methods run outside of all locks and may use a
/// [`ServerHandle`](super::ServerHandle) freely. Questions are answered on
/// threads of their own, at the same time; one that panics, or has no answer
/// within [`ask_timeout`](super::ServerBuilder::ask_timeout), means no. Facts
/// (the methods without an answer) come one after another, in the order in which
/// they happened; one that panics is logged, one that blocks holds up only the
/// facts after it. While more than a thousand wait to be heard, nobody is asked about who
/// would come in, who is then told no after `ask_timeout`; and who went away and came back
/// meanwhile was never gone.
pub trait ServerHandler: Send + Sync + 'static {
    /// May somebody connect? `false.into()` says no.
    fn on_connect(&self, connect: &ConnectInfo<'_>) -> Verdict {
        let _ = connect;
        Verdict::Accept
    }

    /// May the client join? If so, [`on_leave`](Self::on_leave) follows exactly
    /// once, even when it vanished before it got its seat.
    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        let _ = join;
        Verdict::Accept
    }

    /// May the client's join make a room that is not there? [`Verdict::CreateRoom`] says
    /// how it is made. Asked with [`CreateOnJoin::Ask`](crate::relay::CreateOnJoin::Ask)
    /// only, before [`on_join`](Self::on_join).
    fn on_create_room_request(&self, join: &JoinInfo<'_>) -> Verdict {
        let _ = join;
        Verdict::Accept
    }

    /// May this be broadcast? Asked in rooms with
    /// [`RelayMode::Moderated`](crate::relay::RelayMode::Moderated) only.
    fn on_relay(
        &self,
        client_id: ClientId,
        room: &str,
        message_type: MessageType,
        data: &[u8],
    ) -> Verdict {
        let _ = (client_id, room, message_type, data);
        Verdict::Accept
    }

    /// May the client change its metadata like this? `None` removes the key. Asked if
    /// [`wants_metadata`](Self::wants_metadata) says so, about keys that the server has
    /// not set itself; what a client brings when it connects is in [`ConnectInfo`].
    fn on_set_metadata(&self, client_id: ClientId, key: &str, value: Option<&str>) -> Verdict {
        let _ = (client_id, key, value);
        Verdict::Accept
    }

    /// What is a client told first that has its seat already, but whose program was
    /// started anew: the state of the game, say, as [`Verdict::Admit`] tells it to who
    /// joins. Nothing by default. [`on_join`](Self::on_join) is not asked again, and
    /// [`on_back`](Self::on_back) follows.
    fn on_greet(&self, client_id: ClientId, room: &str) -> Vec<(MessageType, Bytes)> {
        let _ = (client_id, room);
        Vec::new()
    }

    /// A client that was accepted is no longer in a room.
    fn on_leave(&self, client_id: ClientId, room: &str, reason: &LeaveReason) {
        let _ = (client_id, room, reason);
    }

    /// A client in a room lost its connection; its seat is held for
    /// [`resume_grace`](super::ServerBuilder::resume_grace). Either
    /// [`on_back`](Self::on_back) or [`on_leave`](Self::on_leave) follows.
    fn on_away(&self, client_id: ClientId, room: &str) {
        let _ = (client_id, room);
    }

    /// A client that was away is back. If its program was `restarted`, all that it knows
    /// of the room is who is there, the newest values, and what
    /// [`on_greet`](Self::on_greet) said; else it is given what it missed.
    fn on_back(&self, client_id: ClientId, room: &str, restarted: bool) {
        let _ = (client_id, room, restarted);
    }

    /// A message was broadcast to a room. While the handler is slow, messages of a
    /// client that says too much are left out here (never for the room): of one client
    /// at most 512 KiB wait, and 16 KiB of each in any case.
    fn on_broadcast(&self, client_id: ClientId, room: &str, data: &[u8]) {
        let _ = (client_id, room, data);
    }

    /// A client said something to the server. `room` is the room that it is about,
    /// which it then is in. May be left out like [`on_broadcast`](Self::on_broadcast).
    fn on_message(
        &self,
        client_id: ClientId,
        room: Option<&str>,
        message_type: MessageType,
        data: &[u8],
    ) {
        let _ = (client_id, room, message_type, data);
    }

    /// Messages for a slow client were dropped, which it is told.
    fn on_backpressure(&self, client_id: ClientId, room: &str) {
        let _ = (client_id, room);
    }

    /// There is a new room.
    fn on_room_create(&self, room: &str) {
        let _ = room;
    }

    /// A room has as many players as it has seats.
    fn on_room_filled(&self, room: &str) {
        let _ = room;
    }

    /// A room that was full has a seat again.
    fn on_room_has_space(&self, room: &str) {
        let _ = room;
    }

    /// A room is gone.
    fn on_room_delete(&self, room: &str) {
        let _ = room;
    }

    /// A client that had been accepted is gone, after leaving its rooms.
    fn on_disconnect(&self, client_id: ClientId, reason: &DisconnectReason) {
        let _ = (client_id, reason);
    }

    /// The server stops; this is the last call.
    fn on_shutdown(&self) {}

    /// Whether [`on_broadcast`](Self::on_broadcast) is of interest. Asked once;
    /// `false` saves copying every message.
    fn wants_broadcasts(&self) -> bool {
        true
    }

    /// Whether [`on_set_metadata`](Self::on_set_metadata) is to be asked. Asked once, `false` by
    /// default: clients then change what they may at once.
    fn wants_metadata(&self) -> bool {
        false
    }
}

/// As [`ServerHandler`], with futures: for rules that ask a database, say.
///
/// Questions run at the same time, each as a task of its own; facts one after
/// another. Do not await [`shutdown`](super::ServerHandle::shutdown) in a fact:
/// it waits for facts. Spawn it instead.
pub trait AsyncServerHandler: Send + Sync + 'static {
    /// As [`ServerHandler::on_connect`].
    fn on_connect(&self, connect: &ConnectInfo<'_>) -> impl Future<Output = Verdict> + Send {
        let _ = connect;
        async { Verdict::Accept }
    }

    /// As [`ServerHandler::on_join`].
    fn on_join(&self, join: &JoinInfo<'_>) -> impl Future<Output = Verdict> + Send {
        let _ = join;
        async { Verdict::Accept }
    }

    /// As [`ServerHandler::on_create_room_request`].
    fn on_create_room_request(&self, join: &JoinInfo<'_>) -> impl Future<Output = Verdict> + Send {
        let _ = join;
        async { Verdict::Accept }
    }

    /// As [`ServerHandler::on_relay`].
    fn on_relay(
        &self,
        client_id: ClientId,
        room: &str,
        message_type: MessageType,
        data: &[u8],
    ) -> impl Future<Output = Verdict> + Send {
        let _ = (client_id, room, message_type, data);
        async { Verdict::Accept }
    }

    /// As [`ServerHandler::on_set_metadata`].
    fn on_set_metadata(
        &self,
        client_id: ClientId,
        key: &str,
        value: Option<&str>,
    ) -> impl Future<Output = Verdict> + Send {
        let _ = (client_id, key, value);
        async { Verdict::Accept }
    }

    /// As [`ServerHandler::on_greet`].
    fn on_greet(
        &self,
        client_id: ClientId,
        room: &str,
    ) -> impl Future<Output = Vec<(MessageType, Bytes)>> + Send {
        let _ = (client_id, room);
        async { Vec::new() }
    }

    /// As [`ServerHandler::on_leave`].
    fn on_leave(
        &self,
        client_id: ClientId,
        room: &str,
        reason: &LeaveReason,
    ) -> impl Future<Output = ()> + Send {
        let _ = (client_id, room, reason);
        async {}
    }

    /// As [`ServerHandler::on_away`].
    fn on_away(&self, client_id: ClientId, room: &str) -> impl Future<Output = ()> + Send {
        let _ = (client_id, room);
        async {}
    }

    /// As [`ServerHandler::on_back`].
    fn on_back(
        &self,
        client_id: ClientId,
        room: &str,
        restarted: bool,
    ) -> impl Future<Output = ()> + Send {
        let _ = (client_id, room, restarted);
        async {}
    }

    /// As [`ServerHandler::on_broadcast`].
    fn on_broadcast(
        &self,
        client_id: ClientId,
        room: &str,
        data: &[u8],
    ) -> impl Future<Output = ()> + Send {
        let _ = (client_id, room, data);
        async {}
    }

    /// As [`ServerHandler::on_message`].
    fn on_message(
        &self,
        client_id: ClientId,
        room: Option<&str>,
        message_type: MessageType,
        data: &[u8],
    ) -> impl Future<Output = ()> + Send {
        let _ = (client_id, room, message_type, data);
        async {}
    }

    /// As [`ServerHandler::on_backpressure`].
    fn on_backpressure(&self, client_id: ClientId, room: &str) -> impl Future<Output = ()> + Send {
        let _ = (client_id, room);
        async {}
    }

    /// As [`ServerHandler::on_room_create`].
    fn on_room_create(&self, room: &str) -> impl Future<Output = ()> + Send {
        let _ = room;
        async {}
    }

    /// As [`ServerHandler::on_room_filled`].
    fn on_room_filled(&self, room: &str) -> impl Future<Output = ()> + Send {
        let _ = room;
        async {}
    }

    /// As [`ServerHandler::on_room_has_space`].
    fn on_room_has_space(&self, room: &str) -> impl Future<Output = ()> + Send {
        let _ = room;
        async {}
    }

    /// As [`ServerHandler::on_room_delete`].
    fn on_room_delete(&self, room: &str) -> impl Future<Output = ()> + Send {
        let _ = room;
        async {}
    }

    /// As [`ServerHandler::on_disconnect`].
    fn on_disconnect(
        &self,
        client_id: ClientId,
        reason: &DisconnectReason,
    ) -> impl Future<Output = ()> + Send {
        let _ = (client_id, reason);
        async {}
    }

    /// As [`ServerHandler::on_shutdown`].
    fn on_shutdown(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// As [`ServerHandler::wants_broadcasts`].
    fn wants_broadcasts(&self) -> bool {
        true
    }

    /// As [`ServerHandler::wants_metadata`].
    fn wants_metadata(&self) -> bool {
        false
    }
}

/// A handler that accepts everybody and hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopHandler;

impl ServerHandler for NoopHandler {
    fn wants_broadcasts(&self) -> bool {
        false
    }
}
