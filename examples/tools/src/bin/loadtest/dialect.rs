//! How servers are spoken to: one file for each.
//!
//! A dialect knows how to get to a seat, what a message looks like, and how
//! to cut what a server says. It knows neither when messages are due nor what is counted.

mod cut;
mod floor;
mod ghost;
mod mqtt;
mod nats;
mod redis;
mod socketio;
mod websocket;

use clap::ValueEnum;
use ghost_sync_core::Delivery;

use crate::{
    dial::{DialError, Line},
    hear::Heard,
    speech::Speech,
};

/// Servers that can be tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// A relay of Ghost Sync
    Ghost,
    /// Redis 7: RESP3, publish and subscribe
    Redis,
    /// Core NATS
    Nats,
    /// An MQTT 5 broker, QoS 0
    Mqtt,
    /// A relay over WebSockets: peers/ws.js
    Ws,
    /// Socket.IO 4 over WebSockets: peers/socketio.js
    Socketio,
    /// The tool `floor`: only writes
    Floor,
}

/// Who enters, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// `None`: nowhere, only a connection is made.
    pub(crate) room: Option<&'a str>,
    /// Index in the room.
    pub(crate) index: u16,
    /// Bytes of its messages.
    pub(crate) payload: usize,
    /// How hard the server shall try.
    pub(crate) delivery: Delivery,
    /// Whether it wants to hear itself.
    pub(crate) echo: bool,
}

/// What a member has once it is where it should be.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) session: Box<dyn Session>,
    /// What it says: messages to its room; without a room, pings, if the
    /// server leaves these to the client.
    pub(crate) speech: Option<Speech>,
}

/// A connection's side of a dialect.
pub(crate) trait Session: std::fmt::Debug + Send {
    /// Takes bytes from the server; the error is why the connection ends.
    fn hear(&mut self, input: &[u8], heard: &mut Heard<'_>) -> Result<(), String>;
}

impl Dialect {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ghost => "ghost",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Mqtt => "mqtt",
            Self::Ws => "ws",
            Self::Socketio => "socketio",
            Self::Floor => "floor",
        }
    }

    /// Whether everybody hears itself, even those who would rather not.
    pub(crate) fn always_echoes(self) -> bool {
        matches!(self, Self::Redis)
    }

    /// Whether a room may have this name in every place where it is written.
    pub(crate) fn takes(self, room: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        self == Self::Ghost || room.bytes().all(plain)
    }

    /// Introduces a client and takes it to its room.
    pub(crate) fn enter(self, line: &mut Line, entry: &Entry<'_>) -> Result<Entered, DialError> {
        match self {
            Self::Ghost => ghost::enter(line, entry),
            Self::Redis => redis::enter(line, entry),
            Self::Nats => nats::enter(line, entry),
            Self::Mqtt => mqtt::enter(line, entry),
            Self::Ws => websocket::enter(line, entry),
            Self::Socketio => socketio::enter(line, entry),
            Self::Floor => Ok(floor::enter()),
        }
    }
}
