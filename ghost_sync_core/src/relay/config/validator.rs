//! A check of what clients say, before anybody hears it.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    identity::Identity,
    relay::Verdict,
    wire::{ClientId, MessageType, RoomName, Seat},
};

/// What a client would say to its room.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Spoken {
    /// The room.
    pub room: RoomName,
    /// Who.
    pub client_id: ClientId,
    /// Its seat there.
    pub seat: Seat,
    /// Who it is, if its token said so.
    pub identity: Option<Arc<Identity>>,
    /// What the payload is.
    pub message_type: MessageType,
    /// The bytes.
    pub payload: Bytes,
}

/// A function that checks each broadcast of a room's clients: see
/// [`RoomConfig::validator`](super::RoomConfig::validator). Two are the same if they are clones.
#[derive(Clone)]
pub struct Validator(Arc<dyn Fn(&Spoken) -> Verdict + Send + Sync>);

impl Validator {
    /// Checks with that function.
    pub fn new(check: impl Fn(&Spoken) -> Verdict + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// What it says.
    pub fn check(&self, spoken: &Spoken) -> Verdict {
        (self.0)(spoken)
    }

    /// What stands for it among others.
    #[cfg(feature = "server")]
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl PartialEq for Validator {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Validator {}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validator(..)")
    }
}
