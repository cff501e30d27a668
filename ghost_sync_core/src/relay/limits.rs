//! How much clients may ask for in how much time.

use crate::wire::{Rate, Rates};

/// How much one client may ask for. What is more is refused with
/// [`RateLimited`](crate::Refusal::RateLimited), which says when to ask again.
///
/// The defaults are for games: 60 times a second a player may say four kinds of things, and
/// what piles up behind a line that stands still for half a minute is taken too. Whoever goes
/// on a second after it was refused, by what takes more than four seconds at the rate within
/// ten (or twenty before that second is over), is closed with [`CloseReason::RateLimited`](crate::CloseReason::RateLimited), and its address
/// is barred ([`GateConfig::bar`](super::GateConfig::bar)).
///
/// A limit that is `None` is none. What a server says itself is never limited.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Broadcasts and messages to the server, of one connection. 250 a second, 8,192 at once.
    pub messages: Option<Rate>,
    /// Bytes of their payloads, each counted as 64 at least. 256 KiB a second, 512 KiB at once.
    pub bytes: Option<Rate>,
    /// Bytes that broadcasts become: payload and 34 more, for each member of the room. 16 MiB a
    /// second, 32 MiB at once.
    pub fan_out: Option<Rate>,
    /// Requests of one connection: a join costs 1, a list of rooms 4, a change of metadata 2
    /// and 1 more for each 256 bytes, another token 4, a leave nothing. 5 a second, 20 at once (but at least as many
    /// as rooms that one client may be in).
    pub requests: Option<Rate>,
    /// Pings of one connection; more of them are not answered. 5 a second, 20 at once.
    pub pings: Option<Rate>,
    /// Times that one session is taken up again with more than 64 KiB of the past, or by
    /// another process. 1 a second, 10 at once; more are told to come back later.
    pub resumes: Option<Rate>,
    /// Rooms that joins of one user make, or, of those without, from one address. 6 a minute, 6 at once. Addresses that are
    /// outside of the [gate](super::GateConfig) may make any number.
    pub rooms: Option<Rate>,
    /// Messages of one user over all its connections. 1,000 a second, 32,768 at once.
    pub user_messages: Option<Rate>,
    /// Bytes of their payloads, likewise. 1 MiB a second, 2 MiB at once.
    pub user_bytes: Option<Rate>,
}

impl Limits {
    /// What one connection is told of them.
    pub(super) fn rates(&self) -> Rates {
        let Self { messages, bytes, fan_out, requests, pings, .. } = *self;
        Rates { messages, bytes, fan_out, requests, pings }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages: Some(Rate::per_second(250).burst(8192)),
            bytes: Some(Rate::per_second(256 << 10)),
            fan_out: Some(Rate::per_second(16 << 20)),
            requests: Some(Rate::per_second(5).burst(20)),
            pings: Some(Rate::per_second(5).burst(20)),
            resumes: Some(Rate::per_second(1).burst(10)),
            rooms: Some(Rate::per_minute(6)),
            user_messages: Some(Rate::per_second(1000).burst(32_768)),
            user_bytes: Some(Rate::per_second(1 << 20)),
        }
    }
}

macro_rules! setters {
    ($($name:ident: $what:literal,)*) => {
        impl Limits {
            /// No limits at all: for clients that are known, and for measuring.
            pub const fn none() -> Self {
                Self { $($name: None,)* }
            }

            $(
                #[doc = $what]
                #[must_use]
                pub fn $name(mut self, rate: impl Into<Option<Rate>>) -> Self {
                    self.$name = rate.into();
                    self
                }
            )*
        }
    };
}

setters! {
    messages: "With this rate of messages; `None` for any.",
    bytes: "With this rate of bytes; `None` for any.",
    fan_out: "With this rate of bytes to all members together; `None` for any.",
    requests: "With this rate of requests; `None` for any.",
    pings: "With this rate of pings; `None` for any.",
    resumes: "With this rate of resumes; `None` for any.",
    rooms: "With this rate of rooms that joins make; `None` for any.",
    user_messages: "With this rate of messages of one user; `None` for any.",
    user_bytes: "With this rate of bytes of one user; `None` for any.",
}
