use ghost_sync_core::{
    ClientMessage, CloseReason, Delivery, DisconnectReason, LeaveReason, MessageType, RelayEvent,
    Secret, ServerMessage,
};

use crate::world::{World, encode, secs};

#[test]
fn a_client_that_answers_pings_stays_for_ever() {
    let mut world = World::new();
    let alice = world.client();
    world.wait(secs(3600));
    assert_eq!(world.closed(alice), None);
    assert!(world.relay.rtt_of(world.peers[alice].conn).is_some());
}

#[test]
fn a_silent_client_is_closed_by_the_idle_timeout_with_the_defaults() {
    let mut world = World::with(|config| config.ping_interval = secs(20));
    world.room("a");
    let alice = world.member("a");
    world.peers[alice].answers_pings = false;
    world.wait(secs(30));
    assert_eq!(world.closed(alice), None);
    world.wait(secs(1));
    assert_eq!(world.closed(alice), Some(CloseReason::IdleTimeout { after_ms: 31_000 }));
    assert!(matches!(
        world.events.last(),
        Some(RelayEvent::ConnectionClosed {
            reason: DisconnectReason::Closed(CloseReason::IdleTimeout { .. }),
            ..
        })
    ));
}

#[test]
fn a_client_that_talks_but_never_answers_pings_is_closed_after_two_of_them() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    world.peers[alice].answers_pings = false;
    for _ in 0..38 {
        world.wait(secs(1));
        world.broadcast(alice, "a", "still here");
    }
    assert_eq!(world.closed(alice), None);
    world.wait(secs(1));
    assert_eq!(world.closed(alice), Some(CloseReason::PingTimeout { missed: 2 }));
    let left = world
        .events
        .iter()
        .any(|event| matches!(event, RelayEvent::PlayerLeft { reason: LeaveReason::TimedOut, .. }));
    assert!(left);
}

#[test]
fn one_missed_ping_does_not_kill_a_healthy_client() {
    let mut world = World::new();
    let alice = world.client();
    world.peers[alice].answers_pings = false;
    world.wait(secs(14));
    world.take(alice);
    world.peers[alice].answers_pings = true;
    world.wait(secs(300));
    assert_eq!(world.closed(alice), None);
}

#[test]
fn pongs_that_nobody_asked_for_do_not_count_as_answers() {
    let mut world = World::new();
    let alice = world.client();
    world.peers[alice].answers_pings = false;
    for _ in 0..39 {
        world.say(alice, &ClientMessage::Pong { nonce: 12345, received: 0 });
        world.wait(secs(1));
    }
    assert_eq!(world.closed(alice), Some(CloseReason::PingTimeout { missed: 2 }));
}

#[test]
fn a_frame_that_is_never_finished_ends_the_connection() {
    let mut world = World::new();
    let alice = world.client();
    let frame = encode(&ClientMessage::Ping { nonce: 1 });
    world.bytes(alice, &frame[..6]);
    world.wait(secs(9));
    assert_eq!(world.closed(alice), None);
    world.wait(secs(1));
    assert_eq!(world.closed(alice), Some(CloseReason::IdleTimeout { after_ms: 10_000 }));
}

#[test]
fn a_relay_that_slept_does_not_blame_its_clients() {
    let mut world = World::new();
    let alice = world.client();
    world.now += secs(3600);
    world.wait(secs(60));
    assert_eq!(world.closed(alice), None);
}

#[test]
fn a_ping_is_answered_with_its_nonce() {
    let mut world = World::new();
    let alice = world.client();
    world.take(alice);
    world.say(alice, &ClientMessage::Ping { nonce: 42 });
    let frames = world.take(alice);
    assert_eq!(ServerMessage::decode(&frames[0]), Ok(ServerMessage::Pong { nonce: 42 }));
}

#[test]
fn a_goodbye_frees_the_seat_at_once() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    world.say(alice, &ClientMessage::Close { reason: CloseReason::Requested });
    assert!(world.peers[alice].dropped);
    assert_eq!(world.relay.player_count("a"), Some(0));
    assert_eq!(world.relay.connection_count(), 0);
}

#[test]
fn shutdown_tells_everybody_and_refuses_newcomers() {
    let mut world = World::new();
    let alice = world.client();
    world.act(|relay, now, out| relay.shutdown(now, "update", secs(1), out));
    world.pump();
    let reason = CloseReason::ServerShutdown { message: "update".into(), retry_after_ms: 1000 };
    assert_eq!(world.closed(alice), Some(reason.clone()));
    assert!(world.peers[alice].dropped);
    let late = world.socket();
    assert_eq!(world.closed(late), Some(reason));
    assert_eq!(world.relay.connection_count(), 0);
}

#[test]
fn what_was_said_before_the_end_arrives_before_the_close() {
    for kick in [true, false] {
        let mut world = World::new();
        world.room("a");
        let (alice, bob, carol) = (world.member("a"), world.member("a"), world.member("a"));
        world.take(alice);
        let say = |world: &mut World| {
            world
                .relay
                .broadcast(world.now, "a", Delivery::Reliable, MessageType::RAW, b"last")
                .unwrap();
        };
        say(&mut world);
        let conn = world.peers[alice].conn;
        world.act(|relay, now, out| match kick {
            true => relay.disconnect(now, conn, "out", out).unwrap(),
            false => relay.shutdown(now, "update", secs(1), out),
        });
        world.pump();
        let frames = world.take(alice);
        let kinds: Vec<_> = frames.iter().map(|frame| frame[0]).collect();
        assert_eq!(kinds, [6, 1], "the broadcast, the close, nothing else");
        assert_eq!(world.heard(bob), ["last"]);
        assert_eq!(world.heard(carol), ["last"]);
    }
}

#[test]
fn a_flood_of_connections_is_not_kept_waiting_for_refusals() {
    let mut world = World::with(|config| config.max_clients = 2);
    for socket in 0..1000 {
        // Sockets that never read.
        let client_id = ghost_sync_core::ClientId::from_u128(socket);
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let mut out = Vec::new();
        world.relay.connect(world.now, addr, client_id, Secret::default(), &mut out);
        assert!(world.relay.connection_count() <= 3 * 64);
    }
}

#[test]
fn clients_that_are_due_at_about_the_same_time_are_pinged_together() {
    let mut world = World::new();
    for _ in 0..200 {
        world.client();
        world.now += std::time::Duration::from_millis(1);
    }
    world.wait(secs(12));
    let mut moments = 0;
    while let Some(due) = world.relay.next_deadline().filter(|due| *due < world.now + secs(2)) {
        world.wait(due - world.now);
        moments += 1;
    }
    assert!(world.peers.iter().all(|peer| world.relay.rtt_of(peer.conn).is_some()));
    assert!(moments <= 5, "{moments} moments for 200 ms");
}
