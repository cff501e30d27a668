//! A server that says anything at all.

use super::*;
use crate::wire::{Refusal, ResumeFailure, RoomSummary};

/// Some message, with numbers small enough to meet each other.
fn anything(random: &mut fastrand::Rng) -> BytesMut {
    let room = RoomId(random.u32(..4));
    let seat = Seat(random.u32(..5));
    let seq = if random.u8(..20) == 0 { u64::MAX } else { random.u64(..12) };
    let number = random.u64(..12);
    let client_id = [ME, OTHER, ClientId::nil()][random.usize(..3)];
    let (message_type, payload) = (MessageType::RAW, &b"words"[..]);
    let member = || MemberInfo {
        seat,
        client_id,
        meta_version: 0,
        meta: vec![],
        away: false,
        user: String::new(),
    };
    let message = match random.u8(..27) {
        0 => ServerMessage::Welcome(Welcome {
            version: VERSIONS.newest,
            client_id,
            max_payload: random.u32(..100),
            ping_interval_ms: random.u32(..2) * 13_000,
            idle_timeout_ms: random.u32(..40_000),
            resume_grace_ms: random.u32(..2) * 30_000,
            epoch: number,
            secret: Secret([1; 16]),
            rooms: vec!["lobby".to_owned(); random.usize(..2)],
            ..Welcome::default()
        }),
        1 => ServerMessage::Close { reason: CloseReason::Requested },
        2..=4 => ServerMessage::Joined {
            request: random.u32(..4),
            room,
            name: "lobby",
            epoch: number,
            seq,
            since: random.u64(..12),
            seat,
            capacity: 0,
            members: random.u32(..3),
            meta_version: 0,
            meta: vec![],
            former: vec![(seat, client_id)],
        },
        5 | 6 => ServerMessage::Roster { room, members: vec![member(); random.usize(..3)] },
        7 => ServerMessage::JoinRefused { request: random.u32(..4), reason: Refusal::Busy },
        8 => ServerMessage::Left { room, reason: LeaveReason::Left },
        9 | 10 => ServerMessage::Broadcast {
            room,
            seq,
            sender: seat,
            delivery: Delivery::Reliable,
            message_type,
            payload,
        },
        11 => ServerMessage::PlayerJoined { room, seq, member: member() },
        12 => ServerMessage::PlayerLeft { room, seq, seat, reason: LeaveReason::Left },
        13 => ServerMessage::PlayerAway { room, seq, seat },
        14 => ServerMessage::PlayerBack { room, seq, seat },
        15 => ServerMessage::RoomDeleted { room, seq, message: "gone" },
        16 => {
            let (from, own, reason) = (number, random.u32(..3), GapReason::Lagged);
            ServerMessage::Gap { room, from, to: seq, own, reason }
        }
        17 => ServerMessage::Direct { room, message_type, payload },
        18 => ServerMessage::Ack { room, reference: number, seq },
        19 => ServerMessage::Refused { room, reference: number, reason: Refusal::NotInRoom },
        20 => ServerMessage::Ping { nonce: 1, received: number },
        21 => ServerMessage::RoomList { request: 1, count: 0, rooms: Vec::<RoomSummary>::new() },
        22 => {
            let (sender, key) = (seat, 1);
            ServerMessage::Retained { room, seq, sender, key, message_type, payload }
        }
        23 => ServerMessage::Resumed { secret: Secret([2; 16]), received: number },
        24 => ServerMessage::Aside { room, missed: random.u32(..), message_type, payload },
        25 => ServerMessage::Spared { room, count: random.u32(..) | 1 << 31 },
        _ => ServerMessage::ResumeFailed { reason: ResumeFailure::Expired },
    };
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes);
    if random.u8(..30) == 0 {
        let at = random.usize(..bytes.len());
        bytes[at] = random.u8(..);
    }
    bytes
}

#[test]
fn whatever_a_server_says_the_client_ends_well() {
    // Many short conversations: the first nonsense ends most of them.
    for seed in 0..40_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut talk = Talk::new();
        if random.u8(..4) > 0 {
            talk = Talk::held();
            for _ in 0..2 {
                talk.ask(join(b"", Replay::Last(3)));
            }
        }
        let mut events = Vec::new();
        for _ in 0..10 {
            match random.u8(..12) {
                0 => drop(talk.session.request(talk.start, &join(b"", Replay::Last(3)))),
                1 => drop(talk.session.request(talk.start, &Request::Leave { room: name() })),
                2 => drop(talk.session.request(talk.start, &Request::Ping)),
                3 => drop(talk.session.take_outbox()),
                4 => {
                    if talk.session.link_lost(&DisconnectReason::ConnectionReset) {
                        talk.session.reopen();
                    }
                }
                5 => drop(talk.session.send_to_server(None, MessageType::RAW, b"hi")),
                _ => {
                    let bytes = anything(&mut random).freeze();
                    let cut = random.usize(..=bytes.len());
                    for part in [bytes.slice(..cut), bytes.slice(cut..)] {
                        let result = talk.session.receive(talk.start, part, &mut events);
                        if let Err(reason) = result
                            && talk.session.link_lost(&reason)
                        {
                            talk.session.reopen();
                        }
                    }
                }
            }
            assert!(talk.session.queued() < 1 << 20);
        }
    }
}
