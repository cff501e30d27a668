//! What comes over a link: frames out of bytes, each looked at in its turn, and no more at once
//! than others can wait for.

use std::time::Instant;

use super::{
    Relay,
    event::{ConnId, LinkId, Output},
    metadata::clamp_u32,
    outbox::ItemKind,
    plants,
    session::{Connection, Session, Unacked},
    tokens::First,
};
use crate::wire::{
    ClientMessage, CloseReason, DecodeError, FrameTooLong, Refusal, RoomId, ServerMessage, Versions,
};

impl Relay {
    /// Takes messages until they have cost [`AT_ONCE`], and returns what is left then;
    /// nothing is of a link that is over.
    pub(super) fn bytes<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        mut bytes: &'a [u8],
        out: &mut Vec<Output>,
    ) -> &'a [u8] {
        let Some(conn) = self.conn_on(link) else { return &[] };
        let Some(connection) = self.conns.get_mut(conn).filter(|found| !found.is_closing()) else {
            return &[];
        };
        connection.liveness.heard = now;
        self.pace.read();
        let mut decoder = std::mem::replace(&mut connection.decoder, crate::wire::Decoder::new(0));
        let mut whole = false;
        let mut cost = 0;
        // With nothing left the decoder is asked once more, and lets go of the last message.
        while cost < AT_ONCE || bytes.is_empty() {
            // A link may have become another connection's by the last message.
            let Some(conn) = self.conn_on(link) else { return &[] };
            let Some(connection) = self.conns.get(conn).filter(|found| !found.is_closing()) else {
                return &[];
            };
            decoder.set_max_len(connection.max_frame(&self.config));
            let body = match decoder.next_frame(&mut bytes) {
                Ok(Some(body)) => body,
                Ok(None) => break,
                Err(error) => {
                    self.frame_too_long(now, conn, error, out);
                    return &[];
                }
            };
            whole = true;
            match ClientMessage::decode(body) {
                Ok(message) => {
                    let is_request = message.is_request();
                    cost += cost_of(&message);
                    self.message(now, conn, message, out);
                    if is_request {
                        self.count_request(conn, body.len());
                    }
                }
                Err(error) => {
                    if !self.malformed(now, conn, error, body, out) {
                        return &[];
                    }
                    cost += UNKNOWN_COST;
                }
            }
            // Before the next: one read may hold thousands of requests.
            let too_much = self.asks_too_much(conn);
            if self.is_struck(conn) || too_much && self.is_over_limit(now, link) {
                self.put_out(now, conn, out);
                return &[];
            }
            if too_much {
                let max = clamp_u32(MAX_UNSENT_REPLIES);
                self.close(now, conn, CloseReason::TooManyRequests { max }, out);
                return &[];
            }
        }
        let Some(conn) = self.conn_on(link) else { return &[] };
        let Some(connection) = self.conns.get_mut(conn) else { return &[] };
        let incomplete = decoder.partial_len() > 0;
        connection.decoder = decoder;
        let since = connection.liveness.partial.filter(|_| !whole).unwrap_or(now);
        connection.liveness.partial = incomplete.then_some(since);
        if incomplete {
            self.schedule(conn);
        }
        bytes
    }

    /// Counts a request, and tells the client now and then that it has arrived.
    fn count_request(&mut self, conn: ConnId, len: usize) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.requests += 1;
        connection.unacked.frames += 1;
        connection.unacked.bytes += len;
        let unacked = connection.unacked;
        if unacked.frames >= UNACKED_REQUESTS || unacked.bytes >= UNACKED_BYTES {
            connection.unacked = Unacked::default();
            let count = connection.requests;
            if !self.config.resume_grace.is_zero() {
                self.push(conn, ItemKind::Control, &ServerMessage::Received { count });
            }
        }
    }

    /// A client spoke after it was given its new secret: it has that.
    fn note_speech(&mut self, conn: ConnId) {
        if plants::old_secret_ends()
            && let Some(connection) = self.conns.get_mut(conn)
        {
            connection.secrets.old = None;
        }
    }

    /// The client says how many numbered messages it has.
    pub(super) fn confirmed(
        &mut self,
        now: Instant,
        conn: ConnId,
        count: u64,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if !connection.outbox.confirm(count) {
            let what = format!("{count} messages were confirmed that were never sent");
            self.close(now, conn, CloseReason::Protocol { what }, out);
        }
    }

    /// Whether more answers wait than one read may call for.
    fn asks_too_much(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some_and(|connection| {
            connection.outbox.cost() > self.config.outbox_limit
                || connection.outbox.replies() > MAX_UNSENT_REPLIES
        })
    }

    fn frame_too_long(
        &mut self,
        now: Instant,
        conn: ConnId,
        error: FrameTooLong,
        out: &mut Vec<Output>,
    ) {
        let opened = self.conns.get(conn).is_some_and(Connection::is_open);
        let reason = if opened {
            CloseReason::PayloadTooLarge { len: clamp_u32(error.len), max: clamp_u32(error.max) }
        } else {
            CloseReason::Protocol { what: format!("before the handshake, {error}") }
        };
        self.close(now, conn, reason, out);
    }

    /// A frame is no message that is known here; whether the connection goes on.
    fn malformed(
        &mut self,
        now: Instant,
        conn: ConnId,
        error: DecodeError,
        body: &[u8],
        out: &mut Vec<Output>,
    ) -> bool {
        let is_open = self.conns.get(conn).is_some_and(Connection::is_open);
        if let DecodeError::UnknownKind(kind) = error
            && is_open
            && ClientMessage::is_unknown_request(kind)
        {
            self.note_speech(conn);
            let limited = self.may_ask(now, conn, UNKNOWN_COST as u64).err();
            let reason = limited.unwrap_or(Refusal::Unsupported { kind });
            self.refuse(conn, RoomId(0), 0, reason);
            self.count_request(conn, body.len());
            return true;
        }
        let reason = if is_open {
            CloseReason::Protocol { what: error.to_string() }
        } else {
            Versions::why_unreadable(body, error)
        };
        self.close(now, conn, reason, out);
        false
    }

    fn message(
        &mut self,
        now: Instant,
        conn: ConnId,
        message: ClientMessage<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get(conn) else { return };
        match (&connection.session, message) {
            (Session::Greeting { .. }, ClientMessage::Hello(hello)) => {
                self.hello(now, conn, hello, out);
            }
            (Session::Greeting { .. }, ClientMessage::Resume(resume)) => {
                let checked = resume.versions.check(resume.magic);
                match checked.and_then(|()| self.check_bar(now, conn)) {
                    Ok(()) => {
                        let token = resume.token;
                        let first = First::Resume(resume.without_token());
                        self.identify(now, conn, token, first, out);
                    }
                    Err(reason) => self.close(now, conn, reason, out),
                }
            }
            (_, ClientMessage::Close { reason: _ }) => {
                // Whatever reason a client gives for going, to others it just left.
                self.farewell(now, conn, out);
            }
            (Session::Open, message) => {
                self.note_speech(conn);
                self.request(now, conn, message, out);
            }
            (
                Session::Greeting { .. }
                | Session::Asking { .. }
                | Session::Away { .. }
                | Session::Closing { .. },
                _,
            ) => {
                let what = "a message before the handshake was complete".to_owned();
                self.close(now, conn, CloseReason::Protocol { what }, out);
            }
        }
    }
}

/// About how often a broadcast could be taken in the time that the message takes.
fn cost_of(message: &ClientMessage<'_>) -> usize {
    match message {
        ClientMessage::Broadcast { .. }
        | ClientMessage::ToServer { .. }
        | ClientMessage::Ping { .. }
        | ClientMessage::Pong { .. }
        | ClientMessage::Received { .. }
        | ClientMessage::Close { .. } => 1,
        ClientMessage::Leave { .. } | ClientMessage::SetMetadata { .. } => 4,
        ClientMessage::Join { .. } => 16,
        ClientMessage::Hello(_)
        | ClientMessage::Resume(_)
        | ClientMessage::ListRooms { .. }
        | ClientMessage::Authenticate { .. } => 64,
    }
}

/// About how often a broadcast could be refused in the time that an unknown request takes, and
/// what it costs.
const UNKNOWN_COST: usize = 4;

/// What is done with the messages of one link before others have their turn: as much as some
/// fifty microseconds allow.
const AT_ONCE: usize = 128;

/// Requests, and bytes of them, after which a client is told that they arrived.
const UNACKED_REQUESTS: usize = 256;
const UNACKED_BYTES: usize = 64 << 10;

/// Answers that may wait at all, whether or not the socket is full.
const MAX_UNSENT_REPLIES: usize = 1024;
