//! Writes the seeds of all corpora: `cargo run --example seeds` in this folder.

use std::{fs, io, path::Path};

use bytes::BytesMut;
use ghost_sync_core::{
    AuthError, ClientId, ClientMessage, CloseReason, Delivery, GapReason, Hello, IfMissing,
    JoinOptions, LeaveReason, MAGIC, MemberInfo, MessageType, Progress, Rate, Rates, Refusal,
    Replay, Resume, ResumeFailure, Role, RoomId, RoomSummary, Seat, Secret, SendFlags,
    ServerMessage, SessionTicket, Token, VERSIONS, Welcome,
};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, seeds) in [
        ("decoder", decoder()),
        ("handshake", handshake()),
        ("session", [random(16, 400), signed(random(8, 401))].concat()),
        ("resume", random(12, 120)),
    ] {
        let folder = corpus.join(name);
        fs::create_dir_all(&folder)?;
        for (at, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{at:02}")), seed)?;
        }
    }
    Ok(())
}

/// Every message once: as a stream in pieces, and as a body.
fn decoder() -> Vec<Vec<u8>> {
    let mut stream = BytesMut::new();
    from_clients().iter().for_each(|message| message.encode(&mut stream));
    let mut answers = BytesMut::new();
    from_the_server().iter().for_each(|message| message.encode(&mut answers));
    let plan = [0, 3, 5, 1, 64];
    let mut seeds = vec![[&plan, &stream[..]].concat(), [&plan, &answers[..]].concat()];
    seeds.push(vec![4, 0, 6, 0, 0, 0, 1, 2, 3]);
    seeds.push(vec![0, 1, 4, 0xff, 0xff, 0xff, 0xff]);
    for message in from_the_server() {
        // No plan, then the body alone.
        seeds.push([&[0, 0], &message.to_frame()[4..]].concat());
    }
    seeds
}

/// A good hello, a resume, a join at once, and noise, with and without questions.
fn handshake() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for settings in [0_u8, 1 | 8 | 16, 1, 32, 16, 1 | 16] {
        let mut stream = BytesMut::new();
        from_clients().iter().for_each(|message| message.encode(&mut stream));
        seeds.push([&[settings, 2, 7, 200], &stream[..]].concat());
        let mut resume = BytesMut::new();
        from_clients().iter().rev().take(2).for_each(|message| message.encode(&mut resume));
        seeds.push([&[settings, 1, 5], &resume[..]].concat());
    }
    seeds.push(b"\0\0GET / HTTP/1.1\r\n\r\n".to_vec());
    seeds
}

/// The same with clients that show tokens: its ninth byte says so.
fn signed(mut seeds: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    seeds.iter_mut().for_each(|seed| seed[8] |= 6);
    seeds
}

/// Decisions at random: what they mean is the target's business.
fn random(count: u64, len: usize) -> Vec<Vec<u8>> {
    let mut state = 7 + count;
    let mut seeds = Vec::new();
    for _ in 0..count {
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        seeds.push(bytes.take(len).collect());
    }
    seeds
}

fn from_clients() -> Vec<ClientMessage<'static>> {
    let (room, message_type) = (RoomId(1), MessageType::of("Shot"));
    vec![
        ClientMessage::Hello(Hello {
            data: b"ticket",
            token: Token(&[0, 1, 2, 3]),
            meta: meta(),
            ..Hello::default()
        }),
        ClientMessage::Join {
            request: 1,
            room: "den",
            options: JoinOptions {
                replay: Replay::Last(3),
                if_missing: IfMissing::Refuse,
                role: Role::Player,
                ..JoinOptions::default()
            },
        },
        ClientMessage::Join {
            request: 2,
            room: "den",
            options: JoinOptions {
                data: b"x",
                replay: Replay::Since { epoch: 1, seq: 2 },
                if_missing: IfMissing::Create { options: b"4" },
                role: Role::Player,
            },
        },
        ClientMessage::Broadcast {
            room,
            delivery: Delivery::Latest(9),
            flags: SendFlags::ECHO.with(SendFlags::ACK),
            message_type,
            payload: b"hi",
        },
        ClientMessage::ToServer { room, message_type, payload: b"bang" },
        ClientMessage::Ping { nonce: 1 },
        ClientMessage::Pong { nonce: 1, received: 1 },
        ClientMessage::SetMetadata { key: "name", value: Some("Bo"), if_version: Some(1) },
        ClientMessage::ListRooms { request: 1 },
        ClientMessage::Received { count: 2 },
        ClientMessage::Authenticate { request: 3, token: Token(&[0, 1, 2, 9]) },
        ClientMessage::Leave { room },
        ClientMessage::Resume(Resume {
            magic: MAGIC,
            versions: VERSIONS,
            epoch: 1,
            session: SessionTicket { client_id: ClientId::from_u128(1), secret: Secret([2; 16]) },
            attempt: 1,
            received: 3,
            token: Token(&[0, 1]),
            rooms: vec![
                Progress { room, last: 4, own: 1 },
                Progress { room: RoomId(2), last: u64::MAX, own: 0 },
            ],
        }),
        ClientMessage::Close { reason: CloseReason::Requested },
    ]
}

fn from_the_server() -> Vec<ServerMessage<'static>> {
    let (room, seat, seq) = (RoomId(1), Seat(2), 7);
    let message_type = MessageType::RAW;
    let member = MemberInfo {
        seat,
        client_id: ClientId::from_u128(5),
        meta_version: 1,
        meta: meta(),
        away: true,
        user: "ada".to_owned(),
    };
    vec![
        ServerMessage::Welcome(Welcome {
            version: VERSIONS.newest,
            client_id: ClientId::from_u128(5),
            max_payload: 65_536,
            ping_interval_ms: 13_000,
            idle_timeout_ms: 31_000,
            user: "ada".to_owned(),
            expires_ms: 3_600_000,
            rates: Rates {
                messages: Some(Rate::per_second(250).burst(8192)),
                pings: Some(Rate::per_second(5).burst(20)),
                ..Rates::default()
            },
            resume_grace_ms: 30_000,
            epoch: 9,
            secret: Secret([3; 16]),
            ..Welcome::default()
        }),
        ServerMessage::Joined {
            request: 1,
            room,
            name: "den",
            epoch: 3,
            seq,
            since: 2,
            seat,
            capacity: 8,
            members: 1,
            meta_version: 1,
            meta: meta(),
            former: vec![(Seat(1), ClientId::from_u128(4))],
        },
        ServerMessage::Roster { room, members: vec![member.clone()] },
        ServerMessage::Retained { room, seq, sender: seat, key: 1, message_type, payload: b"v" },
        ServerMessage::JoinRefused { request: 1, reason: Refusal::Busy },
        ServerMessage::Left { room, reason: LeaveReason::Kicked { message: "out".to_owned() } },
        ServerMessage::Left { room, reason: LeaveReason::NotAllowed },
        ServerMessage::Broadcast {
            room,
            seq,
            sender: seat,
            delivery: Delivery::Latest(9),
            message_type,
            payload: b"hi",
        },
        ServerMessage::PlayerJoined { room, seq, member },
        ServerMessage::PlayerLeft { room, seq, seat, reason: LeaveReason::Left },
        ServerMessage::PlayerAway { room, seq, seat },
        ServerMessage::PlayerBack { room, seq, seat },
        ServerMessage::RoomMetadata { room, seq, version: 1, key: "map", value: None },
        ServerMessage::PlayerMetadata { room, seq, seat, version: 1, key: "k", value: Some("v") },
        ServerMessage::RoomDeleted { room, seq, message: "gone" },
        ServerMessage::Gap { room, from: 1, to: 6, own: 1, reason: GapReason::Lagged },
        ServerMessage::Direct { room, message_type, payload: b"you" },
        ServerMessage::Ack { room, reference: 1, seq },
        ServerMessage::Refused { room, reference: 1, reason: Refusal::NotInRoom },
        ServerMessage::Ping { nonce: 1, received: 2 },
        ServerMessage::Pong { nonce: 1 },
        ServerMessage::RoomList {
            request: 1,
            count: 1,
            rooms: vec![RoomSummary {
                name: "den".to_owned(),
                players: 1,
                capacity: 8,
                meta_version: 1,
                meta: meta(),
            }],
        },
        ServerMessage::Received { count: 1 },
        ServerMessage::Resumed { secret: Secret([4; 16]), received: 1 },
        ServerMessage::ResumeFailed { reason: ResumeFailure::TooOld { room, oldest: 3 } },
        ServerMessage::TokenExpiring { in_ms: 30_000 },
        ServerMessage::Authenticated { request: 3, expires_ms: 3_600_000 },
        ServerMessage::Close {
            reason: CloseReason::Unauthenticated { why: AuthError::BadSignature },
        },
        ServerMessage::Close {
            reason: CloseReason::Banned { message: "out".to_owned(), for_ms: Some(7) },
        },
        ServerMessage::Close { reason: CloseReason::Kicked { message: "out".to_owned() } },
    ]
}

fn meta() -> Vec<(String, String)> {
    vec![("name".to_owned(), "Bo".to_owned())]
}
