//! What the server says to one client and may be lost.

use ghost_sync_core::{
    ClientMessage, ConnId, Delivery, Hello, Limits, MessageType, OverflowPolicy, RelayConfig,
    ServerMessage,
};

use crate::world::{PeerId, World, secs};

fn held(config: &mut RelayConfig) {
    config.resume_grace = secs(30);
    config.limits = Limits::none();
}

fn tell(world: &mut World, peer: PeerId, room: Option<&str>, delivery: Delivery, text: &str) {
    let conn = world.peers[peer].conn;
    tell_conn(world, conn, room, delivery, text);
}

fn tell_conn(world: &mut World, conn: ConnId, room: Option<&str>, delivery: Delivery, text: &str) {
    let told = world.relay.direct(&[conn], room, delivery, MessageType::RAW, text.as_bytes());
    assert_eq!(told, Ok(1));
    world.pump();
}

/// What was said to a client alone since the last call, with what it missed where that may be.
fn told(world: &mut World, peer: PeerId) -> Vec<String> {
    let frames = world.take(peer);
    let told = frames.iter().filter_map(|frame| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Aside { missed, payload, .. } => {
            Some(format!("{} -{missed}", String::from_utf8_lossy(payload)))
        }
        ServerMessage::Direct { payload, .. } => Some(String::from_utf8_lossy(payload).into()),
        _ => None,
    });
    told.collect()
}

#[test]
fn who_reads_is_told_everything_at_once() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    tell(&mut world, alice, Some("a"), Delivery::Volatile, "bang");
    tell(&mut world, alice, None, Delivery::Latest(1), "here");
    tell(&mut world, alice, None, Delivery::Latest(1), "there");
    assert_eq!(told(&mut world, alice), ["bang -0", "here -0", "there -0"]);
    assert_eq!(world.peers[alice].received, 2, "only the join is numbered");
}

#[test]
fn of_what_one_frame_says_the_newest_of_a_key_and_room_is_told() {
    let mut world = World::with(|config| config.rooms_per_client = 2);
    world.room("a");
    let alice = world.member("a");
    let conn = world.peers[alice].conn;
    for (room, text) in [(None, "old"), (Some("a"), "in a"), (None, "new")] {
        let raw = MessageType::RAW;
        world.relay.direct(&[conn], room, Delivery::Latest(1), raw, text.as_bytes()).unwrap();
    }
    world.pump();
    assert_eq!(told(&mut world, alice), ["in a -1", "new -0"]);
}

#[test]
fn who_does_not_read_gets_the_newest_later_and_hears_how_much_it_missed() {
    let mut world = World::new();
    let alice = world.client();
    world.take(alice);
    world.peers[alice].takes = Some(0);
    for text in ["one", "two"] {
        tell(&mut world, alice, None, Delivery::Latest(1), text);
        tell(&mut world, alice, None, Delivery::Volatile, text);
    }
    tell(&mut world, alice, None, Delivery::Reliable, "kept");
    tell(&mut world, alice, None, Delivery::Latest(1), "three");
    tell(&mut world, alice, None, Delivery::Latest(2), "other");
    world.read_on(alice, 1 << 20);
    assert_eq!(told(&mut world, alice), ["kept", "three -4", "other -0"]);
    tell(&mut world, alice, None, Delivery::Volatile, "bang");
    assert_eq!(told(&mut world, alice), ["bang -0"]);
}

#[test]
fn what_was_cut_in_two_by_a_full_socket_is_whole_and_given_once() {
    let mut world = World::new();
    let alice = world.client();
    world.take(alice);
    world.peers[alice].takes = Some(10);
    tell(&mut world, alice, None, Delivery::Latest(1), "begun");
    tell(&mut world, alice, None, Delivery::Latest(1), "late");
    tell(&mut world, alice, None, Delivery::Latest(1), "later");
    world.read_on(alice, 1 << 20);
    assert_eq!(told(&mut world, alice), ["begun -0", "later -1"]);
}

#[test]
fn a_flood_of_it_ends_nobody_who_does_not_read() {
    for overflow in [OverflowPolicy::DropOldest, OverflowPolicy::Disconnect] {
        let mut world = World::with(|config| {
            config.overflow = overflow;
            config.outbox_limit = 64 << 10;
            config.channel_capacity = 100;
            (config.ping_interval, config.idle_timeout) = (secs(3600), secs(3600));
        });
        let alice = world.client();
        let conn = world.peers[alice].conn;
        world.take(alice);
        world.peers[alice].takes = Some(100);
        let text = "x".repeat(1000);
        for key in 0..1000 {
            tell(&mut world, alice, None, Delivery::Volatile, &text);
            tell(&mut world, alice, None, Delivery::Latest(key), &text);
            if key % 100 == 0 {
                world.wait(secs(10));
            }
        }
        assert_eq!(world.relay.conn_of(world.peers[alice].client_id), Some(conn));
        assert_eq!(world.relay.queue_len(conn).bytes, 0, "nothing waits that must arrive");
        world.read_on(alice, 1 << 20);
        let last = told(&mut world, alice);
        let most = (64 << 10) / 2 / 1000;
        assert!((2..=most + 1).contains(&last.len()), "{} were kept", last.len());
        let sum: u32 = last.iter().map(|told| 1 + told[1002..].parse::<u32>().unwrap()).sum();
        assert_eq!(sum, 2000, "each was given or counted");
    }
}

#[test]
fn what_must_arrive_has_all_its_time_behind_a_flood_of_it() {
    let mut world = World::with(|config| {
        (config.ping_interval, config.idle_timeout) = (secs(3600), secs(3600));
    });
    let alice = world.client();
    let write_timeout = RelayConfig::default().write_timeout;
    world.peers[alice].takes = Some(10);
    tell(&mut world, alice, None, Delivery::Latest(1), "state");
    world.wait(write_timeout * 10);
    tell(&mut world, alice, None, Delivery::Reliable, "words");
    let client_id = world.peers[alice].client_id;
    world.wait(write_timeout - secs(1));
    assert!(world.relay.conn_of(client_id).is_some(), "it was blamed for what may be lost");
    world.wait(secs(2));
    assert!(world.relay.conn_of(client_id).is_none(), "it may not stand still for ever");
}

#[test]
fn who_is_away_is_told_the_newest_when_it_is_back_and_nothing_twice() {
    let mut world = World::with(held);
    world.room("a");
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    tell(&mut world, alice, None, Delivery::Latest(1), "on its way");
    world.hang_up(alice);
    for text in ["one", "two"] {
        tell(&mut world, alice, Some("a"), Delivery::Latest(1), text);
        tell(&mut world, alice, None, Delivery::Volatile, text);
    }
    let again = world.resume(&ticket);
    assert_eq!(told(&mut world, again), ["two -3"]);
}

#[test]
fn a_flood_of_it_does_not_end_a_session_that_is_away() {
    let mut world = World::with(|config| {
        held(config);
        config.outbox_limit = 64 << 10;
    });
    world.room("a");
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    for key in 0..1000 {
        tell(&mut world, alice, None, Delivery::Latest(key), &"x".repeat(1000));
    }
    let again = world.resume(&ticket);
    let last = told(&mut world, again);
    assert!(last.len() > 20 && last.len() < 40, "{} were kept", last.len());
}

#[test]
fn what_waits_when_the_link_breaks_is_told_over_the_next_unless_it_was_an_effect() {
    let mut world = World::with(held);
    world.room("a");
    let alice = world.member("a");
    world.peers[alice].takes = Some(40);
    let ticket = world.ticket(alice);
    let conn = world.peers[alice].conn;
    let raw = MessageType::RAW;
    for (delivery, text) in [
        (Delivery::Volatile, "through"),
        (Delivery::Volatile, "cut"),
        (Delivery::Latest(1), "state"),
    ] {
        world.relay.direct(&[conn], None, delivery, raw, text.as_bytes()).unwrap();
    }
    world.pump();
    assert_eq!(told(&mut world, alice), ["through -0"]);
    world.hang_up(alice);
    let again = world.resume(&ticket);
    assert_eq!(told(&mut world, again), ["state -1"]);
}

#[test]
fn what_is_about_a_room_is_not_told_to_who_has_left_it() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    world.peers[alice].takes = Some(0);
    tell(&mut world, alice, Some("a"), Delivery::Latest(1), "in the room");
    let room = world.peers[alice].rooms["a"].0;
    world.say(alice, &ClientMessage::Leave { room });
    tell(&mut world, alice, None, Delivery::Latest(1), "outside");
    world.read_on(alice, 1 << 20);
    assert_eq!(told(&mut world, alice), ["outside -1"]);
    let conn = world.peers[alice].conn;
    let none = world.relay.direct(&[conn], Some("a"), Delivery::Volatile, MessageType::RAW, b"x");
    assert_eq!(none, Ok(0));
}

#[test]
fn a_new_process_is_told_nothing_of_before() {
    let mut world = World::with(held);
    world.room("a");
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    tell(&mut world, alice, None, Delivery::Latest(1), "of before");
    let again = world.begin_anew(&ticket);
    let conn = world.peers[again].conn;
    tell_conn(&mut world, conn, None, Delivery::Latest(1), "of now");
    assert_eq!(told(&mut world, again), ["of now -0"]);
}

#[test]
fn the_last_message_is_the_last() {
    let mut world = World::new();
    let alice = world.client();
    world.take(alice);
    world.peers[alice].takes = Some(10);
    tell(&mut world, alice, None, Delivery::Latest(1), "begun");
    tell(&mut world, alice, None, Delivery::Latest(1), "too late");
    let conn = world.peers[alice].conn;
    world.act(|relay, now, out| relay.disconnect(now, conn, "out", out)).unwrap();
    world.read_on(alice, 1 << 20);
    let frames = world.take(alice);
    let last = frames.last().map(|frame| ServerMessage::decode(frame).unwrap());
    assert!(matches!(last, Some(ServerMessage::Close { .. })), "{last:?}");
}

#[test]
fn who_has_not_said_hello_is_told_nothing() {
    let mut world = World::new();
    let stranger = world.socket();
    let conn = world.peers[stranger].conn;
    let told = world.relay.direct(&[conn], None, Delivery::Volatile, MessageType::RAW, b"x");
    assert_eq!(told, Ok(0));
    world.say(stranger, &ClientMessage::Hello(Hello::default()));
    tell(&mut world, stranger, None, Delivery::Volatile, "x");
}
