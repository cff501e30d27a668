//! What a hostile reader of the relay found, so that it stays away.

use std::time::Duration;

use ghost_sync_core::{
    ClientMessage, CloseReason, Delivery, Hello, Limits, MessageType, OverflowPolicy, Refusal,
    RelayMode, RoomConfig, RoomId, ServerMessage, Verdict,
};

use crate::world::{PeerId, World, encode};

fn kinds(world: &mut World, peer: PeerId) -> Vec<u8> {
    world.take(peer).iter().map(|frame| frame[0]).collect()
}

#[test]
fn a_direct_message_keeps_its_place_when_its_receiver_leaves() {
    let mut world = World::new();
    world.room("a");
    let (talker, slow) = (world.member("a"), world.member("a"));
    world.take(slow);
    world.peers[slow].takes = Some(0);
    world.broadcast(talker, "a", "first");
    let conn = world.peers[slow].conn;
    world
        .relay
        .direct(&[conn], Some("a"), Delivery::Reliable, MessageType::RAW, b"second")
        .unwrap();
    let room = world.peers[slow].rooms["a"].0;
    world.act(|relay, now, out| relay.kick(now, conn, room, "out", out)).unwrap();
    world.read_on(slow, 10_000);
    let (broadcast, direct, left) = (6, 15, 5);
    assert_eq!(kinds(&mut world, slow), [broadcast, direct, left]);
}

#[test]
fn one_read_of_requests_takes_bounded_memory() {
    let mut world = World::with(|config| config.limits = Limits::none());
    for number in 0..256 {
        let name = format!("room{number}");
        world.room(&name);
        if number < 8 {
            let long = "v".repeat(16_000);
            world
                .act(|relay, now, out| {
                    relay.set_room_metadata(now, &name, "k", Some(&long), None, out)
                })
                .unwrap();
        }
    }
    let peer = world.client();
    let request = encode(&ClientMessage::ListRooms { request: 1 });
    let flood = request.repeat(60 * 1024 / request.len());
    let memory = allocation_counter::measure(|| world.bytes(peer, &flood)).bytes_max;
    assert!(memory < 4 << 20, "{memory} bytes");
}

#[test]
fn one_read_may_call_for_a_thousand_and_twenty_four_answers() {
    for (requests, closes) in [(1024, false), (1025, true)] {
        let mut world = World::with(|config| config.limits = Limits::none());
        let peer = world.client();
        let flood = encode(&ClientMessage::Ping { nonce: 1 }).repeat(requests);
        world.bytes(peer, &flood);
        world.pump();
        let expected = closes.then_some(CloseReason::TooManyRequests { max: 1024 });
        assert_eq!(world.closed(peer), expected);
    }
}

#[test]
fn deadlines_of_a_room_do_not_pile_up() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().remove_when_empty(Duration::from_secs(3600)));
    let peer = world.client();
    for _ in 0..100 {
        world.now += Duration::from_millis(1);
        world.join(peer, "a");
        let room = world.peers[peer].rooms["a"].0;
        world.say(peer, &ClientMessage::Leave { room });
    }
    let held = format!("{:?}", world.relay).matches("Room(RoomId(").count();
    assert_eq!(held, 1, "deadlines of one room");
}

#[test]
fn a_room_with_much_metadata_can_still_be_joined() {
    let mut world = World::new();
    world.room("a");
    let meta = vec![("k".to_owned(), "v".repeat(2000))];
    let hello = ClientMessage::Hello(Hello { meta, ..Hello::default() });
    let hello = encode(&hello);
    for _ in 0..600 {
        let peer = world.socket();
        world.bytes(peer, &hello);
        world.join(peer, "a");
        assert_eq!(world.closed(peer), None, "member {peer}");
        world.peers.iter_mut().for_each(|peer| peer.frames.clear());
    }
}

#[test]
fn a_broadcast_that_waits_for_a_verdict_belongs_to_its_seat() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().mode(RelayMode::Moderated));
    let (peer, other) = (world.member("a"), world.member("a"));
    world.broadcast(peer, "a", "of the old seat");
    let (ask, _) = world.asked.pop().unwrap();
    let (room, seat) = world.peers[peer].rooms["a"];
    world.say(peer, &ClientMessage::Leave { room });
    assert_eq!(world.refusals(peer), [Refusal::NotInRoom]);
    world.join(peer, "a");
    assert_ne!(world.peers[peer].rooms["a"].1, seat);
    world.answer(ask, Verdict::Accept);
    assert_eq!(world.heard(other), [""; 0]);
}

#[test]
fn own_messages_do_not_count_as_waiting() {
    let mut world = World::with(|config| {
        config.channel_capacity = 8;
        config.overflow = OverflowPolicy::Disconnect;
    });
    world.room("a");
    let (talker, slow) = (world.member("a"), world.member("a"));
    world.peers[slow].takes = Some(0);
    world.broadcast(talker, "a", "x");
    for _ in 0..9 {
        world.broadcast(slow, "a", "mine");
    }
    world.read_on(slow, 10_000);
    assert_eq!(world.closed(slow), None);
    assert_eq!(world.heard(slow), ["x"]);
}

#[test]
fn no_duration_is_too_long() {
    let mut world = World::with(|config| {
        config.idle_timeout = Duration::MAX;
        config.ask_timeout = Duration::MAX;
    });
    world.room_with("a", RoomConfig::default().remove_when_empty(Duration::MAX));
    let peer = world.client();
    world.act(|relay, now, out| relay.shutdown(now, "bye", Duration::MAX, out));
    world.pump();
    assert!(world.peers[peer].dropped);
}

#[test]
fn a_payload_past_the_size_of_a_chunk_is_relayed() {
    let mut world = World::with(|config| {
        config.max_payload = 1 << 20;
        config.outbox_limit = 8 << 20;
    });
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.broadcast(alice, "a", &"x".repeat(1 << 20));
    let frames = world.take(bob);
    let Ok(ServerMessage::Broadcast { payload, .. }) = ServerMessage::decode(&frames[0]) else {
        panic!("no broadcast");
    };
    assert_eq!(payload.len(), 1 << 20);
}

#[test]
fn what_one_client_sends_at_once_is_taken_in_pieces_between_which_others_may_come() {
    let send =
        ClientMessage::ToServer { room: RoomId(0), message_type: MessageType::RAW, payload: b"" };
    for (message, most) in [(send, 128), (ClientMessage::ListRooms { request: 1 }, 2)] {
        let mut world = World::with(|config| config.limits = Limits::none());
        let flooder = world.client();
        let flood = encode(&message).repeat(300);
        let (mut rest, mut pieces) = (&flood[..], 0);
        while !rest.is_empty() {
            let (link, mut out) = (world.peers[flooder].link, Vec::new());
            let taken = world.relay.feed(world.now, link, rest, &mut out);
            let messages = taken / encode(&message).len();
            assert!((1..=most).contains(&messages), "{messages} at once");
            rest = &rest[taken..];
            pieces += 1;
        }
        assert_eq!(pieces, 300_usize.div_ceil(most));
    }
}
