//! When what was said leaves.

use std::time::{Duration, Instant};

use ghost_sync_core::{ClientMessage, RoomConfig, ServerMessage};

use crate::world::{PeerId, World};

const TICK: Duration = Duration::from_millis(20);

fn ticking() -> (World, PeerId, PeerId) {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().tick(TICK));
    let (talker, hearer) = (world.member("a"), world.member("a"));
    world.wait(TICK * 2);
    world.take(hearer);
    (world, talker, hearer)
}

#[test]
fn a_room_with_a_tick_sends_what_was_said_in_it_together() {
    let (mut world, talker, hearer) = ticking();
    world.broadcast(talker, "a", "after a silence");
    assert_eq!(world.heard(hearer), ["after a silence"]);
    world.broadcast(talker, "a", "1");
    world.wait(TICK / 2);
    world.broadcast(talker, "a", "2");
    world.wait(TICK / 2 - Duration::from_micros(1));
    assert!(world.heard(hearer).is_empty());
    world.wait(Duration::from_micros(1));
    assert_eq!(world.heard(hearer), ["1", "2"]);
}

#[test]
fn a_tick_that_comes_a_little_late_does_not_move_the_next() {
    let (mut world, talker, hearer) = ticking();
    let start = world.now;
    world.broadcast(talker, "a", "0");
    world.broadcast(talker, "a", "1");
    world.now = start + TICK + Duration::from_millis(2);
    world.pump();
    assert_eq!(world.heard(hearer), ["0", "1"]);
    world.broadcast(talker, "a", "2");
    assert_eq!(world.relay.next_deadline(), Some(start + TICK * 2));
}

#[test]
fn a_tick_that_comes_very_late_is_followed_by_a_whole_one() {
    let (mut world, talker, _) = ticking();
    world.broadcast(talker, "a", "0");
    world.broadcast(talker, "a", "1");
    world.now += TICK + TICK / 2;
    let late = world.now;
    world.pump();
    world.broadcast(talker, "a", "2");
    assert_eq!(world.relay.next_deadline(), Some(late + TICK));
}

#[test]
fn a_full_batch_does_not_wait_for_the_tick() {
    let (mut world, talker, hearer) = ticking();
    let text = "x".repeat(1000);
    world.broadcast(talker, "a", "after a silence");
    world.take(hearer);
    for _ in 0..15 {
        world.broadcast(talker, "a", &text);
    }
    assert!(world.heard(hearer).is_empty());
    world.broadcast(talker, "a", &text);
    assert_eq!(world.heard(hearer).len(), 16);
}

#[test]
fn an_answer_to_one_client_does_not_wait_for_the_tick() {
    let (mut world, talker, hearer) = ticking();
    world.broadcast(talker, "a", "after a silence");
    world.broadcast(talker, "a", "waits");
    world.take(hearer);
    world.take(talker);
    world.say(talker, &ClientMessage::Ping { nonce: 7 });
    let answers = world.take(talker);
    let answer = ServerMessage::decode(&answers[0]).unwrap();
    assert_eq!(answer, ServerMessage::Pong { nonce: 7 });
    assert!(world.heard(hearer).is_empty());
}

#[test]
fn a_room_that_lost_its_tick_is_not_forgotten() {
    let (mut world, talker, hearer) = ticking();
    world.broadcast(talker, "a", "0");
    world.broadcast(talker, "a", "1");
    let now = world.now;
    let mut out = Vec::new();
    world.relay.configure_room(now, "a", RoomConfig::default(), &mut out).unwrap();
    world.broadcast(talker, "a", "2");
    world.wait(TICK);
    assert_eq!(world.heard(hearer), ["0", "1", "2"]);
    world.broadcast(talker, "a", "3");
    assert_eq!(world.heard(hearer), ["3"]);
}

/// Has the relay spend most of its time writing what `talker` says.
fn busy(world: &mut World, talker: PeerId) {
    for _ in 0..8 {
        let start = world.now;
        world.relay.wrote(start, start);
        for _ in 0..300 {
            world.broadcast(talker, "a", "much");
            world.wait(Duration::from_micros(50));
        }
        let now = world.now;
        world.relay.wrote(start, now);
    }
    assert!(world.relay.flush_delay() > Duration::from_millis(1));
    world.wait(Duration::from_millis(10));
    for peer in 0..world.peers.len() {
        world.take(peer);
    }
}

#[test]
fn a_busy_relay_lets_messages_of_different_rooms_wait_for_each_other() {
    let mut world = World::new();
    world.room("a");
    world.room("b");
    let (a, b) = (world.member("a"), world.member("b"));
    let hearers = [world.member("a"), world.member("b")];
    busy(&mut world, a);
    let delay = world.relay.flush_delay();
    world.broadcast(a, "a", "after a silence");
    world.broadcast(b, "b", "after a silence");
    for hearer in hearers {
        assert_eq!(world.heard(hearer), ["after a silence"]);
    }
    let start = world.now;
    world.broadcast(a, "a", "1");
    world.now += delay / 5;
    world.broadcast(b, "b", "2");
    world.now += delay / 3;
    world.broadcast(a, "a", "3");
    world.pump();
    assert!(hearers.iter().all(|&hearer| world.heard(hearer).is_empty()));
    world.wait((start + delay).saturating_duration_since(world.now));
    assert_eq!(world.heard(hearers[0]), ["1", "3"]);
    assert_eq!(world.heard(hearers[1]), ["2"]);
}

#[test]
fn messages_that_nothing_follows_leave_before_their_wait_is_over() {
    let mut world = World::new();
    world.room("a");
    let (talker, hearer) = (world.member("a"), world.member("a"));
    busy(&mut world, talker);
    let delay = world.relay.flush_delay();
    world.broadcast(talker, "a", "after a silence");
    world.take(hearer);
    world.broadcast(talker, "a", "1");
    assert!(world.heard(hearer).is_empty());
    world.wait(delay * 3 / 4);
    assert_eq!(world.heard(hearer), ["1"]);
}

#[test]
fn an_idle_relay_sends_at_once_again() {
    let mut world = World::new();
    world.room("a");
    let (talker, hearer) = (world.member("a"), world.member("a"));
    busy(&mut world, talker);
    world.wait(Duration::from_secs(1));
    let (began, ended): (Instant, Instant) = (world.now, world.now);
    world.relay.wrote(began, ended);
    world.wait(Duration::from_secs(1));
    world.relay.wrote(world.now, world.now);
    for text in ["1", "2"] {
        world.broadcast(talker, "a", text);
        assert_eq!(world.heard(hearer), [text]);
    }
}
