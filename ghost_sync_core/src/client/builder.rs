//! How a client connects.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::wire::{Protocol, SessionTicket, Token};

use super::{
    Client, ConnectError, Reconnect, ServerAddr,
    hello::OwnHello,
    inbox::Inbox,
    session::Session,
    state::State,
    task::{Limits, Task},
    way::{Once, Tcp, Through, Way},
};

/// What a client may be told before it connects; [`Client::builder`] makes one.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    connect_timeout: Duration,
    handshake_timeout: Duration,
    inbox_limit: usize,
    outbox_limit: usize,
    reconnect: Reconnect,
    resume_for: Option<Duration>,
    begins_anew: bool,
    hello: OwnHello,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            inbox_limit: 1 << 20,
            outbox_limit: 1 << 20,
            reconnect: Reconnect::default(),
            resume_for: None,
            begins_anew: false,
            hello: OwnHello { user_agent: USER_AGENT.to_owned(), ..OwnHello::default() },
        }
    }
}

impl ClientBuilder {
    /// How long to look for the server's machine and wait for its answer; 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for the server's greeting, once connected; 5 s by default.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Bytes of events that may wait for [`Client::recv`]; 1 MiB by default.
    ///
    /// Past it, superseded `Latest` and then `Volatile` broadcasts are given up,
    /// which [`ServerEvent::Gap`](super::ServerEvent::Gap) says. If that is not enough, the connection
    /// ends with [`CloseReason::SlowConsumer`](crate::wire::CloseReason::SlowConsumer).
    #[must_use]
    pub fn inbox_limit(mut self, bytes: usize) -> Self {
        self.inbox_limit = bytes;
        self
    }

    /// Bytes of requests that may wait to leave; 1 MiB by default. Past it,
    /// requests wait. Where the server holds sessions, 128 KiB more are kept until
    /// it has confirmed them.
    #[must_use]
    pub fn outbox_limit(mut self, bytes: usize) -> Self {
        self.outbox_limit = bytes.max(1);
        self
    }

    /// The typed messages that this program knows. A server that was told of others, or of
    /// none, refuses the client ([`ConnectError::ProtocolMismatch`]); so does every server
    /// with types where the set is empty. A client that is told nothing here fits every
    /// server, and a server that was told nothing every client.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.hello.protocol = Some(protocol);
        self
    }

    /// What the program is, such as `"my_game/1.2"`, for logs and rules of the server: the first
    /// 128 characters are shown. By default this crate and its version; nothing if it is empty.
    #[must_use]
    pub fn user_agent(mut self, program: impl Into<String>) -> Self {
        self.hello.user_agent = program.into();
        self
    }

    /// Who the client is: a token that the game's own backend has signed, at most 8,192 bytes.
    /// Without one it is nobody in particular, where the server lets such in. It is shown again
    /// with each new link, until [`authenticate`](Client::authenticate) brings another.
    #[must_use]
    pub fn token(mut self, token: impl Into<Token>) -> Self {
        self.hello.token = token.into();
        self
    }

    /// Goes on with the session of an earlier process that died, if the server still
    /// holds it: with the same id, and in its rooms, for each of which a
    /// [`Joined`](super::ServerEvent::Joined) comes by itself. Else it begins a new one.
    /// The metadata stays as that process left it, and the server's rules are not asked
    /// again whether to let it in, only what to tell it first.
    /// [`Client::ticket`] gives what to keep for that, [`Client::resumed`] says what became
    /// of it, and [`Client::join_if_nowhere`] is the join that fits both cases.
    #[must_use]
    pub fn session(mut self, ticket: SessionTicket) -> Self {
        self.hello.session = Some(ticket);
        self
    }

    /// Adds to the client's metadata, which everybody in its rooms can see. A server takes
    /// 32 entries and 2 KiB of keys and values; a key has 1 to 64 bytes and no control
    /// characters. What cannot be taken is told by [`connect`](Self::connect).
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.hello.meta.insert(key.into(), value.into());
        self
    }

    /// How the client gets another connection in place of one that is lost, and
    /// takes its session up again there. Only if the server holds sessions.
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// How long to try that: as long as the server holds the seats by default. Afterwards
    /// [`Client::recv`] ends with the reason for the loss, unless the client
    /// [begins anew](Self::begin_anew). Zero: not at all.
    #[must_use]
    pub fn resume_for(mut self, time: Duration) -> Self {
        self.resume_for = Some(time);
        self
    }

    /// Makes the client begin another session when one is over, for as long as that makes sense,
    /// instead of ending with it: after a restart of the server, or when it could not be reached
    /// in time. Off by default; of no use without [`Reconnect::enabled`] and over
    /// [one stream](Self::connect_over).
    ///
    /// The way is looked up and dialled anew, with the pauses of [`Reconnect`], until it works.
    /// [`Disconnected`](super::ServerEvent::Disconnected),
    /// [`Connecting`](super::ServerEvent::Connecting) and
    /// [`Connected`](super::ServerEvent::Connected) say how far that is. The new session has
    /// another id, the metadata as it was last set, and, if [`Reconnect::rejoin`] says so, the
    /// same rooms. The first connection is made once as ever, or fails.
    ///
    /// [`Client::recv`] ends when this side closes, when the server put the client out for good,
    /// or when it will never take it: for another version, say, or because its rules say no.
    ///
    /// ```no_run
    /// use ghost_sync_core::{Client, ServerEvent};
    /// # async fn play() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut client = Client::builder().begin_anew().connect("127.0.0.1:7777").await?;
    /// client.join("lobby").await?;
    /// while let Some(event) = client.recv().await? {
    ///     if let ServerEvent::Disconnected { reason, retry_in: Some(wait) } = event {
    ///         println!("{reason}; the next attempt is in {wait:?}");
    ///     } else if let ServerEvent::Joined { room, rejoined: true, .. } = event {
    ///         println!("back in {room}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn begin_anew(mut self) -> Self {
        self.begins_anew = true;
        self
    }

    /// Bytes for the server's rules, such as a ticket.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.hello.data = data.into();
        self
    }

    /// Connects over TCP to `HOST:PORT`, or to what else makes a [`ServerAddr`].
    ///
    /// If a name has several addresses, they are tried side by side, each 250 ms after the
    /// one before it or as soon as that fails, IPv6 and IPv4 in turns. The first that answers is
    /// taken; all of it is over within [`connect_timeout`](Self::connect_timeout).
    ///
    /// # Errors
    /// [`ConnectError`]; nothing goes on in the background then, nor when the
    /// future is dropped. What is wrong with the address or with what this client says of itself
    /// is told before anything is dialled.
    pub async fn connect(
        self,
        addr: impl TryInto<ServerAddr, Error: Into<ConnectError>>,
    ) -> Result<Client, ConnectError> {
        let addr = addr.try_into().map_err(Into::into)?;
        self.go(Tcp::new(addr)).await
    }

    /// Connects over streams that `connector` makes: the first now, others when
    /// the connection is lost.
    ///
    /// # Errors
    /// As [`connect`](Self::connect). What the connector fails with becomes
    /// [`ConnectionRefused`](ConnectError::ConnectionRefused), [`NoRoute`](ConnectError::NoRoute)
    /// or [`Unreachable`](ConnectError::Unreachable); if it says
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), another attempt is of no use.
    pub async fn connect_through<C, F, S>(self, connector: C) -> Result<Client, ConnectError>
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.go(Through(connector)).await
    }

    /// Connects over any byte stream, such as
    /// [`ServerHandle::connect_local`](crate::server::ServerHandle::connect_local)
    /// or one end of [`tokio::io::duplex`]. When it is lost, the client is:
    /// [`connect_through`](Self::connect_through) can do better.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_over<S>(mut self, stream: S) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.reconnect.enabled = false;
        self.go(Once(Some(Box::pin(stream)))).await
    }

    /// Connects, and lets the client go its way. Boxed, because the compiler does not see that
    /// what awaits a future with a generic stream in it is `Send`.
    fn go<W: Way>(
        self,
        way: W,
    ) -> Pin<Box<dyn Future<Output = Result<Client, ConnectError>> + Send>> {
        Box::pin(async move {
            let mut task = self.prepare(way, Session::new)?;
            let stream = task.begin().await.map_err(|why| task.explain(why))?;
            let client = task.go_on(Some(stream));
            tracing::debug!(client_id = %client.client_id(), "connected");
            Ok(client)
        })
    }

    /// A client that finds its way over TCP by itself, from the first attempt on: what becomes
    /// of it is told as [`begin_anew`](Self::begin_anew) says.
    ///
    /// # Errors
    /// What is wrong with the address or with what this client says of itself.
    pub(crate) fn start(
        self,
        addr: impl TryInto<ServerAddr, Error: Into<ConnectError>>,
    ) -> Result<Client, ConnectError> {
        let addr = addr.try_into().map_err(Into::into)?;
        self.prepare(Tcp::new(addr), Session::without_link).map(|task| task.go_on(None))
    }

    /// As [`start`](Self::start), over streams that `connector` makes.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn start_through<C, F, S>(self, connector: C) -> Result<Client, ConnectError>
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.prepare(Through(connector), Session::without_link).map(|task| task.go_on(None))
    }

    /// Checks what the client says of itself.
    fn prepare<W: Way>(
        self,
        way: W,
        session: fn(OwnHello, Reconnect) -> Result<Session, ConnectError>,
    ) -> Result<Task<W>, ConnectError> {
        let mut reconnect = self.reconnect;
        let begins_anew = self.begins_anew && reconnect.enabled;
        reconnect.enabled &= self.resume_for != Some(Duration::ZERO);
        let session = session(self.hello, reconnect.clone())?;
        let inbox = Inbox::new(self.inbox_limit);
        let state = State::new(session, inbox, self.outbox_limit, begins_anew);
        let limits = Limits {
            connect: self.connect_timeout,
            handshake: self.handshake_timeout,
            reconnect,
            resume_for: self.resume_for,
            begins_anew,
        };
        Ok(Task { state, way, limits })
    }
}

const USER_AGENT: &str = concat!("ghost_sync_core/", env!("CARGO_PKG_VERSION"));
