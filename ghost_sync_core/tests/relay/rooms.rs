use ghost_sync_core::{
    ClientMessage, CreateRoomError, Delivery, JoinOptions, LeaveReason, MessageType, Refusal,
    RelayEvent, RelayMode, RoomConfig, RoomId, RoomName, Seat, SendFlags, ServerMessage,
};

use crate::world::{World, secs};

#[test]
fn a_broadcast_reaches_every_other_member_of_the_room_and_nobody_else() {
    let mut world = World::new();
    world.room("a");
    world.room("b");
    let (alice, bob, carol) = (world.member("a"), world.member("a"), world.member("b"));
    world.broadcast(alice, "a", "hi");
    assert_eq!(world.heard(bob), ["hi"]);
    assert_eq!(world.heard(alice), [""; 0]);
    assert_eq!(world.heard(carol), [""; 0]);
}

#[test]
fn the_sender_is_stamped_by_the_relay() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.take(bob);
    world.broadcast(alice, "a", "hi");
    let frames = world.take(bob);
    let Ok(ServerMessage::Broadcast { sender, .. }) = ServerMessage::decode(&frames[0]) else {
        panic!("not a broadcast");
    };
    assert_eq!(sender, world.peers[alice].rooms["a"].1);
}

#[test]
fn an_echo_reaches_the_sender_too_and_an_ack_tells_the_place_in_the_order() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    let flags = SendFlags::ECHO.with(SendFlags::ACK);
    world.broadcast_with(alice, "a", Delivery::Reliable, flags, b"me");
    let frames = world.take(alice);
    let messages: Vec<_> = frames.iter().map(|f| ServerMessage::decode(f).unwrap()).collect();
    assert!(messages.iter().any(|m| matches!(m, ServerMessage::Ack { reference: 1, seq: 2, .. })));
    let echo = |m: &ServerMessage<'_>| matches!(m, ServerMessage::Broadcast { seq: 2, .. });
    assert!(messages.iter().any(echo));
}

#[test]
fn joined_comes_before_any_event_and_its_roster_is_the_room_at_that_moment() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    world.broadcast(alice, "a", "before");
    let bob = world.client();
    world.take(bob);
    // Both in one read of the relay, as when much is going on.
    let room = world.peers[alice].rooms["a"].0;
    let join = crate::world::encode(&ClientMessage::Join {
        request: 1,
        room: "a",
        options: JoinOptions::default(),
    });
    let say = crate::world::encode(&ClientMessage::Broadcast {
        room,
        delivery: Delivery::Reliable,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload: b"after",
    });
    world.bytes(bob, &join);
    world.bytes(alice, &say);
    world.pump();
    let frames = world.take(bob);
    let messages: Vec<_> = frames.iter().map(|f| ServerMessage::decode(f).unwrap()).collect();
    let [
        ServerMessage::Joined { seq: 3, members: 2, .. },
        ServerMessage::Roster { members, .. },
        ServerMessage::Broadcast { seq: 4, payload: b"after", .. },
    ] = &messages[..]
    else {
        panic!("wrong order: {messages:?}");
    };
    let ids: Vec<_> = members.iter().map(|member| member.client_id).collect();
    assert_eq!(ids, [world.peers[alice].client_id, world.peers[bob].client_id]);
}

#[test]
fn large_rosters_come_in_pages() {
    let mut world = World::with(|config| config.max_clients = 2000);
    world.room("a");
    for _ in 0..600 {
        world.member("a");
    }
    let last = world.client();
    world.take(last);
    world.join(last, "a");
    let frames = world.take(last);
    let pages: Vec<_> = frames
        .iter()
        .filter_map(|frame| match ServerMessage::decode(frame).unwrap() {
            ServerMessage::Roster { members, .. } => Some(members.len()),
            _ => None,
        })
        .collect();
    assert!(pages.len() > 1);
    assert_eq!(pages.iter().sum::<usize>(), 601);
}

#[test]
fn a_newcomer_to_a_large_room_is_told_what_everybody_there_is_now() {
    let mut world = World::with(|config| config.resume_grace = secs(30));
    let room = world.room("a");
    let members: Vec<_> = (0..200).map(|_| world.member("a")).collect();
    let newcomer = world.client();
    let check = |world: &mut World, change: &str| {
        world.take(newcomer);
        world.join(newcomer, "a");
        let frames = world.take(newcomer);
        let mut listed = Vec::new();
        for frame in &frames {
            if let ServerMessage::Roster { members, .. } = ServerMessage::decode(frame).unwrap() {
                listed.extend(members);
            }
        }
        let snapshot = world.relay.snapshot(world.now, room).unwrap();
        assert_eq!(listed, snapshot.members, "{change}");
        world.say(newcomer, &ClientMessage::Leave { room });
    };
    check(&mut world, "nothing");
    let named = ClientMessage::SetMetadata { key: "name", value: Some("Ada"), if_version: None };
    world.say(members[3], &named);
    check(&mut world, "a name");
    world.say(members[70], &ClientMessage::Leave { room });
    check(&mut world, "somebody left");
    world.hang_up(members[140]);
    check(&mut world, "somebody is away");
    let ticket = world.ticket(members[140]);
    world.resume(&ticket);
    check(&mut world, "somebody is back");
    world.member("a");
    check(&mut world, "one more");
}

#[test]
fn rooms_exist_only_if_created() {
    let mut world = World::new();
    let alice = world.client();
    world.join(alice, "nowhere");
    assert_eq!(world.refusals(alice), [Refusal::RoomNotFound { room: "nowhere".into() }]);
    world.join(alice, "bad\nname");
    assert!(matches!(world.refusals(alice)[1], Refusal::InvalidRoomName { .. }));
}

#[test]
fn a_second_room_of_the_same_name_is_refused() {
    let mut world = World::new();
    world.room("a");
    let name = RoomName::new("a").unwrap();
    let result = world
        .act(|relay, now, out| relay.create_room(now, name.clone(), 5, RoomConfig::default(), out));
    assert_eq!(result, Err(CreateRoomError::RoomAlreadyExists(name)));
}

#[test]
fn a_full_room_refuses_the_next_client_until_somebody_leaves() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().capacity(1));
    let alice = world.member("a");
    let bob = world.client();
    world.join(bob, "a");
    assert_eq!(world.refusals(bob), [Refusal::RoomFull { room: "a".into(), capacity: 1 }]);
    let room = world.peers[alice].rooms["a"].0;
    world.say(alice, &ClientMessage::Leave { room });
    world.join(bob, "a");
    assert!(world.peers[bob].rooms.contains_key("a"));
}

#[test]
fn joining_another_room_leaves_the_first_unless_several_are_allowed() {
    let mut world = World::new();
    world.room("a");
    world.room("b");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.join(alice, "b");
    let frames = world.take(bob);
    assert!(matches!(
        ServerMessage::decode(frames.last().unwrap()).unwrap(),
        ServerMessage::PlayerLeft { reason: LeaveReason::Moved, .. }
    ));
    world.broadcast(bob, "a", "gone?");
    assert_eq!(world.heard(alice), [""; 0]);

    let mut world = World::with(|config| config.rooms_per_client = 2);
    for name in ["a", "b", "c"] {
        world.room(name);
    }
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.join(alice, "b");
    world.broadcast(bob, "a", "still");
    assert_eq!(world.heard(alice), ["still"]);
    world.join(alice, "c");
    assert_eq!(world.refusals(alice), [Refusal::TooManyRooms { max: 2 }]);
}

#[test]
fn after_a_soft_delete_members_are_told_and_their_next_broadcast_and_join_fail() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.take(bob);
    world.act(|relay, now, out| relay.delete_room(now, "a", "closing time", out)).unwrap();
    world.pump();
    let frames = world.take(bob);
    assert!(matches!(
        ServerMessage::decode(&frames[0]).unwrap(),
        ServerMessage::RoomDeleted { message: "closing time", .. }
    ));
    world.broadcast(alice, "a", "anybody?");
    let not_found = Refusal::RoomNotFound { room: "a".into() };
    assert_eq!(world.refusals(alice), std::slice::from_ref(&not_found));
    let carol = world.client();
    world.join(carol, "a");
    assert_eq!(world.refusals(carol), [not_found]);
    assert_eq!(world.heard(bob), [""; 0]);
}

#[test]
fn a_room_made_again_is_another_room() {
    let mut world = World::new();
    let first = world.room("a");
    let alice = world.member("a");
    world.act(|relay, now, out| relay.delete_room(now, "a", "", out)).unwrap();
    let second = world.room("a");
    assert_ne!(first, second);
    let bob = world.member("a");
    world.broadcast(bob, "a", "new");
    world.say(alice, &ClientMessage::Leave { room: first });
    assert_eq!(world.heard(alice), [""; 0]);
    assert_eq!(world.relay.player_count("a"), Some(1));
}

#[test]
fn a_hard_delete_puts_everybody_out_after_the_last_event() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    world.act(|relay, now, out| relay.close_room(now, "a", "bye", out)).unwrap();
    world.pump();
    let frames = world.take(alice);
    let messages: Vec<_> = frames.iter().map(|f| ServerMessage::decode(f).unwrap()).collect();
    assert!(matches!(
        &messages[..],
        [
            ServerMessage::RoomDeleted { .. },
            ServerMessage::Left { reason: LeaveReason::RoomDeleted { .. }, .. }
        ]
    ));
    assert_eq!(world.relay.room_count(), 0);
    assert!(world.relay.rooms_of(world.peers[alice].conn).next().is_none());
}

#[test]
fn an_empty_room_goes_after_its_time_unless_somebody_joins() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().remove_when_empty(secs(10)));
    world.wait(secs(9));
    let alice = world.member("a");
    world.wait(secs(20));
    assert_eq!(world.relay.room_count(), 1);
    world.hang_up(alice);
    world.wait(secs(9));
    assert_eq!(world.relay.room_count(), 1);
    world.wait(secs(1));
    assert_eq!(world.relay.room_count(), 0);
}

#[test]
fn a_kick_tells_the_client_ends_its_connection_and_gives_one_leave() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    let conn = world.peers[alice].conn;
    world.act(|relay, now, out| relay.disconnect(now, conn, "cheating", out)).unwrap();
    world.pump();
    assert!(world.peers[alice].dropped);
    assert!(world.closed(alice).unwrap().to_string().contains("cheating"));
    let leaves = world.events.iter().filter(|e| matches!(e, RelayEvent::PlayerLeft { .. }));
    assert_eq!(leaves.count(), 1);
    let frames = world.take(bob);
    assert!(matches!(
        ServerMessage::decode(frames.last().unwrap()).unwrap(),
        ServerMessage::PlayerLeft { reason: LeaveReason::Kicked { .. }, .. }
    ));
}

#[test]
fn the_server_speaks_to_a_room_to_one_to_some_and_to_all() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob, carol) = (world.member("a"), world.member("a"), world.client());
    for peer in [alice, bob, carol] {
        world.take(peer);
    }
    let raw = MessageType::RAW;
    let conns = [alice, carol].map(|peer| world.peers[peer].conn);
    assert_eq!(world.relay.broadcast(world.now, "a", Delivery::Reliable, raw, b"room"), Ok(3));
    assert_eq!(world.relay.direct(&conns[..1], None, Delivery::Reliable, raw, b"one"), Ok(1));
    assert_eq!(world.relay.direct(&conns, None, Delivery::Reliable, raw, b"some"), Ok(2));
    assert_eq!(world.relay.direct(&conns, Some("a"), Delivery::Reliable, raw, b"some in a"), Ok(1));
    assert_eq!(world.relay.broadcast_all(raw, b"all"), Ok(3));
    world.pump();
    let mut told = |peer| {
        let frames = world.take(peer);
        let texts = frames.iter().map(|frame| match ServerMessage::decode(frame).unwrap() {
            ServerMessage::Broadcast { sender: Seat::SERVER, payload, .. }
            | ServerMessage::Direct { payload, .. } => String::from_utf8(payload.into()).unwrap(),
            other => panic!("{other:?}"),
        });
        let mut texts: Vec<_> = texts.collect();
        texts.sort();
        texts
    };
    assert_eq!(told(alice), ["all", "one", "room", "some", "some in a"]);
    assert_eq!(told(bob), ["all", "room"]);
    assert_eq!(told(carol), ["all", "some"]);
}

#[test]
fn a_direct_message_in_a_room_comes_after_what_was_said_there_before() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    let conns = [world.peers[alice].conn];
    world.relay.broadcast(world.now, "a", Delivery::Reliable, MessageType::RAW, b"1").unwrap();
    world.relay.direct(&conns, Some("a"), Delivery::Reliable, MessageType::RAW, b"2").unwrap();
    world.relay.broadcast(world.now, "a", Delivery::Reliable, MessageType::RAW, b"3").unwrap();
    world.pump();
    let frames = world.take(alice);
    let order: Vec<_> = frames.iter().map(|frame| frame[frame.len() - 1]).collect();
    assert_eq!(order, *b"123");
}

#[test]
fn in_a_server_room_broadcasts_reach_the_host_only() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().mode(RelayMode::ServerOnly));
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.broadcast(alice, "a", "move");
    assert_eq!(world.heard(bob), [""; 0]);
    let last = world.events.last().unwrap();
    assert!(
        matches!(last, RelayEvent::Message { room: Some(_), payload, .. } if payload == "move")
    );
}

#[test]
fn the_host_sees_broadcasts_of_observed_rooms_only() {
    let mut world = World::new();
    world.room("a");
    world.room_with("b", RoomConfig::default().observed());
    let (alice, bob) = (world.member("a"), world.member("b"));
    world.broadcast(alice, "a", "private");
    world.broadcast(bob, "b", "public");
    let seen: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            RelayEvent::Broadcast { payload, .. } => Some(payload.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(seen, ["public"]);
}

#[test]
fn a_payload_past_the_limit_is_refused_and_the_connection_goes_on() {
    let mut world = World::with(|config| config.max_payload = 100);
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.broadcast(alice, "a", &"x".repeat(101));
    assert_eq!(world.refusals(alice), [Refusal::PayloadTooLarge { len: 101, max: 100 }]);
    world.broadcast(alice, "a", &"y".repeat(100));
    assert_eq!(world.heard(bob).len(), 1);
}

#[test]
fn speaking_in_a_room_one_is_not_in_is_refused_with_its_reference() {
    let mut world = World::new();
    let alice = world.client();
    world.take(alice);
    world.broadcast(alice, "a", "x");
    world.broadcast(alice, "a", "y");
    let frames = world.take(alice);
    let refused =
        ServerMessage::Refused { room: RoomId(9999), reference: 2, reason: Refusal::NotInRoom };
    assert_eq!(ServerMessage::decode(&frames[1]).unwrap(), refused);
}

#[test]
fn metadata_changes_are_events_of_the_room_and_newcomers_see_the_result() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    world.take(bob);
    let set = ClientMessage::SetMetadata { key: "name", value: Some("Alice"), if_version: None };
    world.say(alice, &set);
    world
        .act(|relay, now, out| relay.set_room_metadata(now, "a", "map", Some("ice"), None, out))
        .unwrap();
    world.pump();
    let frames = world.take(bob);
    assert!(matches!(
        ServerMessage::decode(&frames[0]).unwrap(),
        ServerMessage::PlayerMetadata { key: "name", value: Some("Alice"), version: 1, .. }
    ));
    assert!(matches!(
        ServerMessage::decode(&frames[1]).unwrap(),
        ServerMessage::RoomMetadata { key: "map", value: Some("ice"), version: 1, .. }
    ));
    let carol = world.client();
    world.take(carol);
    world.join(carol, "a");
    let frames = world.take(carol);
    let ServerMessage::Joined { meta, .. } = ServerMessage::decode(&frames[0]).unwrap() else {
        panic!("not joined");
    };
    assert_eq!(meta, [("map".to_owned(), "ice".to_owned())]);
    let ServerMessage::Roster { members, .. } = ServerMessage::decode(&frames[1]).unwrap() else {
        panic!("no roster");
    };
    assert_eq!(members[0].meta, [("name".to_owned(), "Alice".to_owned())]);
}

#[test]
fn the_list_of_rooms_names_listed_rooms_with_their_players() {
    let mut world = World::new();
    world.room_with("b", RoomConfig::default().capacity(4));
    world.room_with("hidden", RoomConfig::default().unlisted());
    world.room("a");
    let alice = world.member("b");
    world.say(alice, &ClientMessage::ListRooms { request: 3 });
    let frames = world.take(alice);
    let ServerMessage::RoomList { request: 3, count: 2, rooms } =
        ServerMessage::decode(&frames[0]).unwrap()
    else {
        panic!("no list");
    };
    let rooms: Vec<_> =
        rooms.iter().map(|room| (room.name.as_str(), room.players, room.capacity)).collect();
    assert_eq!(rooms, [("a", 0, 0), ("b", 1, 4)]);
}

#[test]
fn a_join_with_too_much_data_is_refused_and_the_next_one_works() {
    let mut world = World::with(|config| config.max_payload = 10);
    world.room("a");
    let alice = world.client();
    world.say(
        alice,
        &ClientMessage::Join {
            request: 1,
            room: "a",
            options: JoinOptions { data: &[0; 11], ..JoinOptions::default() },
        },
    );
    assert_eq!(world.refusals(alice), [Refusal::PayloadTooLarge { len: 11, max: 10 }]);
    assert_eq!(world.relay.player_count("a"), Some(0));
    world.join(alice, "a");
    assert_eq!(world.relay.player_count("a"), Some(1));
}

#[test]
fn the_host_hears_once_that_a_room_is_full_and_once_that_it_is_not() {
    let mut world = World::new();
    world.room_with("a", RoomConfig::default().capacity(2));
    let fullness = |world: &mut World| {
        let told = std::mem::take(&mut world.events).into_iter().filter_map(|event| match event {
            RelayEvent::RoomFilled { .. } => Some(true),
            RelayEvent::RoomHasSpace { .. } => Some(false),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let first = world.member("a");
    assert!(fullness(&mut world).is_empty());
    let second = world.member("a");
    let late = world.client();
    world.join(late, "a");
    assert_eq!(fullness(&mut world), [true]);
    for peer in [first, second] {
        world.hang_up(peer);
    }
    assert_eq!(fullness(&mut world), [false]);
    world.member("a");
    let mut configure = |capacity| {
        let config = RoomConfig::default().capacity(capacity);
        world.act(|relay, now, out| relay.configure_room(now, "a", config, out)).unwrap();
    };
    configure(1);
    configure(0);
    assert_eq!(fullness(&mut world), [true, false]);
}
