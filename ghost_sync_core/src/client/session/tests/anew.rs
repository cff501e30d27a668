//! Sessions that follow one another.

use super::*;

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn wish(name: &str, if_nowhere: bool) -> Request {
    Request::Join { room: room(name), options: JoinOptions::default(), if_nowhere }
}

/// Ends the session, and begins another one.
fn renew(talk: &mut Talk, wishes: &[Request]) -> Vec<ServerEvent> {
    let mut told = Vec::new();
    talk.session.part(&mut told);
    for wish in wishes {
        let _ = talk.session.request(talk.start, wish);
    }
    talk.session.reopen();
    let (events, end) = talk.hear(&[welcome()]);
    assert_eq!(end, Ok(()));
    told.extend(events);
    told
}

/// The rooms that the new session is asked for.
fn joining(told: &[ServerEvent]) -> Vec<&str> {
    let Some(ServerEvent::Connected { joining, .. }) = told.last() else { panic!("{told:?}") };
    joining.iter().map(RoomName::as_str).collect()
}

#[test]
fn a_room_that_is_asked_for_again_meanwhile_is_asked_for_once_and_in_its_new_place() {
    let told = renew(&mut Talk::joined(), &[wish("arena", false), wish("lobby", false)]);
    assert_eq!(joining(&told), ["arena", "lobby"]);
}

#[test]
fn a_seat_for_whoever_is_nowhere_is_not_asked_for_beside_another() {
    let told = renew(&mut Talk::joined(), &[wish("arena", true)]);
    assert_eq!(joining(&told), ["lobby"]);
    let leave = Request::Leave { room: name() };
    let told = renew(&mut Talk::joined(), &[wish("arena", true), leave]);
    assert_eq!(joining(&told), ["arena"]);
}

#[test]
fn a_join_without_an_answer_is_made_again_and_a_leave_is_done() {
    let mut talk = Talk::joined();
    talk.ask(wish("arena", false));
    talk.ask(Request::Leave { room: name() });
    let told = renew(&mut talk, &[]);
    assert_eq!(joining(&told), ["arena"]);
    let refused = ServerMessage::JoinRefused { request: 3, reason: Refusal::Busy };
    let events = talk.accepts(&[refused], 1);
    let ServerEvent::Refused(error) = &events[0] else { panic!("{events:?}") };
    assert_eq!(named(error), (RequestKind::Join, Some(room("arena")), None));
}

#[test]
fn where_nothing_is_joined_again_joins_without_an_answer_are_refused() {
    let stay_out = Reconnect { rejoin: false, ..Reconnect::default() };
    let mut talk = Talk::new();
    talk.session = Session::new(OwnHello::default(), stay_out).unwrap();
    talk.accepts(&[welcome()], 0);
    talk.ask(wish("lobby", false));
    let told = renew(&mut talk, &[]);
    let [ServerEvent::Refused(error), ServerEvent::Connected { .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((&error.reason, error.room.as_ref()), (&Refusal::NotConnected, Some(&name())));
    assert!(joining(&told).is_empty());
}

#[test]
fn what_nobody_will_answer_is_known_at_the_end() {
    let mut talk = Talk::joined();
    talk.ask(wish("arena", false));
    talk.session.part(&mut Vec::new());
    let _ = talk.session.request(talk.start, &wish("cellar", false));
    let refused: Vec<_> = talk.session.take_joins();
    let rooms: Vec<_> =
        refused.iter().filter_map(|error| error.room.as_ref()).map(RoomName::as_str).collect();
    assert_eq!(rooms, ["arena", "cellar"]);
}
