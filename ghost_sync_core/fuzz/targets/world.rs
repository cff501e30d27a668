//! A relay with its clock, its host and the sockets of three clients.

use std::{
    collections::{BTreeMap, HashMap},
    io::IoSlice,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    AskId, AuthPolicy, ClientId, ClientMessage, ConnId, Decoder, DisconnectReason, Hello, Input,
    LinkId, MAGIC, MAX_SERVER_FRAME, Output, Progress, Relay, RelayConfig, RelayEvent, Resume,
    Secret, ServerMessage, SessionTicket, Token, VERSIONS, Verdict, Welcome, Who, encode_frame,
};

use super::{
    model::{OUR_LISTS, OUR_TOKENS, Record, Said, Session, read_mark},
    tokens,
};

pub(super) struct World {
    /// Resumes sent so far, by anybody.
    attempts: u32,
    pub(super) relay: Relay,
    pub(super) now: Instant,
    pub(super) links: Vec<Link>,
    pub(super) asks: Vec<AskId>,
    /// Tokens that wait to be verified.
    pub(super) shown: Vec<Shown>,
    /// Whether they are verified at once; else they wait in `shown`.
    pub(super) verifies: bool,
    /// What the host does with questions at once; else they wait in `asks`.
    pub(super) verdict: Option<Verdict>,
    pub(super) record: Record,
    /// Who can take a session up again: by id, the newest secret and the one before.
    secrets: HashMap<ClientId, (Secret, Option<Secret>)>,
    numbers: BTreeMap<LinkId, usize>,
    outbox_limit: usize,
    auth: AuthPolicy,
    /// The relay's, as soon as somebody was told.
    epoch: Option<u64>,
    /// How often a session went on.
    pub(super) resumed: usize,
}

/// A socket, from both sides.
pub(super) struct Link {
    id: LinkId,
    /// What the relay was given for it.
    client_id: ClientId,
    secret: Secret,
    /// Bytes that the socket still takes; `None`: any number.
    pub(super) takes: Option<usize>,
    pub(super) session: Option<Session>,
    /// The ticket that was shown last, and what the client has if it is good.
    claim: Option<Claim>,
    pub(super) pings: Vec<u64>,
    /// The rest of a message that was cut.
    tail: Vec<u8>,
    decoder: Decoder,
    /// Whether its bytes may not be cut where the frames end.
    astray: bool,
    /// Whether it has a session as far as the relay is concerned.
    open: bool,
    greeted: bool,
    closed: bool,
    pub(super) gone: bool,
}

/// A token, and whose it is said to be.
pub(super) struct Shown {
    ask: AskId,
    client_id: ClientId,
    token: Token,
}

struct Claim {
    epoch: u64,
    client_id: ClientId,
    secret: Secret,
    session: Session,
}

/// What a client shows.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) epoch: u64,
    pub(super) client_id: ClientId,
    pub(super) secret: Secret,
    pub(super) received: u64,
    pub(super) token: Vec<u8>,
    pub(super) rooms: Vec<Progress>,
}

impl Ticket {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            epoch: session.epoch,
            client_id: session.client_id,
            secret: session.secret,
            received: session.received,
            token: Vec::new(),
            rooms: session.rooms(),
        }
    }
}

impl World {
    pub(super) fn new(config: RelayConfig) -> Self {
        let (outbox_limit, auth) = (config.outbox_limit, config.host.auth);
        Self {
            attempts: 0,
            relay: Relay::new(config),
            now: Instant::now(),
            links: Vec::new(),
            asks: Vec::new(),
            shown: Vec::new(),
            verifies: true,
            verdict: None,
            record: Record::default(),
            secrets: HashMap::new(),
            numbers: BTreeMap::new(),
            outbox_limit,
            auth,
            epoch: None,
            resumed: 0,
        }
    }

    /// A socket that has said nothing yet.
    pub(super) fn connect(&mut self) -> usize {
        let number = self.links.len();
        let client_id = ClientId::from_u128(number as u128 + 1);
        let secret = Secret(secret_of(number).to_le_bytes());
        let addr = SocketAddr::from(([127, 0, 0, 1], 1000));
        let mut out = Vec::new();
        let id = self.relay.connect(self.now, addr, client_id, secret, &mut out);
        self.links.push(Link {
            id,
            client_id,
            secret,
            takes: None,
            session: None,
            claim: None,
            pings: Vec::new(),
            tail: Vec::new(),
            decoder: Decoder::new(MAX_SERVER_FRAME),
            astray: false,
            open: false,
            greeted: false,
            closed: false,
            gone: false,
        });
        self.numbers.insert(id, number);
        self.take(out, None);
        self.pump();
        number
    }

    pub(super) fn greet(&mut self, link: usize) {
        self.say(link, &hello(b"", Vec::new()));
    }

    /// Shows another token, which must be answered once at most.
    pub(super) fn authenticate(&mut self, link: usize, token: &[u8]) {
        self.record.tokens += 1;
        let request = OUR_TOKENS + self.record.tokens;
        self.say(link, &ClientMessage::Authenticate { request, token: Token(token) });
    }

    /// Asks for the list of rooms, which must come exactly once.
    pub(super) fn list(&mut self, link: usize) {
        let state = &self.links[link];
        let session = state.session.as_ref().filter(|_| !state.astray);
        // Else nobody knows whether the relay takes it for what it is, or listens.
        let counts = session.filter(|session| {
            let conn = self.relay.conn_on(state.id);
            conn.is_some() && conn == self.relay.conn_of(session.client_id)
        });
        let request = counts.map_or(1, |session| {
            self.record.lists += 1;
            let request = OUR_LISTS + self.record.lists;
            self.record.listed.entry(session.client_id).or_default().push(request);
            request
        });
        self.say(link, &ClientMessage::ListRooms { request });
    }

    pub(super) fn say(&mut self, link: usize, message: &ClientMessage<'_>) {
        self.say_cut(link, message, 0);
    }

    /// Says a message, the last `kept` bytes of it with the next one only.
    pub(super) fn say_cut(&mut self, link: usize, message: &ClientMessage<'_>, kept: usize) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.frame(link, &bytes, kept);
    }

    /// A whole frame with any body.
    pub(super) fn raw_frame(&mut self, link: usize, body: &[u8]) {
        if let Ok(ClientMessage::Resume(Resume { epoch, session, .. })) =
            ClientMessage::decode(body)
        {
            let SessionTicket { client_id, secret } = session;
            let mut session = Session::new(epoch, client_id, secret);
            session.blind = true;
            self.links[link].claim = Some(Claim { epoch, client_id, secret, session });
        }
        let mut bytes = BytesMut::new();
        encode_frame(&mut bytes, |buf| buf.extend_from_slice(body));
        self.frame(link, &bytes, 0);
    }

    /// Bytes that need not be frames.
    pub(super) fn raw(&mut self, link: usize, bytes: &[u8]) {
        self.links[link].astray = true;
        self.frame(link, bytes, 0);
    }

    pub(super) fn show(&mut self, link: usize, ticket: &Ticket, session: Session) {
        let Ticket { epoch, client_id, secret, received, token, rooms } = ticket.clone();
        self.attempts += 1;
        let resume = ClientMessage::Resume(Resume {
            magic: MAGIC,
            versions: VERSIONS,
            epoch,
            session: SessionTicket { client_id, secret },
            attempt: self.attempts,
            received,
            token: Token(&token),
            rooms,
        });
        self.links[link].claim = Some(Claim { epoch, client_id, secret, session });
        self.say(link, &resume);
    }

    /// The other side's socket is gone.
    pub(super) fn lose(&mut self, link: usize, reason: DisconnectReason) {
        let id = self.links[link].id;
        self.links[link].gone = true;
        self.input(None, Input::Disconnected { link: id, reason });
        self.pump();
    }

    pub(super) fn answer(&mut self, ask: AskId, verdict: Verdict) {
        self.input(None, Input::Answer { ask, verdict });
        self.pump();
    }

    /// Finds out whose token that is, as its bytes say.
    pub(super) fn verify(&mut self, shown: Shown, link: Option<usize>) {
        let Shown { ask, client_id, token } = shown;
        let identity = tokens::identity(self.now, &token.0);
        if let Ok(identity) = &identity
            && self.relay.is_asked(ask)
        {
            self.record.verified.insert((client_id, identity.user.clone()));
            if identity.expires.is_some() {
                self.record.expiring.insert(client_id);
            }
        }
        self.input(link, Input::Identity { ask, identity: identity.map(Box::new) });
    }

    /// Looks at the deadlines once, `time` later.
    pub(super) fn jump(&mut self, time: Duration) {
        self.now += time;
        self.input(None, Input::Tick);
        let next = self.relay.next_deadline();
        assert!(next.is_none_or(|next| next > self.now), "a deadline that never passes");
        self.pump();
    }

    /// Lets time pass, with every deadline on the way met.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.relay.next_deadline().filter(|next| *next <= end) {
            self.jump(next.saturating_duration_since(self.now));
        }
        self.now = end;
    }

    pub(super) fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Relay, Instant, &mut Vec<Output>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.relay, self.now, &mut out);
        self.take(out, None);
        result
    }

    /// Nobody says or reads anything more; the relay must come to its end by itself.
    pub(super) fn fall_silent(&mut self) {
        for link in &mut self.links {
            link.takes = Some(0);
        }
        self.wait(LONG);
        assert!(self.links.iter().all(|link| link.gone), "a dead link is kept");
        assert_eq!(self.relay.connection_count(), 0, "a dead connection is kept");
    }

    /// Everybody goes; nothing of them must stay.
    pub(super) fn end(&mut self) {
        for link in 0..self.links.len() {
            if !self.links[link].gone {
                self.lose(link, DisconnectReason::ConnectionReset);
            }
        }
        let is_asked = |world: &Self| {
            let shown = world.shown.iter().map(|shown| &shown.ask);
            world.asks.iter().chain(shown).any(|ask| world.relay.is_asked(*ask))
        };
        assert!(self.relay.away_count() > 0 || !is_asked(self), "asked for nobody");
        // Sessions are held for a while, and rooms and their histories go later still.
        let mut ticks = 0;
        while let Some(next) = self.relay.next_deadline() {
            self.jump(next.saturating_duration_since(self.now));
            ticks += 1;
            assert!(ticks < 10_000, "the relay never comes to rest");
        }
        assert_eq!(self.relay.connection_count(), 0, "connections are left");
        assert_eq!(self.relay.client_count(), 0, "clients are left");
        assert_eq!(self.relay.away_count(), 0, "clients are away for ever");
        assert!(!is_asked(self), "asked for ever");
        for info in self.relay.rooms() {
            assert_eq!(info.players, 0, "{:?} has players", info.name);
        }
    }

    /// Writes until every socket is full or nothing is left.
    pub(super) fn pump(&mut self) {
        loop {
            let mut ready = Vec::new();
            self.act(|relay, now, out| relay.take_ready(now, &mut ready, out));
            for id in ready {
                if let Some(link) = self.numbers.get(&id) {
                    self.write(*link);
                }
            }
            if !self.relay.is_dirty() {
                break;
            }
        }
        self.check();
    }

    /// Lets a socket take so many bytes more; `None`: any number.
    pub(super) fn read_on(&mut self, link: usize, bytes: Option<usize>) {
        self.links[link].takes = bytes;
        let id = self.links[link].id;
        self.act(|relay, now, out| relay.catch_up(now, id, out));
        self.write(link);
        self.pump();
    }

    fn frame(&mut self, link: usize, bytes: &[u8], kept: usize) {
        let state = &mut self.links[link];
        let mut all = std::mem::take(&mut state.tail);
        all.extend_from_slice(bytes);
        let cut = all.len() - kept.min(bytes.len());
        state.tail = all.split_off(cut);
        let (id, was_open) = (state.id, state.open);
        self.input(Some(link), Input::Bytes { link: id, bytes: &all });
        let state = &mut self.links[link];
        if was_open && state.tail.is_empty() && !state.astray {
            // The relay has heard from a client that has its newest secret.
            let session = self.relay.conn_on(id);
            for (client_id, secrets) in &mut self.secrets {
                if session.is_some() && self.relay.conn_of(*client_id) == session {
                    secrets.1 = None;
                }
            }
        }
        self.pump();
    }

    fn input(&mut self, link: Option<usize>, input: Input<'_>) {
        let mut out = Vec::new();
        self.relay.handle(self.now, input, &mut out);
        self.take(out, link);
    }

    /// Keeps what came out of the relay, when `link` said something.
    fn take(&mut self, out: Vec<Output>, link: Option<usize>) {
        for output in out {
            match output {
                Output::Event(event) => self.event(event, link),
                Output::Ask { ask, deadline, .. } => {
                    assert!(deadline >= self.now);
                    self.asks.push(ask);
                }
                Output::Verify { ask, client_id, token, .. } => {
                    assert_ne!(self.auth, AuthPolicy::Anonymous, "nobody asks for tokens here");
                    self.shown.push(Shown { ask, client_id, token });
                }
                Output::Disconnect { link } => {
                    let link = self.numbers.get(&link).expect("a link that was connected");
                    self.links[*link].gone = true;
                }
            }
        }
        if self.verifies {
            for shown in std::mem::take(&mut self.shown) {
                self.verify(shown, link);
            }
        }
        if let Some(verdict) = self.verdict.clone() {
            for ask in std::mem::take(&mut self.asks) {
                self.input(link, Input::Answer { ask, verdict: verdict.clone() });
            }
        }
    }

    fn event(&mut self, event: RelayEvent, link: Option<usize>) {
        match event {
            RelayEvent::ConnectionOpened { conn, client_id, identity, .. } => {
                let user = identity.map(|identity| identity.user.clone());
                assert!(user.is_some() || self.auth != AuthPolicy::Required, "without a token");
                self.record.users.insert(client_id, user);
                let id = self.relay.link_of(conn);
                let opened = self.links.iter_mut().find(|link| link.client_id == client_id);
                let opened = opened.expect("one of the ids that were given");
                opened.open |= id.is_none_or(|id| id == opened.id);
                let secrets = (opened.secret, None);
                assert!(self.secrets.insert(client_id, secrets).is_none(), "opened twice");
            }
            RelayEvent::ConnectionResumed { conn, client_id, .. } => {
                self.resumed += 1;
                // A new process goes on when the host has said how to greet it.
                let id = self.relay.link_of(conn);
                let link = id.and_then(|id| self.numbers.get(&id).copied()).or(link);
                let link = &mut self.links[link.expect("somebody asked for it")];
                let (newest, before) = self.secrets[&client_id];
                let Some(claim) = &link.claim else {
                    assert!(link.astray, "resumed without a ticket");
                    panic!("a ticket was guessed");
                };
                let is_good = claim.secret == newest || Some(claim.secret) == before;
                assert!(is_good, "resumed with a secret that is not the session's");
                assert_eq!(claim.client_id, client_id, "resumed for another client");
                assert!(self.epoch.is_none_or(|epoch| epoch == claim.epoch), "another epoch");
                let user = self.record.users[&client_id].as_ref();
                let mut shown = self.record.verified.iter().filter(|(id, _)| *id == link.client_id);
                assert!(shown.all(|(_, shown)| Some(shown) == user), "resumed as another user");
                if self.record.expiring.contains(&link.client_id) {
                    self.record.expiring.insert(client_id);
                }
                self.secrets.insert(client_id, (link.secret, Some(claim.secret)));
                link.open = true;
            }
            RelayEvent::Broadcast { room, seat, seq, payload, .. } => {
                let said = Said { sender: seat, how: read_mark(&payload) };
                let again = self.record.said.insert((room, seq), said);
                assert!(again.is_none(), "event {seq} was said twice");
            }
            RelayEvent::PlayerLeft { room, seat, .. } => {
                let last = self.record.last_said(room);
                let again = self.record.left_at.insert((room, seat), last);
                assert!(again.is_none(), "{seat:?} left {room:?} twice");
            }
            _ => {}
        }
    }

    fn write(&mut self, link: usize) {
        let id = self.links[link].id;
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let offer = self.relay.transmit(id, &mut slices);
            if offer.slices == 0 {
                return;
            }
            let state = &mut self.links[link];
            assert!(!state.gone, "bytes for a link that is gone");
            let given: Vec<u8> =
                slices[..offer.slices].iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(!given.is_empty(), "empty pieces");
            let taken = given.len().min(state.takes.unwrap_or(usize::MAX));
            if let Some(takes) = &mut state.takes {
                *takes -= taken;
            }
            if taken == 0 {
                return self.act(|relay, now, out| relay.blocked(now, id, out));
            }
            let mut bytes = &given[..taken];
            while let Some(frame) = state.decoder.next_frame(&mut bytes).expect("whole frames") {
                let frame = Bytes::copy_from_slice(frame);
                let message = ServerMessage::decode(&frame).expect("what is sent decodes");
                if let ServerMessage::Welcome(Welcome { epoch, .. }) = message {
                    self.epoch = Some(epoch);
                }
                state.told(&mut self.record, &message, &frame);
            }
            self.act(|relay, now, out| relay.sent(now, id, offer, taken, out));
        }
    }

    fn check(&self) {
        for link in &self.links {
            let Some(conn) = self.relay.conn_on(link.id) else { continue };
            let queue = self.relay.queue_len(conn);
            assert!(queue.bytes <= self.outbox_limit + SLACK, "{queue:?} waits");
            let Some(session) = &link.session else { continue };
            if self.relay.conn_of(session.client_id) == Some(conn) {
                self.check_identity(conn, session);
            }
            if link.takes.is_some() || link.closed || link.gone || session.blind {
                continue;
            }
            for info in self.relay.rooms() {
                if let Some(stay) = session.stays.get(&info.id) {
                    self.record.all_given(info.id, stay, info.seq);
                }
            }
            let directs = self.record.directs.get(&session.client_id).map_or(0, Vec::len);
            assert_eq!(session.directs, directs, "what the host said is missing");
            let listed = self.record.listed.get(&session.client_id).map_or(0, Vec::len);
            assert_eq!(session.listed, listed, "an answer is missing");
        }
    }

    /// Checks that a client is there as somebody who may be.
    fn check_identity(&self, conn: ConnId, session: &Session) {
        let Some(identity) = self.relay.identity_of(conn) else {
            assert_ne!(self.auth, AuthPolicy::Required, "nobody in particular is here");
            return;
        };
        let user = self.record.users.get(&session.client_id).and_then(Option::as_ref);
        assert_eq!(user, Some(&identity.user), "its user has changed");
        assert!(identity.expires.is_none_or(|end| end >= self.now), "its token has expired");
        let mut bans = self.relay.bans(self.now);
        let banned = Who::User(identity.user.clone());
        assert!(bans.all(|ban| ban.who != banned), "who is banned is here");
        let mut rooms = self.relay.rooms_of(conn);
        assert!(rooms.all(|(_, name)| identity.rooms.covers(name)), "in a room not covered");
    }
}

impl Link {
    fn told(&mut self, record: &mut Record, message: &ServerMessage<'_>, frame: &Bytes) {
        assert!(!self.closed, "{message:?} after the last message");
        match message {
            ServerMessage::Close { .. } => self.closed = true,
            ServerMessage::Welcome(Welcome { client_id, epoch, secret, user, .. }) => {
                assert!(self.session.is_none() && !self.greeted, "welcome again");
                let known = record.users.get(client_id).and_then(Option::as_ref);
                assert_eq!(known.map_or("", |user| user.as_str()), user, "as another user");
                assert_eq!((*client_id, *secret), (self.client_id, self.secret));
                self.greeted = true;
                self.session = Some(Session::new(*epoch, *client_id, *secret));
            }
            ServerMessage::Resumed { secret, received } => {
                assert!(!self.greeted, "resumed in the middle of a session");
                assert_eq!(*secret, self.secret);
                self.greeted = true;
                let mut session = self.claim.take().expect("a ticket was shown").session;
                session.confirm(*received);
                session.secret = *secret;
                self.session = Some(session);
            }
            ServerMessage::ResumeFailed { .. } => {
                assert!(!self.greeted, "a session fails to resume that goes on");
                assert!(self.claim.take().is_some() || self.astray, "no ticket was shown");
            }
            _ => {
                if let ServerMessage::Ping { nonce, .. } = message {
                    self.pings.push(*nonce);
                }
                assert!(self.greeted, "{message:?} before the handshake");
                let session = self.session.as_mut().expect("a greeting makes one");
                session.told(record, message, frame);
            }
        }
    }

    /// Whether the client may say something on it.
    pub(super) fn is_up(&self) -> bool {
        !self.gone && !self.closed
    }
}

/// A hello with a token.
pub(super) fn signed<'a>(token: &'a [u8], meta: Vec<(String, String)>) -> ClientMessage<'a> {
    ClientMessage::Hello(Hello { token: Token(token), meta, ..Hello::default() })
}

pub(super) fn hello(data: &[u8], meta: Vec<(String, String)>) -> ClientMessage<'_> {
    ClientMessage::Hello(Hello { data, meta, ..Hello::default() })
}

/// Nobody guesses it: two numbers of a splitmix64 sequence (Steele, Lea, Flood 2014).
fn secret_of(number: usize) -> u128 {
    let mix = |n: u64| {
        let mut mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let number = number as u64;
    u128::from(mix(2 * number + 7)) << 64 | u128::from(mix(2 * number + 8))
}

/// More than all that the relay waits for, one after the other.
const LONG: Duration = Duration::from_secs(31 + 2 * 13 + 30 + 10 + 2);

/// One step's work, which waits before the outbox's limit can act.
const SLACK: usize = 64 * 1024;
