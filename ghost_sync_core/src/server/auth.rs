//! How a server finds out who its clients are.

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    identity::Identity,
    relay::AuthPolicy,
    wire::{AuthError, Token},
};

/// Finds out whose token something is: by its signature, from a database, by asking another
/// service. A function `Fn(Token, SocketAddr) -> impl Future` is one too.
///
/// It runs outside of all locks, for many clients at once. Who is not known within
/// [`ask_timeout`](super::ServerBuilder::ask_timeout) is asked to come back later, as after a
/// panic.
pub trait Authenticator: Send + Sync + 'static {
    /// Whose token is it? `addr` is where the client comes from. The token's bytes may be
    /// anything: nobody has looked at them.
    ///
    /// # Errors
    /// [`AuthError`] is what the client is told. After ten a minute its address is barred
    /// ([`GateConfig::failures`](crate::relay::GateConfig::failures)).
    fn authenticate(
        &self,
        token: Token,
        addr: SocketAddr,
    ) -> impl Future<Output = Result<Identity, AuthError>> + Send;

    /// Looks whether what it goes by has changed: called every 10 s, where that may block. Does
    /// nothing by default.
    fn refresh(&self) {}
}

/// Verifies signatures. Its keys are read again every 10 s, if they come from a directory.
#[cfg(feature = "auth")]
impl Authenticator for crate::auth::TokenVerifier {
    async fn authenticate(&self, token: Token, _: SocketAddr) -> Result<Identity, AuthError> {
        self.verify(token.expose(), std::time::SystemTime::now(), crate::link::now())
    }

    fn refresh(&self) {
        self.reload();
    }
}

impl<F, T> Authenticator for F
where
    F: Fn(Token, SocketAddr) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Identity, AuthError>> + Send,
{
    fn authenticate(
        &self,
        token: Token,
        addr: SocketAddr,
    ) -> impl Future<Output = Result<Identity, AuthError>> + Send {
        self(token, addr)
    }
}

/// Whether clients say who they are, and how a server finds out whether that is true.
///
/// ```
/// use ghost_sync_core::{Auth, AuthError, Identity, Server, Token, UserId};
///
/// // Whoever knows the word is Ada. Real ones ask a database, or verify signatures.
/// let auth = Auth::required(|token: Token, _| async move {
///     match &token.0[..] {
///         b"open sesame" => Ok(Identity::new(UserId::new("ada").unwrap())),
///         _ => Err(AuthError::BadSignature),
///     }
/// });
/// let server = Server::builder().auth(auth).room("lobby").build();
/// ```
#[derive(Clone, Default)]
pub struct Auth {
    policy: AuthPolicy,
    authenticator: Option<Arc<dyn Erased>>,
}

impl Auth {
    /// Nobody is asked: anybody may come in, as nobody in particular. The default.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Nobody comes in without a token.
    pub fn required(authenticator: impl Authenticator) -> Self {
        Self { policy: AuthPolicy::Required, authenticator: Some(Arc::new(authenticator)) }
    }

    /// Who shows a token is its user; others come in as nobody in particular. A token that is not
    /// good keeps its client out.
    pub fn optional(authenticator: impl Authenticator) -> Self {
        Self { policy: AuthPolicy::Optional, authenticator: Some(Arc::new(authenticator)) }
    }

    /// Whether clients show tokens.
    pub fn policy(&self) -> AuthPolicy {
        self.policy
    }

    pub(super) fn authenticate(&self, token: Token, addr: SocketAddr) -> Option<Verdict<'_>> {
        Some(self.authenticator.as_ref()?.authenticate(token, addr))
    }

    /// Keeps what the authenticator goes by as it is, for as long as the runtime lives.
    pub(super) async fn keep_fresh(self) {
        let Some(authenticator) = self.authenticator else { return };
        loop {
            sleep(FRESH).await;
            let again = authenticator.clone();
            if spawn_blocking(move || again.refresh()).await.is_err_and(|it| it.is_cancelled()) {
                return;
            }
        }
    }
}

/// What is found out.
pub(super) type Verdict<'a> =
    Pin<Box<dyn Future<Output = Result<Identity, AuthError>> + Send + 'a>>;

/// An [`Authenticator`] of any type.
trait Erased: Send + Sync {
    fn authenticate(&self, token: Token, addr: SocketAddr) -> Verdict<'_>;
    fn refresh(&self);
}

impl<A: Authenticator> Erased for A {
    fn authenticate(&self, token: Token, addr: SocketAddr) -> Verdict<'_> {
        Box::pin(Authenticator::authenticate(self, token, addr))
    }

    fn refresh(&self) {
        Authenticator::refresh(self);
    }
}

/// How often an authenticator looks whether what it goes by has changed.
const FRESH: Duration = Duration::from_secs(10);

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("policy", &self.policy).finish_non_exhaustive()
    }
}
