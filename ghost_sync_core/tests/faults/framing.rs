//! Bytes that are cut, glued, wrong or missing (1 to 20).

use bytes::BytesMut;
use ghost_sync_core::{
    ClientMessage, CloseReason, DecodeError, Delivery, HEADER_LEN, JoinOptions, Limits,
    MAX_OVERHEAD, MessageType, Refusal, Replay, RoomId, SendFlags, ServerMessage,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    peer::{Peer, broadcast, frame, hello, join},
    proxy::{Chaos, Line, Proxy, Random},
    rig::{Rig, SHARED, builder},
};

/// What the server says to a peer in the shared room that sends these bytes.
async fn answer(rig: &Rig, bytes: &[u8]) -> CloseReason {
    let (mut peer, _) = Peer::joined(rig.addr).await;
    peer.say_bytes(bytes).await.unwrap();
    peer.close_reason().await
}

async fn is_a_violation(rig: &Rig, bytes: &[u8]) {
    let reason = answer(rig, bytes).await;
    assert!(matches!(reason, CloseReason::Protocol { .. }), "{bytes:?}: {reason:?}");
}

/// A frame around a body.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// A client's whole life, as bytes.
fn session() -> BytesMut {
    let mut script = frame(&hello());
    script.extend(frame(&join(SHARED)));
    script.extend(frame(&broadcast(RoomId(1), b"last words")));
    script
}

#[tokio::test]
async fn fault_01_an_empty_frame_ends_the_connection() {
    let rig = Rig::new().await;
    is_a_violation(&rig, &[0; 4]).await;
    let mut peer = Peer::connect(rig.addr).await;
    peer.say_bytes(&[0; 4]).await.unwrap();
    assert!(matches!(peer.close_reason().await, CloseReason::Protocol { .. }));
    rig.finish().await;
}

#[tokio::test]
async fn fault_02_the_longest_frame_is_taken_and_longer_ones_are_refused_by_their_header() {
    let rig = Rig::new().await;
    let longest = 64 * 1024 + MAX_OVERHEAD;
    for len in [longest + 1, (1 << 31) - 1, 1 << 31, 0xffff_ffff] {
        let header = u32::try_from(len).unwrap().to_le_bytes();
        let reason = answer(&rig, &header).await;
        assert!(matches!(reason, CloseReason::PayloadTooLarge { .. }), "{len}: {reason:?}");
    }
    let (mut peer, room) = Peer::joined(rig.addr).await;
    peer.say(&broadcast(room, &[7; 64 * 1024])).await;
    peer.sync().await;
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_04_a_session_in_single_bytes_is_a_session() {
    let rig = Rig::new().await;
    let line = Line { pieces: 1, ..Line::default() };
    let chaos = Chaos { seed: 4, up: line.clone(), down: line, ..Chaos::default() };
    let proxy = Proxy::start("127.0.0.1:0", rig.addr, chaos).await.unwrap();
    let (mut peer, room) = Peer::joined(proxy.addr()).await;
    for number in 0..20_u8 {
        peer.say(&broadcast(room, &[number; 30])).await;
    }
    peer.sync().await;
    drop((peer, proxy));
    rig.finish().await;
}

#[tokio::test]
async fn fault_05_a_megabyte_of_frames_in_one_write_is_many_messages_in_order() {
    // On a busy machine nobody may get to read before all of it has come.
    let rig = Rig::with(builder().outbox_limit(4 << 20).limits(Limits::none())).await;
    let (mut ear, _) = Peer::joined(rig.addr).await;
    let (mut mouth, room) = Peer::joined(rig.addr).await;
    let count = 18_000_u32;
    let mut bytes = BytesMut::new();
    for number in 0..count {
        let mut payload = [0; 40];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        broadcast(room, &payload).encode(&mut bytes);
    }
    assert!(bytes.len() > 1 << 20);
    let speak = async {
        mouth.say_bytes(&bytes).await.unwrap();
        mouth.sync().await;
    };
    let listen = async {
        for number in 0..count {
            let heard = ear.hear(|message| match message {
                ServerMessage::Broadcast { payload, .. } if payload.len() == 40 => {
                    Some(u32::from_le_bytes(payload[..4].try_into().unwrap()))
                }
                _ => None,
            });
            assert_eq!(heard.await, number);
        }
    };
    tokio::join!(speak, listen);
    drop((ear, mouth));
    rig.finish().await;
}

/// Cuts a session at every byte; `end` does it.
async fn cut_everywhere(end: impl AsyncFn(TcpStream)) {
    let rig = Rig::new().await;
    let script = session();
    for cut in 0..=script.len() {
        let mut stream = TcpStream::connect(rig.addr).await.unwrap();
        stream.write_all(&script[..cut]).await.unwrap();
        end(stream).await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_06_a_stream_that_ends_at_any_byte_leaves_nothing_behind() {
    cut_everywhere(async |mut stream| stream.shutdown().await.unwrap()).await;
}

#[tokio::test]
async fn fault_07_a_reset_at_any_byte_leaves_nothing_behind() {
    cut_everywhere(async |stream| stream.set_zero_linger().unwrap()).await;
}

/// Asks for something and shuts the own half of the stream at once.
async fn ask_and_stop_talking(rig: &Rig, goodbye: Option<ClientMessage<'_>>) {
    let (mut peer, room) = Peer::joined(rig.addr).await;
    let mut bytes = frame(&broadcast(room, b"last words"));
    bytes.extend(frame(&ClientMessage::ListRooms { request: 9 }));
    bytes.extend(goodbye.iter().flat_map(frame));
    peer.say_bytes(&bytes).await.unwrap();
    peer.stream.shutdown().await.unwrap();
    peer.hear(|message| {
        matches!(message, ServerMessage::RoomList { request: 9, .. }).then_some(())
    })
    .await;
    peer.end().await;
}

#[tokio::test]
async fn fault_08_a_peer_that_says_goodbye_and_stops_talking_gets_its_answers() {
    let rig = Rig::new().await;
    let goodbye = ClientMessage::Close { reason: CloseReason::Requested };
    ask_and_stop_talking(&rig, Some(goodbye)).await;
    rig.finish().await;
}

#[tokio::test]
async fn fault_08_a_peer_that_just_stops_talking_gets_its_answers() {
    let rig = Rig::new().await;
    ask_and_stop_talking(&rig, None).await;
    rig.finish().await;
}

#[tokio::test]
async fn fault_09_unknown_kinds_and_unknown_flags_end_the_connection() {
    let rig = Rig::new().await;
    for kind in [0x80, 0x81, 0xff] {
        assert_eq!(ClientMessage::decode(&[kind]), Err(DecodeError::UnknownKind(kind)));
        is_a_violation(&rig, &framed(&[kind, 0, 0, 0])).await;
    }
    for flags in [4, 8, 0x80] {
        let message = ClientMessage::Broadcast {
            room: RoomId(1),
            delivery: Delivery::Reliable,
            flags: SendFlags(flags),
            message_type: MessageType::RAW,
            payload: b"",
        };
        is_a_violation(&rig, &frame(&message)).await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_09_unknown_requests_are_refused_and_the_connection_goes_on() {
    let rig = Rig::new().await;
    for kind in [20, 21, 0x7f] {
        assert_eq!(ClientMessage::decode(&[kind]), Err(DecodeError::UnknownKind(kind)));
        let (mut peer, _) = Peer::joined(rig.addr).await;
        peer.say_bytes(&framed(&[kind, 0, 0, 0])).await.unwrap();
        let refused = peer.hear(|message| match message {
            ServerMessage::Refused { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(refused.await, Refusal::Unsupported { kind });
        peer.sync().await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_10_bytes_after_a_message_end_the_connection() {
    let rig = Rig::new().await;
    let ping = frame(&ClientMessage::Ping { nonce: 1 });
    is_a_violation(&rig, &framed(&[&ping[HEADER_LEN..], &[0]].concat())).await;
    rig.finish().await;
}

#[tokio::test]
async fn fault_12_names_and_keys_that_are_not_utf_8_end_the_connection() {
    let rig = Rig::new().await;
    let good = frame(&join("XXXXXX"));
    let at = good.windows(6).position(|window| window == b"XXXXXX").unwrap();
    // A lone surrogate, an overlong slash, a stray continuation, a cut sequence.
    for bad in [&b"\xed\xa0\x80abc"[..], b"\xc0\xafabcd", b"\x80abcde", b"abcd\xf0\x9f"] {
        let mut bytes = good.to_vec();
        bytes[at..at + 6].copy_from_slice(bad);
        is_a_violation(&rig, &bytes).await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_14_counts_that_lie_end_the_connection() {
    let rig = Rig::new().await;
    // The last of a hello are the counts of metadata and extensions, around a session.
    for from_the_end in [9, 4] {
        let mut bytes = frame(&hello());
        let at = bytes.len() - from_the_end;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut peer = Peer::connect(rig.addr).await;
        peer.say_bytes(&bytes).await.unwrap();
        assert!(matches!(peer.close_reason().await, CloseReason::Protocol { .. }));
    }
    let mut bytes = frame(&broadcast(RoomId(1), b""));
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    is_a_violation(&rig, &bytes).await;
    rig.finish().await;
}

#[tokio::test]
async fn fault_15_wrong_bits_on_the_line_hurt_nobody_else() {
    let rig = Rig::new().await;
    for seed in 0..24 {
        let line = Line { corrupt: 60, ..Line::default() };
        let chaos = Chaos { seed, up: line, ..Chaos::default() };
        let proxy = Proxy::start("127.0.0.1:0", rig.addr, chaos).await.unwrap();
        let mut peer = Peer::connect(proxy.addr()).await;
        // Nothing is waited for: any answer, or none, may come back.
        let mut bytes = session();
        bytes.extend((0..50).flat_map(|_| frame(&broadcast(RoomId(1), &[seed as u8; 40]))));
        let _ = peer.say_bytes(&bytes).await;
        let _ = peer.stream.shutdown().await;
        peer.end().await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_17_other_protocols_are_turned_away_without_an_echo() {
    let rig = Rig::new().await;
    let null = [0; 64];
    let mut noise = [0; 512];
    let mut random = Random::new(17);
    noise.fill_with(|| random.next() as u8);
    for opening in [
        &b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x05\x01\x00",
        &null,
        &noise,
    ] {
        let mut peer = Peer::connect(rig.addr).await;
        peer.say_bytes(opening).await.unwrap();
        // Some openings are the header of a frame that never comes.
        peer.stream.shutdown().await.unwrap();
        let said = peer.end().await;
        assert!(matches!(said, None | Some(CloseReason::Protocol { .. })), "{said:?}");
        let said = format!("{said:?}");
        assert!(!said.contains("HTTP") && !said.contains("SSH"), "{said}");
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_18_a_proxy_header_is_no_greeting() {
    let rig = Rig::new().await;
    for header in [
        &b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\0\x01\0\x02",
    ] {
        let mut peer = Peer::connect(rig.addr).await;
        peer.say_bytes(&[header, &frame(&hello())].concat()).await.unwrap();
        assert!(matches!(peer.close_reason().await, CloseReason::Protocol { .. }));
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_20_the_largest_numbers_are_only_numbers() {
    let rig = Rig::new().await;
    let (mut peer, room) = Peer::joined(rig.addr).await;
    let nonce = u64::MAX;
    peer.say(&ClientMessage::Ping { nonce }).await;
    peer.hear(|message| (message == ServerMessage::Pong { nonce }).then_some(())).await;
    peer.say(&ClientMessage::Pong { nonce, received: 0 }).await;
    for replay in [
        Replay::Last(u32::MAX),
        Replay::Since { epoch: u64::MAX, seq: u64::MAX },
        Replay::Since { epoch: 0, seq: 0 },
    ] {
        peer.say(&ClientMessage::Join {
            request: u32::MAX,
            room: "none",
            options: JoinOptions { replay, ..JoinOptions::default() },
        })
        .await;
        peer.hear(|message| match message {
            ServerMessage::JoinRefused { request: u32::MAX, reason } => Some(reason),
            _ => None,
        })
        .await;
    }
    let if_version = Some(u64::MAX);
    peer.say(&ClientMessage::SetMetadata { key: "a", value: None, if_version }).await;
    let refusal = peer.hear(|message| match message {
        ServerMessage::Refused { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(refusal.await, Refusal::MetadataConflict { .. }));
    peer.say(&ClientMessage::Leave { room: RoomId(u32::MAX) }).await;
    peer.say(&ClientMessage::Broadcast {
        room,
        delivery: Delivery::Latest(u32::MAX),
        flags: SendFlags::NONE,
        message_type: MessageType(u32::MAX),
        payload: b"",
    })
    .await;
    peer.sync().await;
    drop(peer);
    rig.finish().await;
}
