//! Sessions that outlive their links: away, back, taken over, ended.

use std::time::Duration;

use ghost_sync_core::{
    ClientMessage, CloseReason, Delivery, History, MessageType, Progress, RelayConfig, RelayEvent,
    Replay, ResumeFailure, RoomConfig, RoomId, Seat, SendFlags, ServerMessage, Verdict, Welcome,
};

use crate::world::{PeerId, Ticket, World, encode, secs};

fn held(config: &mut RelayConfig) {
    config.resume_grace = secs(30);
}

fn world() -> World {
    let mut world = World::with(held);
    world.room("a");
    world
}

/// What happened, by the names of the messages.
fn story(world: &mut World, peer: PeerId) -> Vec<String> {
    let frames = world.take(peer);
    let name = |frame: &bytes::Bytes| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Broadcast { payload, .. } => String::from_utf8_lossy(payload).into_owned(),
        ServerMessage::Direct { payload, .. } => {
            format!("direct {}", String::from_utf8_lossy(payload))
        }
        ServerMessage::Retained { payload, key, .. } => {
            format!("retained {key} {}", String::from_utf8_lossy(payload))
        }
        ServerMessage::Gap { from, to, .. } => format!("gap {from}..={to}"),
        ServerMessage::PlayerAway { seat, .. } => format!("away {}", seat.0),
        ServerMessage::PlayerBack { seat, .. } => format!("back {}", seat.0),
        ServerMessage::PlayerJoined { member, .. } => format!("joined {}", member.seat.0),
        ServerMessage::PlayerLeft { seat, reason, .. } => format!("left {}: {reason}", seat.0),
        ServerMessage::Left { reason, .. } => format!("out: {reason}"),
        ServerMessage::Resumed { .. } => "resumed".to_owned(),
        ServerMessage::ResumeFailed { reason } => format!("failed: {reason:?}"),
        ServerMessage::Close { reason } => format!("closed: {reason}"),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    frames.iter().map(name).collect()
}

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
fn who_was_put_out_while_away_hears_all_until_then() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.broadcast(bob, "a", "before");
    let (conn, room) = (world.peers[alice].conn, world.peers[alice].rooms["a"].0);
    world.act(|relay, now, out| relay.remove(now, conn, room, "out", out)).unwrap();
    world.broadcast(bob, "a", "after");
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    assert_eq!(story, ["resumed", "away 1", "before", "out: kicked: out"]);
}

#[test]
fn a_room_that_was_deleted_meanwhile_still_tells_its_end() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.broadcast(bob, "a", "before");
    world.act(|relay, now, out| relay.close_room(now, "a", "over", out)).unwrap();
    world.room("a");
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    let end = ["RoomDeleted", "out: the room was deleted: over"];
    assert_eq!(story, [&["resumed", "away 1", "before"][..], &end].concat());
}

#[test]
fn a_new_link_takes_over_and_the_old_one_is_fenced() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.take(bob);
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["resumed"]);
    assert_eq!(world.closed(alice), Some(CloseReason::TakenOver));
    world.broadcast(alice, "a", "from the grave");
    world.hang_up(alice);
    world.broadcast(again, "a", "alive");
    assert_eq!(story(&mut world, bob), ["alive"]);
    assert_eq!(world.relay.client_count(), 2);
}

#[test]
fn the_secret_rotates_and_the_old_one_is_good_until_the_new_one_is_known() {
    let mut world = world();
    let alice = world.member("a");
    let first = world.ticket(alice);
    world.hang_up(alice);
    // The answer with the new secret gets lost.
    let lost = world.resume(&first);
    world.hang_up(lost);
    let second = world.resume(&first);
    assert_eq!(story(&mut world, second)[0], "resumed");
    let ticket = world.ticket(second);
    world.broadcast(second, "a", "I have it");
    world.hang_up(second);
    let thief = world.resume(&first);
    assert_eq!(story(&mut world, thief), ["failed: Denied"]);
    let third = world.resume(&ticket);
    assert_eq!(story(&mut world, third)[0], "resumed");
}

#[test]
fn an_id_alone_resumes_nothing() {
    let mut world = world();
    let alice = world.member("a");
    let ticket = Ticket { secret: Default::default(), ..world.ticket(alice) };
    let thief = world.resume(&ticket);
    assert_eq!(story(&mut world, thief), ["failed: Denied"]);
    assert_eq!(world.closed(alice), None);
    let ticket = Ticket { epoch: 1, ..world.ticket(alice) };
    let lost = world.resume(&ticket);
    assert_eq!(story(&mut world, lost), ["failed: EpochChanged"]);
}

#[test]
fn who_missed_what_is_no_longer_kept_is_told_so_and_keeps_its_seat() {
    let mut world = World::with(held);
    let history = History { events: 2, reliable: 0, ..History::default() };
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
fn a_resume_shows_nothing_of_before_the_join() {
    let early = |ticket: &mut Ticket| ticket.rooms[0].last = 0;
    let unnamed_stay = |ticket: &mut Ticket| ticket.rooms[0].last = 1;
    for change in [early as fn(&mut Ticket), unnamed_stay] {
        let mut world = world();
        let bob = world.member("a");
        world.broadcast(bob, "a", "secret");
        let alice = world.member("a");
        let mut ticket = world.ticket(alice);
        change(&mut ticket);
        let again = world.resume(&ticket);
        assert!(matches!(world.closed(again), Some(CloseReason::Protocol { .. })));
        assert_eq!(world.heard(again), Vec::<String>::new());
    }
}

#[test]
fn a_resume_shows_nothing_of_before_a_stay_that_is_over() {
    let mut world = world();
    let bob = world.member("a");
    world.broadcast(bob, "a", "secret");
    let alice = world.member("a");
    let mut ticket = world.ticket(alice);
    let room = ticket.rooms[0].room;
    world.hang_up(alice);
    let conn = world.peers[alice].conn;
    world.act(|relay, now, out| relay.remove(now, conn, room, "out", out)).unwrap();
    ticket.rooms[0].last = 0;
    let again = world.resume(&ticket);
    assert!(matches!(world.closed(again), Some(CloseReason::Protocol { .. })));
    assert_eq!(world.heard(again), Vec::<String>::new());
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
fn whoever_says_goodbye_or_is_kicked_is_gone_at_once() {
    let mut world = world();
    let (alice, bob, carol) = (world.member("a"), world.member("a"), world.member("a"));
    world.take(carol);
    let ticket = world.ticket(alice);
    let reason = CloseReason::Requested;
    world.say(alice, &ClientMessage::Close { reason });
    let conn = world.peers[bob].conn;
    world.act(|relay, now, out| relay.kick(now, conn, "cheating", out)).unwrap();
    world.pump();
    assert_eq!(story(&mut world, carol), ["left 1: left", "left 2: kicked: cheating"]);
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["failed: Expired"]);
}

#[test]
fn who_is_kicked_while_away_is_told_when_it_comes_back() {
    let mut world = world();
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let conn = world.peers[alice].conn;
    world.act(|relay, now, out| relay.kick(now, conn, "cheating", out)).unwrap();
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["closed: kicked: cheating"]);
}

#[test]
fn a_silent_client_is_told_why_its_link_ends_and_may_come_back() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.take(bob);
    world.peers[alice].answers_pings = false;
    world.wait(secs(40));
    assert!(matches!(world.closed(alice), Some(CloseReason::IdleTimeout { .. })));
    assert_eq!(story(&mut world, bob), ["away 1"]);
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["resumed", "away 1", "back 1"]);
}

#[test]
fn a_slow_consumer_is_cut_off_and_may_come_back() {
    let mut world = World::with(|config| {
        held(config);
        config.outbox_limit = 10_000;
    });
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.peers[alice].takes = Some(0);
    for _ in 0..11 {
        world.broadcast(bob, "a", &"x".repeat(1000));
    }
    assert_eq!(story(&mut world, bob).last().unwrap(), "away 1");
    let again = world.resume(&ticket);
    assert_eq!(world.heard(again).len(), 11);
}

#[test]
fn only_so_many_may_be_away() {
    let mut world = World::with(|config| {
        held(config);
        config.max_clients = 20;
    });
    world.room("a");
    let peers: Vec<_> = (0..20).map(|_| world.member("a")).collect();
    let tickets: Vec<_> = peers.iter().map(|peer| world.ticket(*peer)).collect();
    for peer in &peers[..17] {
        world.hang_up(*peer);
    }
    assert_eq!(world.relay.away_count(), 16);
    assert_eq!(world.relay.client_count(), 19);
    let newcomer = world.client();
    assert_eq!(world.closed(newcomer), None);
    // Every place is taken now, but those who are away have theirs.
    let late = world.client();
    assert!(matches!(world.closed(late), Some(CloseReason::MaxClientsReached { .. })));
    let again = world.resume(&tickets[1]);
    assert_eq!(story(&mut world, again)[0], "resumed");
    let first = world.resume(&tickets[0]);
    assert_eq!(story(&mut world, first), ["failed: Expired"]);
}

#[test]
fn what_waits_for_an_absent_client_is_bounded() {
    let mut world = World::with(|config| {
        held(config);
        config.outbox_limit = 10_000;
    });
    world.room("a");
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    for _ in 0..11 {
        world.direct(alice, "a", &"x".repeat(1000));
    }
    assert_eq!(world.relay.client_count(), 0);
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["failed: Expired"]);
}

#[test]
fn a_shutdown_ends_those_who_are_away_too() {
    let mut world = world();
    let alice = world.member("a");
    world.hang_up(alice);
    world.act(|relay, now, out| relay.shutdown(now, "over", secs(1), out));
    assert_eq!(world.relay.client_count(), 0);
    let left = |event: &RelayEvent| matches!(event, RelayEvent::PlayerLeft { .. });
    assert!(world.events.iter().any(left));
    world.wait(secs(5));
    assert_eq!(world.relay.connection_count(), 0);
}

#[test]
fn a_relay_that_slept_itself_gives_the_absent_their_whole_time() {
    let mut world = world();
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.now += secs(3600);
    world.wait(Duration::ZERO);
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again)[0], "resumed");
}

#[test]
fn a_bogus_ticket_with_the_right_secret_ends_the_session() {
    for change in [
        (|ticket: &mut Ticket| ticket.received = 1000) as fn(&mut Ticket),
        |ticket| ticket.rooms[0].last = 1000,
        |ticket| ticket.rooms[0].last = u64::MAX,
    ] {
        let mut world = world();
        let (alice, bob) = (world.member("a"), world.member("a"));
        let mut ticket = world.ticket(alice);
        change(&mut ticket);
        world.take(bob);
        let again = world.resume(&ticket);
        assert!(matches!(world.closed(again), Some(CloseReason::Protocol { .. })));
        assert_eq!(story(&mut world, bob), ["left 1: disconnected"]);
    }
}

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
    world.room_with("a", RoomConfig::default().history(History::NONE));
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
        let history = History { age: secs(10), ..History::default() };
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
fn a_seat_given_while_away_is_marked_so() {
    let mut world = World::with(|config| {
        held(config);
        config.ask_join = true;
        config.rooms_per_client = 2;
    });
    world.room("a");
    world.room("b");
    let alice = world.client();
    let ticket = world.ticket(alice);
    world.join(alice, "a");
    let ask = world.asked.pop().unwrap().0;
    world.answer(ask, true.into());
    world.join(alice, "b");
    world.hang_up(alice);
    let ask = world.asked.pop().unwrap().0;
    world.answer(ask, true.into());
    let away = |event: &&RelayEvent| matches!(event, RelayEvent::PlayerAway { .. });
    assert_eq!(world.events.iter().filter(away).count(), 2);
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    let (joins, others): (Vec<_>, Vec<_>) = story.into_iter().partition(|what| what == "Joined");
    assert_eq!(joins.len(), 2);
    assert_eq!(others.iter().filter(|what| *what == "back 1").count(), 2);
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
fn the_rules_may_tell_a_newcomer_the_state_before_all_else() {
    let mut world = World::with(|config| {
        held(config);
        config.ask_join = true;
    });
    world.room("a");
    let alice = world.client();
    world.join(alice, "a");
    let ask = world.asked.pop().unwrap().0;
    let words = ["snow", "dusk"].map(|text| (MessageType::RAW, bytes::Bytes::from(text)));
    world.answer(ask, Verdict::greet(words.into()));
    let expected = ["Welcome", "Joined", "Roster", "direct snow", "direct dusk"];
    assert_eq!(story(&mut world, alice), expected);
}

#[test]
fn a_program_that_was_killed_goes_on_as_the_same_player_and_is_told_all_anew() {
    for gone_before in [true, false] {
        let mut world = world();
        let (alice, bob) = (world.member("a"), world.member("a"));
        world.broadcast(alice, "a", "one");
        let latest = Delivery::Latest(1);
        world.broadcast_with(bob, "a", latest, SendFlags::NONE, b"here");
        let ticket = world.ticket(alice);
        if gone_before {
            world.hang_up(alice);
        }
        world.broadcast(bob, "a", "two");
        world.take(bob);
        let again = world.begin_anew(&ticket);
        assert_eq!(story(&mut world, again)[1..], ["Joined", "Roster", "retained 1 here"]);
        // Where nobody had missed it, it is seen to go first.
        let back: &[&str] = if gone_before { &["back 1"] } else { &["away 1", "back 1"] };
        assert_eq!(story(&mut world, bob), back);
        world.broadcast(bob, "a", "three");
        world.broadcast(again, "a", "four");
        assert_eq!(
            (world.heard(again), world.heard(bob)),
            (vec!["three".into()], vec!["four".into()])
        );
        // Counting has begun anew on both sides.
        let ticket = world.ticket(again);
        world.hang_up(again);
        let third = world.resume(&ticket);
        let frames = world.take(third);
        let Ok(ServerMessage::Resumed { received: 1, .. }) = ServerMessage::decode(&frames[0])
        else {
            panic!("not one broadcast since")
        };
        assert_eq!(world.relay.client_count(), 2);
    }
}

#[test]
fn a_ticket_that_leads_nowhere_begins_a_session_like_any_other() {
    let mut world = world();
    let alice = world.member("a");
    let ticket = Ticket { secret: Default::default(), ..world.ticket(alice) };
    let thief = world.begin_anew(&ticket);
    assert_eq!(story(&mut world, thief), ["Welcome"]);
    assert_eq!(world.relay.client_count(), 2);
    assert_eq!(world.closed(alice), None);
}

#[test]
fn words_about_a_room_keep_their_place_in_a_stay_that_ended_while_away() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.broadcast(bob, "a", "one");
    world.direct(alice, "a", "two");
    world.broadcast(bob, "a", "three");
    let (conn, room) = (world.peers[alice].conn, world.peers[alice].rooms["a"].0);
    world.act(|relay, now, out| relay.remove(now, conn, room, "out", out)).unwrap();
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    assert_eq!(story, ["resumed", "away 1", "one", "direct two", "three", "out: kicked: out"]);
}

#[test]
fn a_kick_while_away_is_told_to_the_old_secret_too() {
    let mut world = world();
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let lost = world.resume(&ticket);
    world.hang_up(lost);
    let conn = world.peers[alice].conn;
    world.act(|relay, now, out| relay.kick(now, conn, "cheating", out)).unwrap();
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["closed: kicked: cheating"]);
}

#[test]
fn words_of_a_stay_that_is_over_keep_out_of_the_next() {
    let mut world = World::with(held);
    world.room_with("a", RoomConfig::default().replay(100));
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.take(alice);
    world.peers[alice].takes = Some(0);
    world.broadcast(bob, "a", "one");
    world.direct(alice, "a", "two");
    let room = world.peers[alice].rooms["a"].0;
    world.say(alice, &ClientMessage::Leave { room });
    world.join_with(alice, "a", Replay::Last(3));
    world.read_on(alice, 10_000);
    let first = ["one", "direct two", "out: left"];
    let second = ["Joined", "Roster", "joined 2", "one", "left 1: left"];
    assert_eq!(story(&mut world, alice), [&first[..], &second].concat());
}

#[test]
fn who_goes_away_with_too_much_waiting_does_not_stay() {
    let mut world = World::with(|config| {
        held(config);
        config.outbox_limit = 4000;
    });
    world.room("a");
    let alice = world.member("a");
    world.peers[alice].takes = Some(0);
    let conn = world.peers[alice].conn;
    for _ in 0..11 {
        let text = [7; 1000];
        world
            .relay
            .direct(&[conn], Some("a"), Delivery::Reliable, MessageType::RAW, &text)
            .unwrap();
    }
    world.pump();
    assert_eq!((world.relay.client_count(), world.relay.away_count()), (0, 0));
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
fn rosters_that_nobody_reads_are_bounded() {
    let mut world = World::with(|config| {
        config.max_clients = 1000;
        config.outbox_limit = 10_000;
        config.channel_capacity = 100_000;
    });
    world.room("a");
    let _others: Vec<_> = (0..100).map(|_| world.member("a")).collect();
    let alice = world.client();
    world.peers[alice].takes = Some(0);
    let leave = ClientMessage::Leave { room: world.relay.room_id("a").unwrap() };
    let before = allocation_counter::measure(|| {
        for _ in 0..40 {
            world.join(alice, "a");
            world.say(alice, &leave);
        }
    });
    assert!(before.bytes_current < 200_000, "{} bytes", before.bytes_current);
}

#[test]
fn a_resume_that_was_long_under_way_takes_nothing_from_a_later_one() {
    let mut world = world();
    let alice = world.member("a");
    let first = world.ticket(alice);
    world.hang_up(alice);
    let second = world.resume(&Ticket { attempt: Some(2), ..first.clone() });
    // Sent before that, over a link that the client had given up.
    let stale = world.resume(&Ticket { attempt: Some(1), ..first });
    assert_eq!(story(&mut world, stale), ["failed: Denied"]);
    assert_eq!(world.closed(second), None);
    let ticket = world.ticket(second);
    // However often the answer gets lost, what the client shows stays good.
    for _ in 0..10 {
        let lost = world.resume(&ticket);
        assert_eq!(story(&mut world, lost)[0], "resumed");
        world.hang_up(lost);
    }
}

#[test]
fn a_program_may_show_its_ticket_until_it_is_heard() {
    let mut world = world();
    let (alice, _bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let one = world.begin_anew(&ticket);
    world.hang_up(one);
    let two = world.begin_anew(&ticket);
    assert_eq!(story(&mut world, two), ["Welcome", "Joined", "Roster"]);
    world.hang_up(two);
    let three = world.begin_anew(&ticket);
    assert_eq!(story(&mut world, three), ["Welcome", "Joined", "Roster"]);
}

#[test]
fn a_seat_told_anew_is_told_again_as_it_was_then() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.broadcast(bob, "a", "old");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let one = world.begin_anew(&ticket);
    let frames = world.take(one);
    let Ok(ServerMessage::Welcome(Welcome { secret, client_id, epoch, .. })) =
        ServerMessage::decode(&frames[0])
    else {
        panic!()
    };
    // Only the welcome arrived.
    world.hang_up(one);
    let again = world.resume(&Ticket {
        epoch,
        client_id,
        secret,
        received: 0,
        rooms: vec![],
        attempt: Some(1000),
    });
    let frames = world.take(again);
    let since = frames
        .iter()
        .find_map(|f| match ServerMessage::decode(f).unwrap() {
            ServerMessage::Joined { since, .. } => Some(since),
            _ => None,
        })
        .unwrap();
    let first = frames
        .iter()
        .find_map(|f| match ServerMessage::decode(f).unwrap() {
            ServerMessage::PlayerJoined { seq, .. }
            | ServerMessage::Broadcast { seq, .. }
            | ServerMessage::PlayerAway { seq, .. }
            | ServerMessage::PlayerBack { seq, .. } => Some(seq),
            _ => None,
        })
        .unwrap();
    assert!(first >= since, "event {first} before since {since}");
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
fn a_resume_over_many_stays_takes_bounded_memory() {
    let mut world = World::with(held);
    world.room_with("a", RoomConfig::default().replay(10_000));
    let bob = world.member("a");
    let big = "x".repeat(10_000);
    for _ in 0..40 {
        world.broadcast(bob, "a", &big);
    }
    let alice = world.client();
    world.room("b");
    for _ in 0..200 {
        world.join_with(alice, "a", Replay::Last(10_000));
        world.join(alice, "b");
    }
    let mut ticket = world.ticket(alice);
    ticket.received = 0;
    ticket.rooms.clear();
    world.hang_up(alice);
    let again = world.socket();
    let bytes = encode(&ticket.resume());
    world.bytes(again, &bytes);
    let conn = world.relay.conn_on(world.peers[again].link).unwrap();
    let queued = world.relay.queue_len(conn).bytes;
    assert!(queued < 4 << 20, "{queued}");
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

#[test]
fn a_late_resume_of_a_dead_program_is_denied() {
    let mut world = world();
    let (alice, _bob) = (world.member("a"), world.member("a"));
    let mut ticket = world.ticket(alice);
    world.hang_up(alice);
    let one = world.begin_anew(&ticket);
    world.take(one);
    ticket.attempt = Some(1);
    ticket.received = 50;
    let old = world.resume(&ticket);
    let told = (story(&mut world, old), story(&mut world, one));
    assert_eq!(told.1, Vec::<String>::new(), "{told:?}");
}
