//! What tokens say, and which of it is believed.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

use super::jws::{object, present};
use crate::{
    identity::{Identity, LockedMeta, MAX_LIFE, MaxRole, RoomPatterns},
    wire::{AuthError, MetadataEntry, UserId},
};

/// The longest life of a refresh token: a year.
pub const MAX_REFRESH_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);

/// The longest name of a token or of a login, in bytes.
pub(super) const MAX_ID: usize = 64;

/// What a token is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// To be shown to a server. A day at most.
    Access,
    /// To be shown to the backend, for a new access token. No server takes it.
    Refresh,
}

impl TokenKind {
    /// The longest life of such a token.
    pub fn max_life(self) -> Duration {
        match self {
            Self::Access => MAX_LIFE,
            Self::Refresh => MAX_REFRESH_LIFE,
        }
    }
}

/// Whom tokens are from and for.
#[derive(Clone, Debug)]
pub(super) struct Parties {
    /// Of access tokens; refresh tokens have `-refresh` behind it.
    pub(super) audience: String,
    pub(super) issuer: Option<String>,
}

impl Parties {
    pub(super) fn audience(&self, kind: TokenKind) -> String {
        match kind {
            TokenKind::Access => self.audience.clone(),
            TokenKind::Refresh => format!("{}-refresh", self.audience),
        }
    }
}

impl Default for Parties {
    fn default() -> Self {
        Self { audience: "ghost".to_owned(), issuer: None }
    }
}

/// The claims as they are in a token. Others that it may have are passed over.
#[derive(Deserialize, Serialize)]
pub(super) struct Raw {
    pub(super) kind: TokenKind,
    pub(super) aud: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
    pub(super) sub: String,
    pub(super) exp: u64,
    pub(super) iat: u64,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<u64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) rooms: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) create: Option<bool>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<Entries>,
}

/// Claims that are believed.
pub(super) struct Claims {
    /// Without its end and its key.
    pub(super) identity: Identity,
    /// When it was issued and when it ends, in seconds since 1970.
    pub(super) iat: u64,
    pub(super) exp: u64,
}

impl Claims {
    /// Reads them, and checks all but the signature.
    pub(super) fn read(
        json: &[u8],
        kind: TokenKind,
        parties: &Parties,
        wall: Duration,
        leeway: Duration,
    ) -> Result<Self, AuthError> {
        let raw: Raw = object(json)?;
        let (kind_there, aud, iss, nbf) = (raw.kind, raw.aud.clone(), raw.iss.clone(), raw.nbf);
        let claims = Self::parse(raw)?;
        if kind_there != kind
            || aud != parties.audience(kind)
            || (parties.issuer.is_some() && iss != parties.issuer)
        {
            return Err(AuthError::WrongAudience);
        }
        let soon = wall + leeway;
        let begins = claims.iat.max(nbf.unwrap_or(0));
        if Duration::from_secs(begins) > soon {
            return Err(AuthError::NotYetValid);
        }
        if wall >= Duration::from_secs(claims.exp) + leeway {
            return Err(AuthError::Expired);
        }
        if Duration::from_secs(claims.exp - claims.iat) > kind.max_life() {
            return Err(AuthError::Malformed);
        }
        Ok(claims)
    }

    /// How long it is good from now on: by its own measure at most, whatever clocks differ.
    pub(super) fn left(&self, wall: Duration, leeway: Duration) -> Duration {
        let left = (Duration::from_secs(self.exp) + leeway).saturating_sub(wall);
        left.min(Duration::from_secs(self.exp - self.iat))
    }

    pub(super) fn into_identity(self, key_id: Arc<str>, expires: Instant) -> Identity {
        Identity { key_id: Some(key_id), expires: Some(expires), ..self.identity }
    }

    fn parse(raw: Raw) -> Result<Self, AuthError> {
        let malformed = AuthError::Malformed;
        if raw.exp <= raw.iat || raw.exp > MAX_TIME {
            return Err(malformed);
        }
        if [&raw.sid, &raw.jti].into_iter().flatten().any(|id| !is_id(id)) {
            return Err(malformed);
        }
        let rooms = match raw.rooms {
            Some(rooms) => RoomPatterns::new(rooms).map_err(|_| malformed)?,
            None => RoomPatterns::any(),
        };
        let role = match raw.role {
            Some(name) => MaxRole::from_name(&name).ok_or(malformed)?,
            None => MaxRole::default(),
        };
        let meta = raw.meta.map_or_else(Vec::new, |Entries(entries)| entries);
        let identity = Identity {
            session: raw.sid.map(Into::into),
            token_id: raw.jti.map(Into::into),
            rooms,
            role,
            create: raw.create.unwrap_or(false),
            meta: LockedMeta::new(meta).map_err(|_| malformed)?,
            issued: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(raw.iat)),
            ..Identity::new(UserId::new(&raw.sub).map_err(|_| malformed)?)
        };
        Ok(Self { identity, iat: raw.iat, exp: raw.exp })
    }
}

/// Whether a text can name a token or a login.
pub(super) fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// Time since 1970; none before that.
pub(super) fn since_1970(wall: SystemTime) -> Duration {
    wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The year 10889: beyond it sums of times could leave their types.
const MAX_TIME: u64 = 1 << 48;

/// Metadata, in which no key may come twice; a map would take the last one.
pub(super) struct Entries(pub(super) Vec<MetadataEntry>);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
