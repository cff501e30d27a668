//! A server, its clients, a clock and the network between them.

mod clients;
mod end;
mod faults;
mod guard;
mod host;
mod hostile;
mod links;
mod operations;
mod questions;
mod requests;
mod users;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use fastrand::Rng;

use super::{
    marks::Mark,
    network::Link,
    oracle::{Cause, Oracle},
    stamp::mix,
    swarm::Swarm,
};
use crate::{
    client::{ServerEvent, Session},
    relay::{AskId, ConnId, Input, LinkId, Output, Relay, RelayEvent},
    wire::UserId,
};
use questions::OpenAsk;
use users::{OpenToken, Signer};

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
    /// Over which link somebody wants to go on with a session, where the host is asked.
    greeted: BTreeMap<ConnId, LinkId>,
    signer: Signer,
    tokens: Vec<OpenToken>,
    /// Tokens that the host verifies at once.
    prompt_tokens: Vec<AskId>,
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
    /// Who it is, if it says so.
    user: Option<UserId>,
    /// When the token that it has shown last expires.
    expires: Option<Instant>,
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
            greeted: BTreeMap::new(),
            signer: Signer::new(base),
            tokens: Vec::new(),
            prompt_tokens: Vec::new(),
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
                Output::Verify { ask, client_id, addr, token } => {
                    self.asked_for_identity(cause, ask, token, (client_id, addr));
                }
                Output::Disconnect { link } => self.dropped(link),
            }
        }
        self.oracle.acted();
        self.out = out;
        result
    }

    /// The link of a connection, and who opened it.
    fn heir(&self, conn: ConnId) -> Option<(LinkId, usize)> {
        // It may have lost the link again by now.
        let link = self.relay.link_of(conn).or_else(|| self.greeted.get(&conn).copied())?;
        let author = self.links.get(self.by_id.get(&link)?)?.author?;
        Some((link, author))
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
            let decided = self.prompt.is_empty() && self.prompt_tokens.is_empty();
            if !self.relay.is_dirty() && decided {
                return;
            }
        }
        self.oracle.fail("I20", "the relay is never done");
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

    /// A number that was not drawn before.
    fn unique(&mut self) -> u64 {
        self.serial += 1;
        mix(0x9d2c, self.serial)
    }
}

/// More clients than this join at once.
const CROWD: usize = 6;
