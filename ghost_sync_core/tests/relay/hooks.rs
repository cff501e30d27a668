use ghost_sync_core::{
    ClientMessage, CloseReason, CreateOnJoin, JoinOptions, LeaveReason, Question, Refusal,
    RelayEvent, RelayMode, RoomConfig, Verdict,
};

use crate::world::{World, secs};

fn asking() -> World {
    World::with(|config| config.host.ask_join = true)
}

#[test]
fn a_join_waits_for_the_verdict() {
    let mut world = asking();
    world.room("a");
    let alice = world.client();
    world.say(
        alice,
        &ClientMessage::Join {
            request: 1,
            room: "a",
            options: JoinOptions { data: b"secret", ..JoinOptions::default() },
        },
    );
    assert!(world.peers[alice].rooms.is_empty());
    let (ask, question) = world.asked.pop().unwrap();
    assert!(matches!(question, Question::Join { data, .. } if data == "secret"));
    world.answer(ask, Verdict::Accept);
    assert!(world.peers[alice].rooms.contains_key("a"));
}

#[test]
fn a_rejection_reaches_the_client_with_its_reason() {
    let mut world = asking();
    world.room("a");
    let alice = world.client();
    world.join(alice, "a");
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::reject("wrong password"));
    assert_eq!(world.refusals(alice), [Refusal::Rejected { message: "wrong password".into() }]);
}

#[test]
fn no_verdict_in_time_means_no_and_a_late_one_changes_nothing() {
    let mut world = asking();
    world.room("a");
    let alice = world.client();
    world.join(alice, "a");
    let (ask, _) = world.asked.pop().unwrap();
    world.wait(secs(2));
    assert_eq!(world.refusals(alice), [Refusal::TimedOut { after_ms: 2000 }]);
    assert!(!world.relay.is_asked(ask));
    world.answer(ask, Verdict::Accept);
    assert!(world.peers[alice].rooms.is_empty());
    assert_eq!(world.relay.player_count("a"), Some(0));
}

#[test]
fn capacity_is_exact_however_verdicts_come() {
    let mut world = asking();
    world.room_with("a", RoomConfig::default().capacity(10));
    for _ in 0..100 {
        let peer = world.client();
        world.join(peer, "a");
    }
    let asked = std::mem::take(&mut world.asked);
    assert_eq!(asked.len(), 100);
    for (ask, _) in asked.into_iter().rev() {
        world.answer(ask, Verdict::Accept);
        assert!(world.relay.player_count("a").unwrap() <= 10);
    }
    assert_eq!(world.relay.player_count("a"), Some(10));
    let abandoned = |e: &&RelayEvent| matches!(e, RelayEvent::JoinAbandoned { .. });
    assert_eq!(world.events.iter().filter(abandoned).count(), 90);
}

#[test]
fn a_room_that_goes_while_the_host_decides_is_not_found() {
    let mut world = asking();
    world.room("a");
    let alice = world.client();
    world.join(alice, "a");
    world.act(|relay, now, out| relay.delete_room(now, "a", "", out)).unwrap();
    world.room("a");
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::Accept);
    assert_eq!(world.refusals(alice), [Refusal::RoomNotFound { room: "a".into() }]);
    assert_eq!(world.relay.player_count("a"), Some(0));
}

#[test]
fn a_client_that_goes_while_the_host_decides_leaves_nothing_behind() {
    let mut world = asking();
    world.room("a");
    let alice = world.client();
    world.join(alice, "a");
    world.hang_up(alice);
    let (ask, _) = world.asked.pop().unwrap();
    assert!(!world.relay.is_asked(ask));
    world.answer(ask, Verdict::Accept);
    assert_eq!(world.relay.player_count("a"), Some(0));
    assert_eq!(world.relay.next_deadline(), None);
}

#[test]
fn a_refused_connection_is_told_why() {
    let mut world = World::with(|config| config.host.ask_connect = true);
    let alice = world.client();
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::reject("banned"));
    let message = "banned".to_owned();
    assert_eq!(world.closed(alice), Some(CloseReason::ConnectionRefused { message }));
    let bob = world.client();
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::Accept);
    assert_eq!(world.closed(bob), None);
    assert_eq!(world.relay.client_count(), 1);
}

#[test]
fn rooms_can_be_made_by_joins_always_or_when_the_host_says_so() {
    let mut world = World::with(|config| config.create_on_join = CreateOnJoin::Always);
    world.member("a");
    let mut world = World::with(|config| config.create_on_join = CreateOnJoin::Ask);
    let (alice, bob) = (world.client(), world.client());
    world.join(alice, "a");
    world.join(bob, "a");
    let asked = std::mem::take(&mut world.asked);
    assert_eq!(asked.len(), 2);
    for (ask, _) in asked {
        world.answer(ask, Verdict::Accept);
    }
    assert_eq!(world.relay.player_count("a"), Some(2));
    world.join(alice, "b");
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::reject("no"));
    assert_eq!(world.refusals(alice), [Refusal::Rejected { message: "no".into() }]);
    assert_eq!(world.relay.room_count(), 1);
}

#[test]
fn moderated_broadcasts_keep_their_order_and_a_rejected_one_is_refused() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().mode(RelayMode::Moderated));
    let (alice, bob) = (world.member("a"), world.member("a"));
    for text in ["1", "2", "3"] {
        world.broadcast(alice, "a", text);
    }
    let asks: Vec<_> = world.asked.iter().map(|(ask, _)| *ask).collect();
    world.answer(asks[2], Verdict::Accept);
    assert_eq!(world.heard(bob), [""; 0]);
    world.answer(asks[0], Verdict::Accept);
    assert_eq!(world.heard(bob), ["1"]);
    world.answer(asks[1], Verdict::reject("rude"));
    assert_eq!(world.heard(bob), ["3"]);
    assert_eq!(world.refusals(alice), [Refusal::Rejected { message: "rude".into() }]);
}

#[test]
fn several_joins_at_once_are_decided_one_after_the_other() {
    let mut world = asking();
    world.room("a");
    world.room("b");
    let alice = world.client();
    world.join(alice, "a");
    world.join(alice, "b");
    assert_eq!(world.asked.len(), 1);
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::Accept);
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::Accept);
    let left =
        |e: &&RelayEvent| matches!(e, RelayEvent::PlayerLeft { reason: LeaveReason::Moved, .. });
    assert_eq!(world.events.iter().filter(left).count(), 1);
    assert_eq!(world.relay.player_count("b"), Some(1));
}
