//! Programs that know nothing yet: newcomers, and those that were started again.

use ghost_sync_core::{
    Delivery, MessageType, RelayEvent, SendFlags, ServerMessage, Verdict, Welcome,
};

use super::{held, story, world};
use crate::world::{Ticket, World};

#[test]
fn a_seat_given_while_away_is_marked_so() {
    let mut world = World::with(|config| {
        held(config);
        config.host.ask_join = true;
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
fn the_rules_may_tell_a_newcomer_the_state_before_all_else() {
    let mut world = World::with(|config| {
        held(config);
        config.host.ask_join = true;
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
