//! Who is kept out, and for how long.

use std::time::Duration;

use ghost_sync_core::{
    AuthPolicy, BanClientError, ClientMessage, CloseReason, Hello, JoinOptions, LeaveReason,
    Refusal, RelayEvent, ResumeFailure, ServerMessage, SessionTicket, Verdict, Who,
};

use crate::{
    tokens,
    world::{PeerId, Ticket, World, secs},
};

fn world() -> World {
    let mut world = World::with(|config| config.resume_grace = secs(30));
    world.from = ([10, 1, 2, 3], 7).into();
    world.room("a");
    world
}

fn ban(world: &mut World, who: Who, lasts: Option<Duration>) {
    world.act(|relay, now, out| relay.ban(now, who, lasts, "cheating", out)).unwrap();
    world.pump();
}

fn address(prefix: &str) -> Who {
    Who::Address(prefix.parse().unwrap())
}

fn banned(for_ms: Option<u64>) -> Option<CloseReason> {
    Some(CloseReason::Banned { message: "cheating".to_owned(), for_ms })
}

fn kick(world: &mut World, peer: PeerId) {
    let (conn, (room, _)) = (world.peers[peer].conn, world.peers[peer].rooms["a"]);
    world.act(|relay, now, out| relay.kick(now, conn, room, "out", out)).unwrap();
    world.pump();
    world.take(peer);
}

#[test]
fn a_ban_ends_what_there_is_and_keeps_out_until_it_ends() {
    let mut world = world();
    let [live, away] = [0, 1].map(|_| world.member("a"));
    world.from = ([10, 2, 0, 0], 7).into();
    let other = world.member("a");
    let ticket = world.ticket(away);
    world.hang_up(away);
    world.take(other);
    ban(&mut world, address("10.1.0.0/16"), Some(secs(60)));
    assert_eq!(world.closed(live), banned(Some(60_000)));
    let left = world
        .take(other)
        .iter()
        .filter(|frame| {
            let message = ServerMessage::decode(frame).unwrap();
            let banned = LeaveReason::Banned { message: "cheating".to_owned() };
            matches!(message, ServerMessage::PlayerLeft { reason, .. } if reason == banned)
        })
        .count();
    assert_eq!(left, 2, "the one that was away, too");
    world.wait(secs(20));
    world.from = ([10, 1, 99, 99], 7).into();
    let again = world.client();
    assert_eq!(world.closed(again), banned(Some(40_000)));
    let back = world.resume(&ticket);
    assert!(matches!(world.closed(back), Some(CloseReason::Banned { .. })));
    world.wait(secs(40));
    let after = world.client();
    assert_eq!(world.closed(after), None);
    assert_eq!(world.relay.bans(world.now).count(), 0);
}

#[test]
fn a_session_that_moved_into_a_banned_address_is_not_taken_up_there() {
    let mut world = world();
    let peer = world.member("a");
    let ticket = world.ticket(peer);
    world.hang_up(peer);
    ban(&mut world, address("10.9.0.0/16"), None);
    world.from = ([10, 9, 0, 1], 7).into();
    let back = world.resume(&ticket);
    assert_eq!(world.closed(back), banned(None));
    world.from = ([10, 1, 2, 3], 7).into();
    let back = world.resume(&ticket);
    assert_eq!(world.closed(back), None);
}

#[test]
fn who_is_unbanned_may_come_in() {
    let mut world = world();
    ban(&mut world, address("10.1.2.3"), None);
    let peer = world.client();
    assert_eq!(world.closed(peer), banned(None));
    let now = world.now;
    assert!(world.relay.unban(now, &address("10.1.2.3")));
    assert!(!world.relay.unban(now, &address("10.1.2.3")), "there is none any more");
    let peer = world.client();
    assert_eq!(world.closed(peer), None);
}

#[test]
fn a_client_without_a_user_is_banned_by_its_address_unless_everybody_may_come_from_there() {
    let mut world = world();
    let peer = world.member("a");
    let conn = world.peers[peer].conn;
    let ban = |world: &mut World, conn| {
        let done = world.act(|relay, now, out| relay.ban_client(now, conn, None, "cheating", out));
        world.pump();
        done
    };
    assert_eq!(ban(&mut world, conn), Ok(address("10.1.2.3/32")));
    assert_eq!(world.closed(peer), banned(None));
    assert!(matches!(ban(&mut world, conn), Err(BanClientError::ClientNotFound(_))));
    world.from = ([127, 0, 0, 1], 7).into();
    let local = world.member("a");
    let conn = world.peers[local].conn;
    assert_eq!(ban(&mut world, conn), Err(BanClientError::SharedAddress));
    assert_eq!(world.closed(local), None);
}

#[test]
fn who_was_kicked_from_a_room_stays_out_of_it_for_a_while() {
    let mut world = world();
    world.room("b");
    let peer = world.member("a");
    kick(&mut world, peer);
    let join = |world: &mut World, peer, room| {
        let options = JoinOptions::default();
        world.say(peer, &ClientMessage::Join { request: 1, room, options });
        world.refused(peer)
    };
    assert_eq!(join(&mut world, peer, "a"), [Refusal::RateLimited { retry_after_ms: 10_000 }]);
    assert_eq!(join(&mut world, peer, "b"), []);
    let again = world.client();
    world.take(again);
    assert_eq!(join(&mut world, again, "a").len(), 1, "as another client of its address");
    world.from = ([10, 1, 2, 4], 7).into();
    let other = world.client();
    world.take(other);
    assert_eq!(join(&mut world, other, "a"), []);
    world.wait(secs(10));
    assert_eq!(join(&mut world, again, "a"), []);
}

#[test]
fn who_was_disconnected_stays_out_of_the_server_for_a_while() {
    let mut world = world();
    let [peer, neighbour] = [0, 1].map(|_| world.member("a"));
    let conn = world.peers[peer].conn;
    world.act(|relay, now, out| relay.disconnect(now, conn, "out", out)).unwrap();
    world.pump();
    let again = world.client();
    assert_eq!(world.closed(again), Some(CloseReason::RateLimited { retry_after_ms: 10_000 }));
    assert_eq!(world.closed(neighbour), None);
    world.wait(secs(10));
    let again = world.client();
    assert_eq!(world.closed(again), None);
}

/// Why a resume failed, if that is what the client was told last.
fn failed(world: &mut World, peer: PeerId) -> Option<ResumeFailure> {
    let frame = world.take(peer).pop()?;
    match ServerMessage::decode(&frame).unwrap() {
        ServerMessage::ResumeFailed { reason } => Some(reason),
        _ => None,
    }
}

#[test]
fn who_was_banned_while_away_is_told_of_the_ban_as_it_is_when_it_comes_back() {
    let mut world = world();
    let [one, other, third] = [0, 1, 2].map(|_| world.member("a"));
    let tickets = [one, other, third].map(|peer| world.ticket(peer));
    [one, other, third].into_iter().for_each(|peer| world.hang_up(peer));
    let who = address("10.1.2.3");
    ban(&mut world, who.clone(), Some(secs(60)));
    world.from = ([10, 9, 9, 9], 7).into();
    world.wait(secs(20));
    let back = world.resume(&tickets[0]);
    assert_eq!(world.closed(back), banned(Some(40_000)));
    ban(&mut world, who.clone(), None);
    let back = world.resume(&tickets[1]);
    assert_eq!(world.closed(back), banned(None));
    let now = world.now;
    assert!(world.relay.unban(now, &who));
    let back = world.resume(&tickets[2]);
    assert_eq!(failed(&mut world, back), Some(ResumeFailure::Expired), "it may begin anew");
}

#[test]
fn a_user_that_is_kept_out_does_not_come_back_by_showing_no_token() {
    for asks in [false, true] {
        let mut world = tokens::with(|config| {
            (config.host.auth, config.host.ask_join) = (AuthPolicy::Optional, asks);
        });
        world.from = ([10, 1, 2, 3], 7).into();
        world.room("a");
        let [one, other] = [0, 1].map(|_| {
            let peer = tokens::enter(&mut world, tokens::ada());
            world.join(peer, "a");
            while let Some((ask, _)) = world.asked.pop() {
                world.answer(ask, Verdict::Accept);
            }
            peer
        });
        let ticket = world.ticket(other);
        world.hang_up(other);
        let conn = world.peers[one].conn;
        world.act(|relay, now, out| relay.disconnect(now, conn, "out", out)).unwrap();
        world.pump();
        let later = Some(CloseReason::RateLimited { retry_after_ms: 10_000 });
        let back = world.resume(&ticket);
        assert_eq!(world.closed(back), later, "as the same process");
        let back = world.begin_anew(&ticket);
        assert_eq!(world.closed(back), later, "as another one");
        world.wait(secs(10));
        let back = world.resume(&ticket);
        assert_eq!(world.closed(back), None);
    }
}

#[test]
fn who_is_kept_out_while_the_host_thinks_how_to_greet_it_is_not_let_in() {
    let mut world = World::with(|config| {
        (config.resume_grace, config.host.ask_join) = (secs(30), true);
    });
    world.from = ([10, 1, 2, 3], 7).into();
    world.room("a");
    let [one, other] = [0, 1].map(|_| {
        let peer = world.client();
        world.join(peer, "a");
        let (ask, _) = world.asked.pop().unwrap();
        world.answer(ask, Verdict::Accept);
        peer
    });
    let Ticket { client_id, secret, .. } = world.ticket(one);
    world.hang_up(one);
    let back = world.socket();
    let session = Some(SessionTicket { client_id, secret });
    world.say(back, &ClientMessage::Hello(Hello { session, ..Hello::default() }));
    let (ask, _) = world.asked.pop().expect("the host is asked");
    let conn = world.peers[other].conn;
    world.act(|relay, now, out| relay.disconnect(now, conn, "out", out)).unwrap();
    world.answer(ask, Verdict::Accept);
    assert!(matches!(world.closed(back), Some(CloseReason::RateLimited { .. })));
    let resumed = |event: &RelayEvent| matches!(event, RelayEvent::ConnectionResumed { .. });
    assert!(!world.events.iter().any(resumed));
}
