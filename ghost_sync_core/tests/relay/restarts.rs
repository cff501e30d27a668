//! Clients whose programs died and were started anew: the same seats, and no memory.

use ghost_sync_core::{
    AskId, MessageType, Question, RelayConfig, RelayEvent, ServerMessage, Verdict, Welcome,
};

use crate::world::{PeerId, World, secs};

/// A world whose host decides about joins.
fn world() -> World {
    let mut world = World::with(|config: &mut RelayConfig| {
        config.resume_grace = secs(30);
        config.host.ask_join = true;
        config.rooms_per_client = 2;
    });
    world.room("a");
    world
}

fn words(text: &'static str) -> Verdict {
    Verdict::greet(vec![(MessageType::RAW, text.as_bytes().into())])
}

/// A client that was let in.
fn member(world: &mut World, room: &str) -> PeerId {
    let peer = world.client();
    join(world, peer, room);
    peer
}

fn join(world: &mut World, peer: PeerId, room: &str) {
    world.join(peer, room);
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, words("welcome"));
}

/// What the host is asked about who comes back; it is not asked about anything else.
fn greetings(world: &mut World) -> Vec<(AskId, String)> {
    let asked = std::mem::take(&mut world.asked).into_iter();
    let greeting = |(ask, question)| match question {
        Question::Greet { name, .. } => (ask, name.to_string()),
        other => panic!("{other:?}"),
    };
    asked.map(greeting).collect()
}

fn story(world: &mut World, peer: PeerId) -> Vec<String> {
    let frames = world.take(peer);
    let name = |frame: &bytes::Bytes| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Welcome(Welcome { rooms, .. }) => format!("welcome to {rooms:?}"),
        ServerMessage::Joined { name, .. } => format!("joined {name}"),
        ServerMessage::Direct { payload, .. } | ServerMessage::Broadcast { payload, .. } => {
            String::from_utf8_lossy(payload).into_owned()
        }
        ServerMessage::Close { reason } => format!("closed: {reason}"),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    frames.iter().map(name).collect()
}

/// Who the host was told is back, and whether with a new program.
fn back(world: &World) -> Vec<bool> {
    let back = |event: &RelayEvent| match event {
        RelayEvent::PlayerBack { restarted, .. } => Some(*restarted),
        _ => None,
    };
    world.events.iter().filter_map(back).collect()
}

#[test]
fn a_new_process_is_told_the_state_of_the_game_before_anything_that_happens_there() {
    let mut world = world();
    let (alice, bob) = (member(&mut world, "a"), member(&mut world, "a"));
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.broadcast(bob, "a", "before");
    world.take(bob);
    let again = world.begin_anew(&ticket);
    assert_eq!(story(&mut world, again), [""; 0], "the host was not heard yet");
    let asked = greetings(&mut world);
    assert_eq!(asked.len(), 1);
    world.broadcast(bob, "a", "while the host thinks");
    world.answer(asked[0].0, words("the state"));
    world.broadcast(bob, "a", "after");
    let told = ["welcome to [\"a\"]", "joined a", "Roster", "the state", "after"];
    assert_eq!(story(&mut world, again), told);
    assert_eq!(story(&mut world, bob), ["PlayerBack"]);
    assert_eq!(back(&world), [true]);
}

#[test]
fn who_resumes_in_the_same_process_is_not_greeted_again() {
    let mut world = world();
    let alice = member(&mut world, "a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.resume(&ticket);
    assert_eq!(greetings(&mut world), []);
    assert_eq!(back(&world), [false]);
}

#[test]
fn a_host_that_says_no_or_nothing_to_a_greeting_takes_no_seat_away() {
    for answer in [Some(Verdict::reject("the match has begun")), Some(Verdict::Accept), None] {
        let mut world = world();
        let alice = member(&mut world, "a");
        let ticket = world.ticket(alice);
        world.hang_up(alice);
        let again = world.begin_anew(&ticket);
        let asked = greetings(&mut world);
        match answer {
            Some(verdict) => world.answer(asked[0].0, verdict),
            None => world.wait(secs(3)),
        }
        let told = ["welcome to [\"a\"]", "joined a", "Roster"];
        assert_eq!(story(&mut world, again), told);
        assert_eq!(back(&world), [true]);
    }
}

#[test]
fn who_is_in_several_rooms_is_greeted_in_each_of_them() {
    let mut world = world();
    world.room("b");
    let alice = member(&mut world, "b");
    join(&mut world, alice, "a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let again = world.begin_anew(&ticket);
    let asked = greetings(&mut world);
    assert_eq!(asked.iter().map(|(_, room)| room.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    world.answer(asked[1].0, words("state of a"));
    assert_eq!(story(&mut world, again), [""; 0]);
    world.answer(asked[0].0, words("state of b"));
    let b = ["joined b", "Roster", "state of b"];
    let told = [&["welcome to [\"b\", \"a\"]"][..], &b, &["joined a", "Roster", "state of a"]];
    assert_eq!(story(&mut world, again), told.concat());
}

#[test]
fn a_seat_is_held_while_the_host_thinks_about_a_greeting() {
    let mut world = world();
    let alice = member(&mut world, "a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.wait(secs(29));
    let again = world.begin_anew(&ticket);
    world.wait(std::time::Duration::from_millis(1500));
    let asked = greetings(&mut world);
    world.answer(asked[0].0, words("in time"));
    let told = ["welcome to [\"a\"]", "joined a", "Roster", "in time"];
    assert_eq!(story(&mut world, again), told);
    world.hang_up(again);
    world.wait(secs(31));
    assert_eq!(world.relay.client_count(), 0);
}

#[test]
fn a_new_process_of_a_session_that_ends_meanwhile_begins_a_new_one() {
    let mut world = world();
    let alice = member(&mut world, "a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let again = world.begin_anew(&ticket);
    let asked = greetings(&mut world);
    let conn = world.peers[alice].conn;
    world.act(|relay, now, out| relay.disconnect(now, conn, "out", out)).unwrap();
    world.answer(asked[0].0, words("too late"));
    assert_eq!(story(&mut world, again), ["welcome to []"]);
    let last = world.events.last();
    assert!(matches!(last, Some(RelayEvent::ConnectionOpened { .. })), "{last:?}");
}

#[test]
fn a_new_process_that_dies_while_the_host_thinks_leaves_the_seat_as_it_was() {
    let mut world = world();
    let alice = member(&mut world, "a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let first = world.begin_anew(&ticket);
    let asked = greetings(&mut world);
    world.hang_up(first);
    assert!(!world.relay.is_asked(asked[0].0), "nobody waits for that answer");
    assert_eq!((world.relay.client_count(), world.relay.away_count()), (1, 1));
    let second = world.begin_anew(&ticket);
    let asked = greetings(&mut world);
    world.answer(asked[0].0, words("the state"));
    assert_eq!(story(&mut world, second).last().unwrap(), "the state");
}

#[test]
fn a_new_process_in_place_of_a_live_one_is_seen_to_come_back() {
    let mut world = world();
    let (alice, bob) = (member(&mut world, "a"), member(&mut world, "a"));
    let ticket = world.ticket(alice);
    world.take(alice);
    world.take(bob);
    world.events.clear();
    let again = world.begin_anew(&ticket);
    let asked = greetings(&mut world);
    world.answer(asked[0].0, words("the state"));
    assert_eq!(story(&mut world, bob), ["PlayerAway", "PlayerBack"]);
    assert_eq!(back(&world), [true]);
    let last = story(&mut world, alice).pop().unwrap();
    assert!(last.starts_with("closed:"), "{last}");
    let told = ["welcome to [\"a\"]", "joined a", "Roster", "the state"];
    assert_eq!(story(&mut world, again), told);
}

#[test]
fn half_a_frame_of_the_old_link_is_none_of_the_new_one() {
    let mut world = world();
    let (alice, bob) = (member(&mut world, "a"), member(&mut world, "a"));
    let ticket = world.ticket(alice);
    world.bytes(alice, &[100, 0, 0, 0, 3]);
    let again = world.begin_anew(&ticket);
    let asked = greetings(&mut world);
    world.answer(asked[0].0, Verdict::Accept);
    world.peers[again].rooms = world.peers[alice].rooms.clone();
    world.take(bob);
    world.broadcast(again, "a", "whole");
    assert_eq!(story(&mut world, bob).last().unwrap(), "whole");
}
