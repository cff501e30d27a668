//! Who says a typed message to whom.
//!
//! What a client uses: [`Broadcast`], [`ToServer`], [`FromRoom`], [`FromServer`].
//! What a server uses: [`ToRoom`], [`ToPlayer`], [`ToConnection`], [`ToEveryone`],
//! [`FromPlayer`], [`FromConnection`]. No envelope belongs to both, so that an app
//! that is server and client at once never takes one for the other.

use bevy::ecs::{entity::Entity, message::Message};
use ghost_sync_core::wire::{ClientId, Delivery, SendFlags};

use super::order::Stamp;

/// Client, out: to everybody else in a room.
#[derive(Clone, Debug, Message)]
pub struct Broadcast<T> {
    /// The room's entity; `None` for the room joined last.
    pub room: Option<Entity>,
    /// Whether it may be dropped or replaced on its way. [`new`](Self::new): it may not.
    pub delivery: Delivery,
    /// Whether it comes back to the sender too, and whether it is acknowledged.
    pub flags: SendFlags,
    /// What is said.
    pub message: T,
    pub(super) stamp: Stamp,
}

impl<T> Broadcast<T> {
    /// To the room joined last, reliably.
    pub fn new(message: T) -> Self {
        Self {
            room: None,
            delivery: Delivery::Reliable,
            flags: SendFlags::NONE,
            message,
            stamp: Stamp::now(),
        }
    }

    /// To this room.
    #[must_use]
    pub fn in_room(self, room: Entity) -> Self {
        Self { room: Some(room), ..self }
    }

    /// A receiver that lags may miss it, and is told so. For effects. Written while the link
    /// is lost ([`Reconnecting`](crate::Reconnecting)), or not arrived when it was lost, it is
    /// not said at all, unless it is to be [acknowledged](Self::acknowledged).
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { delivery: Delivery::Volatile, flags: self.flags.without(SendFlags::FORGET), ..self }
    }

    /// Replaces an older message of the same key that has not left yet. For state. The
    /// newest of each key is what newcomers are given; of what is written while the link is
    /// lost, it leaves when the link is back.
    #[must_use]
    pub fn latest(self, key: u32) -> Self {
        let flags = self.flags.without(SendFlags::FORGET);
        Self { delivery: Delivery::Latest(key), flags, ..self }
    }

    /// As [`latest`](Self::latest), and it is the last message of that key: newcomers are
    /// not given one afterwards.
    #[must_use]
    pub fn last(self, key: u32) -> Self {
        let flags = self.flags.with(SendFlags::FORGET);
        Self { delivery: Delivery::Latest(key), flags, ..self }
    }

    /// Comes back to this client too, in the room's order.
    #[must_use]
    pub fn echoed(self) -> Self {
        Self { flags: self.flags.with(SendFlags::ECHO), ..self }
    }

    /// Answered by [`Ack`](crate::Ack) when it has its place in the room's order.
    #[must_use]
    pub fn acknowledged(self) -> Self {
        Self { flags: self.flags.with(SendFlags::ACK), ..self }
    }
}

/// Client, out: to the server program.
#[derive(Clone, Debug, Message)]
pub struct ToServer<T> {
    /// The room it is about; `None` for the room joined last, or none at all.
    pub room: Option<Entity>,
    /// What is said.
    pub message: T,
    pub(super) stamp: Stamp,
}

impl<T> ToServer<T> {
    /// About the room joined last, if there is one.
    pub fn new(message: T) -> Self {
        Self { room: None, message, stamp: Stamp::now() }
    }

    /// About this room.
    #[must_use]
    pub fn in_room(self, room: Entity) -> Self {
        Self { room: Some(room), ..self }
    }
}

/// Client, in: said in a room, by a player or by the server.
#[derive(Clone, Debug, Message)]
pub struct FromRoom<T> {
    /// The entity with `JoinedRoom` on a client, with `Room` on a server.
    pub room: Entity,
    /// Who, as the server vouches for it.
    pub sender: Sender,
    /// Place in the room's order.
    pub seq: u64,
    /// Whether it was said before this client joined: history that the
    /// [`Join`](crate::Join::replay) asked for, or a [`latest`](Broadcast::latest) message
    /// that is still the newest of its sender and key.
    pub replay: bool,
    /// Its place among all that this client was told, from rooms and from the server: greater
    /// is later. [`GhostReader`](super::GhostReader) reads both in this order.
    pub arrival: u64,
    /// What was said.
    pub message: T,
}

/// Who said something to a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// The server program.
    Server,
    /// A player.
    Player {
        /// Its entity; `None` if it is gone.
        player: Option<Entity>,
        /// Its public id; `None` if it had left before this client joined, and nobody says
        /// any more who it was.
        client_id: Option<ClientId>,
    },
}

impl Sender {
    /// Whether the server program said it.
    pub fn is_server(self) -> bool {
        self == Self::Server
    }

    /// The player's entity, if a player said it that is still there.
    pub fn player(self) -> Option<Entity> {
        match self {
            Self::Server => None,
            Self::Player { player, .. } => player,
        }
    }

    /// The player's public id, if a player said it of whom it is known.
    pub fn client_id(self) -> Option<ClientId> {
        match self {
            Self::Server => None,
            Self::Player { client_id, .. } => client_id,
        }
    }
}

/// Client, in: the server said it to this client.
#[derive(Clone, Debug, Message)]
pub struct FromServer<T> {
    /// The room it is about, if it is about one that this client is in.
    pub room: Option<Entity>,
    /// Messages before it that may be lost, as the server said them, and were since the
    /// last that came: dropped, or replaced by newer ones.
    pub missed: u32,
    /// Its place among all that this client was told, from rooms and from the server: greater
    /// is later. [`GhostReader`](super::GhostReader) reads both in this order.
    pub arrival: u64,
    /// What was said.
    pub message: T,
}

/// Server, in: said by a player, to its room or to the server.
#[derive(Clone, Debug, Message)]
pub struct FromPlayer<T> {
    /// The entity with `Player`.
    pub player: Entity,
    /// The entity with `JoinedRoom` on a client, with `Room` on a server.
    pub room: Entity,
    /// The entity with the player's `Connection`.
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Place in the room's order, when the room has heard it already; `None` when
    /// the server alone has.
    pub seq: Option<u64>,
    /// What was said.
    pub message: T,
}

/// Server, in: said to the server by a client, outside of any room.
#[derive(Clone, Debug, Message)]
pub struct FromConnection<T> {
    /// The entity with `Connection`.
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// What was said.
    pub message: T,
}

/// Server, out: to everybody in a room, with a place in the room's order.
#[derive(Clone, Debug, Message)]
pub struct ToRoom<T> {
    /// The entity with `JoinedRoom` on a client, with `Room` on a server.
    pub room: Entity,
    /// Whether it may be dropped or replaced on its way. [`new`](Self::new): it may not.
    pub delivery: Delivery,
    /// What else is asked for: [`FORGET`](SendFlags::FORGET) counts.
    pub flags: SendFlags,
    /// Players who are left out: four at most.
    pub except: Vec<Entity>,
    /// What is said.
    pub message: T,
    pub(super) stamp: Stamp,
}

impl<T> ToRoom<T> {
    /// To this room, reliably.
    pub fn new(room: Entity, message: T) -> Self {
        Self {
            room,
            delivery: Delivery::Reliable,
            flags: SendFlags::NONE,
            except: Vec::new(),
            message,
            stamp: Stamp::now(),
        }
    }

    /// To all but this player: who said it knows it. Players who come later are told it like
    /// others, if the room keeps it for them; who was left out never is, not even after its
    /// connection broke.
    #[must_use]
    pub fn except(mut self, player: Entity) -> Self {
        self.except.push(player);
        self
    }

    /// A receiver that lags may miss it, and is told so. For effects.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { delivery: Delivery::Volatile, flags: SendFlags::NONE, ..self }
    }

    /// Replaces an older message of the same key that has not left yet. For state. The
    /// newest of each key is what newcomers are given.
    #[must_use]
    pub fn latest(self, key: u32) -> Self {
        Self { delivery: Delivery::Latest(key), flags: SendFlags::NONE, ..self }
    }

    /// As [`latest`](Self::latest), and it is the last message of that key: newcomers are
    /// not given one afterwards.
    #[must_use]
    pub fn last(self, key: u32) -> Self {
        Self { delivery: Delivery::Latest(key), flags: SendFlags::FORGET, ..self }
    }
}

/// Server, out: to one player, about its room.
#[derive(Clone, Debug, Message)]
pub struct ToPlayer<T> {
    /// The entity with `Player`.
    pub player: Entity,
    /// Whether it may be dropped or replaced on its way. [`new`](Self::new): it may not.
    pub delivery: Delivery,
    /// What is said.
    pub message: T,
    pub(super) stamp: Stamp,
}

impl<T> ToPlayer<T> {
    /// To this player, reliably.
    pub fn new(player: Entity, message: T) -> Self {
        Self { player, delivery: Delivery::Reliable, message, stamp: Stamp::now() }
    }

    /// Not said to a player that lags, or is away; [`FromServer::missed`] counts. For effects.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { delivery: Delivery::Volatile, ..self }
    }

    /// Replaces an older message of the same key to this player that has not left yet;
    /// [`FromServer::missed`] counts those that were replaced. For state.
    #[must_use]
    pub fn latest(self, key: u32) -> Self {
        Self { delivery: Delivery::Latest(key), ..self }
    }
}

/// Server, out: to one client, about no room.
#[derive(Clone, Debug, Message)]
pub struct ToConnection<T> {
    /// The entity with `Connection`.
    pub connection: Entity,
    /// Whether it may be dropped or replaced on its way. [`new`](Self::new): it may not.
    pub delivery: Delivery,
    /// What is said.
    pub message: T,
    pub(super) stamp: Stamp,
}

impl<T> ToConnection<T> {
    /// To this connection, reliably.
    pub fn new(connection: Entity, message: T) -> Self {
        Self { connection, delivery: Delivery::Reliable, message, stamp: Stamp::now() }
    }

    /// As [`ToPlayer::volatile`].
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { delivery: Delivery::Volatile, ..self }
    }

    /// As [`ToPlayer::latest`].
    #[must_use]
    pub fn latest(self, key: u32) -> Self {
        Self { delivery: Delivery::Latest(key), ..self }
    }
}

/// Server, out: to every client, in whatever room it is.
#[derive(Clone, Debug, Message)]
pub struct ToEveryone<T> {
    /// What is said.
    pub message: T,
    pub(super) stamp: Stamp,
}

impl<T> ToEveryone<T> {
    /// To every client.
    pub fn new(message: T) -> Self {
        Self { message, stamp: Stamp::now() }
    }
}
