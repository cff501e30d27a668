//! What can go wrong on a client, by operation.

use std::{io, sync::Arc, time::Duration};

use crate::wire::{
    AuthError, DisconnectReason, InvalidMetadataKey, InvalidRoomName, MAX_HELLO, MAX_TOKEN,
    Mismatch, Refusal, TypeMismatch, Versions,
};

use super::InvalidAddress;

/// Why [`Client::connect`](super::Client::connect) gave no client.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's machine says that nobody listens there. Check the port, or start the server.
    #[error("connection refused: nobody listens there")]
    ConnectionRefused(#[source] Arc<io::Error>),
    /// That can be no address of a server; nothing was dialled. Write it as HOST:PORT.
    #[error(transparent)]
    InvalidAddress(#[from] InvalidAddress),
    /// No address was found for the host's name. It is mistyped, or no resolver can be asked:
    /// there is no network, or the resolver fails for a moment.
    #[error("no address is known for the name {host:?}: {why}")]
    NameNotFound {
        /// The name.
        host: String,
        /// What the resolver says.
        why: Arc<io::Error>,
    },
    /// This machine has no network, or none that leads to the server. Connect it to one.
    #[error("no network leads to the server: {0}")]
    NoRoute(Arc<io::Error>),
    /// No connection, for another reason: the operating system's, or that of the connector that
    /// the program gave.
    #[error("the server cannot be reached: {0}")]
    Unreachable(Arc<io::Error>),
    /// The server's machine did not answer in time. Try later, or allow more.
    #[error("no connection within {after:?}")]
    TimedOut {
        /// The client's limit.
        after: Duration,
    },
    /// Somebody listens, but did not greet in time: perhaps another program.
    #[error("connected, but no greeting within {after:?}")]
    HandshakeTimedOut {
        /// The client's limit.
        after: Duration,
    },
    /// Whoever answers there is no server of ours: another program has that port. Check it.
    #[error("somebody else's service answers there: \"{answer}\"")]
    NotGhostSync {
        /// The first bytes of its answer, at most 48, what cannot be read escaped.
        answer: String,
    },
    /// Whoever listens there closed the connection without a word. Something on the way has no
    /// server to pass it on to, another program does not like what it hears, or too many
    /// connections come from this client's address. Try later.
    #[error("the connection was taken, and closed without a word")]
    ClosedSilently,
    /// The two programs speak different versions of the wire. Update the one that speaks the
    /// older ones.
    #[error("this client speaks version {client} of the wire, the server {server}")]
    VersionMismatch {
        /// The client's versions.
        client: Versions,
        /// The server's versions.
        server: Versions,
    },
    /// The two programs know different typed messages. Build both from the same source.
    #[error("typed messages differ{}", in_words(differing))]
    ProtocolMismatch {
        /// The messages that differ, in the order of their names. "Here" is this client.
        differing: Vec<TypeMismatch>,
    },
    /// Every place is taken. Try later.
    #[error("the server is full: {max} clients at most")]
    MaxClientsReached {
        /// The server's limit.
        max: u32,
        /// How long to wait before that, at least.
        retry_after: Duration,
    },
    /// Somebody at this client's address asked the server for too much. Try later.
    #[error("barred for asking too much: come back in {retry_after:?}")]
    RateLimited {
        /// How long to wait before that, at least.
        retry_after: Duration,
    },
    /// The token is missing, or not taken. Show another: [`ClientBuilder::token`](super::ClientBuilder::token).
    #[error("not signed in: {why}")]
    Unauthenticated {
        /// What is wrong with it.
        why: AuthError,
    },
    /// This user, this address or this token is kept out.
    #[error("banned: {message}")]
    Banned {
        /// The reason given.
        message: String,
        /// For how long; `None`: for ever.
        left: Option<Duration>,
    },
    /// The user is connected as often as a user may be. Close another one first.
    #[error("this user is connected {max} times already, and may not be more often")]
    TooManyLinks {
        /// The server's limit.
        max: u32,
    },
    /// The server's rules said no.
    #[error("refused by the server: {message}")]
    Rejected {
        /// The reason given by the rules.
        message: String,
    },
    /// The server would not take this metadata; the reason says what is allowed.
    #[error("metadata that no server takes: {0}")]
    InvalidMetadata(Refusal),
    /// Ticket and metadata are too long together. Send less.
    #[error("a hello of {len} bytes is too long: at most {MAX_HELLO} are allowed")]
    HelloTooLarge {
        /// Its length in bytes.
        len: usize,
    },
    /// The connection ended before the greeting was complete.
    #[error("disconnected during the handshake: {0}")]
    Disconnected(DisconnectReason),
}

impl ConnectError {
    /// Whether another attempt may succeed without anybody changing anything.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::ConnectionRefused(_)
            | Self::NameNotFound { .. }
            | Self::NoRoute(_)
            | Self::TimedOut { .. }
            | Self::HandshakeTimedOut { .. }
            | Self::ClosedSilently
            | Self::MaxClientsReached { .. }
            | Self::RateLimited { .. } => true,
            Self::Unreachable(error) => error.kind() != io::ErrorKind::InvalidInput,
            // A port that another service has does not become ours by asking.
            Self::InvalidAddress(_)
            | Self::NotGhostSync { .. }
            | Self::VersionMismatch { .. }
            | Self::ProtocolMismatch { .. }
            | Self::Unauthenticated { .. }
            | Self::Banned { .. }
            | Self::TooManyLinks { .. }
            | Self::Rejected { .. }
            | Self::InvalidMetadata(_)
            | Self::HelloTooLarge { .. } => false,
            Self::Disconnected(reason) => reason.may_reconnect(),
        }
    }

    /// How long the server asks to wait before that, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::MaxClientsReached { retry_after, .. } | Self::RateLimited { retry_after } => {
                Some(*retry_after)
            }
            Self::Disconnected(reason) => reason.retry_after(),
            Self::ConnectionRefused(_)
            | Self::InvalidAddress(_)
            | Self::NameNotFound { .. }
            | Self::NoRoute(_)
            | Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::HandshakeTimedOut { .. }
            | Self::NotGhostSync { .. }
            | Self::ClosedSilently
            | Self::VersionMismatch { .. }
            | Self::ProtocolMismatch { .. }
            | Self::Unauthenticated { .. }
            | Self::Banned { .. }
            | Self::TooManyLinks { .. }
            | Self::Rejected { .. }
            | Self::InvalidMetadata(_)
            | Self::HelloTooLarge { .. } => None,
        }
    }

    /// What the operating system would call it.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is no failure of a line")]
        match self {
            Self::ConnectionRefused(error)
            | Self::NameNotFound { why: error, .. }
            | Self::NoRoute(error)
            | Self::Unreachable(error) => error.kind(),
            Self::TimedOut { .. } | Self::HandshakeTimedOut { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::InvalidInput,
        }
    }

    pub(crate) fn from_io(error: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest needs no words of its own")]
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectionRefused(Arc::new(error)),
            io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable => Self::NoRoute(Arc::new(error)),
            _ => Self::Unreachable(Arc::new(error)),
        }
    }
}

/// How the types of this client differ from the server's, after a colon.
fn in_words(differing: &[TypeMismatch]) -> String {
    let names = |how: fn(&Mismatch) -> bool| {
        let names = differing.iter().filter(|it| how(&it.how)).map(|it| it.name.as_str());
        names.collect::<Vec<_>>()
    };
    let mut parts = Vec::new();
    for (before, names, one, more) in [
        ("the server lacks ", names(|how| matches!(how, Mismatch::OnlyHere)), "", ""),
        ("this client lacks ", names(|how| matches!(how, Mismatch::OnlyThere)), "", ""),
        (
            "",
            names(|how| matches!(how, Mismatch::Shape)),
            " has another shape",
            " have other shapes",
        ),
    ] {
        let after = if names.len() == 1 { one } else { more };
        if !names.is_empty() {
            parts.push(format!("{before}{}{after}", names.join(", ")));
        }
    }
    for TypeMismatch { name, how } in differing {
        if let Mismatch::Direction { here, there } = how {
            parts.push(format!("{name} is said {here} here, and {there} on the server"));
        }
    }
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) };
    parts + " (rebuild both from the same source)"
}

/// Equal where they say the same: what the operating system says cannot be compared otherwise.
impl PartialEq for ConnectError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Why a client has no session.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unconnected {
    /// None could be begun.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It is over.
    #[error(transparent)]
    Disconnect(#[from] DisconnectReason),
}

impl Unconnected {
    /// Whether another attempt may succeed without anybody changing anything.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Connect(error) => error.may_retry(),
            Self::Disconnect(reason) => reason.may_reconnect(),
        }
    }

    /// How long the server asks to wait before that, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Connect(error) => error.retry_after(),
            Self::Disconnect(reason) => reason.retry_after(),
        }
    }
}

/// Why a request was not even sent. What the server thinks of a request comes
/// as [`ServerEvent::Refused`](super::ServerEvent::Refused).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Wait for [`Joined`](super::ServerEvent::Joined) before speaking in a room.
    #[error("not in that room")]
    NotInRoom,
    /// That text cannot name a room.
    #[error("not a room name")]
    InvalidRoomName(#[from] InvalidRoomName),
    /// Split it, or raise the server's `max_payload`.
    #[error("a payload of {len} bytes is too large: at most {max} are allowed")]
    PayloadTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The server's limit in bytes.
        max: usize,
    },
    /// That text cannot be a key of metadata.
    #[error(transparent)]
    InvalidMetadataKey(#[from] InvalidMetadataKey),
    /// That is no token.
    #[error("a token of {len} bytes: it must have 1 to {MAX_TOKEN}")]
    InvalidToken {
        /// Its length in bytes.
        len: usize,
    },
    /// No server would take that metadata, so it is not kept for the next session; the reason
    /// says what is allowed.
    #[error("metadata that no server takes: {0}")]
    InvalidMetadata(Refusal),
    /// The type was added to the protocol as one that the server alone says.
    #[error("{name} is said by the server alone")]
    SaidByServer {
        /// The type's name.
        name: String,
    },
    /// [`SendFlags::FORGET`](crate::wire::SendFlags::FORGET) goes with
    /// [`Delivery::Latest`](crate::wire::Delivery::Latest) only.
    #[error("only a value of `Latest` can be forgotten")]
    NothingToForget,
    /// More is waiting to leave than the outbox may hold. Try again later.
    #[error("{queued} bytes are waiting to leave: at most {max} are allowed")]
    OutboxFull {
        /// Bytes that wait.
        queued: usize,
        /// The client's limit in bytes.
        max: usize,
    },
    /// More would be asked for than the server allows in this time
    /// ([`rates`](super::Client::rates)). Try again after the time given; what is asked for with
    /// `await` waits by itself.
    #[error("more than the server allows: try again in {retry_after:?}")]
    Paced {
        /// When it may be sent.
        retry_after: Duration,
    },
    /// The connection has ended. Connect again; a client that
    /// [begins anew](super::ClientBuilder::begin_anew) does so by itself.
    #[error("not connected")]
    Disconnected(#[source] DisconnectReason),
    /// This side closed the connection.
    #[error("closed")]
    Closed,
}

impl SendError {
    /// The words that the server would have used.
    pub(crate) fn into_refusal(self) -> Refusal {
        match self {
            Self::NotInRoom => Refusal::NotInRoom,
            Self::PayloadTooLarge { len, max } => Refusal::PayloadTooLarge {
                len: u32::try_from(len).unwrap_or(u32::MAX),
                max: u32::try_from(max).unwrap_or(u32::MAX),
            },
            Self::InvalidMetadata(reason) => reason,
            Self::SaidByServer { .. } => Refusal::Forbidden { what: self.to_string() },
            Self::Paced { retry_after } => Refusal::RateLimited {
                retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX).max(1),
            },
            Self::InvalidRoomName(_)
            | Self::InvalidMetadataKey(_)
            | Self::InvalidToken { .. }
            | Self::NothingToForget
            | Self::OutboxFull { .. } => Refusal::Rejected { message: self.to_string() },
            Self::Disconnected(_) | Self::Closed => Refusal::NotConnected,
        }
    }
}

/// Why [`Client::try_recv`](super::Client::try_recv) gave no event.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// Nothing is there now; more may come.
    #[error("no event is waiting")]
    Empty,
    /// The connection has ended; nothing more will come.
    #[error("disconnected")]
    Disconnected(#[source] DisconnectReason),
    /// This side closed the connection; nothing more will come.
    #[error("closed")]
    Closed,
}
