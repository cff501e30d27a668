//! Who may take a session up: secrets, takeovers and late attempts.

use ghost_sync_core::CloseReason;

use super::{story, world};
use crate::world::Ticket;

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
fn a_request_that_the_server_does_not_know_tells_that_the_new_secret_arrived_too() {
    let mut world = world();
    let alice = world.member("a");
    let first = world.ticket(alice);
    world.hang_up(alice);
    let second = world.resume(&first);
    world.bytes(second, &[1, 0, 0, 0, 100]);
    world.pump();
    world.hang_up(second);
    let thief = world.resume(&first);
    assert_eq!(story(&mut world, thief), ["failed: Denied"]);
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
fn a_kick_while_away_is_told_to_the_old_secret_too() {
    let mut world = world();
    let alice = world.member("a");
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let lost = world.resume(&ticket);
    world.hang_up(lost);
    let conn = world.peers[alice].conn;
    world.act(|relay, now, out| relay.disconnect(now, conn, "cheating", out)).unwrap();
    let again = world.resume(&ticket);
    assert_eq!(story(&mut world, again), ["closed: kicked: cheating"]);
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
