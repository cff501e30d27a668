//! Who may do what: keys of metadata that are the server's, types that it alone says.

use super::{Cause, Oracle};
use crate::{
    relay::{AskId, ConnId},
    testing::swarm::SERVERS_TYPE,
    wire::{MessageType, Protocol},
};

/// A change of metadata that the host was asked about.
#[derive(Debug)]
pub(super) struct Wish {
    ask: AskId,
    key: String,
    value: Option<String>,
    accepted: bool,
}

impl Oracle {
    /// A client said something of that type, and was heard.
    pub(in crate::testing) fn check_direction(&mut self, message_type: MessageType) {
        let known = self.swarm.relay.host.protocol.as_ref();
        let denied = known.into_iter().flat_map(Protocol::types).any(|known| {
            !known.direction.allows_clients() && MessageType::of(&known.name) == message_type
        });
        if denied {
            self.fail("I31", format!("a client says {SERVERS_TYPE}, and is heard"));
        }
    }

    /// The host is asked about a change of metadata.
    pub(in crate::testing) fn asked_metadata(
        &mut self,
        conn: ConnId,
        ask: AskId,
        key: String,
        value: Option<String>,
    ) {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I16", format!("{conn:?} wants metadata after its end"));
        };
        session.wishes.push_back(Wish { ask, key, value, accepted: false });
    }

    /// The host allows a change of metadata, in time.
    pub(in crate::testing) fn accepted_metadata(&mut self, conn: ConnId, ask: AskId) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if let Some(wish) = session.wishes.iter_mut().find(|wish| wish.ask == ask) {
            wish.accepted = true;
        }
    }

    /// Metadata of a client is about to change.
    pub(super) fn check_owner(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        key: &str,
        value: Option<&str>,
    ) {
        let config = &self.swarm.relay;
        let listed = config.client_metadata_keys.as_ref().is_none_or(|keys| keys.contains(key));
        let asks = config.host.ask_metadata;
        let vouched = self.is_vouched(conn, key, value);
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if matches!(cause, Cause::Host) || vouched {
            session.locked.insert(key.to_owned());
            return;
        }
        let locked = session.locked.contains(key);
        // Those refused, or come to nothing, are passed over: the others keep their order.
        let is_it =
            |wish: &Wish| wish.accepted && wish.key == key && wish.value.as_deref() == value;
        let wished = session.wishes.iter().position(is_it);
        if let Some(at) = wished {
            session.wishes.drain(..=at);
        }
        if locked {
            self.fail("I30", format!("{conn:?} changes {key}, which is the server's"));
        }
        if !listed {
            self.fail("I30", format!("{conn:?} sets {key}, which no client may"));
        }
        if asks && wished.is_none() {
            self.fail("I19", format!("{conn:?} sets {key} to {value:?} without the host's yes"));
        }
    }
}
