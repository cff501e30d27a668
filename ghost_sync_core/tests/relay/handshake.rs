use bytes::BytesMut;
use ghost_sync_core::{
    ClientMessage, CloseReason, Direction, DisconnectReason, MAGIC, MAX_HELLO, Protocol, Refusal,
    RelayEvent, RoomId, ServerMessage, VERSION, encode_frame,
};

use crate::world::{World, encode, hello, secs};

#[test]
fn a_hello_is_answered_with_a_welcome_and_the_limits() {
    let mut world = World::with(|config| config.max_payload = 1000);
    let peer = world.client();
    let frames = world.take(peer);
    let ServerMessage::Welcome { version, client_id, max_payload, .. } =
        ServerMessage::decode(&frames[0]).unwrap()
    else {
        panic!("not a welcome");
    };
    assert_eq!((version, client_id), (VERSION, world.peers[peer].client_id));
    assert_eq!(max_payload, 1000);
}

#[test]
fn a_silent_socket_is_closed_at_the_handshake_deadline() {
    let mut world = World::new();
    let peer = world.socket();
    world.wait(secs(4));
    assert_eq!(world.closed(peer), None);
    world.wait(secs(1));
    assert_eq!(world.closed(peer), Some(CloseReason::HandshakeTimeout { after_ms: 5000 }));
    assert!(world.peers[peer].dropped);
    assert_eq!(world.relay.connection_count(), 0);
}

#[test]
fn a_hello_that_trickles_in_does_not_postpone_the_deadline() {
    let mut world = World::new();
    let peer = world.socket();
    for byte in encode(&hello()).iter().take(9) {
        world.bytes(peer, &[*byte]);
        world.wait(secs(1) / 2);
    }
    world.wait(secs(1));
    assert_eq!(world.closed(peer), Some(CloseReason::HandshakeTimeout { after_ms: 5000 }));
}

#[test]
fn another_version_is_told_both_versions() {
    let mut world = World::new();
    let peer = world.socket();
    let version = VERSION + 1;
    let hello = ClientMessage::Hello {
        magic: MAGIC,
        version,
        protocol: 0,
        data: b"",
        meta: vec![],
        session: None,
    };
    world.say(peer, &hello);
    let reason = CloseReason::VersionMismatch { client: version, server: VERSION };
    assert_eq!(world.closed(peer), Some(reason.clone()));
    assert!(matches!(&world.events[..], [RelayEvent::HandshakeFailed {
        reason: DisconnectReason::Closed(told), ..
    }] if *told == reason));
}

#[test]
fn another_protocol_is_told_the_types_of_the_server() {
    let mut server = Protocol::default();
    server.add("Chat", 1, Direction::Both);
    let mut world = World::with(|config| config.protocol = Some(server.clone()));
    let peer = world.socket();
    let hello = ClientMessage::Hello {
        magic: MAGIC,
        version: VERSION,
        protocol: 99,
        data: b"",
        meta: vec![],
        session: None,
    };
    world.say(peer, &hello);
    let types = server.types().to_vec();
    let reason = CloseReason::ProtocolMismatch { server: server.hash(), client: 99, types };
    assert_eq!(world.closed(peer), Some(reason));
}

#[test]
fn a_side_that_was_told_of_no_types_is_checked_and_one_that_was_told_nothing_is_not() {
    let empty = Protocol::default();
    let mut some = Protocol::default();
    some.add("Chat", 1, Direction::Both);
    let sides = [None, Some(&empty), Some(&some)];
    for (at, server) in sides.into_iter().enumerate() {
        for (there, client) in sides.into_iter().enumerate() {
            let mut world = World::with(|config| config.protocol = server.cloned());
            let peer = world.socket();
            let hello = ClientMessage::Hello {
                magic: MAGIC,
                version: VERSION,
                protocol: client.map_or(Protocol::UNCHECKED, Protocol::hash),
                data: b"",
                meta: vec![],
                session: None,
            };
            world.say(peer, &hello);
            let fits = at == there || at == 0 || there == 0;
            assert_eq!(world.closed(peer).is_none(), fits, "{server:?} {client:?}");
        }
    }
}

#[test]
fn garbage_is_closed_as_a_protocol_violation_and_not_reflected() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], b"\x16\x03\x01\x02\x00\x01"] {
        let mut world = World::new();
        let peer = world.socket();
        world.bytes(peer, garbage);
        world.pump();
        let reason = world.closed(peer).expect("closed");
        assert!(matches!(reason, CloseReason::Protocol { .. }), "{reason}");
        assert!(!reason.to_string().contains("HTTP"));
        assert!(world.peers[peer].dropped);
    }
}

#[test]
fn before_the_handshake_frames_are_limited_to_a_hello() {
    let mut world = World::new();
    let peer = world.socket();
    let header = u32::try_from(MAX_HELLO + 1).unwrap().to_le_bytes();
    world.bytes(peer, &header);
    world.pump();
    assert!(matches!(world.closed(peer), Some(CloseReason::Protocol { .. })));
}

#[test]
fn nothing_but_a_hello_may_come_first_and_no_second_one() {
    for (messages, closes) in [
        (vec![ClientMessage::Ping { nonce: 1 }], true),
        (vec![hello(), hello()], true),
        (vec![hello(), ClientMessage::Ping { nonce: 1 }], false),
    ] {
        let mut world = World::new();
        let peer = world.socket();
        for message in &messages {
            world.say(peer, message);
        }
        assert_eq!(world.closed(peer).is_some(), closes, "{messages:?}");
    }
}

#[test]
fn messages_of_the_other_direction_and_unknown_kinds_are_protocol_violations() {
    let joined_by_the_client =
        ServerMessage::Left { room: RoomId(1), reason: ghost_sync_core::LeaveReason::Left };
    let mut unknown = BytesMut::new();
    encode_frame(&mut unknown, |buf| buf.extend_from_slice(&[200]));
    let mut empty = BytesMut::new();
    encode_frame(&mut empty, |_| {});
    let mut trailing = BytesMut::new();
    encode_frame(&mut trailing, |buf| buf.extend_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    for bytes in [&joined_by_the_client.to_frame()[..], &unknown, &empty, &trailing] {
        let mut world = World::new();
        let peer = world.client();
        world.bytes(peer, bytes);
        world.pump();
        assert!(matches!(world.closed(peer), Some(CloseReason::Protocol { .. })), "{bytes:?}");
    }
}

#[test]
fn the_client_after_the_last_is_told_that_the_server_is_full() {
    let mut world = World::with(|config| config.max_clients = 2);
    let (first, _second) = (world.client(), world.client());
    let third = world.client();
    assert_eq!(
        world.closed(third),
        Some(CloseReason::MaxClientsReached { max: 2, retry_after_ms: 1000 })
    );
    world.hang_up(first);
    let fourth = world.client();
    assert_eq!(world.closed(fourth), None);
}

#[test]
fn metadata_past_its_limit_is_refused_in_a_hello_and_later() {
    let mut world = World::new();
    let peer = world.client();
    let long = "x".repeat(2048);
    let set = ClientMessage::SetMeta { key: "k", value: Some(&long), if_version: None };
    world.say(peer, &set);
    assert_eq!(world.refusals(peer), [Refusal::MetaTooLarge { max_bytes: 2048, max_entries: 32 }]);
}

#[test]
fn who_greets_late_is_not_taken_for_one_of_many() {
    let mut world = World::with(|config| config.max_clients = 2);
    let slow = world.socket();
    for _ in 0..200 {
        let client = world.client();
        world.hang_up(client);
    }
    assert_eq!(world.closed(slow), None);
    world.greet(slow);
    assert_eq!(world.relay.client_count(), 1);
}

#[test]
fn silent_connections_keep_nobody_out() {
    let mut world = World::with(|config| config.max_clients = 2);
    let silent: Vec<_> = (0..128).map(|_| world.socket()).collect();
    assert!(silent.iter().all(|peer| world.closed(*peer).is_none()));
    world.socket();
    // The older half of them is gone; the others still may greet.
    for peer in &silent[..65] {
        assert!(matches!(world.closed(*peer), Some(CloseReason::HandshakeTimeout { .. })));
    }
    assert_eq!(world.closed(silent[65]), None);
    let (one, two) = (world.client(), world.client());
    assert_eq!((world.closed(one), world.closed(two)), (None, None));
    assert!(world.relay.connection_count() <= 66);
}
