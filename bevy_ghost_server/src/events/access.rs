//! Who was to be kept out, or let in again, and is not.

use bevy::prelude::*;
use ghost_sync_core::relay::{BanClientError, TooManyBans};

use crate::{BanTarget, Revoke};

/// A [`Ban`](crate::Ban) was not made, or an [`Unban`](crate::Unban) ended none: the bans are
/// what they were.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct BanRefused {
    /// Whom it was about.
    pub target: BanTarget,
    /// Why; its `Display` is for people.
    pub reason: BanRefusal,
}

/// Why the bans are what they were.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BanRefusal {
    /// The client is gone and had no user, or the entity was no client. Ban an address.
    #[error("the client is gone")]
    Gone,
    /// The client has no user, and where it comes from everybody may come from: a proxy, or this
    /// machine. Have clients show tokens, or ban an address by itself.
    #[error("the client has no user, and its address is one that others share")]
    SharedAddress,
    /// End some, or ban ranges of addresses.
    #[error("there are {max} bans already, and may not be more")]
    TooManyBans {
        /// The limit.
        max: usize,
    },
    /// Nobody is banned as exactly that user or range of addresses.
    /// [`ServerHandle::bans`](crate::ServerHandle::bans) has those that are.
    #[error("there is no such ban")]
    NotBanned,
}

impl From<TooManyBans> for BanRefusal {
    fn from(error: TooManyBans) -> Self {
        Self::TooManyBans { max: error.max }
    }
}

impl From<BanClientError> for BanRefusal {
    fn from(error: BanClientError) -> Self {
        match error {
            BanClientError::SharedAddress => Self::SharedAddress,
            BanClientError::TooManyBans(error) => error.into(),
            BanClientError::ClientNotFound(_) | _ => Self::Gone,
        }
    }
}

/// Tokens that a [`Revoke`] named are still good for new connections.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct RevokeRefused {
    /// What was asked for.
    pub revoke: Revoke,
    /// Why; its `Display` is for people.
    pub reason: RevokeRefusal,
}

/// Why tokens were not called back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeRefusal {
    /// Start the server first: it alone remembers what was called back.
    #[error("the server does not run")]
    NotRunning,
    /// Call whole users or keys back instead of single tokens. The sessions that were open are
    /// ended.
    #[error("too many tokens are called back already")]
    TooMany,
}
