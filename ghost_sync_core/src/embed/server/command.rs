//! What a frame-polled program may ask its server for.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    identity::Revoke,
    relay::{AskId, ConnId, RoomConfig, Verdict, Who},
    wire::{Delivery, MessageType, RoomName},
};

/// Something that a server is to do. What cannot be done, because the room or
/// the client is gone, is left out. What is not said to anybody, metadata that is not
/// set, and bans that are not made or ended come back: [`Unsent`](super::ServerUpdate::Unsent),
/// [`MetadataRefused`](super::ServerUpdate::MetadataRefused),
/// [`BanRefused`](super::ServerUpdate::BanRefused) and those after it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerCommand {
    /// Makes a room; answered by `RoomCreated` or
    /// [`RoomRefused`](super::ServerUpdate::RoomRefused).
    CreateRoom {
        /// Its name.
        name: RoomName,
        /// Its settings.
        config: RoomConfig,
    },
    /// Changes a room's settings.
    ConfigureRoom {
        /// Its name.
        name: RoomName,
        /// Its new settings.
        config: RoomConfig,
    },
    /// Deletes a room; its players keep their seats.
    DeleteRoom {
        /// Its name.
        name: RoomName,
        /// What its players are told.
        message: String,
    },
    /// Deletes a room and puts its players out.
    CloseRoom {
        /// Its name.
        name: RoomName,
        /// What its players are told.
        message: String,
    },
    /// Puts a client out of a room; it stays connected.
    Kick {
        /// Which client.
        conn: ConnId,
        /// Which room; one that was deleted, too.
        room: RoomName,
        /// What it is told.
        message: String,
        /// Whether it stays out for [`kick_bar`](crate::RelayConfig::kick_bar).
        bars: bool,
    },
    /// Ends a connection.
    Disconnect {
        /// Which.
        conn: ConnId,
        /// What the client is told.
        message: String,
        /// Whether it stays out for [`kick_bar`](crate::RelayConfig::kick_bar).
        bars: bool,
    },
    /// Keeps somebody out: see [`ServerHandle::ban`](crate::server::ServerHandle::ban).
    Ban {
        /// Whom.
        who: Who,
        /// For how long; `None`: for ever.
        lasts: Option<Duration>,
        /// What the banned are told.
        message: String,
    },
    /// Keeps a client out, as its user or its address: see
    /// [`ServerHandle::ban_client`](crate::server::ServerHandle::ban_client).
    BanClient {
        /// Which.
        conn: ConnId,
        /// For how long; `None`: for ever.
        lasts: Option<Duration>,
        /// What the banned are told.
        message: String,
        /// Whatever the program likes; comes back with a refusal.
        tag: u64,
    },
    /// Ends a ban.
    Unban {
        /// Whose.
        who: Who,
    },
    /// Calls tokens back: see [`ServerHandle::revoke`](crate::server::ServerHandle::revoke).
    Revoke {
        /// Which.
        revoke: Revoke,
    },
    /// Says something to everybody in a room, or to all but some.
    Broadcast {
        /// The room.
        room: RoomName,
        /// How hard to try.
        delivery: Delivery,
        /// Who is left out, at most 4 of those in the room: see
        /// [`Announcement::except`](crate::relay::Announcement::except).
        except: Vec<ConnId>,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// Says the last value of a key of [`Latest`](Delivery::Latest) to a room: newcomers
    /// are not given a value of that key afterwards.
    BroadcastLast {
        /// The room.
        room: RoomName,
        /// The key.
        key: u32,
        /// Who is left out, as in [`Broadcast`](Self::Broadcast).
        except: Vec<ConnId>,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// Says something to some clients.
    Direct {
        /// Which.
        conns: Vec<ConnId>,
        /// The room that it is about: who is not in it gets nothing.
        room: Option<RoomName>,
        /// How hard to try: see [`Relay::direct`](crate::relay::Relay::direct).
        delivery: Delivery,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// Says something to every client.
    BroadcastAll {
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// Sets or removes an entry of a room's metadata.
    SetRoomMetadata {
        /// The room.
        room: RoomName,
        /// The key.
        key: String,
        /// The new value; `None` removes the key.
        value: Option<String>,
    },
    /// Sets or removes an entry of a client's metadata.
    SetClientMetadata {
        /// Which client.
        conn: ConnId,
        /// The key.
        key: String,
        /// The new value; `None` removes the key.
        value: Option<String>,
    },
    /// Answers an [`Ask`](super::ServerUpdate::Ask).
    Answer {
        /// Its number.
        ask: AskId,
        /// The answer.
        verdict: Verdict,
    },
    /// Stops the server; [`Stopped`](super::ServerUpdate::Stopped) follows.
    Shutdown {
        /// What clients are told.
        message: String,
        /// How long they may take to close.
        deadline: Duration,
    },
}

impl ServerCommand {
    /// Whether the bans may be others afterwards.
    pub(super) fn changes_bans(&self) -> bool {
        matches!(self, Self::Ban { .. } | Self::BanClient { .. } | Self::Unban { .. })
    }
}
