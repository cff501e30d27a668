//! Signed tokens that say who a client is: keys, a verifier for servers, an issuer for a game's
//! backend. Knows no socket and no relay; what it finds is an [`Identity`](crate::Identity).
//!
//! A token is a JSON Web Signature in its compact form: `header.claims.signature`, each in
//! base64url. Which algorithm checks it is a property of the key here and never read from the
//! token; headers that could name another key or another rule are refused.
//!
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use ghost_sync_core::{
//!     RoomPatterns, UserId,
//!     auth::{TokenIssuer, TokenVerifier},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let secret = b"d0b1c7a94e2f5368d0c1b7a94e2f5368";
//! // The game's backend, after a login:
//! let issuer = TokenIssuer::hs256("2026-11", secret)?;
//! let ada = UserId::new("ada")?;
//! let rooms = RoomPatterns::new(["lobby", "match-*"])?;
//! let token = issuer.sign_access(&ada, &rooms, None, Duration::from_secs(3600))?;
//!
//! // The server:
//! let verifier = TokenVerifier::new(issuer.keys().clone());
//! let identity = verifier.verify(token.expose(), SystemTime::now(), Instant::now())?;
//! assert_eq!(identity.user, ada);
//! # Ok(())
//! # }
//! ```

mod claims;
mod issuer;
mod jws;
mod keys;
mod used;
mod verifier;

pub use claims::{MAX_REFRESH_LIFE, TokenKind};
pub use issuer::{Grant, RefreshError, SignError, TokenIssuer};
pub use keys::{Algorithm, InvalidKey, Keys, KeysError};
pub use verifier::{Reload, TokenVerifier};

pub use crate::identity::MAX_LIFE as MAX_ACCESS_LIFE;
