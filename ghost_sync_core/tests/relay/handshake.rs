use bytes::BytesMut;
use ghost_sync_core::{
    ClientMessage, CloseReason, Direction, DisconnectReason, Extension, Hello, MAGIC, MAX_HELLO,
    Protocol, Question, Refusal, RelayEvent, RoomId, ServerMessage, VERSIONS, Versions, Welcome,
    encode_frame,
};

use crate::world::{World, encode, hello, secs};

#[test]
fn a_hello_is_answered_with_a_welcome_and_the_limits() {
    let mut world = World::with(|config| config.max_payload = 1000);
    let peer = world.client();
    let frames = world.take(peer);
    let ServerMessage::Welcome(Welcome { version, client_id, max_payload, .. }) =
        ServerMessage::decode(&frames[0]).unwrap()
    else {
        panic!("not a welcome");
    };
    assert_eq!((version, client_id), (VERSIONS.newest, world.peers[peer].client_id));
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
    let client = Versions { oldest: VERSIONS.newest + 1, newest: VERSIONS.newest + 2 };
    world.say(peer, &ClientMessage::Hello(Hello { versions: client, ..Hello::default() }));
    let reason = CloseReason::VersionMismatch { client, server: VERSIONS };
    assert_eq!(world.closed(peer), Some(reason.clone()));
    assert!(matches!(&world.events[..], [RelayEvent::HandshakeFailed {
        reason: DisconnectReason::Closed(told), ..
    }] if *told == reason));
}

#[test]
fn who_speaks_later_versions_too_is_welcomed_in_the_one_that_both_speak() {
    let mut world = World::new();
    let peer = world.socket();
    let versions = Versions { oldest: 1, newest: 9 };
    world.say(peer, &ClientMessage::Hello(Hello { versions, ..Hello::default() }));
    let frames = world.take(peer);
    let welcome = ServerMessage::decode(&frames[0]);
    let Ok(ServerMessage::Welcome(Welcome { version, .. })) = welcome else {
        panic!("{welcome:?}")
    };
    assert_eq!(version, VERSIONS.newest);
}

#[test]
fn a_later_version_is_named_even_where_its_hello_looks_different() {
    for kind in [0, 10] {
        let mut world = World::new();
        let peer = world.socket();
        let client = Versions { oldest: 7, newest: 8 };
        let body = [&[kind][..], &MAGIC, &[7, 0, 8, 0], b"whatever comes then"].concat();
        let mut frame = BytesMut::new();
        encode_frame(&mut frame, |buf| buf.extend_from_slice(&body));
        world.bytes(peer, &frame);
        world.pump();
        let reason = CloseReason::VersionMismatch { client, server: VERSIONS };
        assert_eq!(world.closed(peer), Some(reason));
    }
}

#[test]
fn extensions_that_are_not_known_are_skipped_and_those_out_of_order_refused() {
    let said = |id| Extension { id, data: b"?" };
    for (ids, taken) in [(&[1, 31, 40_000][..], true), (&[31, 1], false), (&[7, 7], false)] {
        let mut world = World::new();
        let peer = world.socket();
        let extensions = ids.iter().map(|id| said(*id)).collect();
        world.say(peer, &ClientMessage::Hello(Hello { extensions, ..Hello::default() }));
        assert_eq!(world.closed(peer).is_none(), taken, "{ids:?}");
    }
}

#[test]
fn rules_are_told_what_program_a_client_says_it_is() {
    for (said, told) in [
        (&b"game/1.0"[..], "game/1.0".to_owned()),
        (b"\xff", "\u{fffd}".to_owned()),
        (b"a\x1b[31m\nb", "a[31mb".to_owned()),
        (&[b'x'; 1000], "x".repeat(128)),
    ] {
        let mut world = World::with(|config| config.host.ask_connect = true);
        let peer = world.socket();
        let extensions = vec![Extension { id: Extension::USER_AGENT, data: said }];
        world.say(peer, &ClientMessage::Hello(Hello { extensions, ..Hello::default() }));
        let (_, question) = &world.asked[0];
        let Question::Connect { user_agent, .. } = question else { panic!("{question:?}") };
        assert_eq!(*user_agent, told);
    }
}

/// A frame of a kind that nobody knows.
fn unknown(kind: u8) -> BytesMut {
    let mut frame = BytesMut::new();
    encode_frame(&mut frame, |buf| buf.extend_from_slice(&[kind, 1, 2, 3]));
    frame
}

#[test]
fn an_unknown_request_is_counted_and_refused_and_what_follows_is_served() {
    for kind in [20, 127] {
        let mut world = World::new();
        let peer = world.client();
        world.take(peer);
        world.bytes(peer, &unknown(kind));
        world.say(peer, &ClientMessage::Ping { nonce: 4 });
        let frames = world.take(peer);
        let heard: Vec<_> = frames.iter().map(|it| ServerMessage::decode(it).unwrap()).collect();
        let reason = Refusal::Unsupported { kind };
        let refused = ServerMessage::Refused { room: RoomId(0), reference: 0, reason };
        assert_eq!(heard, [refused, ServerMessage::Pong { nonce: 4 }]);
    }
    let mut world = World::new();
    let peer = world.client();
    world.bytes(peer, &unknown(128));
    world.pump();
    assert!(matches!(world.closed(peer), Some(CloseReason::Protocol { .. })));
    let stranger = world.socket();
    world.bytes(stranger, &unknown(20));
    world.pump();
    assert!(matches!(world.closed(stranger), Some(CloseReason::Protocol { .. })));
}

#[test]
fn who_repeats_unknown_requests_is_limited_like_anybody() {
    let mut world = World::new();
    let peer = world.client();
    let mut closed = None;
    for _ in 0..100 {
        world.bytes(peer, &unknown(20));
        world.pump();
        closed = closed.or_else(|| world.closed(peer));
        world.take(peer);
    }
    assert!(matches!(closed, Some(CloseReason::RateLimited { .. })), "{closed:?}");
}

#[test]
fn another_protocol_is_told_the_types_of_the_server() {
    let mut server = Protocol::default();
    server.add("Chat", 1, Direction::Both);
    let mut world = World::with(|config| config.host.protocol = Some(server.clone()));
    let peer = world.socket();
    let hello = ClientMessage::Hello(Hello { protocol: 99, ..Hello::default() });
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
            let mut world = World::with(|config| config.host.protocol = server.cloned());
            let peer = world.socket();
            let hello = ClientMessage::Hello(Hello {
                protocol: client.map_or(Protocol::UNCHECKED, Protocol::hash),
                ..Hello::default()
            });
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
    let set = ClientMessage::SetMetadata { key: "k", value: Some(&long), if_version: None };
    world.say(peer, &set);
    assert_eq!(
        world.refusals(peer),
        [Refusal::MetadataTooLarge { max_bytes: 2048, max_entries: 32 }]
    );
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
