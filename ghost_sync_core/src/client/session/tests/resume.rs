//! Sessions that outlive their links.

use super::*;

/// A server that holds seats for half a minute.
fn holding(client_id: ClientId) -> ServerMessage<'static> {
    ServerMessage::Welcome(Welcome {
        version: VERSIONS.newest,
        client_id,
        max_payload: 100,
        ping_interval_ms: 13_000,
        idle_timeout_ms: 31_000,
        resume_grace_ms: 30_000,
        epoch: 5,
        secret: Secret([1; 16]),
        rooms: Vec::new(),
        ..Welcome::default()
    })
}

impl Talk {
    /// As [`joined`](Self::joined), in a session that outlives its link.
    pub(super) fn held() -> Self {
        let mut talk = Self::new();
        talk.accepts(&[holding(ME)], 0);
        talk.ask(join(b"key", Replay::Last(3)));
        talk.accepts(&[joined(1, 2), roster(&[(1, ME), (2, OTHER)])], 1);
        talk.session.take_outbox();
        talk.accepts(&[ServerMessage::Received { count: 1 }], 0);
        talk
    }

    /// The link breaks and another one is found.
    fn relink(&mut self) {
        assert!(self.session.link_lost(&DisconnectReason::ConnectionReset));
        self.session.reopen();
    }

    /// What goes out must be this, and nothing else.
    fn sends(&mut self, messages: &[ClientMessage<'_>]) {
        let mut frames = BytesMut::new();
        messages.iter().for_each(|message| message.encode(&mut frames));
        let sent = self.session.take_outbox();
        let decode = |frames: &BytesMut| {
            let (mut decoder, mut rest, mut bodies) = (Decoder::new(1 << 20), &frames[..], vec![]);
            while let Ok(Some(body)) = decoder.next_frame(&mut rest) {
                bodies.push(format!("{:?}", ClientMessage::decode(body)));
            }
            bodies
        };
        assert_eq!(decode(&sent), decode(&frames));
        assert_eq!(sent, frames);
    }
}

fn resume(secret: u8, received: u64, last: u64) -> ClientMessage<'static> {
    ClientMessage::Resume(Resume {
        token: Token::default(),
        magic: MAGIC,
        versions: VERSIONS,
        epoch: 5,
        session: SessionTicket { client_id: ME, secret: Secret([secret; 16]) },
        attempt: secret.into(),
        received,
        rooms: vec![Progress { room: ROOM, last, own: 0 }],
    })
}

fn hello(meta: &[(&str, &str)]) -> ClientMessage<'static> {
    let meta = meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ClientMessage::Hello(Hello { meta, ..Hello::default() })
}

fn sending(payload: &'static [u8]) -> ClientMessage<'static> {
    ClientMessage::ToServer { room: RoomId(0), message_type: MessageType::RAW, payload }
}

fn resumed(received: u64) -> ServerMessage<'static> {
    ServerMessage::Resumed { secret: Secret([2; 16]), received }
}

fn expired() -> ServerMessage<'static> {
    ServerMessage::ResumeFailed { reason: ResumeFailure::Expired }
}

#[test]
fn a_resume_says_what_arrived_and_requests_are_sent_again_once() {
    let mut talk = Talk::held();
    talk.say();
    talk.session.send_to_server(None, MessageType::RAW, b"one").unwrap();
    talk.session.take_outbox();
    talk.accepts(&[said(11, 2)], 1);
    assert!(talk.session.link_lost(&DisconnectReason::ConnectionClosed));
    talk.session.send_to_server(None, MessageType::RAW, b"two").unwrap();
    talk.sends(&[]);
    talk.session.reopen();
    talk.session.send_to_server(None, MessageType::RAW, b"three").unwrap();
    talk.sends(&[resume(1, 2, 11)]);
    // The server has the join and what was said, but not what was sent.
    assert_eq!(talk.accepts(&[resumed(2)], 1), [ServerEvent::Resumed]);
    talk.session.send_to_server(None, MessageType::RAW, b"four").unwrap();
    talk.sends(&[sending(b"one"), sending(b"two"), sending(b"three"), sending(b"four")]);
    talk.relink();
    talk.sends(&[resume(2, 2, 11)]);
    talk.accepts(&[resumed(6)], 1);
    talk.sends(&[]);
}

#[test]
fn requests_are_kept_until_the_server_confirms_them_in_any_way() {
    for confirm in
        [ServerMessage::Received { count: 3 }, ServerMessage::Ping { nonce: 1, received: 3 }]
    {
        let mut talk = Talk::held();
        for _ in 0..3 {
            talk.session.send_to_server(None, MessageType::RAW, b"hi").unwrap();
        }
        talk.accepts(&[confirm], 0);
        talk.relink();
        talk.sends(&[resume(1, 2, 10)]);
        // What it has confirmed it cannot ask for again.
        talk.violates(&[resumed(2)]);
    }
    Talk::held().violates(&[ServerMessage::Received { count: 2 }]);
}

#[test]
fn what_the_server_cannot_have_is_a_violation_in_a_resume_too() {
    for received in [0, 3] {
        let mut talk = Talk::held();
        talk.session.send_to_server(None, MessageType::RAW, b"hi").unwrap();
        talk.relink();
        talk.violates(&[resumed(received)]);
    }
    let mut talk = Talk::held();
    talk.relink();
    talk.violates(&[said(11, 2)]);
    Talk::held().violates(&[resumed(1)]);
}

#[test]
fn unconfirmed_requests_beyond_the_usual_count_as_waiting() {
    let mut talk = Talk::held();
    while talk.session.queued() == 0 {
        talk.session.send_to_server(None, MessageType::RAW, &[0; 100]).unwrap();
        talk.session.take_outbox();
    }
    let before = talk.session.queued();
    talk.accepts(&[ServerMessage::Received { count: 2 }], 0);
    assert!(talk.session.queued() < before);
}

#[test]
fn numbers_go_on_where_they_were_after_a_resume() {
    let mut talk = Talk::held();
    talk.say();
    talk.relink();
    talk.accepts(&[resumed(1), said(12, 2)], 2);
    talk.violates(&[said(14, 2)]);
    let mut talk = Talk::held();
    talk.relink();
    talk.accepts(&[resumed(1)], 1);
    talk.violates(&[said(10, 2)]);
}

#[test]
fn a_half_read_frame_is_forgotten_with_its_link() {
    let mut talk = Talk::held();
    let half = said(11, 2).to_frame().slice(..7);
    assert_eq!(talk.session.receive(talk.start, half, &mut Vec::new()), Ok(()));
    talk.relink();
    talk.accepts(&[resumed(1), said(11, 2)], 2);
}

#[test]
fn numbered_messages_are_counted_and_confirmed() {
    let direct =
        ServerMessage::Direct { room: RoomId(0), message_type: MessageType::RAW, payload: b"" };
    let mut talk = Talk::held();
    let many: Vec<_> = (0..61).map(|_| direct.clone()).collect();
    talk.accepts(&many, 61);
    let aside = ServerMessage::Aside {
        room: RoomId(0),
        missed: 0,
        message_type: MessageType::RAW,
        payload: b"not counted",
    };
    talk.accepts(&[aside.clone(), aside.clone(), aside], 3);
    talk.sends(&[]);
    talk.accepts(&[said(11, 2), direct.clone()], 2);
    talk.sends(&[ClientMessage::Received { count: 64 }]);
    talk.accepts(&[direct.clone(), ServerMessage::Ping { nonce: 3, received: 1 }], 1);
    talk.sends(&[ClientMessage::Pong { nonce: 3, received: 65 }]);
    let large = ServerMessage::Direct {
        room: RoomId(0),
        message_type: MessageType::RAW,
        payload: &[0; 32 * 1024],
    };
    talk.accepts(&[large], 1);
    talk.sends(&[ClientMessage::Received { count: 66 }]);
}

#[test]
fn only_a_session_that_is_held_is_worth_another_link() {
    let reset = DisconnectReason::ConnectionReset;
    assert!(!Talk::new().session.link_lost(&reset));
    assert!(!Talk::joined().session.link_lost(&reset));
    let mut talk = Talk::held();
    assert!(!talk.session.link_lost(&DisconnectReason::Closed(CloseReason::TakenOver)));
    let (message, retry_after_ms) = (String::new(), 1);
    let stop = CloseReason::ServerShutdown { message, retry_after_ms };
    assert!(!talk.session.link_lost(&DisconnectReason::Closed(stop)));
    assert!(talk.session.link_lost(&reset));
    talk.session.close(CloseReason::Requested);
    assert!(!talk.session.link_lost(&reset));
    let reconnect = Reconnect { enabled: false, ..Reconnect::default() };
    talk.session = Session::new(OwnHello::default(), reconnect).unwrap();
    talk.accepts(&[holding(ME)], 0);
    assert!(!talk.session.link_lost(&reset));
}

#[test]
fn a_close_of_the_server_leaves_the_session_for_another_link() {
    let mut talk = Talk::held();
    let close = ServerMessage::Close { reason: CloseReason::PingTimeout { missed: 3 } };
    let (_, end) = talk.hear(&[close]);
    assert!(talk.session.link_lost(&end.unwrap_err()));
    talk.session.reopen();
    talk.sends(&[resume(1, 2, 10)]);
}

#[test]
fn a_session_that_is_over_begins_anew_and_takes_its_rooms_back() {
    let mut talk = Talk::held();
    talk.say();
    talk.session.send_to_server(None, MessageType::RAW, b"one").unwrap();
    let set = |key: &str, value| Request::SetMetadata { key: key.to_owned(), value };
    talk.ask(set("name", Some("Ann".to_owned())));
    talk.ask(set("long", Some("v".repeat(90))));
    talk.ask(set("long", None));
    talk.ask(Request::ListRooms);
    let (room, options) = (RoomName::new("den").unwrap(), wish(b"x", Replay::Nothing));
    talk.ask(Request::Join { room, options, if_nowhere: false });
    talk.relink();
    talk.session.take_outbox();
    let events = talk.accepts(&[expired()], 3);
    assert_eq!(events[0], ServerEvent::ResumeFailed { reason: ResumeFailure::Expired });
    let asked: Vec<_> = events[1..]
        .iter()
        .map(|event| {
            let ServerEvent::Refused(error) = event else { panic!("{event:?}") };
            assert_eq!(error.reason, Refusal::Unconfirmed);
            named(error)
        })
        .collect();
    assert_eq!(
        asked,
        [(RequestKind::Broadcast, Some(name()), Some(1)), (RequestKind::ToServer, None, Some(2))]
    );
    // What was refused in a hello would end the connection: it is asked for after it.
    talk.sends(&[hello(&[])]);
    assert_eq!(talk.say_with(SendFlags::NONE), Err(SendError::NotInRoom));
    assert_eq!(talk.session.client_id(), ME);
    let again = ClientId::from_u128(9);
    talk.accepts(&[holding(again)], 1);
    assert_eq!(talk.session.client_id(), again);
    let (data, replay) = (&b"key"[..], Replay::Nothing);
    let set = |key, value| ClientMessage::SetMetadata { key, value, if_version: None };
    talk.sends(&[
        set("long", None),
        set("name", Some("Ann")),
        ClientMessage::Join {
            request: 4,
            room: "lobby",
            options: JoinOptions { data, replay, ..JoinOptions::default() },
        },
        ClientMessage::Join {
            request: 5,
            room: "den",
            options: JoinOptions { data: b"x", replay, ..JoinOptions::default() },
        },
    ]);
    let events = talk.accepts(&[joined(4, 1), roster(&[(1, again)])], 1);
    let ServerEvent::Joined { client_id, rejoined: true, .. } = events[0] else {
        panic!("{events:?}")
    };
    assert_eq!(client_id, again);
    // The server counts anew; the program does not.
    assert_eq!(talk.say(), 3);
    let events = talk.accepts(&[refused(1)], 1);
    let ServerEvent::Refused(error) = &events[0] else { panic!("{events:?}") };
    assert_eq!(named(error), (RequestKind::Broadcast, Some(name()), Some(3)));
    talk.relink();
    talk.session.take_outbox();
    talk.accepts(&[resumed(5)], 1);
    talk.sends(&[]);
}

#[test]
fn a_room_that_was_being_left_is_not_joined_again() {
    let mut talk = Talk::held();
    talk.ask(Request::Leave { room: name() });
    talk.relink();
    let events = talk.accepts(&[expired()], 2);
    assert_eq!(events[1], ServerEvent::Left { room: name(), reason: LeaveReason::Left });
    talk.accepts(&[holding(OTHER)], 1);
    talk.sends(&[hello(&[])]);
}

#[test]
fn rooms_stay_lost_if_the_program_wants_it() {
    let mut talk = Talk::held();
    talk.session.reconnect.rejoin = false;
    talk.relink();
    let events = talk.accepts(&[expired()], 2);
    assert_eq!(events[1], ServerEvent::Left { room: name(), reason: LeaveReason::Disconnected });
    talk.accepts(&[holding(OTHER)], 1);
    talk.sends(&[hello(&[])]);
}

#[test]
fn a_link_lost_while_beginning_anew_is_replaced_too() {
    let mut talk = Talk::held();
    talk.relink();
    talk.accepts(&[expired()], 1);
    talk.session.send_to_server(None, MessageType::RAW, b"late").unwrap();
    talk.relink();
    talk.sends(&[hello(&[])]);
    talk.accepts(&[holding(OTHER)], 1);
    let (data, replay) = (&b"key"[..], Replay::Nothing);
    talk.sends(&[
        ClientMessage::Join {
            request: 2,
            room: "lobby",
            options: JoinOptions { data, replay, ..JoinOptions::default() },
        },
        sending(b"late"),
    ]);
}

#[test]
fn a_seat_whose_roster_is_not_complete_outlives_its_link() {
    let mut talk = Talk::new();
    talk.accepts(&[holding(ME)], 0);
    talk.ask(join(b"", Replay::Last(3)));
    talk.accepts(&[joined(1, 2), roster(&[(1, ME)])], 0);
    talk.session.take_outbox();
    talk.relink();
    talk.sends(&[resume(1, 2, 10)]);
    talk.accepts(&[resumed(1), roster(&[(2, OTHER)]), said(11, 2)], 3);

    let mut talk = Talk::new();
    talk.accepts(&[holding(ME)], 0);
    talk.ask(join(b"", Replay::Last(3)));
    talk.accepts(&[joined(1, 2), roster(&[(1, ME)])], 0);
    talk.relink();
    talk.accepts(&[expired(), holding(OTHER)], 2);
    let join = ClientMessage::Join {
        request: 2,
        room: "lobby",
        options: JoinOptions { replay: Replay::Last(3), ..JoinOptions::default() },
    };
    talk.sends(&[hello(&[]), join]);
    let events = talk.accepts(&[joined(2, 1), roster(&[(1, OTHER)])], 1);
    assert!(matches!(events[0], ServerEvent::Joined { rejoined: false, .. }), "{events:?}");
}

#[test]
fn a_message_that_was_answered_is_not_called_lost() {
    let mut talk = Talk::held();
    for _ in 0..3 {
        talk.say();
    }
    let ack = ServerMessage::Ack { room: ROOM, reference: 1, seq: 11 };
    let reason = Refusal::Busy;
    let refused = ServerMessage::Refused { room: ROOM, reference: 3, reason };
    talk.accepts(&[ack, refused], 2);
    talk.relink();
    let events = talk.accepts(&[expired()], 2);
    assert!(matches!(events[0], ServerEvent::ResumeFailed { .. }));
    let ServerEvent::Refused(error) = &events[1] else { panic!() };
    assert!(matches!(named(error), (RequestKind::Broadcast, _, Some(2))), "{error:?}");
}

#[test]
fn a_broadcast_on_its_way_may_be_said_in_the_next_stay() {
    let mut talk = Talk::held();
    talk.ask(join(b"", Replay::Nothing));
    talk.say();
    // Put out, in again, and only then heard.
    let left = ServerMessage::Left { room: ROOM, reason: LeaveReason::Left };
    let again = ServerMessage::Joined {
        request: 2,
        room: ROOM,
        name: "lobby",
        epoch: 77,
        seq: 12,
        since: 13,
        seat: Seat(3),
        capacity: 0,
        members: 2,
        meta_version: 0,
        meta: vec![],
        former: vec![],
    };
    talk.accepts(&[left, again, roster(&[(2, OTHER), (3, ME)]), said(14, 2)], 3);
    let (_, end) = talk.hear(&[said(16, 2)]);
    assert!(end.is_err(), "one number was its own, not two");
}

fn speaking(delivery: Delivery, flags: SendFlags, payload: &[u8]) -> ClientMessage<'_> {
    ClientMessage::Broadcast {
        room: ROOM,
        delivery,
        flags,
        message_type: MessageType::RAW,
        payload,
    }
}

impl Talk {
    fn speak(&mut self, delivery: Delivery, flags: SendFlags, payload: &[u8]) -> u64 {
        self.session.broadcast(None, delivery, flags, MessageType::RAW, payload).unwrap()
    }
}

#[test]
fn after_a_cut_only_the_newest_positions_and_no_effects_are_said() {
    let mut talk = Talk::held();
    let plain = SendFlags::NONE;
    // These the server got.
    for payload in [b"a1", b"a2"] {
        talk.speak(Delivery::Latest(1), plain, payload);
    }
    talk.session.take_outbox();
    assert!(talk.session.link_lost(&DisconnectReason::ConnectionReset));
    let mut numbers = Vec::new();
    for round in [b"0", b"1"] {
        talk.speak(Delivery::Latest(1), plain, round);
        talk.speak(Delivery::Volatile, plain, b"boom");
        numbers.push(talk.speak(Delivery::Reliable, SendFlags::ACK, round));
        talk.speak(Delivery::Latest(2), plain, round);
    }
    numbers.push(talk.speak(Delivery::Volatile, SendFlags::ACK, b"wanted"));
    talk.session.reopen();
    talk.session.take_outbox();
    talk.accepts(&[resumed(3)], 1);
    talk.sends(&[
        speaking(Delivery::Reliable, SendFlags::ACK, b"0"),
        speaking(Delivery::Latest(1), plain, b"1"),
        speaking(Delivery::Reliable, SendFlags::ACK, b"1"),
        speaking(Delivery::Latest(2), plain, b"1"),
        speaking(Delivery::Volatile, SendFlags::ACK, b"wanted"),
    ]);
    // The server counts what it got; the program's numbers are those that it was given.
    for (reference, number) in [3, 5, 7].into_iter().zip(numbers) {
        let events = talk.accepts(&[ServerMessage::Ack { room: ROOM, reference, seq: 9 }], 1);
        assert!(matches!(events[0], ServerEvent::Ack { reference, .. } if reference == number));
    }
    // Seven broadcasts of its own have numbers, and those that were left out have none.
    talk.accepts(&[said(18, 2)], 1);
    talk.violates(&[said(20, 2)]);
}

#[test]
fn what_waits_for_a_link_is_bounded_and_positions_make_room() {
    let mut talk = Talk::held();
    assert!(talk.session.link_lost(&DisconnectReason::ConnectionReset));
    for _ in 0..10_000 {
        talk.speak(Delivery::Latest(1), SendFlags::NONE, &[7; 100]);
    }
    assert!(talk.session.queued() > 1 << 20);
    talk.session.make_room();
    assert_eq!(talk.session.queued(), 0, "one position is left");
    for _ in 0..10_000 {
        talk.speak(Delivery::Reliable, SendFlags::NONE, &[7; 100]);
    }
    talk.session.make_room();
    assert!(talk.session.queued() > 1 << 20, "of what must arrive nothing goes");
}

#[test]
fn nobody_is_told_of_positions_and_effects_that_a_session_took_along() {
    let mut talk = Talk::held();
    let plain = SendFlags::NONE;
    talk.speak(Delivery::Latest(1), plain, b"here");
    talk.speak(Delivery::Volatile, plain, b"boom");
    let chat = talk.speak(Delivery::Reliable, plain, b"hello");
    let asked = talk.speak(Delivery::Latest(2), SendFlags::ACK, b"there");
    let sent = talk.session.send_to_server(None, MessageType::RAW, b"cast").unwrap();
    talk.session.take_outbox();
    talk.relink();
    talk.session.take_outbox();
    let told = talk.accepts(&[expired()], 4);
    let numbers = told.iter().filter_map(|event| {
        if let ServerEvent::Refused(RequestError {
            request: RequestKind::Broadcast | RequestKind::ToServer,
            reference,
            ..
        }) = event
        {
            *reference
        } else {
            None
        }
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [chat, asked, sent]);
}
