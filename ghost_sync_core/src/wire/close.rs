//! Why a connection, a membership or a request ended.

use std::{fmt, io, time::Duration};

use super::{AuthError, ProtocolType, RoomId, Versions};
use wincode::{SchemaRead, SchemaWrite};

/// Why a connection was closed by one side on purpose; sent as the last message.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side is done. Nothing to do.
    #[error("closed on request")]
    #[wincode(tag = 1)]
    Requested,
    /// The server stops. Reconnect later.
    #[error("the server is shutting down{}", Words(.message))]
    #[wincode(tag = 2)]
    ServerShutdown {
        /// What the operator says about it.
        message: String,
        /// When to come back at the earliest, in milliseconds.
        retry_after_ms: u32,
    },
    /// Nothing was heard for too long. Reconnect.
    #[error("nothing was received for {after_ms} ms (idle timeout)")]
    #[wincode(tag = 3)]
    IdleTimeout {
        /// The server's limit in milliseconds.
        after_ms: u32,
    },
    /// Pings were not answered. Reconnect.
    #[error("{missed} pings in a row were not answered (ping timeout)")]
    #[wincode(tag = 4)]
    PingTimeout {
        /// How many.
        missed: u8,
    },
    /// No valid hello came in time. Check that the peer speaks this protocol.
    #[error("no handshake within {after_ms} ms")]
    #[wincode(tag = 5)]
    HandshakeTimeout {
        /// The server's limit in milliseconds.
        after_ms: u32,
    },
    /// A frame was too long. Send less at a time.
    #[error("a frame of {len} bytes is too long: at most {max} are allowed")]
    #[wincode(tag = 100)]
    PayloadTooLarge {
        /// The announced length in bytes.
        len: u32,
        /// The longest allowed in bytes.
        max: u32,
    },
    /// Bytes that mean nothing in this protocol. A bug, or a peer that speaks another one.
    #[error("protocol violation: {what}")]
    #[wincode(tag = 101)]
    Protocol {
        /// What was wrong.
        what: String,
    },
    /// The two sides speak different versions. Update the one that speaks the older ones.
    #[error("the server speaks version {server} of the wire, the client {client}")]
    #[wincode(tag = 102)]
    VersionMismatch {
        /// The client's versions.
        client: Versions,
        /// The server's versions.
        server: Versions,
    },
    /// The two sides know different typed messages. Build both from the same source.
    #[error(
        "typed messages differ: server protocol {server:#018x}, client protocol {client:#018x}"
    )]
    #[wincode(tag = 103)]
    ProtocolMismatch {
        /// Hash of the server's types.
        server: u64,
        /// Hash of the client's types.
        client: u64,
        /// The server's types, to find out which differ.
        types: Vec<ProtocolType>,
    },
    /// Every place is taken. Try again later.
    #[error("the server is full: {max} clients at most")]
    #[wincode(tag = 6)]
    MaxClientsReached {
        /// The server's limit.
        max: u32,
        /// When to come back at the earliest, in milliseconds.
        retry_after_ms: u32,
    },
    /// The server's rules refused the connection.
    #[error("connection refused{}", Words(.message))]
    #[wincode(tag = 104)]
    ConnectionRefused {
        /// The reason given by the rules.
        message: String,
    },
    /// Somebody in charge ended the connection. Do not reconnect by yourself.
    #[error("kicked{}", Words(.message))]
    #[wincode(tag = 105)]
    Kicked {
        /// The reason given.
        message: String,
    },
    /// Another connection took the session over. Do not reconnect by yourself.
    #[error("the session goes on over another connection")]
    #[wincode(tag = 106)]
    TakenOver,
    /// The client read too slowly for what must not be dropped. Reconnect; send less.
    #[error("too slow: {queued} bytes were waiting, at most {max} are allowed")]
    #[wincode(tag = 7)]
    SlowConsumer {
        /// Bytes that were waiting.
        queued: u32,
        /// The server's limit in bytes.
        max: u32,
    },
    /// Requests came faster than their answers could leave.
    #[error("too many requests: at most {max} answers may wait")]
    #[wincode(tag = 8)]
    TooManyRequests {
        /// The limit.
        max: u32,
    },
    /// Too much was asked for, again and again, after it had been refused. Come back
    /// after the time given, and ask for less.
    #[error("too much in too short a time: come back in {retry_after_ms} ms")]
    #[wincode(tag = 9)]
    RateLimited {
        /// When to come back at the earliest, in milliseconds.
        retry_after_ms: u32,
    },
    /// The token is missing or is not taken. Come back with another.
    #[error("not signed in: {why}")]
    #[wincode(tag = 107)]
    Unauthenticated {
        /// What is wrong with it.
        why: AuthError,
    },
    /// The token has expired, and no other was shown in time. What the client has is held for
    /// it: come back with a fresh token.
    #[error("the token has expired")]
    #[wincode(tag = 108)]
    TokenExpired,
    /// Nobody lets this user, this address or this token in. Do not reconnect by yourself.
    #[error("banned{}{}", Until(.for_ms), Words(.message))]
    #[wincode(tag = 109)]
    Banned {
        /// The reason given.
        message: String,
        /// How long the ban lasts from now, in milliseconds; `None`: for ever.
        for_ms: Option<u64>,
    },
    /// The user is connected as often as a user may be.
    #[error("this user is connected {max} times already, and may not be more often")]
    #[wincode(tag = 110)]
    TooManyLinks {
        /// The limit.
        max: u32,
    },
}

impl CloseReason {
    /// The number that stands for the reason on the wire and in logs.
    ///
    /// 1 to 99: try again by yourself; 100 to 199: somebody must change something first.
    pub fn code(&self) -> u8 {
        match self {
            Self::Requested => 1,
            Self::ServerShutdown { .. } => 2,
            Self::IdleTimeout { .. } => 3,
            Self::PingTimeout { .. } => 4,
            Self::HandshakeTimeout { .. } => 5,
            Self::MaxClientsReached { .. } => 6,
            Self::SlowConsumer { .. } => 7,
            Self::TooManyRequests { .. } => 8,
            Self::RateLimited { .. } => 9,
            Self::PayloadTooLarge { .. } => 100,
            Self::Protocol { .. } => 101,
            Self::VersionMismatch { .. } => 102,
            Self::ProtocolMismatch { .. } => 103,
            Self::ConnectionRefused { .. } => 104,
            Self::Kicked { .. } => 105,
            Self::TakenOver => 106,
            Self::Unauthenticated { .. } => 107,
            Self::TokenExpired => 108,
            Self::Banned { .. } => 109,
            Self::TooManyLinks { .. } => 110,
        }
    }

    /// Whether a client should come back by itself.
    pub fn may_reconnect(&self) -> bool {
        self.code() < 100 && *self != Self::Requested
    }

    /// How long the server asks to wait before that, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ServerShutdown { retry_after_ms, .. }
            | Self::MaxClientsReached { retry_after_ms, .. }
            | Self::RateLimited { retry_after_ms } => {
                Some(Duration::from_millis((*retry_after_ms).into()))
            }
            Self::Requested
            | Self::IdleTimeout { .. }
            | Self::PingTimeout { .. }
            | Self::HandshakeTimeout { .. }
            | Self::SlowConsumer { .. }
            | Self::TooManyRequests { .. }
            | Self::PayloadTooLarge { .. }
            | Self::Protocol { .. }
            | Self::VersionMismatch { .. }
            | Self::ProtocolMismatch { .. }
            | Self::ConnectionRefused { .. }
            | Self::Kicked { .. }
            | Self::TakenOver
            | Self::Unauthenticated { .. }
            | Self::TokenExpired
            | Self::Banned { .. }
            | Self::TooManyLinks { .. } => None,
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// One side closed it on purpose and said why.
    #[error("{0}")]
    Closed(CloseReason),
    /// The other side closed its socket without a goodbye.
    #[error("the connection was closed by the other side")]
    ConnectionClosed,
    /// The other side vanished, or its program was killed.
    #[error("the connection was reset")]
    ConnectionReset,
    /// The network failed.
    #[error("the connection was lost: {0}")]
    ConnectionLost(io::ErrorKind),
}

impl DisconnectReason {
    /// The reason that an error of a socket stands for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds speak for themselves")]
    pub fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::ConnectionClosed,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::ConnectionReset,
            kind => Self::ConnectionLost(kind),
        }
    }

    /// Whether a client should come back by itself.
    pub fn may_reconnect(&self) -> bool {
        match self {
            Self::Closed(reason) => reason.may_reconnect(),
            Self::ConnectionClosed | Self::ConnectionReset | Self::ConnectionLost(_) => true,
        }
    }

    /// How long the server asks to wait before that, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Closed(reason) => reason.retry_after(),
            Self::ConnectionClosed | Self::ConnectionReset | Self::ConnectionLost(_) => None,
        }
    }
}

/// Why a session cannot be taken up again. The client has to start anew.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeFailure {
    /// The server was started anew since then.
    #[error("the server was restarted")]
    EpochChanged,
    /// Something that was missed is no longer kept. Raise the room's history, or
    /// come back sooner.
    #[error("what was missed is no longer kept: the oldest is event {oldest}")]
    TooOld {
        /// The room; `RoomId(0)`: what was for this client alone.
        room: RoomId,
        /// The oldest event there (or message) that is kept.
        oldest: u64,
    },
    /// The session ended, because the client was away for too long or too many were.
    #[error("the session has ended")]
    Expired,
    /// The secret is not (or no longer) that of the session, or a later resume came first.
    #[error("the session cannot be taken over with that secret")]
    Denied,
}

/// Why a player is no longer in a room.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It asked to leave.
    #[error("left")]
    Left,
    /// It joined another room.
    #[error("moved to another room")]
    Moved,
    /// Its connection ended.
    #[error("disconnected")]
    Disconnected,
    /// Its connection went silent.
    #[error("timed out")]
    TimedOut,
    /// It could not keep up.
    #[error("too slow")]
    TooSlow,
    /// Somebody in charge removed it.
    #[error("kicked{}", Words(.message))]
    Kicked {
        /// The reason given.
        message: String,
    },
    /// The room is gone.
    #[error("the room was deleted{}", Words(.message))]
    RoomDeleted {
        /// The reason given.
        message: String,
    },
    /// Its token no longer lets it be there.
    #[error("no longer allowed there")]
    NotAllowed,
    /// It was banned.
    #[error("banned{}", Words(.message))]
    Banned {
        /// The reason given.
        message: String,
    },
}

/// How long something lasts, if it ends.
struct Until<'a>(&'a Option<u64>);

impl fmt::Display for Until<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ms) => write!(f, " for {} s", ms.div_ceil(1000)),
            None => Ok(()),
        }
    }
}

/// What somebody says about an end, behind what it is; they may say nothing.
struct Words<'a>(&'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_without_words_says_only_what_it_is() {
        let stop = |message: &str| CloseReason::ServerShutdown {
            message: message.to_owned(),
            retry_after_ms: 0,
        };
        assert_eq!(stop("").to_string(), "the server is shutting down");
        assert_eq!(stop("update").to_string(), "the server is shutting down: update");
        assert_eq!(CloseReason::Kicked { message: String::new() }.to_string(), "kicked");
        let deleted = LeaveReason::RoomDeleted { message: String::new() };
        assert_eq!(deleted.to_string(), "the room was deleted");
    }

    #[test]
    fn the_code_is_the_tag_on_the_wire() {
        use crate::wire::ServerMessage;
        for reason in [
            CloseReason::Requested,
            CloseReason::SlowConsumer { queued: 1, max: 2 },
            CloseReason::Kicked { message: "out".to_owned() },
        ] {
            let frame = ServerMessage::Close { reason: reason.clone() }.to_frame();
            assert_eq!(frame[5], reason.code());
        }
    }

    #[test]
    fn codes_below_one_hundred_invite_to_reconnect_except_a_goodbye() {
        assert!(CloseReason::IdleTimeout { after_ms: 1 }.may_reconnect());
        assert!(CloseReason::SlowConsumer { queued: 2, max: 1 }.may_reconnect());
        assert!(!CloseReason::Kicked { message: String::new() }.may_reconnect());
        assert!(!CloseReason::Requested.may_reconnect());
    }
}
