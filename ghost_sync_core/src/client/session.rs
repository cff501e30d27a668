//! What the server said and what it may say next: bytes in, events out. Knows
//! neither socket nor task, and takes the time as an argument.
//!
//! ```text
//! Greeting --Welcome--> Open --violation, close()--> Closed
//!     ^                 |  ^
//!     |        link lost|  |Resumed
//!     |                 v  |
//!     |   reopen()--- Away |
//!     |       |         ^  |
//!     |       v         |  |
//!     \---- Resuming ---/--/
//!  ResumeFailed   link lost
//! ```
//!
//! From every state, `part()` leads to `Away` without a session: only wishes wait there, and
//! `reopen()` leads on to `Greeting`.
//!
//! A session outlives its links. Without one (and until the server has taken it
//! up again) requests wait; those that the server has not confirmed are sent
//! again, so that each is carried out once.

mod anew;
mod asked;
mod events;
mod lane;
mod membership;
mod pace;
mod pings;
mod requests;
mod resume;
mod sent;
mod unconfirmed;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::wire::{
    ClientId, ClientMessage, CloseReason, Decoder, DisconnectReason, MAX_SERVER_FRAME, Protocol,
    Rates, RoomId, RoomName, Secret, ServerMessage, UserId, VERSIONS, Welcome,
};

use super::{
    ConnectError, Reconnect, RequestError, RequestKind, Sender, ServerEvent, hello::OwnHello,
};
use asked::Asked;
use lane::Lane;
use membership::{Membership, Place};
use pace::Pace;
use pings::Pings;
use sent::{Kind, Sent};
use unconfirmed::Unconfirmed;

/// Answers to pings that may wait to be written: more than an honest server can
/// ask for before it gives up.
const MAX_PONGS: usize = 4096;

/// Rooms left with broadcasts on their way that are remembered.
const MAX_LATE: usize = 64;

/// What one client and its server know of each other.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    hello: OwnHello,
    reconnect: Reconnect,
    /// What the server said last, perhaps about a session that is over.
    greeted: Option<Greeted>,
    /// The user that the server takes it for.
    user: Option<UserId>,
    /// What a resume shows; `None` where there is nothing to resume.
    ticket: Option<Ticket>,
    decoder: Decoder,
    /// Frames to write, whole ones.
    outbox: BytesMut,
    /// Answers to pings among them.
    pongs: usize,
    unconfirmed: Unconfirmed,
    /// How many of them may have arrived before the link was lost.
    unsent: usize,
    /// How many of them were left when there was made room last.
    tidied: usize,
    lane: Lane,
    rooms: BTreeMap<RoomId, Membership>,
    /// Rooms in the order in which they were joined.
    order: Vec<RoomId>,
    /// Joins without an answer yet, by their numbers.
    joins: VecDeque<(u32, Asked)>,
    /// Lists without an answer yet, by their numbers.
    lists: BTreeSet<u32>,
    /// Tokens that the server has not looked at yet, by the numbers of their requests.
    tokens: BTreeSet<u32>,
    /// Own broadcasts on their way to rooms that this client has left.
    late: BTreeMap<RoomId, u64>,
    sent: Sent,
    pings: Pings,
    pace: Pace,
    next_request: u32,
    /// Where the session of an earlier process that goes on had seats.
    resumed: Option<Vec<RoomName>>,
    /// Those of which the server has not told more yet.
    awaited: Vec<RoomName>,
    /// Seats and joins of a session that could not be resumed, until it is known
    /// whether the server goes on with it.
    former: Vec<(Asked, Former)>,
    /// Those of the awaited ones that were given up before.
    unwanted: Vec<RoomName>,
    /// Seats to ask the next session for, in this order.
    wishes: Vec<Asked>,
    /// Whether there is no session: the next welcome begins one, and the program is told.
    begins_anew: bool,
    /// Whether a server has ever greeted this client.
    met: bool,
}

/// What a client knows of a seat in a session that could not be resumed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Former {
    /// It was in, and the program knows.
    Seated,
    /// It was giving the seat up.
    Leaving,
    /// The program does not know of a seat.
    Asked,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// A hello was not answered.
    Greeting,
    /// A resume was not answered.
    Resuming,
    Open,
    /// There is no link.
    Away,
    /// This side ended it.
    Closed,
}

/// What the server said about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Greeted {
    /// The own id.
    pub(crate) client_id: ClientId,
    /// The longest payload in bytes.
    pub(crate) max_payload: usize,
    /// How long a live server may be silent; `None` if it does not ping.
    pub(crate) silence: Option<Duration>,
    /// How long it holds the seats of a client that lost its connection.
    pub(crate) grace: Duration,
    /// How much this client may ask for in how much time.
    pub(crate) rates: Rates,
}

/// What takes a session up again.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    epoch: u64,
    secret: Secret,
    /// Resumes sent so far.
    attempt: u32,
}

/// The server broke the protocol; the connection must end.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Violation(String);

impl<T: Into<String>> From<T> for Violation {
    fn from(what: T) -> Self {
        Self(what.into())
    }
}

impl Session {
    /// A session that begins with a hello.
    pub(crate) fn new(hello: OwnHello, reconnect: Reconnect) -> Result<Self, ConnectError> {
        Ok(Self {
            phase: Phase::Greeting,
            outbox: hello.to_frame()?,
            hello,
            reconnect,
            greeted: None,
            user: None,
            ticket: None,
            decoder: Decoder::new(MAX_SERVER_FRAME),
            pongs: 0,
            unconfirmed: Unconfirmed::default(),
            unsent: 0,
            tidied: 0,
            lane: Lane::default(),
            rooms: BTreeMap::new(),
            order: Vec::new(),
            joins: VecDeque::new(),
            lists: BTreeSet::new(),
            tokens: BTreeSet::new(),
            late: BTreeMap::new(),
            sent: Sent::default(),
            pings: Pings::default(),
            pace: Pace::default(),
            next_request: 0,
            resumed: None,
            awaited: Vec::new(),
            former: Vec::new(),
            unwanted: Vec::new(),
            wishes: Vec::new(),
            begins_anew: false,
            met: false,
        })
    }

    /// The typed messages that the program knows, if it was told any set.
    pub(crate) fn protocol(&self) -> Option<&Protocol> {
        self.hello.protocol.as_ref()
    }

    /// What the server said about itself, once it did.
    pub(crate) fn greeted(&self) -> Option<Greeted> {
        self.greeted
    }

    /// The user that the server takes this client for, if its token said one.
    pub(crate) fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// Whether what is asked for leaves at once.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Bytes that wait to be written, or to be confirmed by a server that takes
    /// longer than usual.
    pub(crate) fn queued(&self) -> usize {
        self.outbox.len().max(self.unconfirmed.excess())
    }

    /// Everything that waits to be written.
    pub(crate) fn take_outbox(&mut self) -> BytesMut {
        if self.is_open() && self.lane.is_due() && self.greeted.is_some_and(Greeted::holds) {
            ClientMessage::Received { count: self.lane.confirm() }.encode(&mut self.outbox);
        }
        self.pongs = 0;
        std::mem::take(&mut self.outbox)
    }

    /// The rooms that this client is in, in the order in which it joined them.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        let told = self.order.iter().filter_map(|id| self.rooms.get(id)).map(Membership::name);
        told.chain(&self.awaited)
    }

    /// Where the session of an earlier process that goes on had seats.
    pub(crate) fn resumed(&self) -> Option<&[RoomName]> {
        self.resumed.as_deref()
    }

    /// Takes what arrived and appends what it means to `events`.
    ///
    /// # Errors
    /// Why the link must end: the server closed it, or broke the protocol
    /// (a `Close` that says so then waits to be written). Events from before are
    /// good.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        mut bytes: Bytes,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), DisconnectReason> {
        loop {
            let body = match self.decoder.next_frame_shared(&mut bytes) {
                Ok(Some(body)) => body,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let reason = CloseReason::PayloadTooLarge {
                        len: u32::try_from(error.len).unwrap_or(u32::MAX),
                        max: u32::try_from(error.max).unwrap_or(u32::MAX),
                    };
                    return Err(self.close(reason));
                }
            };
            let message = match ServerMessage::decode(&body) {
                Ok(ServerMessage::Close { reason }) => {
                    if self.phase != Phase::Closed {
                        self.phase = Phase::Away;
                    }
                    return Err(DisconnectReason::Closed(reason));
                }
                Ok(message) => message,
                Err(error) => {
                    return Err(self.close(CloseReason::Protocol { what: error.to_string() }));
                }
            };
            if message.is_numbered() {
                self.lane.count(body.len());
            }
            if let Err(Violation(what)) = self.on_message(now, message, &body, events) {
                return Err(self.close(CloseReason::Protocol { what }));
            }
        }
    }

    /// Says goodbye; nothing can be asked for afterwards.
    pub(crate) fn close(&mut self, reason: CloseReason) -> DisconnectReason {
        if !matches!(self.phase, Phase::Away | Phase::Closed) {
            ClientMessage::Close { reason: reason.clone() }.encode(&mut self.outbox);
        }
        self.phase = Phase::Closed;
        DisconnectReason::Closed(reason)
    }

    fn on_message(
        &mut self,
        now: Instant,
        message: ServerMessage<'_>,
        body: &Bytes,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        match (self.phase, message) {
            (Phase::Open, message) => self.on_event(now, message, body, events),
            (Phase::Greeting, ServerMessage::Welcome(welcome)) => self.on_welcome(&welcome, events),
            (Phase::Greeting, _) => Err("the first message is not a welcome".into()),
            (Phase::Resuming, ServerMessage::Resumed { secret, received }) => {
                self.on_resumed(secret, received, events)
            }
            (Phase::Resuming, ServerMessage::ResumeFailed { reason }) => {
                self.on_resume_failed(reason, events)
            }
            (Phase::Resuming, _) => Err("the first message does not answer the resume".into()),
            (Phase::Away | Phase::Closed, _) => Ok(()),
        }
    }

    fn on_welcome(
        &mut self,
        welcome: &Welcome<'_>,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        let &Welcome {
            version,
            client_id,
            max_payload,
            ping_interval_ms,
            idle_timeout_ms,
            ref user,
            expires_ms: _,
            rates,
            resume_grace_ms,
            epoch,
            secret,
            ref rooms,
            extensions: _,
        } = welcome;
        if !VERSIONS.contains(version) {
            return Err(format!("welcome in protocol version {version}").into());
        }
        // A server that waits long for us may be silent for as long itself; one
        // that pings rarely is heard of rarely.
        let silence = Duration::from_millis(idle_timeout_ms.into())
            .max(Duration::from_millis(ping_interval_ms.into()) * 2);
        if self.greeted.is_some() {
            events.push(ServerEvent::Renewed { client_id });
        }
        self.greeted = Some(Greeted {
            client_id,
            max_payload: max_payload as usize,
            silence: (ping_interval_ms > 0).then_some(silence),
            grace: Duration::from_millis(resume_grace_ms.into()),
            rates,
        });
        self.user = match user.as_str() {
            "" => None,
            user => Some(UserId::new(user).map_err(|error| error.to_string())?),
        };
        self.ticket = Some(Ticket { epoch, secret, attempt: 0 });
        let former = self.hello.session.take();
        let rooms: Result<Vec<_>, _> = rooms.iter().map(|name| RoomName::new(name)).collect();
        let rooms = rooms.map_err(|error| error.to_string())?;
        self.resumed = None;
        if former.is_some_and(|former| former.client_id == client_id) {
            self.awaited = rooms.clone();
            self.resumed = Some(rooms);
        } else if !rooms.is_empty() {
            return Err("seats of a session that has just begun".into());
        }
        (self.phase, self.met) = (Phase::Open, true);
        self.leave_out_stale(0);
        self.outbox.extend_from_slice(self.unconfirmed.frames());
        self.settle(events);
        if std::mem::take(&mut self.begins_anew) {
            self.on_begun(client_id, events);
        }
        if !self.is_held() {
            self.unconfirmed = Unconfirmed::default();
        }
        Ok(())
    }
}

impl Greeted {
    /// Whether the server holds sessions for clients that lost their connection.
    fn holds(self) -> bool {
        self.grace > Duration::ZERO
    }
}

#[cfg(test)]
mod tests;
