//! A server, its clients, a clock and the network between them.

mod clients;
mod end;
mod hostile;
mod operations;

use std::{
    collections::BTreeMap,
    io::IoSlice,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use fastrand::Rng;

use super::{
    marks::Mark,
    network::Link,
    oracle::{About, Cause, Oracle},
    stamp::{mix, mix_bytes},
    swarm::Swarm,
};
use crate::{
    client::{ServerEvent, Session},
    relay::{AskId, ConnId, Input, LinkId, Output, Question, Relay, RelayEvent, Verdict},
    wire::{ClientId, DisconnectReason, MessageType, Secret},
};

#[derive(Debug)]
pub(super) struct World {
    pub(super) oracle: Oracle,
    swarm: Swarm,
    relay: Relay,
    now: Instant,
    /// Drawn from by the operation that is going on.
    rng: Rng,
    links: BTreeMap<u32, Link>,
    by_id: BTreeMap<LinkId, u32>,
    last_link: u32,
    players: Vec<Player>,
    asks: Vec<OpenAsk>,
    /// Questions that the host answers at once.
    prompt: Vec<AskId>,
    /// Sockets that may have room again.
    writable: Vec<u32>,
    out: Vec<Output>,
    ready: Vec<LinkId>,
    told: Vec<ServerEvent>,
    /// What the server program said.
    words: u32,
    /// Numbers that are not used twice.
    serial: u64,
    /// Whether all is well from here on.
    healed: bool,
}

/// An honest client and its program.
#[derive(Debug)]
struct Player {
    session: Session,
    author: usize,
    link: Option<u32>,
    /// What the socket did not take yet.
    writing: BytesMut,
    heard: Instant,
    /// Whether it never had a link.
    fresh: bool,
    /// Whether a resume was not answered.
    resuming: bool,
    over: bool,
    /// The server's epoch.
    epoch: u64,
}

#[derive(Clone, Debug)]
struct OpenAsk {
    ask: AskId,
    conn: ConnId,
    about: About,
    payload: Option<Bytes>,
    deadline: Instant,
    /// Over which link a new process waits for the answer.
    greeter: Option<LinkId>,
}

impl World {
    pub(super) fn new(seed: u64, base: Instant, story: Option<Vec<String>>) -> Self {
        let swarm = Swarm::new(seed);
        let relay = Relay::new(swarm.relay.clone());
        let mut oracle = Oracle::new(swarm.clone(), base);
        oracle.story = story;
        oracle.tell(|| format!("{swarm:?}"));
        let mut world = Self {
            oracle,
            relay,
            now: base,
            rng: Rng::with_seed(seed),
            links: BTreeMap::new(),
            by_id: BTreeMap::new(),
            last_link: 0,
            players: Vec::new(),
            asks: Vec::new(),
            prompt: Vec::new(),
            writable: Vec::new(),
            out: Vec::new(),
            ready: Vec::new(),
            told: Vec::new(),
            words: 0,
            serial: seed << 20,
            healed: false,
            swarm,
        };
        for _ in 0..world.swarm.players {
            let player = world.player();
            world.players.push(player);
        }
        for name in 0..world.swarm.names {
            world.create_room(name);
        }
        for player in 0..world.players.len() {
            world.connect(player);
        }
        world.turn();
        if world.players.len() > CROWD {
            for player in 0..world.players.len() {
                world.flow();
                world.join(player);
            }
            world.flow();
        }
        world
    }

    fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.oracle.now = self.now;
    }

    /// Does something to the relay, and takes what comes of it.
    fn act<T>(
        &mut self,
        cause: &Cause,
        act: impl FnOnce(&mut Relay, Instant, &mut Vec<Output>) -> T,
    ) -> T {
        let mut out = std::mem::take(&mut self.out);
        let result = act(&mut self.relay, self.now, &mut out);
        for output in out.drain(..) {
            match output {
                Output::Event(event) => {
                    if let RelayEvent::ConnectionResumed { conn, restarted: true, .. } = event {
                        self.oracle.heir = self.heir(conn);
                    }
                    self.oracle.tell(|| format!("    host: {event:?} by {cause:?}"));
                    self.oracle.on_event(cause, event);
                }
                Output::Ask { ask, question, deadline } => self.asked(ask, question, deadline),
                Output::Disconnect { link } => self.dropped(link),
            }
        }
        self.out = out;
        result
    }

    /// The link of a connection, and who opened it.
    fn heir(&self, conn: ConnId) -> Option<(LinkId, usize)> {
        let link = self.relay.link_of(conn)?;
        let author = self.links.get(self.by_id.get(&link)?)?.author?;
        Some((link, author))
    }

    fn asked(&mut self, ask: AskId, question: Question, deadline: Instant) {
        let greeter = self.relay.greeter_of(ask);
        let (conn, about, payload) = match question {
            Question::Greet { conn, room, .. } => {
                if let Some(link) = greeter {
                    self.oracle.asked_how_to_greet(link, conn, room, deadline);
                    if let Some(greeting) = self.relay.conn_on(link) {
                        self.oracle.asking.insert(greeting, link);
                    }
                }
                (conn, About::Greet(room), None)
            }
            Question::Connect { conn, .. } => (conn, About::Connect, None),
            Question::Join { conn, room, .. } => (conn, About::Join(room), None),
            Question::CreateRoom { conn, .. } => (conn, About::CreateRoom, None),
            Question::Relay { conn, message_type, payload, .. } => {
                self.oracle.check_direction(message_type);
                (conn, About::Relay, Some(payload))
            }
            Question::SetMetadata { conn, key, value, .. } => {
                self.oracle.asked_metadata(conn, ask, key, value);
                (conn, About::SetMetadata, None)
            }
        };
        if let Some(payload) = &payload {
            self.oracle.asked(payload);
        }
        if about == About::Connect
            && let Some(link) = self.relay.link_of(conn)
        {
            self.oracle.asking.insert(conn, link);
        }
        self.asks.push(OpenAsk { ask, conn, about, payload, deadline, greeter });
        if self.healed || self.rng.u32(..8) < self.swarm.prompt {
            self.prompt.push(ask);
        }
    }

    /// Answers what the host answers at once.
    fn answer_prompt(&mut self) {
        while let Some(ask) = self.prompt.pop() {
            self.answer(ask);
        }
    }

    fn answer(&mut self, ask: AskId) {
        let Some(at) = self.asks.iter().position(|open| open.ask == ask) else { return };
        let OpenAsk { conn, about, payload, deadline, greeter, .. } = self.asks.remove(at);
        let asked = self.relay.is_asked(ask);
        if asked && deadline < self.now {
            self.oracle.fail("I19", format!("{ask:?} waits after its deadline"));
        }
        let draw = if self.healed { 0 } else { self.rng.u32(..16) };
        let first = self.words;
        let verdict = match draw {
            0..9 => Verdict::Accept,
            9..12 => {
                let mut words = Vec::new();
                for _ in 0..self.rng.u32(1..3) {
                    words.push((MessageType::RAW, self.say(about.room(), 16).into()));
                }
                Verdict::greet(words)
            }
            _ => Verdict::reject("no"),
        };
        let accepted = draw < 12;
        if asked {
            if let Some(payload) = payload {
                self.oracle.judged(&payload, accepted);
            }
            if about == About::SetMetadata && accepted {
                self.oracle.accepted_metadata(conn, ask);
            }
        } else {
            self.oracle.mark(Mark::LateAnswer);
        }
        let words = first..self.words;
        if let (true, Some(link), About::Greet(room)) = (asked, greeter, about) {
            self.oracle.greets(link, room, words.clone());
        }
        let cause = Cause::Answer { conn, about, accepted: accepted && asked, words };
        self.oracle.outcomes = 0;
        let mut outputs = 0;
        self.act(&cause, |relay, now, out| {
            relay.handle(now, Input::Answer { ask, verdict }, out);
            outputs = out.len();
        });
        let due = usize::from(asked && accepted && matches!(about, About::Join(_)));
        if self.oracle.outcomes != due && matches!(about, About::Join(_)) {
            let seen = format!("{} outcomes of a join, {due} due", self.oracle.outcomes);
            self.oracle.fail("I19", seen);
        }
        if !asked && outputs > 0 {
            self.oracle.fail("I19", "an answer that comes too late changes something");
        }
    }

    /// The relay is done with a link.
    fn dropped(&mut self, id: LinkId) {
        let Some(serial) = self.by_id.remove(&id) else {
            return self.oracle.fail("I15", format!("{id:?} is dropped twice"));
        };
        if let Some(link) = self.links.get_mut(&serial) {
            link.served = false;
            link.down.ended = true;
            link.up.bytes.clear();
        }
    }

    /// Lets the host answer, and the relay write.
    fn turn(&mut self) {
        for _ in 0..100 {
            self.answer_prompt();
            let mut ready = std::mem::take(&mut self.ready);
            let most = self.swarm.relay.history_limit as u64;
            let over = self.relay.history_bytes() > most;
            self.act(&Cause::Write, |relay, now, out| relay.take_ready(now, &mut ready, out));
            if over && self.relay.history_bytes() <= most {
                self.oracle.mark(Mark::HistoryBounded);
            }
            for link in ready.drain(..) {
                if let Some(serial) = self.by_id.get(&link).copied() {
                    self.write(serial);
                }
            }
            self.ready = ready;
            let mut writable = std::mem::take(&mut self.writable);
            for serial in writable.drain(..) {
                self.write(serial);
            }
            self.writable = writable;
            if !self.relay.is_dirty() && self.prompt.is_empty() {
                return;
            }
        }
        self.oracle.fail("I20", "the relay is never done");
    }

    /// Writes to a socket what it takes.
    fn write(&mut self, serial: u32) {
        if let Some(id) = self.links.get(&serial).filter(|link| link.served).map(|link| link.id) {
            self.act(&Cause::Write, |relay, now, out| relay.catch_up(now, id, out));
        }
        loop {
            let Some(link) = self.links.get_mut(&serial).filter(|link| link.served) else { return };
            let id = link.id;
            let mut slices = [IoSlice::new(&[]); 8];
            let offer = self.relay.transmit(id, &mut slices);
            if offer.slices == 0 {
                link.behind = false;
                return;
            }
            let pipe = if self.healed { 1 << 22 } else { self.swarm.pipe };
            let mut room = pipe.saturating_sub(link.down.bytes.len()).min(self.swarm.write);
            // The first may have been chosen before it was full.
            let mut chosen = link.behind && link.wrote.partial_len() == 0;
            let mut taken = 0;
            for slice in &slices[..offer.slices] {
                let len = slice.len().min(room);
                let mut whole = &slice[..len];
                while let Ok(Some(body)) = link.wrote.next_frame(&mut whole) {
                    self.oracle.wrote(id, body);
                    if chosen {
                        self.oracle.wrote_behind(id, body);
                    }
                    chosen = link.behind;
                }
                if link.held {
                    link.down.bytes.extend_from_slice(&slice[..len]);
                }
                room -= len;
                taken += len;
            }
            let given: usize = slices[..offer.slices].iter().map(|slice| slice.len()).sum();
            if taken > 0 && taken < given {
                self.oracle.mark(Mark::PartialWrite);
            }
            if taken == 0 {
                (link.full, link.behind) = (true, true);
                self.oracle.mark(Mark::Blocked);
                return self.act(&Cause::Write, |relay, now, out| relay.blocked(now, id, out));
            }
            self.act(&Cause::Write, |relay, now, out| relay.sent(now, id, offer, taken, out));
        }
    }

    /// Gives the server up to `most` bytes of a link.
    fn deliver_up(&mut self, serial: u32, most: usize) -> bool {
        let Some(link) = self.links.get_mut(&serial) else { return false };
        let bytes = link.up.take(most);
        let (id, served, player, stale) = (link.id, link.served, link.player, link.stale);
        let author = link.author;
        if served && !bytes.is_empty() {
            self.oracle.trace = mix_bytes(self.oracle.trace, &bytes);
            self.oracle.feeding = author;
            if stale || player.is_some_and(|player| self.players[player].link != Some(serial)) {
                self.oracle.mark(Mark::StaleBytes);
            }
            let bytes = &bytes[..];
            let mut whole = bytes;
            if author.is_some() {
                while let Ok(Some(body)) = link.fed.next_frame(&mut whole) {
                    self.oracle.fed(body);
                }
            }
            self.oracle.tell(|| format!("  link {serial} to server: {} bytes", bytes.len()));
            self.act(&Cause::Bytes(id), |relay, now, out| {
                relay.handle(now, Input::Bytes { link: id, bytes }, out);
            });
            self.oracle.feeding = None;
        }
        if let Some(player) = player {
            self.flush(player);
        }
        let Some(link) = self.links.get_mut(&serial) else { return true };
        if link.served && link.up.bytes.is_empty() && link.up.ended {
            self.server_loses(serial, DisconnectReason::ConnectionClosed);
            return true;
        }
        !bytes.is_empty()
    }

    /// The server is told that a link is gone.
    fn server_loses(&mut self, serial: u32, reason: DisconnectReason) {
        let Some(link) = self.links.get_mut(&serial).filter(|link| link.served) else { return };
        link.served = false;
        link.down.ended = true;
        link.up.bytes.clear();
        let id = link.id;
        self.by_id.remove(&id);
        self.act(&Cause::Lost, |relay, now, out| {
            relay.handle(now, Input::Disconnected { link: id, reason }, out);
        });
    }

    /// Lets the relay look at the clock.
    fn tick(&mut self) {
        if let Some(due) = self.relay.next_deadline() {
            let late = self.now.saturating_duration_since(due);
            if late > Duration::from_secs(2) {
                self.oracle.slept(late);
                self.oracle.mark(Mark::Slept);
            }
        }
        self.act(&Cause::Tick, |relay, now, out| relay.handle(now, Input::Tick, out));
    }

    /// Lets time pass, with every deadline on the way met.
    fn advance(&mut self, time: Duration, flow: bool) {
        let end = self.now + time;
        let mut turns = 0;
        loop {
            let silence = self.players.iter().filter_map(|player| {
                let silence = player.session.greeted().and_then(|greeted| greeted.silence)?;
                player.link.map(|_| player.heard + silence)
            });
            let due = silence.chain(self.relay.next_deadline()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.set_now(due);
            if self.relay.next_deadline().is_some_and(|due| due <= self.now) {
                self.tick();
            }
            self.turn();
            if flow {
                self.flow();
            }
            self.notice_silence();
            turns += 1;
            if turns > 20_000 || self.oracle.failure.is_some() {
                if self.oracle.failure.is_none() {
                    self.oracle.fail("I20", "the relay always wants another tick");
                }
                return;
            }
        }
        self.set_now(end);
    }

    /// Everything that can arrive does.
    fn flow(&mut self) {
        let mut serials: Vec<u32> = Vec::new();
        for _ in 0..64 {
            serials.clear();
            serials.extend(self.links.keys());
            let mut moved = false;
            for serial in &serials {
                let Some(link) = self.links.get(serial).filter(|link| !link.dead) else { continue };
                let (up, down) = (!link.up.stalled, !link.down.stalled);
                if up {
                    moved |= self.deliver_up(*serial, usize::MAX);
                }
                self.turn();
                if down {
                    moved |= self.deliver_down(*serial, usize::MAX);
                }
            }
            self.turn();
            if !moved || self.oracle.failure.is_some() {
                break;
            }
        }
        self.links.retain(|_, link| !link.is_over());
    }

    /// A number that was not drawn before.
    fn unique(&mut self) -> u64 {
        self.serial += 1;
        mix(0x9d2c, self.serial)
    }

    /// A socket between a client and the server.
    ///
    /// `None`: too many come from where it does.
    fn open_link(&mut self, player: Option<usize>) -> Option<u32> {
        let addr = self.address(player);
        if !self.relay.admits(self.now, addr) {
            self.oracle.mark(Mark::TurnedAway);
            if let Some(player) = player {
                self.oracle.authors[self.players[player].author].turned_away = true;
            }
            return None;
        }
        self.last_link += 1;
        let serial = self.last_link;
        let client_id = ClientId::from_u64_pair(self.unique(), serial.into());
        let secret = Secret((u128::from(self.unique()) << 64 | u128::from(serial)).to_le_bytes());
        if let Some(player) = player {
            self.oracle.owns(client_id, self.players[player].author);
        }
        self.links.insert(serial, Link::new(self.oracle.era, player, client_id));
        // What comes of it is looked at once the link is known.
        let mut out = Vec::new();
        let id = self.relay.connect(self.now, addr, client_id, secret, &mut out);
        self.by_id.insert(id, serial);
        let author = player.map(|player| self.players[player].author);
        if let Some(link) = self.links.get_mut(&serial) {
            (link.id, link.author) = (id, author);
        }
        self.act(&Cause::Host, |_, _, given| given.append(&mut out));
        Some(serial)
    }

    /// Where a client comes from: many share an address, and hostile peers have few.
    fn address(&self, player: Option<usize>) -> SocketAddr {
        let last = match player {
            Some(player) => [1, 1, 1, 2, 3][self.players[player].author % 5],
            None => 64 + self.last_link.to_le_bytes()[0] % 3,
        };
        SocketAddr::from(([10, 0, 0, last], 1000))
    }

    /// The `at`-th link there is.
    fn pick_link(&self, at: u32) -> Option<u32> {
        if self.links.is_empty() {
            return None;
        }
        self.links.keys().nth(at as usize % self.links.len()).copied()
    }
}

/// More clients than this join at once.
const CROWD: usize = 6;

impl About {
    fn room(self) -> crate::wire::RoomId {
        match self {
            Self::Join(room) | Self::Greet(room) => room,
            Self::Connect | Self::CreateRoom | Self::Relay | Self::SetMetadata => {
                Default::default()
            }
        }
    }
}
