//! Tokens checked, and keys changed meanwhile.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use super::{
    claims::{Claims, Parties, TokenKind, since_1970},
    jws,
    keys::{Keys, KeysError},
    used::Used,
};
use crate::{identity::Identity, wire::AuthError};

/// Checks access tokens, from any number of threads.
///
/// Which of them were called back is not its matter: see
/// [`Revocations`](crate::Revocations).
pub struct TokenVerifier {
    keys: RwLock<Arc<Keys>>,
    parties: Parties,
    leeway: Duration,
    used: Mutex<Used>,
    /// What was wrong when the keys were last read.
    broken: Mutex<Option<String>>,
}

impl TokenVerifier {
    /// Checks with those keys, tokens for the audience `ghost` from any issuer.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys: RwLock::new(Arc::new(keys)),
            parties: Parties::default(),
            leeway: Self::LEEWAY,
            used: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// How far clocks may differ, by default.
    pub const LEEWAY: Duration = Duration::from_secs(30);

    /// Takes tokens for that audience instead of `ghost`: a name for the game, where a backend
    /// signs for several.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        audience.clone_into(&mut self.parties.audience);
        self
    }

    /// Takes tokens of that issuer (`iss`) only.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.parties.issuer = Some(issuer.to_owned());
        self
    }

    /// How far the clocks of who signs and of this machine may differ, instead of 30 s.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Who shows that token. `wall` is the time of day and `now` the same moment as the caller
    /// counts time; from here on only the latter matters, so that a clock that is set does
    /// nothing to those who are in.
    ///
    /// The identity ends no later than the token does by its own measure, `exp - iat` from
    /// now, and no later than `exp` and the leeway.
    ///
    /// # Errors
    /// [`AuthError`]: any but [`Banned`](AuthError::Banned).
    pub fn verify(
        &self,
        token: &str,
        wall: SystemTime,
        now: Instant,
    ) -> Result<Identity, AuthError> {
        let keys = self.keys();
        let (key, claims) = jws::open(token, &keys)?;
        let (wall, leeway) = (since_1970(wall), self.leeway);
        let claims = Claims::read(&claims, TokenKind::Access, &self.parties, wall, leeway)?;
        if key.is_single_use {
            let jti = claims.identity.token_id.as_deref().ok_or(AuthError::Malformed)?;
            let end = claims.exp + leeway.as_secs() + 1;
            lock(&self.used).take(&key.id, jti, end, wall.as_secs())?;
        }
        let expires = now + claims.left(wall, leeway);
        Ok(claims.into_identity(key.id.clone(), expires))
    }

    /// The keys as they are now.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the directory of keys again and takes what is there, if all of it is good. Nobody
    /// who is in is touched by that. Says in the log what it did, and what is wrong once.
    ///
    /// It reads files: call it where that may take a while, every 10 s or so.
    pub fn reload(&self) -> Reload {
        let mut broken = lock(&self.broken);
        let keys = self.keys();
        match keys.read_again() {
            Ok(new) => {
                *broken = None;
                if new.is_same(&keys) {
                    return Reload::Unchanged;
                }
                tracing::info!(keys = ?new, "the keys of tokens have changed");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                Reload::Changed
            }
            Err(error) => {
                let text = chain(&error);
                if broken.as_ref() == Some(&text) {
                    return Reload::StillBroken;
                }
                tracing::error!(keys = ?keys, "the keys of tokens stay as they are: {text}");
                *broken = Some(text);
                Reload::Broken(error)
            }
        }
    }
}

/// What reading the keys again came to.
#[derive(Debug)]
pub enum Reload {
    /// They are what they were.
    Unchanged,
    /// Tokens are checked with other keys from now on.
    Changed,
    /// The old ones stay, for a reason that is new.
    Broken(KeysError),
    /// The old ones stay, for the reason that was given before.
    StillBroken,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("keys", &self.keys())
            .field("parties", &self.parties)
            .finish_non_exhaustive()
    }
}

/// An error and what is below it.
fn chain(error: &KeysError) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
