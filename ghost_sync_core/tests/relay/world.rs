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
    Input, MAGIC, MAX_SERVER_FRAME, MessageType, Output, Question, Refusal, Relay, RelayConfig,
    RelayEvent, Replay, RoomConfig, RoomId, RoomName, Seat, SendFlags, ServerMessage, VERSION,
    Verdict,
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
    epoch: u64,
    /// Pings to answer.
    pings: Vec<(PeerId, u64)>,
}

pub(crate) struct Peer {
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
    decoder: Decoder,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut RelayConfig)) -> Self {
        let mut config = RelayConfig::default();
        change(&mut config);
        Self {
            relay: Relay::new(config),
            now: Instant::now(),
            events: Vec::new(),
            asked: Vec::new(),
            peers: Vec::new(),
            write_limit: usize::MAX,
            epoch: 0,
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
        let addr = SocketAddr::from(([127, 0, 0, 1], 1000));
        let conn = self.act(|relay, now, out| relay.connect(now, addr, client_id, out));
        self.peers.push(Peer {
            conn,
            client_id,
            frames: Vec::new(),
            rooms: BTreeMap::new(),
            takes: None,
            answers_pings: true,
            dropped: false,
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
        self.say(
            peer,
            &ClientMessage::Join { request: 7, room, data: b"", replay: Replay::Nothing },
        );
    }

    pub(crate) fn say(&mut self, peer: PeerId, message: &ClientMessage<'_>) {
        let bytes = encode(message);
        self.bytes(peer, &bytes);
        self.pump();
    }

    /// Without writing anything afterwards.
    pub(crate) fn bytes(&mut self, peer: PeerId, bytes: &[u8]) {
        let conn = self.peers[peer].conn;
        self.act(|relay, now, out| relay.handle(now, Input::Bytes { conn, bytes }, out));
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
        let conn = self.peers[peer].conn;
        let reason = DisconnectReason::ConnectionReset;
        self.act(|relay, now, out| relay.handle(now, Input::Disconnected { conn, reason }, out));
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
                Output::Disconnect { conn } => {
                    let peer = self.peers.iter_mut().find(|peer| peer.conn == conn);
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
            for conn in ready {
                self.write(conn);
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
        self.write(self.peers[peer].conn);
        self.pump();
    }

    fn write(&mut self, conn: ConnId) {
        let Some(at) = self.peers.iter().position(|peer| peer.conn == conn) else { return };
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let count = self.relay.transmit(conn, &mut slices);
            if count == 0 {
                return;
            }
            let given: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            let peer = &mut self.peers[at];
            let taken = given.len().min(self.write_limit).min(peer.takes.unwrap_or(usize::MAX));
            if let Some(takes) = &mut peer.takes {
                *takes -= taken;
            }
            if taken == 0 {
                return self.act(|relay, now, out| relay.blocked(now, conn, out));
            }
            let mut bytes = &given[..taken];
            while let Some(frame) = peer.decoder.next_frame(&mut bytes).expect("frames are whole") {
                match ServerMessage::decode(frame).expect("frames decode") {
                    ServerMessage::Joined { room, name, seat, .. } => {
                        peer.rooms.insert(name.to_owned(), (room, seat));
                    }
                    ServerMessage::Ping { nonce, .. } if peer.answers_pings => {
                        self.pings.push((at, nonce));
                        continue;
                    }
                    _ => {}
                }
                peer.frames.push(Bytes::copy_from_slice(frame));
            }
            self.act(|relay, now, out| relay.sent(now, conn, taken, out));
        }
    }

    fn answer_pings(&mut self) {
        for (peer, nonce) in std::mem::take(&mut self.pings) {
            self.bytes(peer, &encode(&ClientMessage::Pong { nonce, received: 0 }));
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
    ClientMessage::Hello { magic: MAGIC, version: VERSION, protocol: 0, data: b"", meta: vec![] }
}

pub(crate) fn encode(message: &ClientMessage<'_>) -> BytesMut {
    let mut buf = BytesMut::new();
    message.encode(&mut buf);
    buf
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
