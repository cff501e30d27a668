//! Judges a simulation while it runs. Knows no data structure of the relay: it
//! keeps each room's log from what the host is told, each client's place in it
//! from the frames that the client gets, and compares.

mod anew;
mod asides;
mod author;
mod bars;
mod delivery;
mod end;
mod events;
mod host;
mod limits;
mod program;
mod room;
mod stale;
mod trust;
mod users;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    ops::Range,
    time::{Duration, Instant},
};

use super::{
    marks::{Mark, Marks},
    stamp,
    swarm::Swarm,
};
use crate::{
    relay::{ConnId, DisconnectReason, LinkId, RelayMode},
    wire::{ClientId, RoomId, RoomName, Seat},
};

pub(super) use author::{Author, Message, Stay};
pub(super) use bars::Known;
pub(super) use program::Expected;

use author::Fate;
use room::RoomLog;

/// An invariant that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Which: `I1` to `I36`, or `panic`.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
    /// After how many operations.
    pub step: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at operation {}: {}", self.invariant, self.step, self.seen)
    }
}

/// What the relay was given when it said something.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    Bytes(LinkId),
    /// The identity of whoever showed a token over a link.
    Token(LinkId),
    Lost,
    Tick,
    Answer {
        conn: ConnId,
        about: About,
        accepted: bool,
        words: Range<u32>,
    },
    Disconnect(ConnId),
    Host,
    Shutdown,
    Write,
}

impl Cause {
    /// Over which link that came, sooner or later.
    pub(super) fn link(&self) -> Option<LinkId> {
        match self {
            Self::Bytes(link) | Self::Token(link) => Some(*link),
            _ => None,
        }
    }
}

/// What a question is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum About {
    Connect,
    CreateRoom,
    Join(RoomId),
    Greet(RoomId),
    Relay,
    SetMetadata,
}

/// A room of one relay; its numbers start anew when the server is restarted.
pub(super) type RoomKey = (u32, RoomId);

#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) failure: Option<Failure>,
    pub(super) marks: Marks,
    pub(super) trace: u64,
    pub(super) step: usize,
    pub(super) now: Instant,
    /// What the clients were given since they were last asked what they make of it.
    pub(super) expected: VecDeque<Expected>,
    pub(super) era: u32,
    swarm: Swarm,
    rooms: BTreeMap<RoomKey, RoomLog>,
    bars: bars::Bars,
    users: users::Users,
    /// Why a connection ended last.
    pub(super) ended_last: Option<DisconnectReason>,
    /// What the relay was given so far, each time.
    acts: u64,
    /// Sessions so far.
    opened: u64,
    sessions: BTreeMap<ConnId, SessionView>,
    /// Words on their way, by the session that they are for.
    directs: BTreeMap<ClientId, VecDeque<Direct>>,
    /// Words for one client that may be lost, by the session that they are for.
    asides: BTreeMap<ClientId, asides::Asides>,
    /// Who a session's client is.
    owners: BTreeMap<ClientId, usize>,
    /// Over which link a new process goes on with a session, and who it is.
    pub(super) heir: Option<(LinkId, usize)>,
    /// How new processes are greeted, by link and room; `None`: the host has not said.
    greetings: BTreeMap<(LinkId, RoomId), Option<Range<u32>>>,
    /// Sessions of this relay that are over.
    ended: BTreeSet<ClientId>,
    epochs: BTreeSet<u64>,
    pub(super) authors: Vec<Author>,
    /// What the server program said: the broadcasts.
    said: BTreeMap<u32, Saying>,
    pub(super) stopping: bool,
    last_room: RoomId,
    /// The mode of the room that the host is making.
    pub(super) made: Option<RelayMode>,
    /// Whose bytes the relay is given.
    pub(super) feeding: Option<usize>,
    /// The links of those whom the host is asked about.
    pub(super) asking: BTreeMap<ConnId, LinkId>,
    /// Bytes of each numbered message that was written, by session, with the
    /// number of the first.
    lanes: BTreeMap<ClientId, (u64, VecDeque<usize>)>,
    /// What became of the join that is being accepted.
    pub(super) outcomes: usize,
    stays: u64,
    /// What happened, in words, if somebody wants to know.
    pub(super) story: Option<Vec<String>>,
}

/// A session, as the host is told about it.
#[derive(Debug)]
struct SessionView {
    client_id: ClientId,
    addr: SocketAddr,
    /// Later ones have higher ones.
    order: u64,
    signed: Option<users::Signed>,
    /// Since when it has been known that nothing waits for it that is older.
    quiet_since: Instant,
    opened_at: Instant,
    /// When it last left a room.
    left_act: u64,
    /// What was accepted from it.
    spent: limits::Spent,
    link: Option<LinkId>,
    away: Option<Away>,
    seats: BTreeMap<RoomId, Seat>,
    meta: BTreeMap<String, String>,
    meta_version: u64,
    /// Keys that the server has set or removed.
    locked: BTreeSet<String>,
    /// Changes of metadata that the host was asked about, and those that it allowed.
    wishes: VecDeque<trust::Wish>,
    last_room: RoomId,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// The session ends no earlier by itself.
    pub(super) earliest: Instant,
    /// And no later.
    pub(super) latest: Instant,
}

/// A broadcast of the server program.
#[derive(Clone, Copy, Debug)]
struct Saying {
    len: usize,
}

/// Words for one client alone.
#[derive(Clone, Copy, Debug)]
struct Direct {
    counter: u32,
    /// The room, and its next event when it was said.
    room: Option<(RoomKey, u64)>,
}

impl Oracle {
    pub(super) fn new(swarm: Swarm, now: Instant) -> Self {
        Self {
            failure: None,
            marks: Marks::default(),
            trace: 0,
            step: 0,
            now,
            expected: VecDeque::new(),
            era: 0,
            swarm,
            rooms: BTreeMap::new(),
            bars: bars::Bars::default(),
            users: users::Users::default(),
            ended_last: None,
            acts: 0,
            opened: 0,
            sessions: BTreeMap::new(),
            directs: BTreeMap::new(),
            asides: BTreeMap::new(),
            owners: BTreeMap::new(),
            heir: None,
            greetings: BTreeMap::new(),
            ended: BTreeSet::new(),
            epochs: BTreeSet::new(),
            authors: Vec::new(),
            said: BTreeMap::new(),
            stopping: false,
            last_room: RoomId(0),
            made: None,
            feeding: None,
            asking: BTreeMap::new(),
            lanes: BTreeMap::new(),
            outcomes: 0,
            stays: 0,
            story: None,
        }
    }

    /// Keeps the first thing that is wrong.
    pub(super) fn fail(&mut self, invariant: &'static str, seen: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(Failure { invariant, seen: seen.into(), step: self.step });
        }
    }

    /// Writes down what happens, if somebody wants to know.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(what());
        }
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.reach(mark);
    }

    /// Another client of the simulation; returns its number.
    pub(super) fn author(&mut self) -> usize {
        self.authors.push(Author::default());
        self.authors.len() - 1
    }

    /// Sessions that begin with this id are that client's.
    pub(super) fn owns(&mut self, client_id: ClientId, author: usize) {
        self.owners.insert(client_id, author);
    }

    /// The server was restarted.
    pub(super) fn restarted(&mut self) {
        if !self.sessions.is_empty() {
            self.mark(Mark::Restarted);
        }
        self.era += 1;
        self.sessions.clear();
        self.greetings.clear();
        self.forget_bars();
        self.forget_users();
        self.ended.clear();
        self.stopping = false;
        self.last_room = RoomId(0);
    }

    /// Until when a client's session is held, if it is away.
    pub(super) fn away(&self, author: usize) -> Option<Away> {
        let client_id = self.authors.get(author)?.client_id;
        self.sessions.values().find(|session| session.client_id == client_id)?.away
    }

    /// The head of a room's log.
    pub(super) fn head(&self, key: RoomKey) -> u64 {
        self.rooms.get(&key).map_or(0, RoomLog::head)
    }

    /// The sessions that there are.
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.sessions.keys().copied()
    }

    /// Whether a session with that id goes on.
    pub(super) fn is_alive(&self, client_id: ClientId) -> bool {
        self.sessions.values().any(|session| session.client_id == client_id)
    }

    /// Whether that link is the one of a client's session.
    pub(super) fn is_linked(&self, author: usize, link: LinkId) -> bool {
        self.session_of(author).is_some_and(|session| session.link == Some(link))
    }

    fn session_of(&self, author: usize) -> Option<&SessionView> {
        let client_id = self.authors[author].client_id;
        self.sessions.values().find(|session| session.client_id == client_id)
    }

    /// What an honest client said, and the number that its program got for it.
    pub(super) fn says(&mut self, author: usize, reference: u64, message: Message) {
        let messages = &mut self.authors[author].messages;
        messages.push(message);
        let count = messages.len() as u64;
        if reference != count {
            self.fail("I13", format!("message {count} got number {reference}"));
        }
    }

    /// Whether a room has that name.
    pub(super) fn is_called(&self, key: RoomKey, name: &RoomName) -> bool {
        self.rooms.get(&key).is_some_and(|room| room.name == *name)
    }

    /// The epoch of the room of that name, if somebody knows it.
    pub(super) fn epoch_of(&self, name: &str) -> Option<u64> {
        let of_era = self.rooms.range((self.era, RoomId(0))..);
        let mut open = of_era.filter(|(_, room)| room.deleted.is_none());
        open.find(|(_, room)| *room.name.as_str() == *name)?.1.epoch
    }

    /// How a room treats broadcasts.
    pub(super) fn mode_of(&self, room: RoomId) -> RelayMode {
        self.rooms.get(&(self.era, room)).map(|room| room.mode).unwrap_or_default()
    }

    /// A question to the host about a broadcast.
    pub(super) fn asked(&mut self, payload: &[u8]) {
        if let Some(stamp) = stamp::Stamp::read(payload)
            && let Some(author) = self.authors.get_mut(stamp.author as usize)
            && let Some(message) = author.messages.get_mut(stamp.counter as usize)
        {
            let again = std::mem::replace(&mut message.asked, true);
            if again {
                self.fail("I5", format!("the host is asked twice about {stamp:?}"));
            }
        } else {
            self.fail("I2", "the host is asked about a payload that nobody sent");
        }
    }

    /// The host's verdict about a broadcast, in time.
    pub(super) fn judged(&mut self, payload: &[u8], accepted: bool) {
        if let Some(stamp) = stamp::Stamp::read(payload)
            && let Some(author) = self.authors.get_mut(stamp.author as usize)
            && let Some(message) = author.messages.get_mut(stamp.counter as usize)
        {
            message.verdict = Some(accepted);
        }
        self.mark(if accepted { Mark::Moderated } else { Mark::ModeratedRejected });
    }

    /// A tick came so much after the relay wanted it.
    pub(super) fn slept(&mut self, late: Duration) {
        for session in self.sessions.values_mut() {
            if let Some(away) = &mut session.away {
                away.latest += late;
            }
            session.spent = limits::Spent::default();
        }
    }
}
