//! Counters near their end: what has run out is refused, nothing begins anew.

use std::{
    io::IoSlice,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::{
    Relay,
    config::{CreateOnJoin, RelayConfig, RoomConfig, RoomHistory},
    error::CreateRoomError,
    event::{Input, LinkId, Output, RelayEvent},
};
use crate::wire::{
    ClientId, ClientMessage, Decoder, Delivery, Hello, JoinOptions, MAX_SERVER_FRAME, MessageType,
    Refusal, Replay, RoomId, RoomName, Seat, Secret, SendFlags, ServerMessage,
};

/// A relay with clients that hear everything at once.
struct World {
    relay: Relay,
    now: Instant,
    out: Vec<Output>,
    clients: u128,
}

impl World {
    fn new(config: RelayConfig) -> Self {
        Self { relay: Relay::new(config), now: Instant::now(), out: Vec::new(), clients: 0 }
    }

    fn room(&mut self, name: &str) -> Result<RoomId, CreateRoomError> {
        let (name, config) = (RoomName::new(name).unwrap(), RoomConfig::default());
        self.relay.create_room(self.now, name, 7, config, &mut self.out)
    }

    fn client(&mut self) -> LinkId {
        self.clients += 1;
        let (addr, id) = (SocketAddr::from(([127, 0, 0, 1], 1)), ClientId::from_u128(self.clients));
        let secret = Secret(self.clients.to_le_bytes());
        let link = self.relay.connect(self.now, addr, id, secret, &mut self.out);
        self.say(link, &ClientMessage::Hello(Hello::default()));
        link
    }

    fn say(&mut self, link: LinkId, message: &ClientMessage<'_>) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.relay.handle(self.now, Input::Bytes { link, bytes: &bytes }, &mut self.out);
    }

    /// The seat that it got, or why it got none.
    fn join(&mut self, link: LinkId, room: &str) -> Result<Seat, Refusal> {
        self.say(link, &ClientMessage::Join { request: 1, room, options: JoinOptions::default() });
        let seated = self.out.drain(..).find_map(|output| match output {
            Output::Event(RelayEvent::PlayerJoined { seat, .. }) => Some(seat),
            Output::Event(_)
            | Output::Ask { .. }
            | Output::Verify { .. }
            | Output::Disconnect { .. } => None,
        });
        seated.ok_or_else(|| self.refusal(link).expect("it is told"))
    }

    /// The last refusal of what waits for a client.
    fn refusal(&self, link: LinkId) -> Option<Refusal> {
        let mut slices = [IoSlice::new(&[]); 64];
        let offer = self.relay.transmit(link, &mut slices);
        let bytes: Vec<u8> =
            slices[..offer.slices].iter().flat_map(|slice| slice.iter()).copied().collect();
        let (mut bytes, mut decoder) = (&bytes[..], Decoder::new(MAX_SERVER_FRAME));
        let mut last = None;
        while let Some(body) = decoder.next_frame(&mut bytes).unwrap() {
            if let Ok(ServerMessage::JoinRefused { reason, .. }) = ServerMessage::decode(body) {
                last = Some(reason);
            }
        }
        last
    }

    fn broadcast(&mut self, link: LinkId, room: RoomId, delivery: Delivery) {
        let (flags, message_type) = (SendFlags::ACK, MessageType::RAW);
        let payload = b"hello";
        self.say(link, &ClientMessage::Broadcast { room, delivery, flags, message_type, payload });
    }
}

#[test]
fn a_room_that_has_given_out_its_last_seat_takes_nobody_and_gives_none_twice() {
    let mut world = World::new(RelayConfig::default());
    let room = world.room("a").unwrap();
    world.relay.rooms.get_mut(&room).unwrap().start_seats_at(u32::MAX - 2);
    let clients = [world.client(), world.client(), world.client()];
    assert_eq!(world.join(clients[0], "a"), Ok(Seat(u32::MAX - 2)));
    assert_eq!(world.join(clients[1], "a"), Ok(Seat(u32::MAX - 1)));
    let full = Refusal::RoomFull { room: "a".to_owned(), capacity: u32::MAX - 1 };
    assert_eq!(world.join(clients[2], "a"), Err(full.clone()));
    // A seat that is free again is still used up.
    world.say(clients[0], &ClientMessage::Leave { room });
    assert_eq!(world.join(clients[2], "a"), Err(full));
    world.broadcast(clients[1], room, Delivery::Latest(u32::MAX));
    assert_eq!(world.relay.members("a").unwrap().count(), 1);
}

#[test]
fn the_last_number_of_a_room_is_given_once() {
    let config = RelayConfig { create_on_join: CreateOnJoin::Always, ..RelayConfig::default() };
    let mut world = World::new(config);
    world.relay.last_room = u32::MAX - 1;
    assert_eq!(world.room("last"), Ok(RoomId(u32::MAX)));
    let max = u32::MAX as usize;
    assert_eq!(world.room("more"), Err(CreateRoomError::TooManyRooms { max }));
    let client = world.client();
    assert!(matches!(world.join(client, "more"), Err(Refusal::ServerOutOfRooms { .. })));
    assert!(world.join(client, "last").is_ok());
}

#[test]
fn keys_that_are_never_used_again_are_not_remembered_for_ever() {
    let mut world = World::new(RelayConfig::default());
    let name = RoomName::new("a").unwrap();
    let config = RoomConfig::default().history(RoomHistory::NONE);
    let room = world.relay.create_room(world.now, name, 7, config, &mut world.out).unwrap();
    for number in 0..20_000 {
        let key = number.to_string();
        for value in [Some("x"), None] {
            let (now, out) = (world.now, &mut world.out);
            world.relay.set_room_metadata(now, "a", &key, value, None, out).unwrap();
        }
        world.out.clear();
        world.relay.take_ready(world.now, &mut Vec::new(), &mut world.out);
        world.relay.tidy(world.now);
    }
    let known = world.relay.rooms[&room].known_changes();
    assert!(known <= 4097, "{known}");
}

#[test]
fn settings_at_their_ends_overflow_nothing() {
    let (big, long) = (usize::MAX, Duration::MAX);
    for (size, time) in [(big, long), (0, long), (big, Duration::ZERO), (0, Duration::ZERO)] {
        let mut config = RelayConfig {
            max_clients: size,
            max_payload: size,
            max_rooms: size.max(1),
            rooms_per_client: size,
            history_limit: size,
            channel_capacity: size,
            outbox_limit: size,
            max_owed_replies: size,
            idle_timeout: time,
            ping_interval: time,
            handshake_timeout: time,
            frame_timeout: time,
            write_timeout: time,
            linger: time,
            resume_grace: time,
            ask_timeout: time,
            retry_after: time,
            create_on_join: CreateOnJoin::Always,
            ..RelayConfig::default()
        };
        config.room_defaults = RoomConfig {
            history: RoomHistory { events: size, bytes: size, reliable: size, age: time },
            replay: u32::MAX,
            retain: size,
            tick: Some(time),
            remove_when_empty: Some(time),
            ..RoomConfig::default()
        };
        let mut world = World::new(config);
        let clients = [world.client(), world.client()];
        for link in clients {
            let (room, replay) = ("a", Replay::Last(u32::MAX));
            world.say(
                link,
                &ClientMessage::Join {
                    request: 1,
                    room,
                    options: JoinOptions { replay, ..JoinOptions::default() },
                },
            );
        }
        for delivery in [Delivery::Reliable, Delivery::Volatile, Delivery::Latest(u32::MAX)] {
            world.broadcast(clients[0], RoomId(1), delivery);
        }
        let mut ready = Vec::new();
        world.relay.take_ready(world.now, &mut ready, &mut world.out);
        for link in clients {
            world.relay.blocked(world.now, link, &mut world.out);
        }
        for _ in 0..3 {
            if let Some(due) = world.relay.next_deadline() {
                world.now = due;
                world.relay.handle(world.now, Input::Tick, &mut world.out);
                world.relay.take_ready(world.now, &mut ready, &mut world.out);
            }
        }
    }
}
