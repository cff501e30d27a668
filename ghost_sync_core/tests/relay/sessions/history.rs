//! What newcomers are told of the past, and how much of it rooms keep.

use ghost_sync_core::{
    ClientMessage, CloseReason, Delivery, Replay, RoomConfig, RoomHistory, SendFlags, ServerMessage,
};

use super::{held, story};
use crate::world::{World, secs};

#[test]
fn a_newcomer_gets_the_newest_values_then_history_then_what_happens() {
    let mut world = World::with(held);
    world.room_with("a", RoomConfig::default().replay(3));
    let (alice, bob) = (world.member("a"), world.member("a"));
    for text in ["x1", "x2"] {
        let latest = Delivery::Latest(7);
        world.broadcast_with(alice, "a", latest, SendFlags::NONE, text.as_bytes());
    }
    for text in ["one", "two", "three"] {
        world.broadcast(bob, "a", text);
    }
    let carol = world.client();
    world.join_with(carol, "a", Replay::Last(2));
    world.broadcast(bob, "a", "four");
    let story_of_carol = story(&mut world, carol);
    let first = ["Welcome", "Joined", "Roster", "retained 7 x2"];
    assert_eq!(story_of_carol, [&first[..], &["two", "three", "four"]].concat());
    // More than the room grants, and from before its start.
    let dave = world.client();
    world.join_with(dave, "a", Replay::Last(100));
    assert_eq!(story(&mut world, dave)[4..], ["three", "joined 3", "four"]);
    let erin = world.client();
    let epoch = world.epoch_of("a");
    world.join_with(erin, "a", Replay::Since { epoch, seq: 0 });
    assert_eq!(story(&mut world, erin)[4..], ["joined 3", "four", "joined 4"]);
    let frank = world.client();
    world.join_with(frank, "a", Replay::Since { epoch: epoch + 1, seq: 0 });
    assert_eq!(story(&mut world, frank)[4..], Vec::<String>::new());
}

#[test]
fn the_newest_values_outlive_history_and_go_with_their_sender() {
    let mut world = World::with(held);
    world.room_with("a", RoomConfig::default().history(RoomHistory::NONE));
    let (alice, bob) = (world.member("a"), world.member("a"));
    for (peer, key, text) in [(alice, 1, "a1"), (bob, 1, "b1"), (bob, 2, "b2"), (bob, 1, "b3")] {
        world.broadcast_with(peer, "a", Delivery::Latest(key), SendFlags::NONE, text.as_bytes());
    }
    let carol = world.client();
    world.join(carol, "a");
    assert_eq!(story(&mut world, carol)[3..], ["retained 1 a1", "retained 2 b2", "retained 1 b3"]);
    let goodbye = CloseReason::Requested;
    world.say(bob, &ClientMessage::Close { reason: goodbye });
    let dave = world.client();
    world.join(dave, "a");
    assert_eq!(story(&mut world, dave)[3..], ["retained 1 a1"]);
}

#[test]
fn history_is_bounded_by_age_and_by_what_all_rooms_may_keep() {
    let mut world = World::with(|config| {
        held(config);
        config.history_limit = 50_000;
    });
    for name in ["a", "b", "c"] {
        let history = RoomHistory { age: secs(10), ..RoomHistory::default() };
        world.room_with(name, RoomConfig::default().history(history));
    }
    let peers = ["a", "b", "c"].map(|name| world.member(name));
    for _ in 0..100 {
        for (peer, name) in peers.iter().zip(["a", "b", "c"]) {
            world.broadcast(*peer, name, &"x".repeat(1000));
        }
        assert!(world.relay.history_bytes() <= 50_000);
    }
    assert!(world.relay.history_bytes() > 25_000);
    world.wait(secs(11));
    assert_eq!(world.relay.history_bytes(), 0);
}

#[test]
fn a_leaver_is_named_in_the_history_of_its_words() {
    let mut world = World::with(held);
    world.room_with("a", RoomConfig::default().replay(100));
    let (alice, _bob) = (world.member("a"), world.member("a"));
    world.broadcast(alice, "a", "hello");
    let goodbye = CloseReason::Requested;
    world.say(alice, &ClientMessage::Close { reason: goodbye });
    let carol = world.client();
    world.join_with(carol, "a", Replay::Last(100));
    let frames = world.take(carol);
    let Ok(ServerMessage::Joined { former, since, seq, .. }) = ServerMessage::decode(&frames[1])
    else {
        panic!()
    };
    assert_eq!((former.len(), since, seq), (1, 1, 5));
    assert_eq!(former[0].1, world.peers[alice].client_id);
}

#[test]
fn the_host_reads_the_same_history_as_members() {
    let mut world = World::with(held);
    world.room("a");
    let (alice, _bob) = (world.member("a"), world.member("a"));
    world.wait(secs(1));
    world.broadcast(alice, "a", "hello");
    world.broadcast(alice, "a", "you");
    let history = world.relay.history("a", 0, usize::MAX).unwrap();
    assert_eq!((history.oldest, history.next), (1, 5));
    let seen: Vec<_> = history.events.iter().map(|event| (event.seq, event.at_ms)).collect();
    assert_eq!(seen, [(1, 0), (2, 0), (3, 1000), (4, 1000)]);
    let said = ServerMessage::decode(&history.events[2].frame[4..]).unwrap();
    assert!(matches!(said, ServerMessage::Broadcast { payload: b"hello", .. }));
    let from_four = world.relay.history("a", 4, usize::MAX).unwrap().events;
    assert_eq!(from_four, history.events[3..]);
    assert_eq!(world.relay.history("a", 1, 1).unwrap().events, history.events[..1]);
    let room = world.relay.room_id("a").unwrap();
    assert_eq!(world.relay.snapshot(world.now, room).unwrap().members.len(), 2);
    assert!(world.relay.history("b", 1, 1).is_none());
}

#[test]
fn history_is_bounded_whatever_one_slow_member_needs() {
    let mut world = World::with(|config| {
        held(config);
        config.history_limit = 64 << 10;
    });
    world.room("stuck");
    world.room("busy");
    let (slow, fast) = (world.member("stuck"), world.member("stuck"));
    world.peers[slow].takes = Some(0);
    world.broadcast(fast, "stuck", "unread");
    let (a, _b) = (world.member("busy"), world.member("busy"));
    let big = "x".repeat(10_000);
    for _ in 0..40 {
        world.broadcast(a, "busy", &big);
    }
    assert!(world.relay.history_bytes() <= 64 << 10, "{}", world.relay.history_bytes());
}

#[test]
fn history_reaches_back_as_far_as_seats_are_held() {
    let mut world = World::with(|config| config.resume_grace = secs(600));
    world.room("a");
    let alice = world.member("a");
    let _bob = world.member("a");
    world.take(alice);
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.wait(secs(90));
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again)[0], "resumed");
}
