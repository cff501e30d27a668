//! Members that read on from far behind: nothing stands still, nothing is lost in silence,
//! and what is kept for them keeps nobody else's history.

use std::time::Duration;

use ghost_sync_core::{
    Delivery, Limits, RelayConfig, ResumeFailure, RoomConfig, RoomHistory, SendFlags, ServerMessage,
};

use crate::world::{PeerId, World, secs};

fn unlimited(config: &mut RelayConfig) {
    config.resume_grace = secs(30);
    config.limits = Limits::none();
}

/// A room that keeps nothing for anybody who is not there.
fn forgetful(world: &mut World, name: &str) {
    world.room_with(name, RoomConfig::default().history(RoomHistory::NONE));
}

fn say(world: &mut World, peer: PeerId, room: &str, delivery: Delivery, len: usize) {
    world.broadcast_with(peer, room, delivery, SendFlags::NONE, &vec![7; len]);
}

fn failure(world: &mut World, peer: PeerId) -> Option<ResumeFailure> {
    world.take(peer).iter().find_map(|frame| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::ResumeFailed { reason } => Some(reason),
        _ => None,
    })
}

#[test]
fn who_said_very_much_while_behind_still_hears_what_came_after() {
    let mut world = World::with(|config| {
        unlimited(config);
        config.outbox_limit = 64 << 20;
        // Else there is always something to send: that its requests arrived.
        config.resume_grace = Duration::ZERO;
    });
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.take(alice);
    world.peers[alice].takes = Some(0);
    world.broadcast(bob, "a", "first");
    // More than is looked at in one go.
    for _ in 0..20_000 {
        say(&mut world, alice, "a", Delivery::Volatile, 1);
    }
    for text in [b"old", b"new"] {
        world.broadcast_with(bob, "a", Delivery::Latest(1), SendFlags::NONE, text);
    }
    world.read_on(alice, 1 << 20);
    assert_eq!(world.heard(alice), ["first", "new"]);
}

#[test]
fn what_is_lost_after_something_that_was_kept_is_known_to_be_lost() {
    let mut world = World::with(|config| {
        unlimited(config);
        config.outbox_limit = 16 << 10;
    });
    forgetful(&mut world, "a");
    let [bob, slow, dave] = [(); 3].map(|()| world.member("a"));
    world.take(slow);
    world.peers[slow].takes = Some(0);
    say(&mut world, bob, "a", Delivery::Reliable, 100);
    for _ in 0..20 {
        say(&mut world, bob, "a", Delivery::Volatile, 1000);
    }
    // For the slow member the first is kept, and what comes now is in the log still. It does
    // not reach somebody whose line is cut.
    let ticket = world.ticket(dave);
    say(&mut world, bob, "a", Delivery::Reliable, 100);
    world.hang_up(dave);
    world.peers[slow].takes = None;
    world.read_on(slow, 0);
    world.wait(Duration::from_millis(1));
    let again = world.resume(&ticket);
    let failed = failure(&mut world, again);
    assert!(matches!(failed, Some(ResumeFailure::TooOld { .. })), "{failed:?}");
}

#[test]
fn what_a_room_forgets_after_a_stay_keeps_nobody_from_coming_back() {
    let mut world = World::with(unlimited);
    forgetful(&mut world, "a");
    world.room("b");
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.join(alice, "b");
    // The end of its stay has not reached it.
    world.hang_up(alice);
    for _ in 0..5 {
        say(&mut world, bob, "a", Delivery::Reliable, 100);
    }
    world.wait(Duration::from_millis(1));
    let again = world.resume(&ticket);
    assert_eq!(failure(&mut world, again), None);
}

#[test]
fn rooms_that_must_keep_everything_do_not_save_the_others_from_giving_up_theirs() {
    let mut world = World::with(|config| {
        unlimited(config);
        (config.max_rooms, config.rooms_per_client) = (100, 100);
        config.history_limit = 64 << 10;
    });
    let (slow, bob) = (world.client(), world.client());
    let rooms: Vec<String> = (0..80).map(|number| format!("n{number}")).collect();
    for name in &rooms {
        world.room(name);
        world.join(slow, name);
        world.join(bob, name);
    }
    world.take(slow);
    world.peers[slow].takes = Some(0);
    for name in &rooms {
        say(&mut world, bob, name, Delivery::Reliable, 2000);
    }
    world.wait(Duration::from_millis(10));
    world.room("free");
    let carol = world.member("free");
    for _ in 0..20 {
        say(&mut world, carol, "free", Delivery::Reliable, 2000);
        world.wait(Duration::from_millis(10));
    }
    let kept = world.relay.history("free", 0, usize::MAX).unwrap().events.len();
    assert!(kept < 10, "{kept} of 21 events");
}
