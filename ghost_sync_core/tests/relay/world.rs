//! A relay, its clients, a clock and sockets that take as much as a test says.

use std::{
    collections::BTreeMap,
    io::IoSlice,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    AskId, ClientId, ClientMessage, CloseReason, ConnId, Decoder, Delivery, DisconnectReason,
    GapReason, Hello, Input, JoinOptions, LinkId, MAGIC, MAX_SERVER_FRAME, MessageType, Output,
    Progress, Question, Refusal, Relay, RelayConfig, RelayEvent, Replay, Resume, RoomConfig,
    RoomId, RoomName, Seat, Secret, SendFlags, ServerMessage, SessionTicket, Token, VERSIONS,
    Verdict, Welcome,
};

/// A client as a test sees it: its key is its index in [`World::peers`].
pub(crate) type PeerId = usize;

pub(crate) struct World {
    pub(crate) relay: Relay,
    pub(crate) now: Instant,
    pub(crate) events: Vec<RelayEvent>,
    pub(crate) asked: Vec<(AskId, Question)>,
    pub(crate) peers: Vec<Peer>,
    /// Bytes that one write takes at most.
    pub(crate) write_limit: usize,
    /// Tokens to verify.
    pub(crate) tokens: Vec<(AskId, Token)>,
    /// Where new sockets come from.
    pub(crate) from: SocketAddr,
    epoch: u64,
    server_epoch: u64,
    /// Pings to answer.
    pings: Vec<(PeerId, u64)>,
}

/// What a client shows to take its session up again.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) epoch: u64,
    pub(crate) client_id: ClientId,
    pub(crate) secret: Secret,
    pub(crate) received: u64,
    pub(crate) rooms: Vec<Progress>,
    /// The number of the resume; `None`: one higher than all before.
    pub(crate) attempt: Option<u32>,
}

impl Ticket {
    pub(crate) fn resume<'a>(&self) -> ClientMessage<'a> {
        let Self { epoch, client_id, secret, received, rooms, attempt } = self.clone();
        let attempt = attempt.unwrap_or(u32::MAX);
        ClientMessage::Resume(Resume {
            magic: MAGIC,
            versions: VERSIONS,
            epoch,
            session: SessionTicket { client_id, secret },
            attempt,
            received,
            token: Token::default(),
            rooms,
        })
    }
}

pub(crate) struct Peer {
    pub(crate) link: LinkId,
    pub(crate) conn: ConnId,
    pub(crate) client_id: ClientId,
    /// Frames received, not looked at yet.
    pub(crate) frames: Vec<Bytes>,
    /// Room numbers and own seats by name, from `Joined`.
    pub(crate) rooms: BTreeMap<String, (RoomId, Seat)>,
    /// Bytes that the socket still takes; `None`: any number.
    pub(crate) takes: Option<usize>,
    /// Whether pings are answered.
    pub(crate) answers_pings: bool,
    /// Whether the relay let go of the socket.
    pub(crate) dropped: bool,
    secret: Secret,
    /// The id that it was greeted with.
    welcomed: Option<ClientId>,
    /// How far it is in each room.
    heard: BTreeMap<RoomId, Heard>,
    /// Numbered frames received in its session.
    pub(crate) received: u64,
    decoder: Decoder,
}

/// How far a client is in a room.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    last: u64,
    own: u64,
    joined: u64,
    /// Up to here a gap has accounted for what is missing.
    loose: u64,
}

impl Heard {
    /// Event `seq` came.
    fn hear(&mut self, seq: u64) {
        let from = self.last.max(self.loose).min(seq - 1);
        let joining = u64::from((from + 1..seq).contains(&self.joined));
        self.own += seq - 1 - from - joining;
        self.last = seq;
    }

    /// Events were left out.
    fn skip(&mut self, from: u64, to: u64, own: u32, reason: GapReason) {
        self.hear(from);
        self.own += u64::from(own);
        (self.last, self.loose) = match reason {
            GapReason::Forgotten => (from - 1, to),
            _ => (to, self.loose),
        };
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut RelayConfig)) -> Self {
        // Most tests are about what happens at once; those of sessions say so.
        let mut config = RelayConfig { resume_grace: Duration::ZERO, ..RelayConfig::default() };
        change(&mut config);
        Self {
            relay: Relay::new(config),
            now: Instant::now(),
            events: Vec::new(),
            asked: Vec::new(),
            tokens: Vec::new(),
            peers: Vec::new(),
            write_limit: usize::MAX,
            from: SocketAddr::from(([127, 0, 0, 1], 1000)),
            epoch: 0,
            server_epoch: 0,
            pings: Vec::new(),
        }
    }

    pub(crate) fn room(&mut self, name: &str) -> RoomId {
        self.room_with(name, RoomConfig::default())
    }

    pub(crate) fn room_with(&mut self, name: &str, config: RoomConfig) -> RoomId {
        self.epoch += 1;
        let (name, epoch) = (RoomName::new(name).unwrap(), self.epoch);
        self.act(|relay, now, out| relay.create_room(now, name, epoch, config, out)).unwrap()
    }

    /// A socket that has said nothing yet.
    pub(crate) fn socket(&mut self) -> PeerId {
        let client_id = ClientId::from_u128(self.peers.len() as u128 + 1);
        let addr = self.from;
        let secret = Secret((self.peers.len() as u128 + 1000).to_le_bytes());
        let link = self.act(|relay, now, out| relay.connect(now, addr, client_id, secret, out));
        let conn = self.relay.conn_on(link).unwrap_or_default();
        self.peers.push(Peer {
            link,
            conn,
            client_id,
            frames: Vec::new(),
            rooms: BTreeMap::new(),
            takes: None,
            answers_pings: true,
            dropped: false,
            received: 0,
            secret,
            welcomed: None,
            heard: BTreeMap::new(),
            decoder: Decoder::new(MAX_SERVER_FRAME),
        });
        self.pump();
        self.peers.len() - 1
    }

    /// A client whose handshake is complete.
    pub(crate) fn client(&mut self) -> PeerId {
        let peer = self.socket();
        self.say(peer, &hello());
        peer
    }

    /// A client in a room, with everything said so far read.
    pub(crate) fn member(&mut self, room: &str) -> PeerId {
        let peer = self.client();
        self.join(peer, room);
        assert!(self.peers[peer].rooms.contains_key(room), "the join was refused");
        self.peers[peer].frames.clear();
        peer
    }

    pub(crate) fn join(&mut self, peer: PeerId, room: &str) {
        self.say(peer, &ClientMessage::Join { request: 7, room, options: JoinOptions::default() });
    }

    pub(crate) fn join_with(&mut self, peer: PeerId, room: &str, replay: Replay) {
        self.say(
            peer,
            &ClientMessage::Join {
                request: 7,
                room,
                options: JoinOptions { replay, ..JoinOptions::default() },
            },
        );
    }

    pub(crate) fn greet(&mut self, peer: PeerId) {
        self.say(peer, &hello());
    }

    pub(crate) fn direct(&mut self, peer: PeerId, room: &str, text: &str) {
        let conn = self.peers[peer].conn;
        self.relay
            .direct(&[conn], Some(room), Delivery::Reliable, MessageType::RAW, text.as_bytes())
            .unwrap();
        self.pump();
    }

    pub(crate) fn epoch_of(&self, room: &str) -> u64 {
        self.relay.rooms().find(|info| info.name == *room).unwrap().epoch
    }

    /// What a client would show to come back, by what it has received so far.
    pub(crate) fn ticket(&self, peer: PeerId) -> Ticket {
        let Peer { client_id, secret, received, heard, .. } = &self.peers[peer];
        let place = |(room, heard): (&RoomId, &Heard)| {
            let Heard { last, own, .. } = *heard;
            Progress { room: *room, last, own }
        };
        let rooms = heard.iter().map(place).collect();
        let (epoch, secret) = (self.server_epoch, *secret);
        Ticket { epoch, client_id: *client_id, secret, received: *received, rooms, attempt: None }
    }

    /// A new link of a program that remembers its ticket only; a peer of its own.
    pub(crate) fn begin_anew(&mut self, ticket: &Ticket) -> PeerId {
        let peer = self.socket();
        let session = SessionTicket { client_id: ticket.client_id, secret: ticket.secret };
        self.say(peer, &ClientMessage::Hello(Hello { session: Some(session), ..Hello::default() }));
        let state = &mut self.peers[peer];
        if state.welcomed == Some(ticket.client_id) {
            state.client_id = ticket.client_id;
        }
        state.conn = self.relay.conn_on(state.link).unwrap_or_default();
        peer
    }

    /// Says hello with the ticket of a session that could not be resumed, on the same link.
    pub(crate) fn greet_with(&mut self, peer: PeerId, ticket: &Ticket) {
        let session = SessionTicket { client_id: ticket.client_id, secret: ticket.secret };
        self.peers[peer].received = 0;
        self.say(peer, &ClientMessage::Hello(Hello { session: Some(session), ..Hello::default() }));
        let state = &mut self.peers[peer];
        state.conn = self.relay.conn_on(state.link).unwrap_or_default();
    }

    /// A new link that asks for an old session; a peer of its own.
    pub(crate) fn resume(&mut self, ticket: &Ticket) -> PeerId {
        self.resume_with(ticket, &[])
    }

    /// The same, with a token.
    pub(crate) fn resume_with(&mut self, ticket: &Ticket, token: &[u8]) -> PeerId {
        let peer = self.socket();
        let Ticket { client_id, received, rooms, .. } = ticket.clone();
        let state = &mut self.peers[peer];
        state.received = received;
        let place = |Progress { room, last, own }| (room, Heard { last, own, ..Heard::default() });
        state.heard = rooms.iter().copied().map(place).collect();
        if let Some(old) = self.peers[..peer].iter().rfind(|old| old.client_id == client_id) {
            let (conn, rooms) = (old.conn, old.rooms.clone());
            let state = &mut self.peers[peer];
            state.client_id = client_id;
            state.conn = conn;
            state.rooms = rooms;
        }
        let attempt = ticket.attempt.unwrap_or_else(|| u32::try_from(peer).unwrap());
        let mut resume = Ticket { attempt: Some(attempt), ..ticket.clone() }.resume();
        if let ClientMessage::Resume(resume) = &mut resume {
            resume.token = Token(token);
        }
        self.say(peer, &resume);
        peer
    }

    pub(crate) fn say(&mut self, peer: PeerId, message: &ClientMessage<'_>) {
        let bytes = encode(message);
        self.bytes(peer, &bytes);
        self.pump();
    }

    /// Without writing anything afterwards.
    pub(crate) fn bytes(&mut self, peer: PeerId, bytes: &[u8]) {
        let link = self.peers[peer].link;
        self.act(|relay, now, out| relay.handle(now, Input::Bytes { link, bytes }, out));
    }

    pub(crate) fn broadcast(&mut self, peer: PeerId, room: &str, text: &str) {
        self.broadcast_with(peer, room, Delivery::Reliable, SendFlags::NONE, text.as_bytes());
    }

    pub(crate) fn broadcast_with(
        &mut self,
        peer: PeerId,
        room: &str,
        delivery: Delivery,
        flags: SendFlags,
        payload: &[u8],
    ) {
        let room = self.peers[peer].rooms.get(room).map_or(RoomId(9999), |(room, _)| *room);
        let message_type = MessageType::RAW;
        self.say(peer, &ClientMessage::Broadcast { room, delivery, flags, message_type, payload });
    }

    pub(crate) fn hang_up(&mut self, peer: PeerId) {
        let link = self.peers[peer].link;
        let reason = DisconnectReason::ConnectionReset;
        self.act(|relay, now, out| relay.handle(now, Input::Disconnected { link, reason }, out));
        self.peers[peer].dropped = true;
        self.pump();
    }

    pub(crate) fn answer(&mut self, ask: AskId, verdict: Verdict) {
        self.act(|relay, now, out| relay.handle(now, Input::Answer { ask, verdict }, out));
        self.pump();
    }

    /// Lets time pass, with every deadline on the way met.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.relay.next_deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.act(|relay, now, out| relay.handle(now, Input::Tick, out));
            self.pump();
        }
        self.now = end;
    }

    /// Does something to the relay and keeps what comes out of it.
    pub(crate) fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Relay, Instant, &mut Vec<Output>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.relay, self.now, &mut out);
        for output in out {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Ask { ask, question, .. } => self.asked.push((ask, question)),
                Output::Verify { ask, token, .. } => self.tokens.push((ask, token)),
                Output::Disconnect { link } => {
                    let peer = self.peers.iter_mut().find(|peer| peer.link == link);
                    peer.expect("only known connections are dropped").dropped = true;
                }
            }
        }
        result
    }

    /// Writes until every socket is full or nothing is left, and answers pings.
    pub(crate) fn pump(&mut self) {
        loop {
            let mut ready = Vec::new();
            self.act(|relay, now, out| relay.take_ready(now, &mut ready, out));
            for link in ready {
                self.write(link);
            }
            self.answer_pings();
            if !self.relay.is_dirty() {
                break;
            }
        }
    }

    /// Lets a socket take `bytes` more, as its peer reads on.
    pub(crate) fn read_on(&mut self, peer: PeerId, bytes: usize) {
        if let Some(takes) = &mut self.peers[peer].takes {
            *takes += bytes;
        }
        let link = self.peers[peer].link;
        self.act(|relay, now, out| relay.catch_up(now, link, out));
        self.write(link);
        self.pump();
    }

    fn write(&mut self, link: LinkId) {
        let Some(at) = self.peers.iter().position(|peer| peer.link == link) else { return };
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let offer = self.relay.transmit(link, &mut slices);
            if offer.slices == 0 {
                return;
            }
            let given: Vec<u8> =
                slices[..offer.slices].iter().flat_map(|slice| slice.to_vec()).collect();
            let peer = &mut self.peers[at];
            let taken = given.len().min(self.write_limit).min(peer.takes.unwrap_or(usize::MAX));
            if let Some(takes) = &mut peer.takes {
                *takes -= taken;
            }
            if taken == 0 {
                return self.act(|relay, now, out| relay.blocked(now, link, out));
            }
            let mut bytes = &given[..taken];
            while let Some(frame) = peer.decoder.next_frame(&mut bytes).expect("frames are whole") {
                let message = ServerMessage::decode(frame).expect("frames decode");
                peer.received += u64::from(message.is_numbered());
                match message {
                    ServerMessage::Joined { room, name, seq, seat, since, .. } => {
                        peer.rooms.insert(name.to_owned(), (room, seat));
                        let heard = Heard { last: since - 1, joined: seq, ..Heard::default() };
                        peer.heard.insert(room, heard);
                    }
                    ServerMessage::Welcome(Welcome { epoch, secret, client_id, .. }) => {
                        peer.welcomed = Some(client_id);
                        self.server_epoch = epoch;
                        peer.secret = secret;
                    }
                    ServerMessage::Resumed { secret, .. } => peer.secret = secret,
                    ServerMessage::Left { room, .. } => {
                        peer.heard.remove(&room);
                    }
                    ServerMessage::Broadcast { room, seq, .. }
                    | ServerMessage::PlayerJoined { room, seq, .. }
                    | ServerMessage::PlayerLeft { room, seq, .. }
                    | ServerMessage::PlayerAway { room, seq, .. }
                    | ServerMessage::PlayerBack { room, seq, .. }
                    | ServerMessage::RoomMetadata { room, seq, .. }
                    | ServerMessage::PlayerMetadata { room, seq, .. }
                    | ServerMessage::RoomDeleted { room, seq, .. } => {
                        peer.heard.entry(room).or_default().hear(seq);
                    }
                    ServerMessage::Gap { room, from, to, own, reason } => {
                        peer.heard.entry(room).or_default().skip(from, to, own, reason);
                    }
                    ServerMessage::Ping { nonce, .. } if peer.answers_pings => {
                        self.pings.push((at, nonce));
                        continue;
                    }
                    _ => {}
                }
                peer.frames.push(Bytes::copy_from_slice(frame));
            }
            self.act(|relay, now, out| relay.sent(now, link, offer, taken, out));
        }
    }

    fn answer_pings(&mut self) {
        for (peer, nonce) in std::mem::take(&mut self.pings) {
            let received = self.peers[peer].received;
            self.bytes(peer, &encode(&ClientMessage::Pong { nonce, received }));
        }
    }

    /// The frames that came since the last call.
    pub(crate) fn take(&mut self, peer: PeerId) -> Vec<Bytes> {
        std::mem::take(&mut self.peers[peer].frames)
    }

    /// The texts of the broadcasts that came since the last call, nothing else counting.
    pub(crate) fn heard(&mut self, peer: PeerId) -> Vec<String> {
        let frames = self.take(peer);
        let texts = frames.iter().filter_map(|frame| match ServerMessage::decode(frame).unwrap() {
            ServerMessage::Broadcast { payload, .. } => {
                Some(String::from_utf8_lossy(payload).into_owned())
            }
            _ => None,
        });
        texts.collect()
    }

    /// The close that came, if one came.
    pub(crate) fn closed(&self, peer: PeerId) -> Option<CloseReason> {
        self.peers[peer].frames.iter().find_map(|frame| {
            match ServerMessage::decode(frame).unwrap() {
                ServerMessage::Close { reason } => Some(reason),
                _ => None,
            }
        })
    }

    /// Everything that was refused since the last call.
    pub(crate) fn refused(&mut self, peer: PeerId) -> Vec<Refusal> {
        let refused = self.refusals(peer);
        self.take(peer);
        refused
    }

    /// Everything that was refused since the frames were last taken.
    pub(crate) fn refusals(&self, peer: PeerId) -> Vec<Refusal> {
        let frames = self.peers[peer].frames.iter();
        let refused = frames.filter_map(|frame| match ServerMessage::decode(frame).unwrap() {
            ServerMessage::JoinRefused { reason, .. } | ServerMessage::Refused { reason, .. } => {
                Some(reason)
            }
            _ => None,
        });
        refused.collect()
    }
}

pub(crate) fn hello() -> ClientMessage<'static> {
    ClientMessage::Hello(Hello::default())
}

pub(crate) fn encode(message: &ClientMessage<'_>) -> BytesMut {
    let mut buf = BytesMut::new();
    message.encode(&mut buf);
    buf
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
