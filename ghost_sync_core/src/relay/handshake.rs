//! From a new connection to a session: who may connect, what a hello has to say, and the welcome.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{
    Relay,
    config::MIN_GREETERS,
    deadlines::{Due, millis},
    event::{ConnId, DisconnectReason, LinkId, Output, Question, RelayEvent},
    metadata::{MetadataMap, clamp_u32},
    outbox::ItemKind,
    plants,
    questions::AskTarget,
    restart::Restart,
    session::{Connection, Session},
    tokens::First,
};
use crate::wire::{
    ClientId, CloseReason, Extension, Hello, Protocol, Secret, ServerMessage, SessionTicket,
    VERSIONS, Welcome,
};

/// What a client brings that begins a session.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) meta: MetadataMap,
    pub(super) data: Bytes,
    pub(super) user_agent: String,
}

impl Relay {
    /// Whether another connection from `addr` may be added. One that may not is dropped
    /// without an answer; ask before anything is allocated for it.
    pub fn admits(&mut self, now: Instant, addr: SocketAddr) -> bool {
        self.first_connect.get_or_insert(now);
        let now = self.clock(now);
        self.gate.admits(now, addr)
    }

    /// Connections that were not admitted so far.
    pub fn turned_away(&self) -> u64 {
        self.gate.turned_away()
    }

    /// Adds a connection from `addr`; `client_id` and `secret` must be random,
    /// the secret from a source that nobody can guess.
    ///
    /// One that cannot be taken is told why and closed like any other.
    pub fn connect(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        client_id: ClientId,
        secret: Secret,
        out: &mut Vec<Output>,
    ) -> LinkId {
        self.first_connect.get_or_insert(now);
        let connection = Connection::new(now, addr, client_id, secret, &self.config);
        let taken = self.links.len();
        let conn = self.conns.insert(connection);
        let link = self.links.insert(conn);
        self.gate.connected(addr);
        self.conns[conn].link = Some(link);
        let due = self.conns[conn].deadline(&self.config);
        self.conns[conn].due = due;
        self.deadlines.add(due, Due::Connection(conn));
        if let Some(reason) = self.refusing.clone() {
            self.close(now, conn, reason, out);
        }
        if taken >= self.config.max_links() {
            // A flood gets no farewell: those who wait for theirs are memory too.
            self.part(now, conn, DisconnectReason::ConnectionClosed, out);
            self.forget(conn, out);
            return link;
        }
        self.greeters.push_back(conn);
        self.bound_greeters(now, self.config.max_clients.max(MIN_GREETERS), out);
        link
    }

    /// Keeps those who have not said who they are from being more than twice `max`:
    /// who has been silent longest goes, so that a flood of them keeps nobody out.
    fn bound_greeters(&mut self, now: Instant, max: usize, out: &mut Vec<Output>) {
        // Looked at only now and then: most have greeted long ago.
        if self.greeters.len() <= max.saturating_mul(2) {
            return;
        }
        let conns = &self.conns;
        self.greeters.retain(|conn| conns.get(*conn).is_some_and(Connection::is_greeting));
        while self.greeters.len() > max
            && let Some(conn) = self.greeters.pop_front()
        {
            let waited = self.conns[conn].liveness.heard;
            let after_ms = millis(now.saturating_duration_since(waited));
            self.close(now, conn, CloseReason::HandshakeTimeout { after_ms }, out);
        }
    }

    /// Drops, without a farewell, whoever has been there longest and has not said who it is:
    /// there are no sockets left. Returns its link.
    pub fn drop_greeter(&mut self, now: Instant, out: &mut Vec<Output>) -> Option<LinkId> {
        while let Some(conn) = self.greeters.pop_front() {
            // Most have greeted long ago.
            let found = self.conns.get(conn).filter(|found| found.is_greeting());
            if let Some(link) = found.and_then(|found| found.link) {
                self.part(now, conn, DisconnectReason::ConnectionClosed, out);
                self.forget(conn, out);
                return Some(link);
            }
        }
        None
    }

    pub(super) fn hello(
        &mut self,
        now: Instant,
        conn: ConnId,
        hello: Hello<'_>,
        out: &mut Vec<Output>,
    ) {
        let differs = |known: &&Protocol| {
            hello.protocol != Protocol::UNCHECKED && hello.protocol != known.hash()
        };
        let reason = if let Err(reason) = hello.versions.check(hello.magic) {
            reason
        } else if let Some(known) = self.config.host.protocol.as_ref().filter(differs) {
            CloseReason::ProtocolMismatch {
                server: known.hash(),
                client: hello.protocol,
                types: known.types().to_vec(),
            }
        } else if let Err(reason) = self.check_bar(now, conn) {
            reason
        } else {
            match self.metadata_of_hello(hello.meta) {
                Ok(meta) => {
                    let data = Bytes::copy_from_slice(hello.data);
                    let user_agent = user_agent(&hello.extensions);
                    let newcomer = Newcomer { meta, data, user_agent };
                    let first = First::Hello { newcomer, ticket: hello.session };
                    return self.identify(now, conn, hello.token, first, out);
                }
                Err(reason) => reason,
            }
        };
        self.close(now, conn, reason, out);
    }

    /// Goes on with a hello whose client is known, as far as that is asked for.
    pub(super) fn introduced(
        &mut self,
        now: Instant,
        conn: ConnId,
        newcomer: Newcomer,
        ticket: Option<SessionTicket>,
        out: &mut Vec<Output>,
    ) {
        let held = ticket.and_then(|it| Some((it, self.session_of(now, &it).ok()?)));
        let Some((ticket, held)) = held else { return self.greeted(now, conn, newcomer, out) };
        let allowed = self.check_user(now, conn, held);
        if let Err(reason) = allowed.and_then(|()| self.may_begin_anew(now, held)) {
            return self.close(now, conn, reason, out);
        }
        let restart = Restart { ticket, newcomer, asked: Vec::new() };
        self.restart(now, conn, restart, out);
    }

    pub(super) fn greeted(
        &mut self,
        now: Instant,
        conn: ConnId,
        newcomer: Newcomer,
        out: &mut Vec<Output>,
    ) {
        if let Some(reason) = self.no_place() {
            return self.close(now, conn, reason, out);
        }
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Newcomer { meta, data, user_agent } = newcomer;
        connection.meta = meta;
        let identity = connection.identity().cloned();
        for (key, value) in identity.iter().flat_map(|identity| identity.meta.entries()) {
            connection.meta.vouch(key, value);
        }
        if !self.config.host.ask_connect {
            return self.open(now, conn, out);
        }
        let question = Question::Connect {
            conn,
            client_id: connection.client_id,
            addr: connection.addr,
            data,
            meta: connection.meta.to_vec(),
            user_agent,
            identity,
        };
        let ask = self.ask(now, AskTarget::Connect(conn), question, out);
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.session = Session::Asking { ask };
        }
    }

    /// Completes a handshake.
    pub(super) fn open(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        // Either may have come up since it was asked about.
        let allowed = self.check_ban(now, conn).and_then(|()| self.check_bar(now, conn));
        let allowed = allowed.and_then(|()| self.check_expiry(now, conn));
        let allowed = allowed.and_then(|()| self.enter_user(now, conn, out));
        if let Some(reason) = allowed.err().or_else(|| self.no_place()) {
            return self.close(now, conn, reason, out);
        }
        let next_ping = self.next_ping(now);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.session = Session::Open;
        self.gate.greeted(connection.addr);
        connection.liveness.heard = now;
        connection.liveness.next_ping = next_ping;
        let (client_id, addr) = (connection.client_id, connection.addr);
        let (meta, identity) = (connection.meta.to_vec(), connection.identity().cloned());
        self.clients.insert(client_id, conn);
        self.welcome(now, conn);
        self.reschedule(conn);
        let opened = RelayEvent::ConnectionOpened { conn, client_id, addr, meta, identity };
        out.push(Output::Event(opened));
    }

    /// Greets a client.
    pub(super) fn welcome(&mut self, now: Instant, conn: ConnId) {
        let (user, expires_ms) = self.signed_as(now, conn);
        let Some(connection) = self.conns.get(conn) else { return };
        let welcome = ServerMessage::Welcome(Welcome {
            version: VERSIONS.newest,
            client_id: connection.client_id,
            max_payload: clamp_u32(self.config.max_payload),
            ping_interval_ms: millis(self.config.ping_interval),
            idle_timeout_ms: millis(self.config.idle_timeout),
            user,
            expires_ms,
            rates: self.config.limits.rates(),
            resume_grace_ms: millis(self.config.resume_grace),
            epoch: self.epoch,
            secret: connection.secrets.newest,
            rooms: self.rooms_of(conn).map(|(_, name)| name.to_string()).collect(),
            extensions: Vec::new(),
        });
        self.push(conn, ItemKind::Control, &welcome);
    }

    /// Why a new client cannot be taken, if every place is taken.
    fn no_place(&self) -> Option<CloseReason> {
        let max = self.config.max_clients;
        (self.clients.len() >= plants::places(max)).then(|| CloseReason::MaxClientsReached {
            max: clamp_u32(max),
            retry_after_ms: millis(self.config.retry_after),
        })
    }
}

/// What a client says that it is, for logs: without what a terminal would obey.
fn user_agent(extensions: &[Extension<'_>]) -> String {
    let said = Extension::find(extensions, Extension::USER_AGENT).unwrap_or_default();
    let said = String::from_utf8_lossy(said);
    said.chars().filter(|char| !char.is_control()).take(MAX_USER_AGENT).collect()
}

/// Characters of what a client says that it is.
const MAX_USER_AGENT: usize = 128;
