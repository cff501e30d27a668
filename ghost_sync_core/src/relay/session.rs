//! What one connection may do now.
//!
//! ```text
//! Greeting --hello--> Asking --accepted--> Open --close--> Closing --drained--> gone
//!     |                  |            ^ |                    ^
//!     |                  |     resume | | link lost          |
//!     |                  |            | v                    |
//!     |                  |           Away ----grace over-----+
//!     +---- bad hello, deadline, rejected ---------------------+
//! ```

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    budget::Budget,
    config::{AuthPolicy, RelayConfig},
    event::{AskId, DisconnectReason, LinkId},
    metadata::{MetadataLimit, MetadataMap, OwnedChange},
    outbox::Outbox,
    plants,
    restart::Restart,
    tokens::{First, Signed},
    undecided::Undecided,
};
use crate::wire::{
    ClientId, Decoder, Delivery, JoinOptions, MAX_HELLO, MAX_OVERHEAD, MAX_TOKEN, MessageType,
    RoomId, RoomName, Seat, Secret, SendFlags,
};

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client_id: ClientId,
    pub(super) addr: SocketAddr,
    pub(super) link: Option<LinkId>,
    /// What its client shows to take the session up on another link.
    pub(super) secrets: Secrets,
    /// The number of the last resume.
    pub(super) attempt: u32,
    /// Whether another program than the last goes on with the session, and has not resumed it yet.
    pub(super) is_new_program: bool,
    pub(super) session: Session,
    /// Whether it has asked for another connection's session.
    pub(super) tried_resume: bool,
    /// Who it is, if a token said so.
    pub(super) signed: Option<Box<Signed>>,
    /// What it said first, while its token is verified.
    pub(super) first: Option<Box<First>>,
    /// The question about another token, which it has shown since.
    pub(super) verifying: Option<(u32, AskId)>,
    /// What it asked for if the host decides how to greet it.
    pub(super) restart: Option<Box<Restart>>,
    pub(super) decoder: Decoder,
    pub(super) seats: Vec<SeatRef>,
    pub(super) outbox: Outbox,
    pub(super) meta: MetadataMap,
    /// Broadcasts and messages to the host received so far.
    pub(super) reference: u64,
    /// Requests received so far, and those that the client was not told of.
    pub(super) requests: u64,
    pub(super) unacked: Unacked,
    pub(super) joins: VecDeque<PendingJoin>,
    /// Broadcasts that wait for the host's verdict, oldest first.
    pub(super) moderated: Undecided<OwnedBroadcast>,
    /// What it has used up of its limits.
    pub(super) budget: Budget,
    /// Changes of its metadata that wait for the host's verdict, oldest first.
    pub(super) meta_asked: Undecided<OwnedChange>,
    pub(super) liveness: Liveness,
    /// Since when the socket is full.
    pub(super) blocked: Option<Blocked>,
    /// Whether it is given what is newest, and gaps for the rest, until it has caught up.
    pub(super) behind: bool,
    /// When so many bytes wait, they are counted exactly.
    pub(super) recount_at: usize,
    /// Whether it is listed among the connections with something to send.
    pub(super) ready: bool,
    /// When the deadlines are looked at next.
    pub(super) due: Instant,
}

#[derive(Debug, PartialEq)]
pub(super) enum Session {
    /// No hello yet.
    Greeting {
        until: Instant,
    },
    /// The host decides.
    Asking {
        ask: AskId,
    },
    Open,
    /// Without a link; what it holds is held for it.
    Away {
        until: Instant,
        reason: DisconnectReason,
    },
    /// The last bytes are on their way.
    Closing {
        until: Instant,
    },
}

/// What takes a session up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secrets {
    pub(super) newest: Secret,
    /// What the client showed last time; good until it is known to have the newest.
    pub(super) old: Option<Secret>,
}

/// Requests that the client was not told about yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unacked {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SeatRef {
    pub(super) room: RoomId,
    pub(super) seat: Seat,
}

/// A join that is not decided.
#[derive(Debug)]
pub(super) struct PendingJoin {
    pub(super) request: u32,
    pub(super) name: RoomName,
    pub(super) options: JoinOptions,
    pub(super) stage: JoinStage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum JoinStage {
    New,
    CreatingRoom(AskId),
    Asking { ask: AskId, room: RoomId },
}

/// A broadcast that waits for a verdict.
#[derive(Clone, Debug)]
pub(super) struct OwnedBroadcast {
    pub(super) room: RoomId,
    pub(super) seat: Seat,
    pub(super) reference: u64,
    pub(super) delivery: Delivery,
    pub(super) flags: SendFlags,
    pub(super) message_type: MessageType,
    pub(super) payload: Bytes,
    /// Whether the room's validator has looked at it, or there is none.
    pub(super) is_valid: bool,
}

/// When the peer was last heard, and what was asked of it.
#[derive(Debug)]
pub(super) struct Liveness {
    pub(super) heard: Instant,
    pub(super) next_ping: Instant,
    pub(super) ping: Option<(u64, Instant)>,
    pub(super) missed: u8,
    pub(super) rtt: Option<Duration>,
    /// Since when a frame is incomplete.
    pub(super) partial: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Blocked {
    pub(super) since: Instant,
    /// Bytes taken since then.
    pub(super) taken: usize,
    /// When it last took any.
    pub(super) last: Instant,
    /// Whether anything waited that must arrive when that was looked at: `since` is later
    /// than when that began.
    pub(super) owes: bool,
}

/// Frames and bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threshold {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

impl Blocked {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, taken: 0, last: now, owes: true }
    }
}

impl Connection {
    pub(super) fn new(
        now: Instant,
        addr: SocketAddr,
        client_id: ClientId,
        secret: Secret,
        config: &RelayConfig,
    ) -> Self {
        let keep = if config.resume_grace.is_zero() { 0 } else { config.outbox_limit };
        Self {
            client_id,
            addr,
            link: None,
            secrets: Secrets { newest: secret, old: None },
            attempt: 0,
            is_new_program: false,
            session: Session::Greeting { until: now + config.handshake_timeout },
            tried_resume: false,
            signed: None,
            first: None,
            verifying: None,
            restart: None,
            decoder: Decoder::new(MAX_HELLO),
            seats: Vec::new(),
            outbox: Outbox::new(keep),
            meta: MetadataMap::new(MetadataLimit::CLIENT),
            reference: 0,
            requests: 0,
            unacked: Unacked::default(),
            joins: VecDeque::new(),
            moderated: Undecided::default(),
            budget: Budget::default(),
            meta_asked: Undecided::default(),
            liveness: Liveness {
                heard: now,
                next_ping: now + config.ping_interval,
                ping: None,
                missed: 0,
                rtt: None,
                partial: None,
            },
            blocked: None,
            behind: false,
            recount_at: config.outbox_limit,
            ready: false,
            due: now,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.session == Session::Open
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.session, Session::Greeting { .. })
    }

    /// Whether it has not said who it is, or is being decided about.
    pub(super) fn is_half_open(&self) -> bool {
        matches!(self.session, Session::Greeting { .. } | Session::Asking { .. })
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.session, Session::Away { .. })
    }

    /// Whether it has a session, with or without a link.
    pub(super) fn is_present(&self) -> bool {
        self.is_open() || self.is_away()
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.session, Session::Closing { .. })
    }

    pub(super) fn seat_in(&self, room: RoomId) -> Option<Seat> {
        self.seats.iter().find(|held| held.room == room).map(|held| held.seat)
    }

    /// Takes the oldest undecided join, and leaves no memory behind after the last.
    pub(super) fn take_join(&mut self) -> Option<PendingJoin> {
        let join = self.joins.pop_front();
        if self.joins.is_empty() {
            self.joins = VecDeque::new();
        }
        join
    }

    /// The longest frame body it may send now.
    pub(super) fn max_frame(&self, config: &RelayConfig) -> usize {
        if plants::any_frame_length() {
            return usize::MAX;
        }
        if self.is_open() {
            let token = if config.host.auth == AuthPolicy::Anonymous { 0 } else { MAX_TOKEN };
            return config.max_payload.max(token).saturating_add(MAX_OVERHEAD);
        }
        // A resume names the client's rooms.
        MAX_HELLO.max(RESUME + PER_ROOM * config.rooms_per_client.min(MAX_ROOMS_PER_CLIENT))
    }

    /// When something has to be done about it if it stays silent.
    pub(super) fn deadline(&self, config: &RelayConfig) -> Instant {
        let live = &self.liveness;
        let own = match self.session {
            Session::Greeting { until }
            | Session::Away { until, .. }
            | Session::Closing { until } => return until,
            // The host's answer has a deadline of its own.
            Session::Asking { .. } => live.heard + config.idle_timeout,
            Session::Open => (live.heard + config.idle_timeout).min(live.next_ping),
        };
        let partial = live.partial.map(|since| since + config.frame_timeout);
        let write = self.blocked.map(|blocked| blocked.since + config.write_timeout);
        let token = self.token_due();
        [partial, write, token].into_iter().flatten().fold(own, Instant::min)
    }

    /// Moves everything that counts time by `by`, because the relay itself slept.
    pub(super) fn postpone(&mut self, by: Duration) {
        match &mut self.session {
            Session::Greeting { until }
            | Session::Away { until, .. }
            | Session::Closing { until } => *until += by,
            Session::Asking { .. } | Session::Open => {}
        }
        self.budget.refill();
        let live = &mut self.liveness;
        live.heard += by;
        live.next_ping += by;
        if let Some(since) = &mut live.partial {
            *since += by;
        }
        if let Some(blocked) = &mut self.blocked {
            blocked.since += by;
            blocked.last += by;
        }
    }
}

impl Secrets {
    /// Whether `key` is one of them.
    pub(super) fn open_to(&self, key: &Secret) -> bool {
        self.newest.is_same(key) | self.old.is_some_and(|old| old.is_same(key))
    }
}

/// Bytes of a resume without rooms, at most, and of each room in it.
const RESUME: usize = 96 + MAX_TOKEN;
const PER_ROOM: usize = 20;

/// Rooms that one client may be in: as many as a resume can name, which is a first message and
/// so no longer than 65,535 bytes (`PROTOCOL.md`, "Versions").
pub(super) const MAX_ROOMS_PER_CLIENT: usize = (u16::MAX as usize - RESUME) / PER_ROOM;

impl Threshold {
    /// Where dropping begins: all frames, half of the bytes.
    pub(super) fn of(config: &RelayConfig) -> Self {
        Self { frames: config.channel_capacity, bytes: config.outbox_limit / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        ClientId, ClientMessage, HEADER_LEN, MAGIC, Progress, Resume, SessionTicket, Token,
        VERSIONS,
    };

    #[test]
    fn a_client_in_as_many_rooms_as_may_be_names_them_all_in_a_first_message() {
        let rooms_per_client = MAX_ROOMS_PER_CLIENT;
        let progress = Progress { room: RoomId(1), last: 2, own: 3 };
        let resume = ClientMessage::Resume(Resume {
            magic: MAGIC,
            versions: VERSIONS,
            epoch: 4,
            session: SessionTicket { client_id: ClientId::nil(), secret: Secret::default() },
            attempt: 5,
            received: 6,
            token: Token(&[7; MAX_TOKEN]),
            rooms: vec![progress; rooms_per_client],
        });
        let mut frame = bytes::BytesMut::new();
        resume.encode(&mut frame);
        let len = frame.len() - HEADER_LEN;
        let config = RelayConfig { rooms_per_client, ..RelayConfig::default() };
        let addr = ([127, 0, 0, 1], 1).into();
        let now = Instant::now();
        let greeter = Connection::new(now, addr, ClientId::nil(), Secret::default(), &config);
        assert!(len <= greeter.max_frame(&config), "{len}");
        assert!(greeter.max_frame(&config) <= usize::from(u16::MAX));
        assert!(config.check().is_ok());
        let more = RelayConfig { rooms_per_client: rooms_per_client + 1, ..config };
        assert_eq!(more.check().map_err(|error| error.setting), Err("rooms_per_client"));
    }
}
