//! How sessions end, those without a link too, and how much is held for them.

use std::time::Duration;

use ghost_sync_core::{ClientMessage, CloseReason, Delivery, MessageType, RelayEvent};

use super::{held, story, world};
use crate::world::{World, secs};

#[test]
fn whoever_says_goodbye_or_is_kicked_is_gone_at_once() {
    let mut world = world();
    let (alice, bob, carol) = (world.member("a"), world.member("a"), world.member("a"));
    world.take(carol);
    let ticket = world.ticket(alice);
    let reason = CloseReason::Requested;
    world.say(alice, &ClientMessage::Close { reason });
    let conn = world.peers[bob].conn;
    world.act(|relay, now, out| relay.disconnect(now, conn, "cheating", out)).unwrap();
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
    world.act(|relay, now, out| relay.disconnect(now, conn, "cheating", out)).unwrap();
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
