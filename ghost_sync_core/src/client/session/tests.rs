mod anew;
mod history;
mod nonsense;
mod resume;

use crate::wire::{
    Delivery, GapReason, Hello, JoinOptions, LeaveReason, MAGIC, MemberInfo, MessageType,
    MetadataEntry, Progress, Refusal, Replay, Resume, ResumeFailure, Secret, SendFlags,
    SessionTicket, Token,
};

use super::*;
use crate::{
    client::{Request, SendError},
    wire::Seat,
};

const ROOM: RoomId = RoomId(9);
const ME: ClientId = ClientId::from_u128(1);
const OTHER: ClientId = ClientId::from_u128(2);

fn name() -> RoomName {
    RoomName::new("lobby").unwrap()
}

fn wish(data: &'static [u8], replay: Replay) -> JoinOptions {
    JoinOptions { data: Bytes::from_static(data), replay, ..JoinOptions::default() }
}

fn join(data: &'static [u8], replay: Replay) -> Request {
    Request::Join { room: name(), options: wish(data, replay), if_nowhere: false }
}

/// A session and the server's side of its conversation.
struct Talk {
    session: Session,
    start: Instant,
}

impl Talk {
    fn new() -> Self {
        let session = Session::new(OwnHello::default(), Reconnect::default()).unwrap();
        let mut talk = Self { session, start: Instant::now() };
        talk.session.take_outbox();
        talk
    }

    fn open() -> Self {
        let mut talk = Self::new();
        assert_eq!(talk.hear(&[welcome()]), (vec![], Ok(())));
        talk
    }

    /// In a room, with the other member in seat 2 and event 10 the last.
    fn joined() -> Self {
        let mut talk = Self::open();
        talk.ask(join(b"", Replay::Nothing));
        let (events, end) = talk.hear(&[joined(1, 2), roster(&[(1, ME), (2, OTHER)])]);
        assert_eq!((events.len(), end), (1, Ok(())));
        talk
    }

    fn hear(
        &mut self,
        messages: &[ServerMessage<'_>],
    ) -> (Vec<ServerEvent>, Result<(), DisconnectReason>) {
        self.hear_after(Duration::ZERO, messages)
    }

    fn hear_after(
        &mut self,
        time: Duration,
        messages: &[ServerMessage<'_>],
    ) -> (Vec<ServerEvent>, Result<(), DisconnectReason>) {
        let mut bytes = BytesMut::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        let mut events = Vec::new();
        let end = self.session.receive(self.start + time, bytes.freeze(), &mut events);
        (events, end)
    }

    /// The messages must be accepted, and mean `count` events.
    fn accepts(&mut self, messages: &[ServerMessage<'_>], count: usize) -> Vec<ServerEvent> {
        let (events, end) = self.hear(messages);
        assert_eq!((events.len(), &end), (count, &Ok(())), "{events:?}");
        events
    }

    /// The messages must end the connection, and the server be told why.
    fn violates(&mut self, messages: &[ServerMessage<'_>]) {
        self.session.take_outbox();
        let (_, end) = self.hear(messages);
        let Err(DisconnectReason::Closed(reason @ CloseReason::Protocol { .. })) = end else {
            panic!("{end:?}")
        };
        let mut goodbye = BytesMut::new();
        ClientMessage::Close { reason }.encode(&mut goodbye);
        assert_eq!(self.session.take_outbox(), goodbye);
    }

    fn ask(&mut self, request: Request) {
        assert_eq!(self.session.request(self.start, &request), Ok(true));
    }

    fn say(&mut self) -> u64 {
        self.say_with(SendFlags::NONE).unwrap()
    }

    fn say_with(&mut self, flags: SendFlags) -> Result<u64, SendError> {
        self.session.broadcast(None, Delivery::Reliable, flags, MessageType::RAW, b"hi")
    }
}

/// What was asked for.
fn named(error: &RequestError) -> (RequestKind, Option<RoomName>, Option<u64>) {
    (error.request, error.room.clone(), error.reference)
}

fn welcome() -> ServerMessage<'static> {
    ServerMessage::Welcome(Welcome {
        version: VERSIONS.newest,
        client_id: ME,
        max_payload: 100,
        ping_interval_ms: 13_000,
        idle_timeout_ms: 31_000,
        resume_grace_ms: 0,
        epoch: 0,
        secret: Secret::default(),
        rooms: Vec::new(),
        ..Welcome::default()
    })
}

fn joined(request: u32, members: u32) -> ServerMessage<'static> {
    ServerMessage::Joined {
        request,
        room: ROOM,
        name: "lobby",
        epoch: 77,
        seq: 10,
        seat: Seat(1),
        capacity: 0,
        members,
        meta_version: 0,
        meta: vec![],
        since: 11,
        former: Vec::new(),
    }
}

fn member(seat: u32, client_id: ClientId) -> MemberInfo {
    MemberInfo {
        user: String::new(),
        seat: Seat(seat),
        client_id,
        meta_version: 0,
        meta: Vec::<MetadataEntry>::new(),
        away: false,
    }
}

fn roster(members: &[(u32, ClientId)]) -> ServerMessage<'static> {
    let members = members.iter().map(|(seat, id)| member(*seat, *id)).collect();
    ServerMessage::Roster { room: ROOM, members }
}

fn said(seq: u64, sender: u32) -> ServerMessage<'static> {
    ServerMessage::Broadcast {
        room: ROOM,
        seq,
        sender: Seat(sender),
        delivery: Delivery::Reliable,
        message_type: MessageType::RAW,
        payload: b"hi",
    }
}

fn gap(from: u64, to: u64, own: u32) -> ServerMessage<'static> {
    ServerMessage::Gap { room: ROOM, from, to, own, reason: GapReason::Lagged }
}

fn refused(reference: u64) -> ServerMessage<'static> {
    ServerMessage::Refused { room: ROOM, reference, reason: Refusal::Busy }
}

fn spared(count: u32) -> ServerMessage<'static> {
    ServerMessage::Spared { room: ROOM, count }
}

#[test]
fn numbers_that_are_for_others_only_are_no_loss_if_the_server_says_so() {
    let mut talk = Talk::joined();
    talk.accepts(&[said(11, 2), spared(2), said(13, 2)], 2);
    talk.accepts(&[gap(14, 16, 1), said(17, 2)], 2);
    talk.violates(&[said(19, 2)]);
    let mut talk = Talk::joined();
    talk.accepts(&[spared(u32::MAX), spared(u32::MAX)], 0);
    Talk::open().violates(&[spared(1)]);
}

#[test]
fn what_may_be_lost_says_how_much_was() {
    let mut talk = Talk::joined();
    let (message_type, payload) = (MessageType::RAW, &b"hi"[..]);
    let aside = |room, missed| ServerMessage::Aside { room, missed, message_type, payload };
    let events = talk.accepts(&[aside(ROOM, 0), aside(RoomId(0), 3)], 2);
    let told = events.into_iter().map(|event| {
        let ServerEvent::Direct { room, missed, .. } = event else { panic!("{event:?}") };
        (room.is_some(), missed)
    });
    assert_eq!(told.collect::<Vec<_>>(), [(true, Some(0)), (false, Some(3))]);
}

#[test]
fn roster_pages_become_one_joined() {
    let mut talk = Talk::open();
    talk.ask(join(b"", Replay::Nothing));
    talk.accepts(&[joined(1, 3), roster(&[(1, ME), (2, OTHER)])], 0);
    assert_eq!(talk.say_with(SendFlags::NONE), Err(SendError::NotInRoom));
    let third = ClientId::from_u128(3);
    let events = talk.accepts(&[roster(&[(5, third)])], 1);
    let ServerEvent::Joined { client_id: ME, room, seq: 10, members, capacity: None, .. } =
        &events[0]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*room, "lobby");
    assert_eq!(*members, [member(1, ME), member(2, OTHER), member(5, third)]);
}

#[test]
fn a_broadcast_that_overtakes_the_join_answer_is_a_violation() {
    let mut talk = Talk::open();
    talk.ask(join(b"", Replay::Nothing));
    talk.violates(&[said(11, 2)]);
    let mut talk = Talk::open();
    talk.ask(join(b"", Replay::Nothing));
    talk.accepts(&[joined(1, 2)], 0);
    talk.violates(&[said(11, 2)]);
}

#[test]
fn the_bytes_of_a_stream_may_come_in_any_pieces() {
    let mut stream = BytesMut::new();
    for message in [joined(1, 2), roster(&[(1, ME), (2, OTHER)]), said(11, 2)] {
        message.encode(&mut stream);
    }
    ServerMessage::Ping { nonce: 5, received: 0 }.encode(&mut stream);
    said(12, 2).encode(&mut stream);
    for size in 1..=stream.len() {
        let mut talk = Talk::open();
        talk.ask(join(b"", Replay::Nothing));
        let mut events = Vec::new();
        for piece in stream.chunks(size) {
            let piece = Bytes::copy_from_slice(piece);
            talk.session.receive(talk.start, piece, &mut events).unwrap();
        }
        assert_eq!(events.len(), 3, "{size}");
    }
}

#[test]
fn numbers_must_follow_each_other() {
    for wrong in [9, 10, 12, u64::MAX] {
        Talk::joined().violates(&[said(wrong, 2)]);
    }
    let mut talk = Talk::joined();
    talk.accepts(&[said(11, 2), said(12, 0)], 2);
    talk.violates(&[said(12, 2)]);
}

#[test]
fn a_jump_is_right_only_over_own_broadcasts() {
    let mut talk = Talk::joined();
    talk.say();
    talk.say();
    talk.accepts(&[said(12, 2), said(14, 2)], 2);
    talk.violates(&[said(16, 2)]);
}

#[test]
fn a_refused_broadcast_takes_no_number() {
    let mut talk = Talk::joined();
    let first = talk.say();
    talk.say();
    let events = talk.accepts(&[refused(first)], 1);
    let (request, room, reference) = (RequestKind::Broadcast, Some(name()), Some(first));
    let error = RequestError { request, room, reference, reason: Refusal::Busy };
    assert_eq!(events, [ServerEvent::Refused(error)]);
    talk.accepts(&[said(12, 2)], 1);
    talk.violates(&[refused(2)]);
}

#[test]
fn an_echoed_broadcast_comes_back_and_covers_no_jump() {
    let mut talk = Talk::joined();
    talk.say_with(SendFlags::ECHO).unwrap();
    talk.accepts(&[said(11, 1)], 1);
    talk.say_with(SendFlags::ECHO).unwrap();
    talk.violates(&[said(13, 2)]);
}

#[test]
fn a_gap_covers_what_it_says_and_own_broadcasts_in_it_are_spent() {
    let mut talk = Talk::joined();
    talk.say();
    talk.accepts(&[gap(11, 20, 1), said(21, 2)], 2);
    talk.violates(&[said(23, 2)]);
    Talk::joined().violates(&[gap(12, 20, 0)]);
    Talk::joined().violates(&[gap(11, 20, 1)]);
    Talk::joined().violates(&[gap(11, 10, 0)]);
    Talk::joined().violates(&[gap(10, 12, 0)]);
    Talk::joined().violates(&[gap(11, u64::MAX, 0)]);
}

#[test]
fn after_a_gap_the_end_of_a_stay_that_was_in_it_means_nothing() {
    let left = |seq, seat| {
        let reason = LeaveReason::Left;
        ServerMessage::PlayerLeft { room: ROOM, seq, seat: Seat(seat), reason }
    };
    Talk::joined().violates(&[left(11, 3)]);
    let mut talk = Talk::joined();
    talk.accepts(&[gap(11, 12, 0), left(13, 3)], 1);
    let events = talk.accepts(&[left(14, 2)], 1);
    assert!(matches!(events[0], ServerEvent::PlayerLeft { seat: Seat(2), .. }));
    talk.violates(&[said(15, 3)]);
}

#[test]
fn a_sender_is_named_by_its_seat_until_the_seat_is_free() {
    let mut talk = Talk::joined();
    let third = ClientId::from_u128(3);
    let left = LeaveReason::Left;
    let events = talk.accepts(
        &[
            ServerMessage::PlayerJoined { room: ROOM, seq: 11, member: member(3, third) },
            said(12, 3),
            ServerMessage::PlayerLeft { room: ROOM, seq: 13, seat: Seat(3), reason: left },
        ],
        3,
    );
    assert!(
        matches!(&events[1], ServerEvent::Broadcast { sender, .. } if sender.client_id() == Some(third))
    );
    assert!(matches!(&events[2], ServerEvent::PlayerLeft { client_id, .. } if *client_id == third));
    talk.violates(&[said(14, 3)]);
}

#[test]
fn nothing_of_a_room_follows_the_leave() {
    let mut talk = Talk::joined();
    talk.ask(Request::Leave { room: name() });
    talk.accepts(&[said(11, 2), ServerMessage::Left { room: ROOM, reason: LeaveReason::Left }], 2);
    assert_eq!(talk.say_with(SendFlags::NONE), Err(SendError::NotInRoom));
    assert_eq!(talk.session.rooms().count(), 0);
    talk.violates(&[said(12, 2)]);
}

#[test]
fn a_refusal_after_leaving_is_still_told() {
    let mut talk = Talk::joined();
    let reference = talk.say();
    let left = ServerMessage::Left { room: ROOM, reason: LeaveReason::Left };
    let events = talk.accepts(&[left, refused(reference)], 2);
    let ServerEvent::Refused(error) = &events[1] else { panic!("{events:?}") };
    assert_eq!(named(error), (RequestKind::Broadcast, None, Some(reference)));
}

#[test]
fn the_first_message_must_be_a_welcome_and_the_only_one() {
    Talk::new().violates(&[said(1, 1)]);
    Talk::open().violates(&[welcome()]);
    let reason = CloseReason::MaxClientsReached { max: 3, retry_after_ms: 1000 };
    let close = ServerMessage::Close { reason: reason.clone() };
    assert_eq!(Talk::new().hear(&[close]), (vec![], Err(DisconnectReason::Closed(reason))));
}

#[test]
fn pings_are_answered_and_own_pings_measured() {
    let mut talk = Talk::open();
    talk.accepts(&[ServerMessage::Ping { nonce: 42, received: 0 }], 0);
    let mut pong = BytesMut::new();
    ClientMessage::Pong { nonce: 42, received: 0 }.encode(&mut pong);
    assert_eq!(talk.session.take_outbox(), pong);
    for _ in 0..9 {
        talk.ask(Request::Ping);
    }
    let rtt = Duration::from_millis(30);
    let pongs: Vec<_> = (1..=9).map(|nonce| ServerMessage::Pong { nonce }).collect();
    let (events, end) = talk.hear_after(rtt, &pongs);
    assert_eq!((events, end), (vec![ServerEvent::Pong { rtt }; 4], Ok(())));
}

#[test]
fn what_is_too_large_is_not_sent() {
    let mut talk = Talk::joined();
    talk.session.take_outbox();
    let sent = talk.session.send_to_server(None, MessageType::RAW, &[0; 101]);
    assert_eq!(sent, Err(SendError::PayloadTooLarge { len: 101, max: 100 }));
    assert_eq!(talk.session.queued(), 0);
    talk.session.send_to_server(None, MessageType::RAW, &[0; 100]).unwrap();
}

#[test]
fn a_server_frame_past_the_limit_ends_the_connection() {
    let mut talk = Talk::open();
    let header = Bytes::copy_from_slice(&u32::MAX.to_le_bytes());
    let end = talk.session.receive(talk.start, header, &mut Vec::new());
    let Err(DisconnectReason::Closed(CloseReason::PayloadTooLarge { len, .. })) = end else {
        panic!("{end:?}")
    };
    assert_eq!(len, u32::MAX);
}

#[test]
fn refusals_without_a_number_name_their_request() {
    let mut talk = Talk::joined();
    let about = |room| ServerMessage::Refused { room, reference: 0, reason: Refusal::NotInRoom };
    let events = talk.accepts(&[about(ROOM), about(RoomId(0))], 2);
    let asked: Vec<_> = events
        .into_iter()
        .map(|event| {
            let ServerEvent::Refused(error) = event else { panic!("{event:?}") };
            named(&error)
        })
        .collect();
    let expected =
        [(RequestKind::Leave, Some(name()), None), (RequestKind::SetMetadata, None, None)];
    assert_eq!(asked, expected);
}

#[test]
fn pings_beyond_what_can_be_answered_violate_the_protocol() {
    let mut talk = Talk::open();
    let pings: Vec<_> = (0..4096).map(|nonce| ServerMessage::Ping { nonce, received: 0 }).collect();
    talk.accepts(&pings, 0);
    // What waits of the program's own has nothing to do with it.
    talk.session.take_outbox();
    talk.session.send_to_server(None, MessageType::RAW, &[7; 100]).unwrap();
    talk.accepts(&pings, 0);
    let (_, end) = talk.hear(&[ServerMessage::Ping { nonce: 1, received: 0 }]);
    let end = end.unwrap_err();
    assert!(matches!(end, DisconnectReason::Closed(CloseReason::Protocol { .. })), "{end:?}");
}

#[test]
fn a_roster_that_takes_too_much_memory_violates_the_protocol() {
    let mut talk = Talk::open();
    talk.ask(join(b"", Replay::Nothing));
    talk.accepts(&[joined(1, u32::MAX)], 0);
    let page = |page: u32| {
        let member = |at| {
            let meta = vec![("key".to_owned(), "v".repeat(2000))];
            MemberInfo { meta, ..member(page * 100 + at + 1, OTHER) }
        };
        ServerMessage::Roster { room: ROOM, members: (0..100).map(member).collect() }
    };
    let taken = (0..100).take_while(|at| talk.hear(&[page(*at)]).1.is_ok()).count();
    assert!((70..84).contains(&taken), "{taken} pages of 200 kB");
}

#[test]
fn members_go_away_and_come_back() {
    let away = |seq, seat| ServerMessage::PlayerAway { room: ROOM, seq, seat: Seat(seat) };
    let back = |seq, seat| ServerMessage::PlayerBack { room: ROOM, seq, seat: Seat(seat) };
    let mut talk = Talk::joined();
    let events = talk.accepts(&[away(11, 2), back(12, 2), away(13, 1), back(14, 1)], 4);
    let (room, seat, seq) = (name(), Seat(2), 11);
    assert_eq!(events[0], ServerEvent::PlayerAway { client_id: OTHER, room, seat, seq });
    let (room, seat, seq) = (name(), Seat(1), 14);
    assert_eq!(events[3], ServerEvent::PlayerBack { client_id: ME, room, seat, seq });
    talk.violates(&[away(15, 3)]);
}
