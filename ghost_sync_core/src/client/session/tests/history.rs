//! What was said before the client joined.

use super::*;

/// A join answer with events from 5 on, 10 being the own join.
fn with_history(former: Vec<(Seat, ClientId)>) -> ServerMessage<'static> {
    ServerMessage::Joined {
        request: 1,
        room: ROOM,
        name: "lobby",
        epoch: 77,
        seq: 10,
        since: 5,
        seat: Seat(1),
        capacity: 0,
        members: 2,
        meta_version: 0,
        meta: vec![],
        former,
    }
}

/// Broadcasts as (place, sender, whether said before).
fn heard(events: &[ServerEvent]) -> Vec<(u64, Option<ClientId>, bool)> {
    let heard = |event: &ServerEvent| {
        let ServerEvent::Broadcast { seq, sender, replay, .. } = event else { panic!("{event:?}") };
        (*seq, sender.client_id(), *replay)
    };
    events.iter().map(heard).collect()
}

#[test]
fn history_is_told_as_such_and_changes_nobody() {
    let (gone, came) = (ClientId::from_u128(3), ClientId::from_u128(4));
    let mut talk = Talk::open();
    talk.ask(join(b"", Replay::Last(9)));
    talk.accepts(&[with_history(vec![(Seat(3), gone)]), roster(&[(1, ME), (2, OTHER)])], 1);
    let player_left = |seq, seat| ServerMessage::PlayerLeft {
        room: ROOM,
        seq,
        seat: Seat(seat),
        reason: LeaveReason::Left,
    };
    let history = [
        ServerMessage::PlayerJoined { room: ROOM, seq: 5, member: member(4, came) },
        said(6, 4),
        player_left(7, 3),
        said(8, 2),
        said(9, 6),
    ];
    let events = talk.accepts(&history, 3);
    assert_eq!(heard(&events), [(6, Some(came), true), (8, Some(OTHER), true), (9, None, true)]);
    // The own join takes number 10.
    let events = talk.accepts(&[said(11, 2)], 1);
    assert_eq!(heard(&events), [(11, Some(OTHER), false)]);
    talk.violates(&[said(12, 3)]);
}

#[test]
fn history_has_no_holes_but_for_gaps_and_the_own_join() {
    let open = |since_roster: bool| {
        let mut talk = Talk::open();
        talk.ask(join(b"", Replay::Last(9)));
        talk.accepts(&[with_history(vec![])], 0);
        if since_roster {
            talk.accepts(&[roster(&[(1, ME), (2, OTHER)])], 1);
        }
        talk
    };
    open(false).violates(&[said(5, 2)]);
    open(true).violates(&[said(6, 2)]);
    open(true).violates(&[said(5, 2), said(7, 2)]);
    open(true).violates(&[gap(5, 9, 0), said(12, 2)]);
    open(true).accepts(&[gap(5, 9, 0), said(11, 2)], 2);
    open(true).accepts(&[gap(5, 11, 0), said(12, 2)], 2);
    // The own join is no message of one's own.
    open(true).violates(&[gap(5, 11, 1), said(12, 2)]);
}

#[test]
fn values_from_before_come_after_the_roster_and_have_no_place_in_the_order() {
    let value = |sender| ServerMessage::Retained {
        room: ROOM,
        seq: 4,
        sender: Seat(sender),
        key: 8,
        message_type: MessageType::RAW,
        payload: b"here",
    };
    let mut talk = Talk::joined();
    let events = talk.accepts(&[value(2), value(0), said(11, 2)], 3);
    assert_eq!(heard(&events)[..2], [(4, Some(OTHER), true), (4, None, true)]);
    assert!(matches!(&events[0], ServerEvent::Broadcast { delivery: Delivery::Latest(8), .. }));
    let mut talk = Talk::open();
    talk.ask(join(b"", Replay::Nothing));
    talk.violates(&[joined(1, 2), value(2)]);
}
