//! Tokens made, in a game's own backend. No server needs this.

mod error;
mod grant;

pub use error::{RefreshError, SignError};
pub use grant::Grant;

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
    signature::{Ed25519KeyPair, KeyPair},
};

use super::{
    TokenVerifier,
    claims::{Claims, Entries, Parties, Raw, TokenKind, is_id, since_1970},
    jws,
    keys::{
        Algorithm, InvalidKey, Key, Keys, KeysError, Material, check_secret, files, private_ed25519,
    },
};
use crate::{
    identity::{MaxRole, RoomPatterns},
    wire::{AuthError, MAX_TOKEN, Token, UserId},
};

/// Makes tokens. Whoever has one can be everybody: it belongs into the backend that knows who
/// has logged in, and behind nothing that signs for whoever asks.
pub struct TokenIssuer {
    kid: String,
    signer: Signer,
    /// Its own, and older ones whose refresh tokens are still good.
    keys: Keys,
    parties: Parties,
}

impl TokenIssuer {
    /// Signs with an Ed25519 private key, in PEM as `openssl genpkey -algorithm ed25519`
    /// writes it.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is none, or that is no name of a key.
    pub fn ed25519(kid: &str, private_pem: &str) -> Result<Self, InvalidKey> {
        let der = private_ed25519(private_pem)?;
        // OpenSSL leaves the public key out, so there is nothing to compare it with.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map_err(|_| InvalidKey::NotAPrivateKey)?;
        let public = pair.public_key().as_ref().try_into();
        let public = public.map_err(|_| InvalidKey::NotAPrivateKey)?;
        Self::with(kid, Signer::Ed25519(pair), Material::Ed25519(public))
    }

    /// Signs with a secret that the servers have too, and could sign with.
    ///
    /// # Errors
    /// [`InvalidKey`] when it has less than 32 bytes or could be guessed, or that is no name of
    /// a key.
    pub fn hs256(kid: &str, secret: &[u8]) -> Result<Self, InvalidKey> {
        check_secret(secret)?;
        let signer = Signer::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Self::with(kid, signer, Material::hs256(secret))
    }

    /// Signs with the key in that file: `<kid>.pem` is an Ed25519 private key, `<kid>.secret` a
    /// secret for HS256.
    ///
    /// # Errors
    /// [`KeysError`], which names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeysError> {
        let path = path.as_ref();
        let read = || {
            let (kid, text) = files::read_text(path)?;
            match files::Kind::of(path).ok_or(InvalidKey::Name)? {
                files::Kind::Pem => Self::ed25519(kid, &text),
                files::Kind::Secret => Self::hs256(kid, files::secret_line(&text)?),
            }
        };
        read().map_err(|source| KeysError::File { path: path.to_owned(), source })
    }

    /// Signs for that audience instead of `ghost`.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        audience.clone_into(&mut self.parties.audience);
        self
    }

    /// Says who it is (`iss`).
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.parties.issuer = Some(issuer.to_owned());
        self
    }

    /// Takes refresh tokens of those keys too: older ones, after a rotation.
    #[must_use]
    pub fn accept(mut self, keys: Keys) -> Self {
        self.keys.extend(keys);
        self
    }

    /// An access token for that user, from now on, as a player.
    ///
    /// # Errors
    /// [`SignError`] when it would be one that no server takes.
    pub fn sign_access(
        &self,
        user: &UserId,
        rooms: &RoomPatterns,
        session: Option<&str>,
        life: Duration,
    ) -> Result<Token, SignError> {
        let grant = Grant::plain(user, rooms.clone(), session, life);
        self.sign(TokenKind::Access, &grant, SystemTime::now())
    }

    /// A refresh token for that user, from now on: for every room, as a player. For less, or
    /// for more, use [`TokenIssuer::sign`].
    ///
    /// # Errors
    /// [`SignError`] when it would be one that nobody takes.
    pub fn sign_refresh(
        &self,
        user: &UserId,
        session: Option<&str>,
        life: Duration,
    ) -> Result<Token, SignError> {
        let grant = Grant::plain(user, RoomPatterns::any(), session, life);
        self.sign(TokenKind::Refresh, &grant, SystemTime::now())
    }

    /// An access token for the user of that refresh token, from now on. See
    /// [`TokenIssuer::refresh`].
    ///
    /// # Errors
    /// As [`TokenIssuer::refresh`].
    pub fn refresh_access(
        &self,
        refresh: &str,
        rooms: &RoomPatterns,
        session: Option<&str>,
        life: Duration,
    ) -> Result<Token, RefreshError> {
        self.refresh(refresh, rooms, session, life, SystemTime::now())
    }

    /// A token that says what is granted, from `now` on. Its `iat` is that second.
    ///
    /// # Errors
    /// [`SignError`] when it would be one that nobody takes.
    pub fn sign(
        &self,
        kind: TokenKind,
        grant: &Grant,
        now: SystemTime,
    ) -> Result<Token, SignError> {
        let (life, max) = (grant.life.as_secs(), kind.max_life());
        if life == 0 || grant.life > max {
            return Err(SignError::Life { max });
        }
        if [&grant.session, &grant.token_id].into_iter().flatten().any(|id| !is_id(id)) {
            return Err(SignError::Name);
        }
        let iat = since_1970(now).as_secs();
        let rooms = grant.rooms.patterns();
        let meta = grant.meta.entries();
        let claims = Raw {
            kind,
            aud: self.parties.audience(kind),
            iss: self.parties.issuer.clone(),
            sub: grant.user.as_str().to_owned(),
            exp: iat + life,
            iat,
            nbf: None,
            sid: grant.session.clone(),
            jti: Some(grant.token_id.clone().map_or_else(random_name, Ok)?),
            rooms: rooms.map(|rooms| rooms.iter().map(ToString::to_string).collect()),
            role: (grant.role != MaxRole::default()).then(|| grant.role.name().to_owned()),
            create: grant.create.then_some(true),
            meta: (!meta.is_empty()).then(|| Entries(meta.to_vec())),
        };
        let claims = serde_json::to_vec(&claims).expect("texts and numbers are always JSON");
        let input = jws::signing_input(self.signer.algorithm(), &self.kid, &claims);
        let token = jws::with_signature(&input, &self.signer.sign(input.as_bytes()));
        match token.len() {
            len if len > MAX_TOKEN => Err(SignError::TooLong { len }),
            _ => Ok(token.into()),
        }
    }

    /// An access token for the user of that refresh token, with its role, its `create` and its
    /// metadata, for rooms that it covers. It ends with the refresh token at the latest.
    ///
    /// The login is that of the refresh token; where that has none, it is the one given here.
    /// Whether the login has ended since, or the user was banned, is for the caller to know.
    ///
    /// # Errors
    /// [`RefreshError`] when the refresh token is not good, or does not cover that.
    pub fn refresh(
        &self,
        refresh: &str,
        rooms: &RoomPatterns,
        session: Option<&str>,
        life: Duration,
        now: SystemTime,
    ) -> Result<Token, RefreshError> {
        let (wall, leeway) = (since_1970(now), TokenVerifier::LEEWAY);
        let (_, claims) = jws::open(refresh, &self.keys)?;
        let claims = Claims::read(&claims, TokenKind::Refresh, &self.parties, wall, leeway)?;
        let left = claims.left(wall, Duration::ZERO);
        let granted = claims.identity;
        if !granted.rooms.covers_all(rooms) {
            return Err(RefreshError::Rooms);
        }
        let session = match (granted.session.as_deref(), session) {
            (Some(own), Some(asked)) if own != asked => return Err(RefreshError::Session),
            (own, asked) => own.or(asked),
        };
        if left < Duration::from_secs(1) {
            return Err(RefreshError::Refused(AuthError::Expired));
        }
        let grant = Grant {
            role: granted.role,
            create: granted.create,
            meta: granted.meta,
            ..Grant::plain(&granted.user, rooms.clone(), session, life.min(left))
        };
        Ok(self.sign(TokenKind::Access, &grant, now)?)
    }

    /// What its tokens are checked with, and those that it accepts: for a server in the same
    /// process, and for tests.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    fn with(kid: &str, signer: Signer, material: Material) -> Result<Self, InvalidKey> {
        let mut keys = Keys::new();
        keys.insert(Key::new(kid, material)?)?;
        Ok(Self { kid: kid.to_owned(), signer, keys, parties: Parties::default() })
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("kid", &self.kid)
            .field("keys", &self.keys)
            .field("parties", &self.parties)
            .finish_non_exhaustive()
    }
}

/// What signs.
enum Signer {
    Ed25519(Ed25519KeyPair),
    Hs256(hmac::Key),
}

impl Signer {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Hs256(_) => Algorithm::Hs256,
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
            Self::Hs256(key) => hmac::sign(key, text).as_ref().to_vec(),
        }
    }
}

/// A name that no other token has.
fn random_name() -> Result<String, SignError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SignError::NoRandom)?;
    Ok(jws::encode(&bytes))
}
