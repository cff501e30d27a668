use ghost_sync_core::{
    ClientMessage, CloseReason, Delivery, Limits, OverflowPolicy, RelayEvent, SendFlags,
    ServerMessage,
};

use crate::world::{PeerId, World, encode, secs};

fn small(policy: OverflowPolicy) -> (World, PeerId, PeerId) {
    let mut world = World::with(|config| {
        config.channel_capacity = 8;
        config.outbox_limit = 16 * 1024;
        config.overflow = policy;
        config.limits = Limits::none();
    });
    world.room("a");
    let (talker, slow) = (world.member("a"), world.member("a"));
    world.take(slow);
    world.peers[slow].takes = Some(0);
    (world, talker, slow)
}

/// What came, in short: a text, or a gap as `from-to`.
fn story(world: &mut World, peer: PeerId) -> Vec<String> {
    let frames = world.take(peer);
    let told = frames.iter().map(|frame| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Broadcast { payload, .. } => String::from_utf8(payload.into()).unwrap(),
        ServerMessage::Gap { from, to, .. } => format!("gap {from}-{to}"),
        other => format!("{other:?}"),
    });
    told.collect()
}

fn talk(world: &mut World, talker: PeerId, delivery: Delivery, texts: impl Iterator<Item = u32>) {
    for text in texts {
        let text = text.to_string();
        world.broadcast_with(talker, "a", delivery, SendFlags::NONE, text.as_bytes());
    }
}

#[test]
fn the_oldest_volatile_messages_go_first_and_are_announced() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    talk(&mut world, talker, Delivery::Volatile, 3..=12);
    world.read_on(slow, 10_000);
    // The ninth waiting frame was one too many: half of the capacity stayed.
    assert_eq!(story(&mut world, slow), ["gap 3-7", "8", "9", "10", "11", "12"]);
    let lagged =
        world.events.iter().any(|event| matches!(event, RelayEvent::Lagged { dropped: 5, .. }));
    assert!(lagged);
}

#[test]
fn the_newest_volatile_messages_go_first_where_the_policy_says_so() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropNewest);
    talk(&mut world, talker, Delivery::Volatile, 3..=11);
    world.read_on(slow, 10_000);
    assert_eq!(story(&mut world, slow), ["3", "4", "5", "6", "gap 7-11"]);
}

#[test]
fn keep_latest_drops_every_volatile_message() {
    let (mut world, talker, slow) = small(OverflowPolicy::KeepLatest);
    talk(&mut world, talker, Delivery::Latest(1), 3..=5);
    talk(&mut world, talker, Delivery::Volatile, 6..=14);
    world.read_on(slow, 10_000);
    assert_eq!(story(&mut world, slow), ["gap 3-4", "5", "gap 6-14"]);
}

#[test]
fn the_disconnect_policy_closes_at_once() {
    let (mut world, talker, slow) = small(OverflowPolicy::Disconnect);
    talk(&mut world, talker, Delivery::Volatile, 3..=11);
    world.read_on(slow, 10_000);
    assert!(matches!(world.closed(slow), Some(CloseReason::SlowConsumer { .. })));
}

#[test]
fn a_newer_latest_replaces_older_ones_of_the_same_key_only() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    talk(&mut world, talker, Delivery::Latest(1), 3..=6);
    talk(&mut world, talker, Delivery::Latest(2), 7..=9);
    talk(&mut world, talker, Delivery::Latest(1), 10..=11);
    world.read_on(slow, 10_000);
    assert_eq!(story(&mut world, slow), ["gap 3-8", "9", "gap 10-10", "11"]);
}

#[test]
fn reliable_messages_stay_and_too_many_of_them_close_the_connection() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    talk(&mut world, talker, Delivery::Reliable, 3..=40);
    world.read_on(slow, 100_000);
    let expected: Vec<_> = (3..=40).map(|text| text.to_string()).collect();
    assert_eq!(story(&mut world, slow), expected);

    world.peers[slow].takes = Some(0);
    let long = "x".repeat(1000);
    for _ in 0..20 {
        world.broadcast(talker, "a", &long);
    }
    assert!(world.relay.queue_len(world.peers[slow].conn).bytes <= 16 * 1024);
    world.read_on(slow, 100_000);
    let reason = world.closed(slow).unwrap();
    let CloseReason::SlowConsumer { queued, max: 16384 } = reason else { panic!("{reason}") };
    assert!((16384..16384 + 2000).contains(&queued), "{queued} bytes");
    assert!(world.peers[slow].dropped);
}

#[test]
fn a_gap_counts_the_receivers_own_messages_in_it() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    talk(&mut world, talker, Delivery::Volatile, 3..=4);
    talk(&mut world, slow, Delivery::Volatile, 5..=6);
    talk(&mut world, talker, Delivery::Volatile, 7..=16);
    world.read_on(slow, 100_000);
    let frames = world.take(slow);
    let Ok(ServerMessage::Gap { from: 3, to, own: 2, .. }) = ServerMessage::decode(&frames[0])
    else {
        panic!("no gap first");
    };
    let Ok(ServerMessage::Broadcast { seq, .. }) = ServerMessage::decode(&frames[1]) else {
        panic!("no message second");
    };
    assert_eq!(seq, to + 1);
}

#[test]
fn membership_is_never_dropped() {
    let (mut world, talker, slow) = small(OverflowPolicy::KeepLatest);
    talk(&mut world, talker, Delivery::Volatile, 3..=6);
    let passing = world.member("a");
    world.broadcast(passing, "a", "hello");
    world.hang_up(passing);
    talk(&mut world, talker, Delivery::Volatile, 10..=20);
    world.read_on(slow, 100_000);
    let story = story(&mut world, slow);
    assert!(story[1].starts_with("PlayerJoined"), "{story:?}");
    assert_eq!(story[2], "hello");
    assert!(story[3].starts_with("PlayerLeft"), "{story:?}");
}

#[test]
fn who_came_and_went_without_a_word_is_not_told_to_those_who_are_behind() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    talk(&mut world, talker, Delivery::Reliable, 3..=3);
    for _ in 0..100 {
        let passing = world.member("a");
        world.hang_up(passing);
    }
    let staying = world.member("a");
    world.read_on(slow, 100_000);
    let told = story(&mut world, slow);
    assert_eq!(told[..2], ["3", "gap 4-203"], "{told:?}");
    assert!(told[2].starts_with("PlayerJoined"), "{told:?}");
    world.hang_up(staying);
    let told = story(&mut world, slow);
    assert!(told[0].starts_with("PlayerLeft"), "{told:?}");
}

#[test]
fn of_many_changes_of_metadata_those_who_are_behind_are_told_the_last() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    talk(&mut world, talker, Delivery::Reliable, 3..=3);
    let conn = world.peers[talker].conn;
    for value in ["a", "b", "c"] {
        for key in ["name", "hat"] {
            let set = |relay: &mut ghost_sync_core::Relay, now, out: &mut Vec<_>| {
                relay.set_client_metadata(now, conn, key, Some(value), None, out)
            };
            world.act(set).unwrap();
        }
        world
            .act(|relay, now, out| relay.set_room_metadata(now, "a", "map", Some(value), None, out))
            .unwrap();
    }
    world.pump();
    world.read_on(slow, 100_000);
    let told = story(&mut world, slow);
    assert_eq!(told[..2], ["3", "gap 4-9"], "{told:?}");
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told[2..].iter().all(|told| told.contains("value: Some(\"c\")")), "{told:?}");
}

#[test]
fn what_is_superseded_is_never_sent_once_a_member_is_behind_at_all() {
    for values in [2, 400, 900, 2000] {
        let mut world = World::new();
        world.room("a");
        let (talker, slow) = (world.member("a"), world.member("a"));
        world.take(slow);
        world.peers[slow].takes = Some(0);
        talk(&mut world, talker, Delivery::Latest(1), 3..=values + 2);
        world.read_on(slow, 100_000);
        let last = values + 2;
        assert_eq!(story(&mut world, slow), [format!("gap 3-{}", last - 1), last.to_string()]);
    }
}

#[test]
fn a_room_that_is_joined_while_a_socket_is_full_tells_the_newest_too() {
    let mut world = World::with(|config| config.rooms_per_client = 2);
    let (a, b) = (world.room("a"), world.room("b"));
    assert_ne!(a, b);
    let (talker, slow) = (world.member("a"), world.member("a"));
    world.join(talker, "b");
    world.take(slow);
    world.peers[slow].takes = Some(0);
    world.broadcast(talker, "a", "it is full");
    world.join(slow, "b");
    for text in ["1", "2", "3"] {
        let (latest, none) = (Delivery::Latest(1), SendFlags::NONE);
        world.broadcast_with(talker, "b", latest, none, text.as_bytes());
    }
    world.read_on(slow, 100_000);
    let told = story(&mut world, slow);
    assert!(told.windows(2).any(|pair| *pair == ["gap 3-4", "3"]), "{told:?}");
}

#[test]
fn what_became_old_while_a_socket_took_a_part_is_not_sent_either() {
    let mut world = World::new();
    world.room("a");
    let (talker, slow) = (world.member("a"), world.member("a"));
    world.take(slow);
    world.peers[slow].takes = Some(0);
    for key in 0..4 {
        talk(&mut world, talker, Delivery::Latest(key), key..key + 1);
    }
    // Half a frame is on its way; that one ends.
    world.read_on(slow, 20);
    for key in 0..4 {
        talk(&mut world, talker, Delivery::Latest(key), key + 10..key + 11);
    }
    world.read_on(slow, 100_000);
    assert_eq!(story(&mut world, slow), ["0", "gap 4-6", "10", "11", "12", "13"]);
}

#[test]
fn a_slow_member_holds_neither_the_others_nor_the_log_back() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    let fast = world.member("a");
    for round in 0..2000 {
        talk(&mut world, talker, Delivery::Volatile, round..round + 1);
        assert_eq!(world.heard(fast), [round.to_string()]);
    }
    let waiting = world.relay.queue_len(world.peers[slow].conn);
    assert!(waiting.frames <= 10, "{waiting:?}");
}

#[test]
fn a_socket_that_stays_full_is_closed_at_the_write_timeout_by_bytes_not_by_signs_of_life() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    talk(&mut world, talker, Delivery::Volatile, 3..=20);
    for _ in 0..9 {
        world.wait(secs(1));
        world.read_on(slow, 1);
        world.say(slow, &ClientMessage::Ping { nonce: 0 });
    }
    assert_eq!(world.closed(slow), None);
    world.wait(secs(1));
    assert!(world.peers[slow].dropped || world.relay.client_count() == 1);
    let closed =
        world.events.iter().any(|event| matches!(event, RelayEvent::ConnectionClosed { .. }));
    assert!(closed);
}

#[test]
fn requests_whose_answers_are_not_read_end_the_connection() {
    let (mut world, _, slow) = small(OverflowPolicy::DropOldest);
    for _ in 0..33 {
        world.say(slow, &ClientMessage::Ping { nonce: 1 });
    }
    assert_eq!(world.relay.client_count(), 1);
    world.read_on(slow, 100_000);
    assert_eq!(world.closed(slow), Some(CloseReason::TooManyRequests { max: 32 }));
}

#[test]
fn a_flood_of_requests_in_one_read_is_bounded_in_bytes() {
    let (mut world, _, slow) = small(OverflowPolicy::DropOldest);
    world.peers[slow].takes = None;
    let mut flood = Vec::new();
    for _ in 0..5000 {
        flood.extend_from_slice(&encode(&ClientMessage::Ping { nonce: 1 }));
    }
    for part in flood.chunks(4096) {
        world.bytes(slow, part);
        assert!(world.relay.queue_len(world.peers[slow].conn).bytes <= 16 * 1024 + 4096);
    }
}

#[test]
fn a_closed_client_that_reads_again_in_time_is_told_why() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    let text = "x".repeat(1000);
    for _ in 0..20 {
        world.broadcast(talker, "a", &text);
    }
    world.wait(secs(9));
    world.read_on(slow, 1 << 20);
    assert!(matches!(world.closed(slow), Some(CloseReason::SlowConsumer { .. })));
}

#[test]
fn a_sender_gives_way_to_those_who_read_and_are_far_behind() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    world.room("b");
    let elsewhere = world.member("b");
    let text = "x".repeat(1000);
    let asked = |world: &mut World, peer: PeerId| {
        world.relay.is_congested(world.now, world.peers[peer].link)
    };
    // Half of 16 KiB may wait.
    for _ in 0..7 {
        world.broadcast(talker, "a", &text);
    }
    assert!(!asked(&mut world, talker));
    world.broadcast(talker, "a", &text);
    assert!(asked(&mut world, talker));
    assert!(!asked(&mut world, elsewhere) && !asked(&mut world, slow));
    // A byte now and then is enough, nothing for two seconds is not.
    for _ in 0..3 {
        world.wait(std::time::Duration::from_millis(1900));
        assert!(asked(&mut world, talker));
        world.read_on(slow, 1);
    }
    world.wait(secs(2));
    assert!(!asked(&mut world, talker));
}

#[test]
fn a_sender_that_gives_way_may_be_in_the_middle_of_a_frame() {
    let (mut world, talker, slow) = small(OverflowPolicy::DropOldest);
    let third = world.member("a");
    let frame = encode(&ClientMessage::Ping { nonce: 1 });
    world.bytes(talker, &frame[..frame.len() - 1]);
    world.wait(secs(4));
    world.take(slow);
    world.read_on(slow, 100_000);
    world.peers[slow].takes = Some(0);
    let text = "x".repeat(1000);
    for _ in 0..8 {
        world.broadcast(third, "a", &text);
    }
    for _ in 0..5 {
        assert!(world.relay.is_congested(world.now, world.peers[talker].link));
        world.wait(std::time::Duration::from_millis(1500));
        world.read_on(slow, 1);
    }
    assert_eq!(world.closed(talker), None, "the rest lies in the socket, which is not read");
    assert_eq!(world.closed(slow), None);
}

#[test]
fn who_is_closed_leaves_sooner_where_there_are_many_connections() {
    let mut world = World::with(|config| {
        config.max_clients = 3;
        config.outbox_limit = 16 * 1024;
    });
    world.room("a");
    let (talker, slow) = (world.member("a"), world.member("a"));
    let _third = world.client();
    let _greeting = world.socket();
    world.peers[slow].takes = Some(0);
    let text = "x".repeat(1000);
    for _ in 0..20 {
        world.broadcast(talker, "a", &text);
    }
    world.wait(secs(2));
    assert!(world.peers[slow].dropped, "nobody waits ten seconds for it");
}
