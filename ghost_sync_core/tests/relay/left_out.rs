//! Broadcasts of the server to all but some.

use ghost_sync_core::{
    Announcement, ConnId, Delivery, Limits, MessageType, RelayConfig, Replay, RoomConfig,
    RoomHistory, SendFlags, ServerMessage, relay::ServerSendError,
};

use crate::world::{PeerId, World, secs};

fn held(config: &mut RelayConfig) {
    config.resume_grace = secs(30);
    config.limits = Limits::none();
}

fn conns(world: &World, peers: &[PeerId]) -> Vec<ConnId> {
    peers.iter().map(|peer| world.peers[*peer].conn).collect()
}

fn say(
    world: &mut World,
    except: &[PeerId],
    delivery: Delivery,
    text: &str,
) -> Result<u64, ServerSendError> {
    let except = conns(world, except);
    let words = Announcement {
        delivery,
        except: &except,
        payload: text.as_bytes(),
        ..Announcement::default()
    };
    let said = world.act(|relay, now, _| relay.say(now, "a", words));
    world.pump();
    said
}

/// What came of the room, and how much it is left out of.
fn story(world: &mut World, peer: PeerId) -> Vec<String> {
    let frames = world.take(peer);
    let told = frames.iter().filter_map(|frame| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Broadcast { payload, .. } | ServerMessage::Retained { payload, .. } => {
            Some(String::from_utf8_lossy(payload).into_owned())
        }
        ServerMessage::Spared { count, .. } => Some(format!("spared {count}")),
        ServerMessage::Gap { from, to, own, .. } => Some(format!("gap {from}..={to}, {own} own")),
        _ => None,
    });
    told.collect()
}

#[test]
fn all_but_some_hear_it_and_those_know_that_nothing_is_missing() {
    let mut world = World::new();
    world.room("a");
    let [alice, bob, carol] = [(); 3].map(|()| world.member("a"));
    for peer in [alice, bob] {
        world.take(peer);
    }
    assert_eq!(say(&mut world, &[alice], Delivery::Reliable, "one"), Ok(4));
    assert_eq!(say(&mut world, &[alice, bob], Delivery::Volatile, "two"), Ok(5));
    assert_eq!(story(&mut world, alice), Vec::<String>::new(), "it need not know yet");
    assert_eq!(say(&mut world, &[], Delivery::Reliable, "three"), Ok(6));
    assert_eq!(story(&mut world, alice), ["spared 2", "three"]);
    assert_eq!(story(&mut world, bob), ["one", "spared 1", "three"]);
    assert_eq!(story(&mut world, carol), ["one", "two", "three"]);
}

#[test]
fn so_many_can_be_left_out_and_no_more() {
    let mut world = World::with(|config| config.rooms_per_client = 2);
    world.room("a");
    let members = [(); 5].map(|()| world.member("a"));
    let elsewhere = world.client();
    let too_many = ServerSendError::TooManyLeftOut { max: 4 };
    assert_eq!(say(&mut world, &members, Delivery::Reliable, "x"), Err(too_many));
    let [first, ..] = members;
    let twice = [&members[..4], &[first, elsewhere]].concat();
    assert_eq!(say(&mut world, &twice, Delivery::Reliable, "y"), Ok(6));
    assert_eq!(world.heard(members[4]), ["y"]);
    assert_eq!(world.heard(first), Vec::<String>::new());
}

#[test]
fn who_comes_back_is_not_given_what_it_was_left_out_of() {
    let forgetful = RoomHistory { events: 1, ..RoomHistory::default() };
    for history in [RoomHistory::default(), forgetful] {
        let mut world = World::with(held);
        world.room_with("a", RoomConfig::default().history(history));
        let (alice, bob) = (world.member("a"), world.member("a"));
        world.broadcast(alice, "a", "own");
        let ticket = world.ticket(alice);
        world.hang_up(alice);
        for delivery in [Delivery::Reliable, Delivery::Volatile, Delivery::Latest(1)] {
            say(&mut world, &[alice], delivery, "secret").unwrap();
            say(&mut world, &[bob], delivery, "for alice").unwrap();
        }
        let again = world.resume(&ticket);
        let story = story(&mut world, again);
        assert!(!story.contains(&"secret".to_owned()), "{story:?}");
        assert!(story.contains(&"for alice".to_owned()), "{story:?}");
        assert!(story.contains(&"spared 3".to_owned()), "{story:?}");
        // It was told where it is: it comes back once more.
        let ticket = world.ticket(again);
        world.hang_up(again);
        say(&mut world, &[alice], Delivery::Reliable, "secret").unwrap();
        let third = world.resume(&ticket);
        let frames = world.take(third);
        let resumed = ServerMessage::decode(&frames[0]).unwrap();
        assert!(matches!(resumed, ServerMessage::Resumed { .. }), "{resumed:?}");
    }
}

#[test]
fn a_gap_counts_what_its_receiver_was_left_out_of_as_its_own() {
    let mut world = World::with(|config| {
        held(config);
        config.channel_capacity = 4;
    });
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.take(alice);
    world.peers[alice].takes = Some(0);
    world.broadcast(bob, "a", "first");
    for _ in 0..4 {
        world.broadcast_with(bob, "a", Delivery::Latest(1), SendFlags::NONE, b"moved");
        say(&mut world, &[alice], Delivery::Reliable, "secret").unwrap();
    }
    world.read_on(alice, 1 << 20);
    assert_eq!(story(&mut world, alice), ["spared 4", "first", "gap 4..=8, 2 own", "moved"]);
}

#[test]
fn the_newest_value_is_not_for_a_new_process_that_was_left_out_of_it_but_for_newcomers() {
    let mut world = World::with(held);
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    say(&mut world, &[], Delivery::Latest(1), "known").unwrap();
    say(&mut world, &[alice], Delivery::Latest(2), "secret").unwrap();
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let again = world.begin_anew(&ticket);
    assert_eq!(story(&mut world, again), ["known"]);
    let ticket = world.ticket(bob);
    world.hang_up(bob);
    let again = world.begin_anew(&ticket);
    assert_eq!(story(&mut world, again), ["known", "secret"]);
    let newcomer = world.client();
    world.join(newcomer, "a");
    assert_eq!(story(&mut world, newcomer), ["known", "secret"]);
}

#[test]
fn a_value_replaces_older_ones_also_for_those_who_are_left_out_of_it() {
    let mut world = World::with(held);
    world.room("a");
    let (alice, _bob) = (world.member("a"), world.member("a"));
    world.take(alice);
    world.peers[alice].takes = Some(0);
    say(&mut world, &[], Delivery::Latest(1), "old").unwrap();
    say(&mut world, &[], Delivery::Reliable, "words").unwrap();
    say(&mut world, &[alice], Delivery::Latest(1), "new").unwrap();
    world.read_on(alice, 1 << 20);
    assert_eq!(story(&mut world, alice), ["spared 1", "gap 3..=3, 0 own", "words"]);
}

#[test]
fn a_last_value_can_be_said_to_all_but_some() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    say(&mut world, &[], Delivery::Latest(1), "value").unwrap();
    world.take(bob);
    let except = conns(&world, &[alice]);
    let words = Announcement {
        delivery: Delivery::Latest(1),
        last: true,
        except: &except,
        message_type: MessageType::RAW,
        payload: b"over",
    };
    world.act(|relay, now, _| relay.say(now, "a", words)).unwrap();
    world.pump();
    assert_eq!(story(&mut world, bob), ["over"]);
    let newcomer = world.client();
    world.join(newcomer, "a");
    assert_eq!(story(&mut world, newcomer), Vec::<String>::new());
}

#[test]
fn history_shows_it_to_everybody_else_and_recordings_see_it() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().replay(10));
    let alice = world.member("a");
    say(&mut world, &[alice], Delivery::Reliable, "secret").unwrap();
    let newcomer = world.client();
    world.join_with(newcomer, "a", Replay::Last(10));
    assert_eq!(story(&mut world, newcomer), ["secret"]);
    assert_eq!(world.relay.history("a", 2, 1000).unwrap().events.len(), 2);
}

#[test]
fn very_much_that_a_silent_member_is_left_out_of_costs_it_little() {
    let mut world = World::with(|config| {
        held(config);
        config.outbox_limit = 16 << 10;
    });
    world.room("a");
    let (alice, _bob) = (world.member("a"), world.member("a"));
    let conn = world.peers[alice].conn;
    let ticket = world.ticket(alice);
    world.take(alice);
    world.hang_up(alice);
    for number in 0..10_000 {
        say(&mut world, &[alice], Delivery::Volatile, "secret").unwrap();
        if number % 2000 == 0 {
            world
                .relay
                .direct(&[conn], Some("a"), Delivery::Reliable, MessageType::RAW, b"x")
                .unwrap();
        }
    }
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    let spared: Vec<_> = story.iter().filter(|told| told.starts_with("spared")).collect();
    assert_eq!(spared, ["spared 10000"]);
}
