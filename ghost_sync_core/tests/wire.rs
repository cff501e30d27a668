//! Laws of the wire: what is written is read, whatever comes is survived.

use bytes::BytesMut;
use ghost_sync_core::{
    AuthError, ClientId, ClientMessage, CloseReason, DecodeError, Decoder, Delivery, Extension,
    GapReason, Hello, IfMissing, JoinOptions, LeaveReason, MAGIC, MAX_HELLO, MAX_TOKEN, MemberInfo,
    MessageType, MetadataEntry, Progress, Rate, Rates, Refusal, Replay, Resume, ResumeFailure,
    Role, RoomId, RoomSummary, Seat, Secret, SendFlags, ServerMessage, SessionTicket, Token,
    VERSIONS, Welcome,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};

/// The values that messages borrow from.
#[derive(Clone, Debug)]
struct Parts {
    number: u32,
    long: u64,
    text: String,
    bytes: Vec<u8>,
    value: Option<String>,
    meta: Vec<MetadataEntry>,
    delivery: Delivery,
}

fn parts() -> impl Strategy<Value = Parts> {
    let delivery = prop_oneof![
        Just(Delivery::Reliable),
        Just(Delivery::Volatile),
        any::<u32>().prop_map(Delivery::Latest),
    ];
    let meta = btree_map(".{0,8}", ".{0,8}", 0..4);
    (
        any::<u32>(),
        any::<u64>(),
        ".{0,20}",
        vec(any::<u8>(), 0..100),
        option::of(".{0,9}"),
        meta,
        delivery,
    )
        .prop_map(|(number, long, text, bytes, value, meta, delivery)| Parts {
            number,
            long,
            text,
            bytes,
            value,
            meta: meta.into_iter().collect(),
            delivery,
        })
}

fn client_messages(parts: &Parts) -> Vec<ClientMessage<'_>> {
    let Parts { number, long, text, bytes, value, meta, delivery } = parts;
    let (room, message_type) = (RoomId(*number), MessageType(*number));
    vec![
        ClientMessage::Hello(Hello {
            protocol: *long,
            data: bytes,
            token: Token(bytes),
            meta: meta.clone(),
            extensions: vec![Extension { id: 5, data: bytes }, Extension { id: 31, data: b"" }],
            session: (number % 2 == 0).then_some(SessionTicket {
                client_id: ClientId::from_u128(u128::from(*long)),
                secret: Secret([*number as u8; 16]),
            }),
            ..Hello::default()
        }),
        ClientMessage::Join {
            request: *number,
            room: text,
            options: JoinOptions {
                data: bytes,
                replay: Replay::Since { epoch: *long, seq: 3 },
                if_missing: match number % 3 {
                    0 => IfMissing::Default,
                    1 => IfMissing::Refuse,
                    _ => IfMissing::Create { options: bytes },
                },
                role: Role::Player,
            },
        },
        ClientMessage::Leave { room },
        ClientMessage::Broadcast {
            room,
            delivery: *delivery,
            flags: SendFlags((*number % 4) as u8),
            message_type,
            payload: bytes,
        },
        ClientMessage::ToServer { room, message_type, payload: bytes },
        ClientMessage::Ping { nonce: *long },
        ClientMessage::Pong { nonce: *long, received: 0 },
        ClientMessage::SetMetadata { key: text, value: value.as_deref(), if_version: Some(*long) },
        ClientMessage::ListRooms { request: *number },
        ClientMessage::Close { reason: CloseReason::Kicked { message: text.clone() } },
        ClientMessage::Resume(Resume {
            magic: MAGIC,
            versions: VERSIONS,
            epoch: *long,
            session: SessionTicket {
                client_id: ClientId::from_u128(u128::from(*long)),
                secret: Secret([*number as u8; 16]),
            },
            attempt: *number,
            received: *long,
            token: Token(bytes),
            rooms: vec![Progress { room, last: *long, own: *long }; (*number % 5) as usize],
        }),
        ClientMessage::Received { count: *long },
        ClientMessage::Authenticate { request: *number, token: Token(bytes) },
    ]
}

fn server_messages(parts: &Parts) -> Vec<ServerMessage<'_>> {
    let Parts { number, long, text, bytes, value, meta, delivery } = parts;
    let (room, seat, seq) = (RoomId(*number), Seat(*number), *long);
    let (message_type, payload) = (MessageType(*number), &bytes[..]);
    let (key, value) = (&text[..], value.as_deref());
    let client_id = ClientId::from_u128(u128::from(*long));
    let member = MemberInfo {
        seat,
        client_id,
        meta_version: seq,
        meta: meta.clone(),
        away: false,
        user: text.clone(),
    };
    let rate = Some(Rate::per_second(*long).burst(u64::from(*number)));
    let for_ms = (number % 2 == 0).then_some(*long);
    let refusal = Refusal::RoomFull { room: text.clone(), capacity: *number };
    let kicked = LeaveReason::Kicked { message: text.clone() };
    let summary = RoomSummary {
        name: text.clone(),
        players: *number,
        capacity: 0,
        meta_version: seq,
        meta: meta.clone(),
    };
    vec![
        ServerMessage::Welcome(Welcome {
            version: VERSIONS.newest,
            client_id,
            max_payload: *number,
            ping_interval_ms: 1,
            idle_timeout_ms: 2,
            user: text.clone(),
            expires_ms: *number,
            rates: Rates { bytes: rate, pings: rate, ..Rates::default() },
            resume_grace_ms: 0,
            epoch: 0,
            secret: Secret::default(),
            rooms: vec![text.clone()],
            extensions: vec![Extension { id: 65_535, data: bytes }],
        }),
        ServerMessage::Close { reason: CloseReason::PingTimeout { missed: 2 } },
        ServerMessage::Close { reason: CloseReason::Banned { message: text.clone(), for_ms } },
        ServerMessage::Joined {
            request: *number,
            room,
            name: text,
            epoch: *long,
            seq,
            seat,
            capacity: 3,
            members: *number,
            meta_version: 1,
            meta: meta.clone(),
            since: 9,
            former: vec![(seat, client_id)],
        },
        ServerMessage::Roster { room, members: vec![member.clone(), member.clone()] },
        ServerMessage::JoinRefused { request: *number, reason: refusal.clone() },
        ServerMessage::Left { room, reason: kicked.clone() },
        ServerMessage::Broadcast {
            room,
            seq,
            sender: seat,
            delivery: *delivery,
            message_type,
            payload,
        },
        ServerMessage::PlayerJoined { room, seq, member },
        ServerMessage::PlayerLeft { room, seq, seat, reason: kicked },
        ServerMessage::RoomMetadata { room, seq, version: 1, key, value },
        ServerMessage::PlayerMetadata { room, seq, seat, version: 1, key, value },
        ServerMessage::PlayerAway { room, seq, seat },
        ServerMessage::PlayerBack { room, seq, seat },
        ServerMessage::RoomDeleted { room, seq, message: text },
        ServerMessage::Gap { room, from: seq, to: seq, own: 0, reason: GapReason::Lagged },
        ServerMessage::Direct { room, message_type, payload },
        ServerMessage::Ack { room, reference: seq, seq },
        ServerMessage::Refused { room, reference: seq, reason: refusal },
        ServerMessage::Ping { nonce: seq, received: 0 },
        ServerMessage::Pong { nonce: seq },
        ServerMessage::RoomList { request: 1, count: 9, rooms: vec![summary] },
        ServerMessage::Retained { room, seq, sender: seat, key: *number, message_type, payload },
        ServerMessage::Received { count: seq },
        ServerMessage::Resumed { secret: Secret([7; 16]), received: seq },
        ServerMessage::ResumeFailed { reason: ResumeFailure::TooOld { room, oldest: seq } },
        ServerMessage::TokenExpiring { in_ms: *number },
        ServerMessage::Authenticated { request: *number, expires_ms: *number },
        ServerMessage::Aside { room, missed: *number, message_type, payload },
        ServerMessage::Spared { room, count: *number },
    ]
}

fn client_body(message: &ClientMessage<'_>) -> BytesMut {
    let mut buf = BytesMut::new();
    message.encode(&mut buf);
    buf.split_off(4)
}

fn server_body(message: &ServerMessage<'_>) -> BytesMut {
    let mut buf = BytesMut::new();
    message.encode(&mut buf);
    buf.split_off(4)
}

proptest! {
    #[test]
    fn what_is_written_is_read(parts in parts()) {
        for message in client_messages(&parts) {
            let body = client_body(&message);
            prop_assert_eq!(ClientMessage::decode(&body), Ok(message));
        }
        for message in server_messages(&parts) {
            let body = server_body(&message);
            prop_assert_eq!(ServerMessage::decode(&body), Ok(message));
        }
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_refused(parts in parts(), cut in any::<u16>()) {
        for message in client_messages(&parts) {
            let mut body = client_body(&message);
            let cut = usize::from(cut) % body.len();
            prop_assert!(ClientMessage::decode(&body[..cut]).is_err());
            body.extend_from_slice(&[0]);
            prop_assert_eq!(ClientMessage::decode(&body), Err(DecodeError::TrailingBytes(body[0])));
        }
        for message in server_messages(&parts) {
            let mut body = server_body(&message);
            let cut = usize::from(cut) % body.len();
            prop_assert!(ServerMessage::decode(&body[..cut]).is_err());
            body.extend_from_slice(&[0]);
            prop_assert_eq!(ServerMessage::decode(&body), Err(DecodeError::TrailingBytes(body[0])));
        }
    }

    #[test]
    fn perturbed_bytes_never_panic_and_what_is_accepted_is_canonical(
        parts in parts(),
        flips in vec((any::<u16>(), any::<u8>()), 1..4),
    ) {
        let bodies = client_messages(&parts).into_iter().map(|message| client_body(&message));
        for mut body in bodies.chain(server_messages(&parts).iter().map(server_body)) {
            for (at, value) in &flips {
                let at = usize::from(*at) % body.len();
                body[at] = *value;
            }
            if let Ok(message) = ClientMessage::decode(&body) {
                prop_assert_eq!(client_body(&message), &body);
            }
            if let Ok(message) = ServerMessage::decode(&body) {
                prop_assert_eq!(server_body(&message), &body);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600), max in 0..1000_usize) {
        let _ = ClientMessage::decode(&bytes);
        let _ = ServerMessage::decode(&bytes);
        let mut decoder = Decoder::new(max);
        let mut input = &bytes[..];
        while let Ok(Some(frame)) = decoder.next_frame(&mut input) {
            prop_assert!(frame.len() <= max);
        }
    }

    #[test]
    fn frames_do_not_depend_on_how_bytes_are_cut(parts in parts(), cuts in vec(1..50_usize, 1..20)) {
        let mut bytes = BytesMut::new();
        let messages = server_messages(&parts);
        for message in &messages {
            message.encode(&mut bytes);
        }
        let mut decoder = Decoder::new(1 << 20);
        let mut found = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (mut piece, after) = rest.split_at((*cut).min(rest.len()));
            while let Some(frame) = decoder.next_frame(&mut piece).unwrap() {
                found.push(frame.to_vec());
            }
            if after.is_empty() {
                break;
            }
            rest = after;
        }
        let expected: Vec<_> = messages.iter().map(|m| server_body(m).to_vec()).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_count_that_lies_takes_no_memory() {
    // A hello whose metadata claims four billion entries.
    let mut body = vec![0];
    body.extend_from_slice(&MAGIC);
    body.extend_from_slice(&[2, 0, 2, 0]);
    body.extend_from_slice(&[0; 8]);
    // Neither data nor a token.
    body.extend_from_slice(&[0; 8]);
    body.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(ClientMessage::decode(&body), Err(DecodeError::Malformed(0)));
    // A token that claims to be as long as can be.
    let body = [12, 1, 0, 0, 0, 255, 255, 255, 255, 7];
    assert_eq!(ClientMessage::decode(&body), Err(DecodeError::Malformed(12)));
}

#[test]
fn the_longest_token_fits_into_a_first_message() {
    let token = Token(&[7; MAX_TOKEN][..]);
    let body = client_body(&ClientMessage::Hello(Hello { token, ..Hello::default() }));
    assert!(body.len() <= MAX_HELLO - 4000, "all else has room beside it");
}

#[test]
fn values_that_are_not_canonical_are_refused() {
    let message = ClientMessage::SetMetadata { key: "k", value: None, if_version: None };
    let good = client_body(&message);
    // Tag of `value`: 0 or 1, and the text must be UTF-8.
    for (at, value) in [(6, 2), (5, 0xff)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(ClientMessage::decode(&bad), Err(DecodeError::Malformed(7)), "byte {at}");
    }
    let unknown_flag = ClientMessage::Broadcast {
        room: RoomId(1),
        delivery: Delivery::Reliable,
        flags: SendFlags(4),
        message_type: MessageType::RAW,
        payload: b"",
    };
    assert_eq!(ClientMessage::decode(&client_body(&unknown_flag)), Err(DecodeError::Malformed(3)));
}

#[test]
fn a_server_does_not_say_what_only_a_client_finds() {
    for reason in [Refusal::NotConnected, Refusal::Unconfirmed] {
        let room = RoomId(1);
        for message in [
            ServerMessage::JoinRefused { request: 1, reason: reason.clone() },
            ServerMessage::Refused { room, reference: 1, reason: reason.clone() },
        ] {
            let body = server_body(&message);
            assert_eq!(ServerMessage::decode(&body), Err(DecodeError::Malformed(body[0])));
        }
    }
}

#[test]
fn the_bytes_of_a_join_are_those_of_the_protocol_document() {
    let options = JoinOptions {
        data: &b"key"[..],
        replay: Replay::Last(3),
        if_missing: IfMissing::Create { options: &b"4"[..] },
        role: Role::Player,
    };
    let body = client_body(&ClientMessage::Join { request: 1, room: "den", options });
    let hex: Vec<_> = body.iter().map(|byte| format!("{byte:02x}")).collect();
    let dump = "01 01 00 00 00 03 00 00 00 64 65 6e 03 00 00 00 6b 65 79 01 03 00 00 00 02 01 00 \
                00 00 34 00";
    assert_eq!(hex.join(" "), dump);
}

#[test]
fn the_bytes_of_a_hello_are_those_of_the_protocol_document() {
    let hello = Hello {
        data: b"key",
        token: Token(b"abc"),
        meta: vec![("name".to_owned(), "Ann".to_owned())],
        extensions: vec![Extension { id: Extension::USER_AGENT, data: b"game" }],
        ..Hello::default()
    };
    let body = client_body(&ClientMessage::Hello(hello));
    let hex: Vec<_> = body.iter().map(|byte| format!("{byte:02x}")).collect();
    let dump = "00 47 48 53 54 02 00 02 00 00 00 00 00 00 00 00 00 03 00 00 00 6b 65 79 03 00 00 \
                00 61 62 63 01 00 00 00 04 00 00 00 6e 61 6d 65 03 00 00 00 41 6e 6e 00 01 00 00 \
                00 05 00 04 00 00 00 67 61 6d 65";
    assert_eq!(hex.join(" "), dump);
}

#[test]
fn extensions_are_sorted_by_id_each_once() {
    for ids in [[2, 1], [3, 3]] {
        let extensions = ids.map(|id| Extension { id, data: b"" }).to_vec();
        let hello = Hello { extensions: extensions.clone(), ..Hello::default() };
        let body = client_body(&ClientMessage::Hello(hello));
        assert_eq!(ClientMessage::decode(&body), Err(DecodeError::UnsortedExtensions(0)));
        let welcome = Welcome { extensions, ..Welcome::default() };
        let body = server_body(&ServerMessage::Welcome(welcome));
        assert_eq!(ServerMessage::decode(&body), Err(DecodeError::UnsortedExtensions(0)));
    }
}

#[test]
fn the_bytes_of_the_protocol_document_are_the_bytes_on_the_wire() {
    let mut buf = BytesMut::new();
    ServerMessage::Broadcast {
        room: RoomId(1),
        seq: 7,
        sender: Seat(2),
        delivery: Delivery::Latest(9),
        message_type: MessageType::RAW,
        payload: b"hi",
    }
    .encode(&mut buf);
    let hex: Vec<_> = buf.iter().map(|byte| format!("{byte:02x}")).collect();
    let dump = "20 00 00 00 06 01 00 00 00 07 00 00 00 00 00 00 00 02 00 00 00 02 09 00 00 00 \
                00 00 00 00 02 00 00 00 68 69";
    assert_eq!(hex.join(" "), dump);

    let mut buf = BytesMut::new();
    let (message_type, payload) = (MessageType::RAW, &b"hi"[..]);
    ServerMessage::Aside { room: RoomId(1), missed: 3, message_type, payload }.encode(&mut buf);
    ServerMessage::Spared { room: RoomId(1), count: 2 }.encode(&mut buf);
    let hex: Vec<_> = buf.iter().map(|byte| format!("{byte:02x}")).collect();
    let dump = "13 00 00 00 1d 01 00 00 00 03 00 00 00 00 00 00 00 02 00 00 00 68 69 \
                09 00 00 00 20 01 00 00 00 02 00 00 00";
    assert_eq!(hex.join(" "), dump);
}

#[test]
fn the_bytes_about_tokens_are_those_of_the_protocol_document() {
    let body = client_body(&ClientMessage::Authenticate { request: 1, token: Token(b"abc") });
    assert_eq!(body[..], [12, 1, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c']);
    let body = server_body(&ServerMessage::TokenExpiring { in_ms: 30_000 });
    assert_eq!(body[..], [25, 0x30, 0x75, 0, 0]);
    let body = server_body(&ServerMessage::Authenticated { request: 1, expires_ms: 3_600_000 });
    assert_eq!(body[..], [26, 1, 0, 0, 0, 0x80, 0xee, 0x36, 0]);
}

#[test]
fn the_bytes_of_a_welcome_are_those_of_the_protocol_document() {
    let welcome = Welcome {
        version: 2,
        client_id: ClientId::from_u128(7),
        max_payload: 65_536,
        ping_interval_ms: 13_000,
        idle_timeout_ms: 31_000,
        user: "ada".to_owned(),
        expires_ms: 3_600_000,
        rates: Rates { pings: Some(Rate::per_second(5).burst(20)), ..Rates::default() },
        resume_grace_ms: 30_000,
        epoch: 9,
        secret: Secret([3; 16]),
        ..Welcome::default()
    };
    let body = server_body(&ServerMessage::Welcome(welcome));
    let hex: Vec<_> = body.iter().map(|byte| format!("{byte:02x}")).collect();
    let dump = "00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 07 00 00 01 00 c8 32 00 00 \
                18 79 00 00 03 00 00 00 61 64 61 80 ee 36 00 00 00 00 00 01 05 00 00 00 00 00 00 \
                00 00 ca 9a 3b 00 00 00 00 14 00 00 00 00 00 00 00 30 75 00 00 09 00 00 00 00 00 \
                00 00 03 03 03 03 03 03 03 03 03 03 03 03 03 03 03 03 00 00 00 00 00 00 00 00";
    assert_eq!(hex.join(" "), dump);
}

#[test]
fn why_somebody_is_put_out_has_one_encoding() {
    let close = |reason| server_body(&ServerMessage::Close { reason });
    for (why, code) in AuthError::ALL.into_iter().zip(1..) {
        assert_eq!(close(CloseReason::Unauthenticated { why })[..], [1, 107, code]);
    }
    for code in [0, 11, 255] {
        assert_eq!(ServerMessage::decode(&[1, 107, code]), Err(DecodeError::Malformed(1)));
    }
    assert_eq!(close(CloseReason::TokenExpired)[..], [1, 108]);
    let banned = |for_ms| CloseReason::Banned { message: "no".to_owned(), for_ms };
    assert_eq!(close(banned(None))[..], [1, 109, 2, 0, 0, 0, b'n', b'o', 0]);
    let for_a_while = close(banned(Some(3)));
    assert_eq!(for_a_while[8..], [1, 3, 0, 0, 0, 0, 0, 0, 0]);
    let mut bad = for_a_while;
    bad[8] = 2;
    assert_eq!(ServerMessage::decode(&bad), Err(DecodeError::Malformed(1)));
    assert_eq!(close(CloseReason::TooManyLinks { max: 8 })[..], [1, 110, 8, 0, 0, 0]);
    assert_eq!(ServerMessage::decode(&[1, 111]), Err(DecodeError::Malformed(1)));

    let left = |reason| server_body(&ServerMessage::Left { room: RoomId(1), reason });
    assert_eq!(left(LeaveReason::NotAllowed)[5..], [7]);
    let banned = LeaveReason::Banned { message: "no".to_owned() };
    assert_eq!(left(banned)[5..], [8, 2, 0, 0, 0, b'n', b'o']);
    assert_eq!(ServerMessage::decode(&[5, 1, 0, 0, 0, 9]), Err(DecodeError::Malformed(5)));
}

#[test]
fn messages_whose_numbers_are_kept_for_others_are_unknown() {
    for kind in [27, 28, 30, 31, 33, 255] {
        assert_eq!(ServerMessage::decode(&[kind]), Err(DecodeError::UnknownKind(kind)));
    }
    for kind in [25, 26, 29, 32] {
        assert_eq!(ServerMessage::decode(&[kind]), Err(DecodeError::Malformed(kind)));
    }
    for kind in [13, 29, 32] {
        assert_eq!(ClientMessage::decode(&[kind]), Err(DecodeError::UnknownKind(kind)));
    }
}

#[test]
fn an_id_is_sixteen_bytes_on_the_wire() {
    // A feature of wincode that another crate may switch on would put a length before it.
    let mut buf = BytesMut::new();
    let client_id = ClientId::from_u128(7);
    ServerMessage::Welcome(Welcome { client_id, ..Welcome::default() }).encode(&mut buf);
    assert_eq!(&buf[7..23], client_id.as_bytes());
    assert_eq!(buf[23..27], [0; 4], "and the longest payload follows");
}
