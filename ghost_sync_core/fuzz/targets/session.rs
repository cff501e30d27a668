//! What three clients, the host, the clock and the sockets may do, in any order.

use std::time::Duration;

use ghost_sync_core::{
    Announcement, ClientMessage, CloseReason, CreateOnJoin, Delivery, DisconnectReason, IfMissing,
    JoinOptions, Limits, MessageType, OverflowPolicy, Progress, RelayConfig, RelayMode, Replay,
    RoomConfig, RoomHistory, RoomId, RoomName, Seat, SendFlags, Verdict,
};

use super::{
    dice::Dice,
    model::{Said, Session, direct, marked},
    world::{Ticket, World, hello},
};

/// Sessions keep what they promise whatever happens to them: events in order and
/// none missing, messages for one alone exactly once, bounded queues, and nothing
/// left of those who are gone.
pub fn session(data: &[u8]) {
    let mut dice = Dice::new(data);
    let config = config(&mut dice);
    let settings = dice.byte();
    let verdict = [None, None, Some(Verdict::Accept), Some(Verdict::reject("no"))];
    let mut game = Game {
        world: World::new(config),
        peers: std::array::from_fn(|_| Peer::default()),
        directs: 0,
        stopped: false,
    };
    game.world.verdict = verdict[dice.pick(verdict.len())].clone();
    for _ in 0..MOST_STEPS {
        if dice.is_empty() {
            break;
        }
        game.step(&mut dice);
    }
    if settings & 1 != 0 {
        game.world.fall_silent();
    }
    game.world.end();
}

struct Game {
    world: World,
    peers: [Peer; 3],
    /// What the host said to clients alone.
    directs: u32,
    stopped: bool,
}

/// A client, over whatever links it has had.
#[derive(Default)]
struct Peer {
    link: Option<usize>,
    /// What it knew when it lost its link.
    session: Option<Session>,
    /// What it knew at some time before.
    stale: Option<Session>,
}

fn config(dice: &mut Dice<'_>) -> RelayConfig {
    let mut config = RelayConfig { limits: Limits::none(), ..RelayConfig::default() };
    let settings = dice.byte();
    config.host.ask_connect = settings & 3 == 3;
    config.host.ask_join = settings & 12 == 12;
    config.create_on_join = match settings >> 4 & 3 {
        0 => CreateOnJoin::Never,
        1 => CreateOnJoin::Ask,
        _ => CreateOnJoin::Always,
    };
    if settings & 64 != 0 {
        config.resume_grace = Duration::ZERO;
    }
    config.overflow = dice.one_of(&[
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropNewest,
        OverflowPolicy::KeepLatest,
        OverflowPolicy::Disconnect,
    ]);
    config.rooms_per_client = dice.one_of(&[1, 2, 3, 8]);
    config.channel_capacity = dice.one_of(&[1024, 1, 4, 16]);
    config.outbox_limit = dice.one_of(&[1 << 20, 1024, 4096, 16 << 10]);
    config.history_limit = dice.one_of(&[64 << 20, 0, 1000]);
    config.max_clients = dice.one_of(&[64, 1, 2, 3]);
    config.max_payload = 512;
    config.max_rooms = 4;
    config.room_defaults = room(dice);
    config.host.seed = 7;
    config
}

fn room(dice: &mut Dice<'_>) -> RoomConfig {
    // How each broadcast was sent is read from what the host is shown of it.
    let mut config = RoomConfig::default().observed();
    let settings = dice.byte();
    config = match settings & 3 {
        0 | 1 => config,
        2 => config.mode(RelayMode::Moderated),
        _ => config.mode(RelayMode::ServerOnly),
    };
    config = match settings >> 2 & 3 {
        0 => config.capacity(2),
        _ => config,
    };
    config = match settings >> 4 & 3 {
        0 => config.history(RoomHistory::NONE),
        1 => config.history(RoomHistory { events: 3, ..RoomHistory::default() }),
        2 => config.history(RoomHistory { bytes: 200, ..RoomHistory::default() }),
        _ => config,
    };
    if settings & 64 != 0 {
        config = config.replay(8).retain(2);
    }
    if settings & 128 != 0 {
        config = config.remove_when_empty(Duration::from_secs(1));
    }
    config
}

impl Game {
    fn step(&mut self, dice: &mut Dice<'_>) {
        let who = dice.byte();
        let peer = usize::from(who & 3) % self.peers.len();
        let Some(link) = self.up(peer) else { return self.come(peer, dice) };
        match dice.byte() % 36 {
            0..5 => self.join(link, dice),
            5 => self.leave(link, dice),
            6..13 => self.broadcast(link, dice),
            13 => self.send_to_server(link, dice),
            14 => self.pings(link, dice),
            15 => self.confirm(link, dice),
            16 => self.meta(link, dice),
            17 => self.world.list(link),
            18 => self.close(link, dice),
            19 => self.raw(link, dice),
            20 | 21 => self.lose(peer, dice),
            22 => self.remember(peer),
            23 => self.take_over(peer, dice),
            24 | 25 => self.socket(link, dice),
            26 | 27 => self.answer(dice),
            28 => self.time(dice),
            _ => self.host(link, dice),
        }
    }

    /// The link of a peer that can say something.
    fn up(&mut self, peer: usize) -> Option<usize> {
        let link = self.peers[peer].link?;
        if self.world.links[link].is_up() {
            return Some(link);
        }
        self.part(peer);
        None
    }

    /// Keeps what a peer knows, without its link.
    fn part(&mut self, peer: usize) {
        let state = &mut self.peers[peer];
        if let Some(link) = state.link.take()
            && let Some(session) = self.world.links[link].session.take()
        {
            state.session = Some(session);
        }
    }

    /// A peer without a link gets one: anew, or with its session.
    fn come(&mut self, peer: usize, dice: &mut Dice<'_>) {
        let link = self.world.connect();
        self.peers[peer].link = Some(link);
        match dice.pick(8) {
            0..3 => self.hello(link, dice),
            3..6 => self.resume(peer, link, dice),
            6 => {
                self.resume(peer, link, dice);
                if self.world.links[link].is_up() && self.world.links[link].session.is_none() {
                    self.hello(link, dice);
                }
            }
            _ => self.raw(link, dice),
        }
    }

    fn hello(&mut self, link: usize, dice: &mut Dice<'_>) {
        let meta = match dice.pick(3) {
            0 => Vec::new(),
            _ => vec![("name".to_owned(), "x".repeat(dice.pick(64)))],
        };
        self.world.say(link, &hello(b"ticket", meta));
    }

    fn resume(&mut self, peer: usize, link: usize, dice: &mut Dice<'_>) {
        let state = &self.peers[peer];
        let session = match dice.pick(6) {
            0 => state.stale.clone(),
            // Somebody else's, which it may have seen.
            1 => self.peers[(peer + 1) % 3].session.clone(),
            _ => state.session.clone(),
        };
        let Some(mut session) = session else { return self.hello(link, dice) };
        let mut ticket = Ticket::of(&session);
        if dice.once_in(4) {
            session.blind |= lie(&mut ticket, dice);
        }
        self.world.show(link, &ticket, session);
    }

    /// A second link takes the session over while the first is up.
    fn take_over(&mut self, peer: usize, dice: &mut Dice<'_>) {
        let Some(old) = self.peers[peer].link else { return };
        let Some(session) = self.world.links[old].session.clone() else { return };
        let mut session = session;
        let mut ticket = Ticket::of(&session);
        if dice.once_in(4) {
            session.blind |= lie(&mut ticket, dice);
        }
        let link = self.world.connect();
        self.world.show(link, &ticket, session);
        if self.world.links[link].session.is_some() {
            self.peers[peer].link = Some(link);
        }
    }

    fn lose(&mut self, peer: usize, dice: &mut Dice<'_>) {
        let Some(link) = self.peers[peer].link else { return };
        let reason = match dice.pick(3) {
            0 => DisconnectReason::ConnectionReset,
            1 => DisconnectReason::ConnectionClosed,
            _ => DisconnectReason::ConnectionLost(std::io::ErrorKind::TimedOut),
        };
        self.part(peer);
        self.world.lose(link, reason);
    }

    fn remember(&mut self, peer: usize) {
        let state = &mut self.peers[peer];
        let now = state.link.and_then(|link| self.world.links[link].session.clone());
        state.stale = now.or_else(|| state.session.clone());
    }

    fn join(&mut self, link: usize, dice: &mut Dice<'_>) {
        let room = dice.one_of(&["a", "b", "c", "a", "b", "d", "e", "", "\n"]);
        let draw = dice.pick(5);
        let if_missing = match draw {
            1 => IfMissing::Refuse,
            3 => IfMissing::Create { options: &b"4"[..] },
            _ => IfMissing::Default,
        };
        let replay = match draw {
            0..2 => Replay::Nothing,
            2 => Replay::Last(u32::MAX),
            3 => Replay::Last(u32::from(dice.byte())),
            _ => {
                let known = self.world.relay.rooms().find(|info| info.name == room);
                let epoch = known.map_or(7, |info| info.epoch);
                Replay::Since { epoch, seq: dice.near(3) }
            }
        };
        let join = ClientMessage::Join {
            request: 2,
            room,
            options: JoinOptions { data: b"please", replay, if_missing, ..JoinOptions::default() },
        };
        self.world.say_cut(link, &join, cut(dice));
    }

    fn leave(&mut self, link: usize, dice: &mut Dice<'_>) {
        let room = self.room_of(link, dice);
        self.world.say(link, &ClientMessage::Leave { room });
    }

    /// A room that a client is in; sometimes another.
    fn room_of(&self, link: usize, dice: &mut Dice<'_>) -> RoomId {
        let at = dice.pick(16);
        let session = self.world.links[link].session.as_ref();
        let stays = session.map(|session| &session.stays).filter(|stays| !stays.is_empty());
        match stays {
            Some(stays) if at < 15 => {
                *stays.keys().nth(at % stays.len()).expect("the index is below the length")
            }
            _ => RoomId(u32::from(dice.byte())),
        }
    }

    fn broadcast(&mut self, link: usize, dice: &mut Dice<'_>) {
        let room = self.room_of(link, dice);
        let delivery = delivery(dice);
        let known = if matches!(delivery, Delivery::Latest(_)) { 7 } else { 3 };
        let flags = SendFlags(dice.byte() & known);
        let payload = padded(delivery, flags, dice);
        let message_type = MessageType::RAW;
        let broadcast =
            ClientMessage::Broadcast { room, delivery, flags, message_type, payload: &payload };
        for _ in 0..[1, 1, 1, 5, 40][dice.pick(5)] {
            if !self.world.links[link].is_up() {
                break;
            }
            self.world.say(link, &broadcast);
        }
        if dice.once_in(8) && self.world.links[link].is_up() {
            self.world.say_cut(link, &broadcast, cut(dice));
        }
    }

    fn send_to_server(&mut self, link: usize, dice: &mut Dice<'_>) {
        let room = self.room_of(link, dice);
        let message_type = MessageType::of("Shot");
        self.world.say(link, &ClientMessage::ToServer { room, message_type, payload: b"bang" });
    }

    fn pings(&mut self, link: usize, dice: &mut Dice<'_>) {
        if dice.once_in(2) {
            return self.world.say(link, &ClientMessage::Ping { nonce: 3 });
        }
        let received = self.received(link);
        for nonce in std::mem::take(&mut self.world.links[link].pings) {
            if self.world.links[link].is_up() {
                self.world.say(link, &ClientMessage::Pong { nonce, received });
            }
        }
    }

    fn received(&self, link: usize) -> u64 {
        self.world.links[link].session.as_ref().map_or(0, |session| session.received)
    }

    fn confirm(&mut self, link: usize, dice: &mut Dice<'_>) {
        let received = self.received(link);
        let count = if dice.once_in(4) { dice.near(received) } else { received };
        self.world.say(link, &ClientMessage::Received { count });
    }

    fn meta(&mut self, link: usize, dice: &mut Dice<'_>) {
        let key = dice.one_of(&["name", "team", "", "a\nb"]);
        let text = "y".repeat(usize::from(dice.u16() % 400));
        let value = (!dice.once_in(3)).then_some(text.as_str());
        let if_version = dice.once_in(3).then(|| dice.near(1));
        self.world.say_cut(link, &ClientMessage::SetMetadata { key, value, if_version }, cut(dice));
    }

    fn close(&mut self, link: usize, dice: &mut Dice<'_>) {
        let reason = match dice.pick(3) {
            0 => CloseReason::Requested,
            1 => CloseReason::TakenOver,
            _ => CloseReason::IdleTimeout { after_ms: 1 },
        };
        self.world.say(link, &ClientMessage::Close { reason });
    }

    fn raw(&mut self, link: usize, dice: &mut Dice<'_>) {
        let is_frame = dice.once_in(2);
        let bytes = dice.bytes(200);
        if is_frame {
            self.world.raw_frame(link, bytes);
        } else {
            self.world.raw(link, bytes);
        }
    }

    fn socket(&mut self, link: usize, dice: &mut Dice<'_>) {
        let bytes = match dice.pick(4) {
            0 => None,
            1 => Some(0),
            2 => Some(usize::from(dice.byte())),
            _ => Some(usize::from(dice.u16())),
        };
        self.world.read_on(link, bytes);
    }

    fn answer(&mut self, dice: &mut Dice<'_>) {
        if self.world.asks.is_empty() {
            return;
        }
        let at = dice.pick(self.world.asks.len().min(256));
        let ask = self.world.asks.remove(at);
        let verdict = match dice.pick(4) {
            0 | 1 => Verdict::Accept,
            2 => {
                let payload = bytes::Bytes::from_static(b"the state of the game");
                Verdict::greet(vec![(MessageType::RAW, payload)])
            }
            _ => Verdict::reject("no"),
        };
        self.world.answer(ask, verdict.clone());
        if dice.once_in(8) {
            self.world.answer(ask, verdict);
        }
    }

    fn time(&mut self, dice: &mut Dice<'_>) {
        let times = [1, 100, 1000, 2500, 5000, 13_000, 31_000, 70_000];
        let time = Duration::from_millis(dice.one_of(&times));
        if dice.once_in(2) {
            self.world.jump(time);
        } else {
            self.world.wait(time);
        }
    }

    fn host(&mut self, link: usize, dice: &mut Dice<'_>) {
        let name = dice.one_of(&["a", "b", "c"]);
        let session = self.world.links[link].session.as_ref();
        let conn = session.and_then(|session| self.world.relay.conn_of(session.client_id));
        let text = "z".repeat(dice.pick(128));
        match dice.pick(14) {
            0..3 => {
                let (room_name, epoch) = (RoomName::new(name), u64::from(dice.byte()));
                let (room_name, config) = (room_name.expect("a good name"), room(dice));
                let made = |relay: &mut ghost_sync_core::Relay, now, out: &mut _| {
                    relay.create_room(now, room_name, epoch, config, out).is_ok()
                };
                self.world.act(made);
            }
            3 => {
                let _ = self.world.act(|relay, now, out| relay.delete_room(now, name, &text, out));
            }
            4 => {
                let _ = self.world.act(|relay, now, out| relay.close_room(now, name, &text, out));
            }
            5 if dice.once_in(2) => {
                let conn = conn.unwrap_or_default();
                let _ = self.world.act(|relay, now, out| relay.disconnect(now, conn, &text, out));
            }
            6 => {
                let (conn, room) = (conn.unwrap_or_default(), self.room_of(link, dice));
                let _ = self.world.act(|relay, now, out| relay.kick(now, conn, room, "x", out));
            }
            7 | 8 => self.host_says(name, dice),
            9 | 10 => {
                let room = dice.once_in(2).then_some(name);
                self.direct(dice.pick(self.peers.len()), room, delivery(dice));
            }
            11 => {
                let key = dice.one_of(&["map", "mode"]);
                let value = (!dice.once_in(3)).then_some(text.as_str());
                let _ = self.world.act(|relay, now, out| {
                    relay.set_room_metadata(now, name, key, value, None, out)
                });
            }
            12 => {
                let conn = conn.unwrap_or_default();
                let value = Some(text.as_str());
                let _ = self.world.act(|relay, now, out| {
                    relay.set_client_metadata(now, conn, "rank", value, None, out)
                });
            }
            13 if dice.once_in(4) && !self.stopped => {
                self.stopped = true;
                let grace = Duration::from_millis(dice.u16().into());
                self.world.act(|relay, now, out| relay.shutdown(now, "bye", grace, out));
            }
            _ => {
                let config = room(dice);
                let _ = self.world.act(|relay, now, _| relay.configure_room(now, name, config));
            }
        }
        self.world.pump();
    }

    fn host_says(&mut self, name: &str, dice: &mut Dice<'_>) {
        let delivery = delivery(dice);
        let payload = padded(delivery, SendFlags::ECHO, dice);
        let Some(room) = self.world.relay.room_id(name) else { return };
        let members = self.world.relay.members(name).into_iter().flatten();
        let left_out: Vec<_> = members.filter(|_| dice.once_in(4)).take(4).collect();
        let except: Vec<_> = left_out.iter().map(|(_, conn, _)| *conn).collect();
        let words = Announcement {
            delivery,
            except: &except,
            payload: &payload,
            ..Announcement::default()
        };
        let said = self.world.act(|relay, now, _| relay.say(now, name, words));
        let seq = said.expect("the room is there and the payload is small");
        let spared = left_out.iter().map(|(seat, ..)| (room, seq, *seat));
        self.world.record.spared.extend(spared);
        let said = Said { sender: Seat::SERVER, how: Some((delivery, SendFlags::ECHO)) };
        assert!(self.world.record.said.insert((room, seq), said).is_none(), "said twice");
    }

    /// The host says something to one client alone, wherever that is.
    fn direct(&mut self, peer: usize, room: Option<&str>, delivery: Delivery) {
        let state = &self.peers[peer];
        let on_link = state.link.and_then(|link| self.world.links[link].session.as_ref());
        let Some(session) = on_link.or(state.session.as_ref()) else { return };
        let client_id = session.client_id;
        let Some(conn) = self.world.relay.conn_of(client_id) else { return };
        self.directs += 1;
        let payload = direct(self.directs);
        let sent = self.world.relay.direct(&[conn], room, delivery, MessageType::RAW, &payload);
        if sent == Ok(1) && delivery == Delivery::Reliable {
            self.world.record.directs.entry(client_id).or_default().push(self.directs);
        } else if sent == Ok(1) {
            self.world.record.asides.entry(client_id).or_default().push(self.directs);
        }
    }
}

fn delivery(dice: &mut Dice<'_>) -> Delivery {
    match dice.pick(5) {
        0 => Delivery::Reliable,
        1 | 2 => Delivery::Volatile,
        _ => Delivery::Latest(dice.pick(3).try_into().expect("a small number")),
    }
}

fn padded(delivery: Delivery, flags: SendFlags, dice: &mut Dice<'_>) -> Vec<u8> {
    marked(delivery, flags, &vec![0xaa; dice.pick(256)])
}

/// How many of a message's last bytes come later.
fn cut(dice: &mut Dice<'_>) -> usize {
    if dice.once_in(4) { dice.pick(64) } else { 0 }
}

/// Changes a ticket; `true`: about what the client has, so that it may be
/// sent anything if it is believed.
pub(super) fn lie(ticket: &mut Ticket, dice: &mut Dice<'_>) -> bool {
    match dice.pick(10) {
        0 => ticket.epoch = dice.near(ticket.epoch),
        1 => {
            let mut id = *ticket.client_id.as_bytes();
            id[dice.pick(16)] ^= dice.byte();
            ticket.client_id = ghost_sync_core::ClientId::from_bytes(id);
        }
        2 => ticket.secret.0[dice.pick(16)] ^= dice.byte(),
        3 => ticket.secret.0 = [dice.byte(); 16],
        _ => {
            match dice.pick(7) {
                0 => ticket.received = dice.near(ticket.received),
                1 => ticket.rooms.clear(),
                2 => ticket.rooms.truncate(dice.pick(4)),
                3 => {
                    let again = ticket.rooms.clone();
                    let last = dice.near(again.first().map_or(0, |place| place.last));
                    ticket.rooms.extend(again.iter().map(|place| Progress { last, ..*place }));
                }
                4 => {
                    let rooms = 1 + u32::from(dice.byte()).min(250);
                    let last = dice.near(1);
                    ticket.rooms.extend((0..rooms).map(|room| Progress {
                        room: RoomId(room),
                        last,
                        own: 0,
                    }));
                }
                5 => {
                    let last = dice.near(u64::MAX);
                    let room = RoomId(u32::from(dice.byte()));
                    ticket.rooms.push(Progress { room, last, own: 0 });
                }
                _ => {
                    for Progress { last, .. } in &mut ticket.rooms {
                        *last = dice.near(*last);
                    }
                }
            }
            return true;
        }
    }
    false
}

/// Steps of one input at most: enough for anything, few enough to be fast.
const MOST_STEPS: usize = 400;
