//! The server as a whole, and its connections.

use std::{net::SocketAddr, sync::Arc};

use bevy::prelude::*;
use ghost_sync_core::wire::{ClientId, UserId};

use crate::{BindError, DisconnectReason};

/// The server takes connections.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct ServerStarted {
    /// Where it listens; `None` for connections of this process only.
    pub addr: Option<SocketAddr>,
}

/// The server could not start.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct ServerFailed {
    /// Why; its `Display` is for people.
    pub reason: StartError,
}

/// Why a server could not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen where it should, or its settings make no sense.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The operating system gives no thread for the network.
    #[error("no network thread: {0}")]
    NoThread(Arc<std::io::Error>),
}

/// The server takes no connections any more, and all are closed.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct ServerStopped;

/// A client is connected; its entity is there.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct ConnectionOpened {
    /// The entity with [`Connection`](crate::Connection); observers attached to it hear this.
    #[event_target]
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Where it dialled from.
    pub addr: SocketAddr,
    /// The user that it is, if its token said so; also there as [`User`](crate::User).
    pub user: Option<UserId>,
}

/// A client is gone: it said goodbye, was cut, or lost its connection and had no seat that
/// is held for it (any more, see [`PlayerAway`](crate::PlayerAway)). The entity still is there to
/// the end of the frame, as [`Ended`](crate::Ended), unless it was despawned to cut it.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct ConnectionClosed {
    /// The entity that the connection was.
    #[event_target]
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Why; its `Display` is for people.
    pub reason: DisconnectReason,
}
