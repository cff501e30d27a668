//! A session goes on over another link, and its client misses nothing.

use ghost_sync_core::{
    ClientMessage, CloseReason, Delivery, MessageType, Progress, RelayEvent, ResumeFailure,
    RoomConfig, RoomHistory, RoomId, Seat, SendFlags, ServerMessage,
};

use super::{held, story, world};
use crate::world::{PeerId, Ticket, World, encode, secs};

#[test]
fn who_lost_its_link_is_away_then_back_and_misses_nothing() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.broadcast(bob, "a", "one");
    let ticket = world.ticket(alice);
    world.take(alice);
    world.take(bob);
    world.hang_up(alice);
    assert_eq!(story(&mut world, bob), ["away 1"]);
    world.broadcast(bob, "a", "two");
    world.wait(secs(29));
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["resumed", "away 1", "two", "back 1"]);
    assert_eq!(story(&mut world, bob), ["back 1"]);
    world.broadcast(bob, "a", "three");
    world.broadcast(again, "a", "four");
    assert_eq!(world.heard(again), ["three"]);
    assert_eq!(world.heard(bob), ["four"]);
    assert_eq!(world.relay.client_count(), 2);
}

#[test]
fn who_stays_away_too_long_leaves_exactly_once_and_cannot_come_back() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.take(bob);
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.wait(secs(29));
    assert_eq!(story(&mut world, bob), ["away 1"]);
    world.wait(secs(2));
    assert_eq!(story(&mut world, bob), ["left 1: disconnected"]);
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["failed: Expired"]);
    world.wait(secs(60));
    assert_eq!(story(&mut world, bob), Vec::<String>::new());
    let left = |event: &&RelayEvent| matches!(event, RelayEvent::PlayerLeft { .. });
    assert_eq!(world.events.iter().filter(left).count(), 1);
    assert_eq!(world.relay.client_count(), 1);
}

#[test]
fn a_message_that_was_on_its_way_is_sent_again_once() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    // Written to a socket whose other end never gets it.
    world.broadcast(bob, "a", "lost");
    world.direct(alice, "a", "also lost");
    world.take(alice);
    world.hang_up(alice);
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    assert_eq!(story, ["resumed", "lost", "direct also lost", "away 1", "back 1"]);
}

#[test]
fn a_join_whose_answer_was_lost_is_answered_again() {
    let mut world = world();
    let alice = world.client();
    let ticket = world.ticket(alice);
    world.join(alice, "a");
    world.hang_up(alice);
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["resumed", "Joined", "Roster", "away 1", "back 1"]);
}

#[test]
fn who_missed_what_is_no_longer_kept_is_told_so_and_keeps_its_seat() {
    let mut world = World::with(held);
    let history = RoomHistory { events: 2, reliable: 0, ..RoomHistory::default() };
    let room = world.room_with("a", RoomConfig::default().history(history));
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.take(bob);
    world.hang_up(alice);
    for text in ["1", "2", "3"] {
        world.broadcast(bob, "a", text);
    }
    let again = world.resume(&ticket);
    let reason = ResumeFailure::TooOld { room, oldest: 5 };
    assert_eq!(story(&mut world, again), [format!("failed: {reason:?}")]);
    assert_eq!(story(&mut world, bob), ["away 1"]);
    // On the same link it goes on from what is now.
    world.greet_with(again, &ticket);
    assert_eq!(story(&mut world, again), ["Welcome", "Joined", "Roster"]);
    assert_eq!(story(&mut world, bob), ["back 1"]);
    world.broadcast(bob, "a", "4");
    world.broadcast(again, "a", "5");
    assert_eq!(world.heard(again), ["4"]);
    assert_eq!(world.heard(bob), ["5"]);
    // And can be resumed as before.
    let ticket = world.ticket(again);
    world.hang_up(again);
    let third = world.resume(&ticket);
    assert_eq!(story(&mut world, third)[0], "resumed");
}

#[test]
fn sixteen_players_at_sixty_hertz_keep_the_seat_of_one_who_is_gone_for_29_seconds() {
    absence(16, 60, 29);
}

#[test]
fn sixty_four_players_at_twenty_hertz_do_too() {
    absence(64, 20, 29);
}

/// A room with the default settings where everybody streams a position and sometimes says
/// something, and one is gone for a while.
fn absence(players: usize, hertz: u32, seconds: u32) {
    let mut world = world();
    let peers: Vec<_> = (0..players).map(|_| world.member("a")).collect();
    let (alice, others) = peers.split_first().unwrap();
    let ticket = world.ticket(*alice);
    world.hang_up(*alice);
    let room = world.peers[*alice].rooms["a"].0;
    let broadcast = |world: &mut World, peer: PeerId, delivery: Delivery, text: &str| {
        let (flags, message_type) = (SendFlags::NONE, MessageType::RAW);
        let payload = text.as_bytes();
        let message = ClientMessage::Broadcast { room, delivery, flags, message_type, payload };
        world.bytes(peer, &encode(&message));
    };
    let mut said = Vec::new();
    for tick in 0..hertz * seconds {
        for (at, other) in others.iter().enumerate() {
            let position = format!("{at} is at {tick}, and where it looks: 0123456789abcdef");
            broadcast(&mut world, *other, Delivery::Latest(0), &position);
        }
        broadcast(&mut world, others[0], Delivery::Volatile, "bang");
        if tick % hertz == 0 {
            let text = format!("chat {tick}");
            let speaker = others[tick as usize % others.len()];
            broadcast(&mut world, speaker, Delivery::Reliable, &text);
            said.push(text);
        }
        world.pump();
        for other in others {
            world.peers[*other].frames.clear();
        }
        world.wait(secs(1) / hertz);
    }
    let again = world.resume(&ticket);
    let mut story = story(&mut world, again);
    assert_eq!((story.remove(0), story.pop().unwrap()), ("resumed".into(), "back 1".into()));
    assert!(story[..2].contains(&"away 1".to_owned()), "{:?}", &story[..2]);
    let heard: Vec<_> = story.iter().filter(|told| told.starts_with("chat")).cloned().collect();
    assert_eq!(heard, said, "nothing reliable is missing");
    let positions = story.iter().filter(|told| told.contains(" is at ")).count();
    assert_eq!(positions, others.len(), "the newest of each, nothing older");
    assert!(!story.contains(&"bang".to_owned()), "what was to be heard at once or not at all");
    // It is there, with its seat, and goes on.
    world.broadcast(again, "a", "here I am");
    assert_eq!(world.heard(others[0]).last().unwrap(), "here I am");
}

#[test]
fn who_speaks_and_hears_nothing_can_resume() {
    for delivery in [Delivery::Latest(1), Delivery::Reliable, Delivery::Volatile] {
        let mut world = world();
        let alice = world.member("a");
        let text = "x".repeat(200);
        for _ in 0..40 {
            for _ in 0..300 {
                world.broadcast_with(alice, "a", delivery, SendFlags::NONE, text.as_bytes());
            }
            world.wait(secs(2));
        }
        let ticket = world.ticket(alice);
        world.hang_up(alice);
        let again = world.resume(&ticket);
        assert_eq!(story(&mut world, again), ["resumed", "away 1", "back 1"], "{delivery:?}");
    }
}

#[test]
fn who_was_closed_for_being_slow_misses_nothing_when_it_comes_back() {
    let mut world = world();
    let alice = world.member("a");
    let others: Vec<_> = (0..4).map(|_| world.member("a")).collect();
    let ticket = world.ticket(alice);
    world.peers[alice].takes = Some(0);
    let text = "x".repeat(1000);
    let mut said = 0;
    while world.relay.away_count() == 0 {
        world.broadcast(others[said % 4], "a", &text);
        said += 1;
        assert!(said < 2000, "it is closed in the end");
    }
    world.take(alice);
    let again = world.resume(&ticket);
    assert_eq!(world.heard(again).len(), said);
}

#[test]
fn a_room_is_named_once_in_a_resume_and_is_one_that_the_client_is_in() {
    let twice = |ticket: &mut Ticket| {
        let place = ticket.rooms[0];
        ticket.rooms.push(place);
    };
    let foreign = |ticket: &mut Ticket| {
        ticket.rooms.push(Progress { room: RoomId(77), last: 0, own: 0 });
    };
    let boast = |ticket: &mut Ticket| ticket.rooms[0].own = 1;
    for change in [twice as fn(&mut Ticket), foreign, boast] {
        let mut world = world();
        let alice = world.member("a");
        let mut ticket = world.ticket(alice);
        change(&mut ticket);
        let again = world.resume(&ticket);
        assert!(matches!(world.closed(again), Some(CloseReason::Protocol { .. })));
    }
}

#[test]
fn requests_that_arrived_are_counted_for_the_client() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.broadcast(alice, "a", "arrived");
    world.hang_up(alice);
    let again = world.resume(&ticket);
    let frames = world.take(again);
    let Ok(ServerMessage::Resumed { received, .. }) = ServerMessage::decode(&frames[0]) else {
        panic!()
    };
    assert_eq!(received, 2, "a join and a broadcast");
    assert_eq!(world.heard(bob), ["arrived"]);
}

#[test]
fn own_events_do_not_wait_behind_a_frame_that_was_cut() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.peers[alice].takes = Some(10);
    world.broadcast(bob, "a", "cut in two");
    for _ in 0..10 {
        world.broadcast(alice, "a", "own");
    }
    world.read_on(alice, 10_000);
    assert_eq!(world.relay.queue_len(world.peers[alice].conn).bytes, 0);
}

#[test]
fn who_is_in_many_rooms_can_come_back() {
    let mut world = World::with(|config| {
        held(config);
        config.rooms_per_client = 1000;
    });
    let alice = world.client();
    for n in 0..400 {
        let name = format!("r{n}");
        world.room(&name);
        world.join(alice, &name);
    }
    let mut ticket = world.ticket(alice);
    let place = |(room, _): &(RoomId, Seat)| Progress { room: *room, last: 1, own: 0 };
    ticket.rooms = world.peers[alice].rooms.values().map(place).collect();
    world.hang_up(alice);
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    assert_eq!(story[0], "resumed");
}

#[test]
fn answers_that_are_sent_again_are_not_owed() {
    let mut world = world();
    let alice = world.member("a");
    let mut ticket = world.ticket(alice);
    for _ in 0..1100 {
        world.join(alice, "nowhere");
    }
    ticket.secret = world.ticket(alice).secret;
    world.hang_up(alice);
    let again = world.socket();
    let mut bytes = encode(&ticket.resume());
    ClientMessage::Ping { nonce: 1 }.encode(&mut bytes);
    world.bytes(again, &bytes);
    world.pump();
    let story = story(&mut world, again);
    assert_eq!(story[0], "resumed");
    assert!(!story.last().unwrap().starts_with("closed"), "{:?}", story.last());
}

#[test]
fn answers_that_are_sent_again_end_no_slow_link() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let before = world.ticket(alice);
    for _ in 0..60 {
        world.join(alice, "nowhere");
    }
    // The answers were written, but the line broke before they arrived.
    world.hang_up(alice);
    world.broadcast(bob, "a", "while away");
    let again = world.socket();
    let bytes = encode(&before.resume());
    world.peers[again].takes = Some(60);
    world.bytes(again, &bytes);
    world.pump();
    world.read_on(again, 1 << 20);
    let story = story(&mut world, again);
    assert!(!story.last().unwrap().starts_with("closed"), "{:?}", story);
}
