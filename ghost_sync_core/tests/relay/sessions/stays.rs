//! Stays that ended while their client was away are told to their end, and nothing of before them.

use ghost_sync_core::{ClientMessage, CloseReason, Replay, RoomConfig};

use super::{held, story, world};
use crate::world::{Ticket, World, encode};

#[test]
fn who_was_put_out_while_away_hears_all_until_then() {
    let mut world = world();
    let (alice, bob) = (world.member("a"), world.member("a"));
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    world.broadcast(bob, "a", "before");
    let (conn, room) = (world.peers[alice].conn, world.peers[alice].rooms["a"].0);
    world.act(|relay, now, out| relay.kick(now, conn, room, "out", out)).unwrap();
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
    world.act(|relay, now, out| relay.kick(now, conn, room, "out", out)).unwrap();
    ticket.rooms[0].last = 0;
    let again = world.resume(&ticket);
    assert!(matches!(world.closed(again), Some(CloseReason::Protocol { .. })));
    assert_eq!(world.heard(again), Vec::<String>::new());
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
    world.act(|relay, now, out| relay.kick(now, conn, room, "out", out)).unwrap();
    let again = world.resume(&ticket);
    let story = story(&mut world, again);
    assert_eq!(story, ["resumed", "away 1", "one", "direct two", "three", "out: kicked: out"]);
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
