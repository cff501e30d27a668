//! The first messages of a connection.

use wincode::{SchemaRead, SchemaWrite};

use super::{
    ClientId, CloseReason, DecodeError, Extension, MAGIC, MetadataEntry, Progress, Protocol, Rates,
    Secret, SessionTicket, Token, VERSIONS,
};

/// The versions of the wire that a side speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Versions {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

impl Versions {
    /// The newest version that both sides speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Whether `version` is one of them.
    pub fn contains(self, version: u16) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// Whether a client that begins with `magic` can be spoken with.
    pub(crate) fn check(self, magic: [u8; 4]) -> Result<(), CloseReason> {
        if magic != MAGIC {
            return Err(CloseReason::Protocol { what: "not a Ghost Sync client".to_owned() });
        }
        if VERSIONS.common(self).is_none() {
            return Err(CloseReason::VersionMismatch { client: self, server: VERSIONS });
        }
        Ok(())
    }

    /// Why a client's first message cannot be read. In versions that are not known here it may
    /// look in any way after it has said which these are.
    pub(crate) fn why_unreadable(body: &[u8], error: DecodeError) -> CloseReason {
        let foreign = Self::of_first(body).and_then(|client| client.check(MAGIC).err());
        foreign.unwrap_or_else(|| CloseReason::Protocol { what: error.to_string() })
    }

    /// What the body of a client's first message says about its versions, if it is one: it
    /// begins alike in every version.
    fn of_first(body: &[u8]) -> Option<Self> {
        let (&[kind], rest) = body.split_first_chunk()?;
        let rest = rest.strip_prefix(&MAGIC)?;
        let [o0, o1, n0, n1] = *rest.first_chunk()?;
        let versions =
            Self { oldest: u16::from_le_bytes([o0, o1]), newest: u16::from_le_bytes([n0, n1]) };
        matches!(kind, 0 | 10).then_some(versions)
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { oldest, newest } = self;
        if oldest == newest { write!(f, "{newest}") } else { write!(f, "{oldest} to {newest}") }
    }
}

/// The first message of a client.
///
/// [`Default`] is one of a client without metadata that fits every server.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Hello<'a> {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// What the client speaks: [`VERSIONS`].
    pub versions: Versions,
    /// [`Protocol::hash`] of the client; [`Protocol::UNCHECKED`] if it fits every server.
    pub protocol: u64,
    /// For the server's rules: a password, say.
    pub data: &'a [u8],
    /// Who the client is; empty if it does not say.
    pub token: Token<&'a [u8]>,
    /// The client's own metadata, such as a display name: sorted by key, each
    /// [key](super::check_metadata_key) once.
    pub meta: Vec<MetadataEntry>,
    /// The session of an earlier process that this one goes on with, if the server still
    /// holds it: [`Welcome`] has its id then, and a `Joined` with request 0 follows for each
    /// of its rooms. Else a new session begins.
    pub session: Option<SessionTicket>,
    /// What else the client says or can do: sorted by id, each once.
    pub extensions: Vec<Extension<'a>>,
}

impl Default for Hello<'_> {
    fn default() -> Self {
        Self {
            magic: MAGIC,
            versions: VERSIONS,
            protocol: Protocol::UNCHECKED,
            data: &[],
            token: Token(&[]),
            meta: Vec::new(),
            session: None,
            extensions: Vec::new(),
        }
    }
}

/// The first message of a client that takes a session up again.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Resume<'a> {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// What the client speaks: [`VERSIONS`].
    pub versions: Versions,
    /// The server's epoch, from [`Welcome`].
    pub epoch: u64,
    /// Whose session, and its newest secret.
    pub session: SessionTicket,
    /// Rises with each resume that the client sends, so that one which was long under way
    /// does not take the session from a later one.
    pub attempt: u32,
    /// As in [`Received`](super::ClientMessage::Received).
    pub received: u64,
    /// As in [`Hello::token`]; empty: the one that the session has is good still.
    pub token: Token<&'a [u8]>,
    /// The rooms that the client is in, each once, and how far it is there.
    pub rooms: Vec<Progress>,
}

impl Resume<'_> {
    /// The same, but for its token.
    pub(crate) fn without_token(self) -> Resume<'static> {
        let Self { magic, versions, epoch, session, attempt, received, token: _, rooms } = self;
        Resume { magic, versions, epoch, session, attempt, received, token: Token(&[]), rooms }
    }
}

/// The server's answer to [`Hello`].
#[derive(Clone, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Welcome<'a> {
    /// The version that both sides speak from here on.
    pub version: u16,
    /// The client's public id.
    pub client_id: ClientId,
    /// The longest payload that the server takes, in bytes.
    pub max_payload: u32,
    /// How often the server pings, in milliseconds.
    pub ping_interval_ms: u32,
    /// How long the server waits for a silent client, in milliseconds.
    pub idle_timeout_ms: u32,
    /// The user that the client is, as its token says; empty: nobody in particular.
    pub user: String,
    /// When its token expires, in milliseconds from now; 0: never.
    pub expires_ms: u32,
    /// How much it may ask for in how much time.
    pub rates: Rates,
    /// How long seats are held for a client that lost its connection, in milliseconds; 0: not
    /// at all, and nothing can be resumed.
    pub resume_grace_ms: u32,
    /// Random, new each time the server starts.
    pub epoch: u64,
    /// For [`Resume`].
    pub secret: Secret,
    /// The rooms in which the client has seats, because the session of an earlier process
    /// goes on. A `Joined` with request 0 follows for each, in this order.
    pub rooms: Vec<String>,
    /// What else the server says or can do: sorted by id, each once.
    pub extensions: Vec<Extension<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ClientMessage, HEADER_LEN};

    #[test]
    fn sides_speak_the_newest_version_that_both_know() {
        let versions = |oldest, newest| Versions { oldest, newest };
        assert_eq!(versions(2, 4).common(versions(3, 9)), Some(4));
        assert_eq!(versions(2, 9).common(versions(3, 4)), Some(4));
        assert_eq!(versions(2, 2).common(versions(3, 3)), None);
        assert_eq!(versions(3, 3).common(versions(2, 2)), None);
        assert_eq!(versions(4, 2).common(versions(2, 4)), None, "no range at all");
        assert_eq!(versions(0, u16::MAX).common(VERSIONS), Some(VERSIONS.newest));
    }

    #[test]
    fn a_first_message_shows_its_versions_whatever_follows() {
        let mut frame = bytes::BytesMut::new();
        let versions = Versions { oldest: 7, newest: 9 };
        ClientMessage::Hello(Hello { versions, ..Hello::default() }).encode(&mut frame);
        let body = &frame[HEADER_LEN..];
        assert_eq!(Versions::of_first(body), Some(versions));
        assert_eq!(Versions::of_first(&body[..9]), Some(versions));
        assert_eq!(Versions::of_first(&body[..8]), None);
        let of_another_kind = [&[1], &body[1..]].concat();
        assert_eq!(Versions::of_first(&of_another_kind), None);
        let of_another_service = [b"\0GET ", &body[5..]].concat();
        assert_eq!(Versions::of_first(&of_another_service), None);
    }
}
