//! Rooms on demand: what joins do where there is no room.

use ghost_sync_core::{
    ClientMessage, CreateOnJoin, IfMissing, JoinOptions, LeaveReason, Limits, Question, Refusal,
    RelayEvent, RoomConfig, Verdict,
};

use crate::world::{PeerId, World};

const ALL: [CreateOnJoin; 3] = [CreateOnJoin::Never, CreateOnJoin::Always, CreateOnJoin::Ask];

fn world(create: CreateOnJoin) -> World {
    World::with(|config| {
        config.create_on_join = create;
        config.limits = Limits::none();
    })
}

fn join(world: &mut World, peer: PeerId, room: &str, if_missing: IfMissing<&[u8]>) {
    let options = JoinOptions { data: &b"key"[..], if_missing, ..JoinOptions::default() };
    world.say(peer, &ClientMessage::Join { request: 7, room, options });
}

fn create(world: &mut World, peer: PeerId, room: &str) {
    join(world, peer, room, IfMissing::Create { options: b"small" });
}

fn not_found(room: &str) -> Refusal {
    Refusal::RoomNotFound { room: room.to_owned() }
}

#[test]
fn a_join_that_refuses_to_make_a_room_makes_none_whatever_the_server_does() {
    for create_on_join in ALL {
        let mut world = world(create_on_join);
        world.room("den");
        let alice = world.client();
        join(&mut world, alice, "dne", IfMissing::Refuse);
        assert_eq!(world.refusals(alice), [not_found("dne")]);
        assert!(world.asked.is_empty(), "nobody is asked about it");
        assert_eq!(world.relay.room_count(), 1);
        join(&mut world, alice, "den", IfMissing::Refuse);
        assert!(world.peers[alice].rooms.contains_key("den"));
    }
}

#[test]
fn a_join_that_asks_for_a_room_gets_one_where_joins_may_make_them() {
    let mut never = world(CreateOnJoin::Never);
    let alice = never.client();
    create(&mut never, alice, "den");
    assert_eq!(never.refusals(alice), [not_found("den")]);
    assert_eq!(never.relay.room_count(), 0);

    let mut always = world(CreateOnJoin::Always);
    let alice = always.client();
    create(&mut always, alice, "den");
    let bob = always.client();
    create(&mut always, bob, "den");
    assert_eq!((always.relay.room_count(), always.relay.player_count("den")), (1, Some(2)));
}

#[test]
fn the_host_is_shown_how_the_creator_wants_the_room_and_says_how_it_is_made() {
    let mut world = world(CreateOnJoin::Ask);
    let (alice, bob) = (world.client(), world.client());
    create(&mut world, alice, "den");
    let (ask, question) = world.asked.pop().unwrap();
    let Question::CreateRoom { name, addr, data, options, .. } = question else { panic!() };
    assert_eq!((name.as_str(), addr), ("den", world.from));
    assert_eq!((&data[..], options.as_deref()), (&b"key"[..], Some(&b"small"[..])));
    let config = RoomConfig::default().capacity(1);
    world.answer(ask, Verdict::CreateRoom { config });
    assert!(world.peers[alice].rooms.contains_key("den"));
    assert_eq!(world.relay.room_config("den").unwrap().capacity.unwrap().get(), 1);

    // It is joined as it is by who asks for another.
    create(&mut world, bob, "den");
    assert!(world.asked.is_empty());
    assert_eq!(world.refusals(bob), [Refusal::RoomFull { room: "den".to_owned(), capacity: 1 }]);

    // Who only joins does not know that the room is missing.
    join(&mut world, bob, "other", IfMissing::Default);
    let (ask, question) = world.asked.pop().unwrap();
    assert!(matches!(question, Question::CreateRoom { options: None, .. }));
    world.answer(ask, Verdict::Accept);
    assert_eq!(world.relay.room_config("other").unwrap().capacity, None);
}

#[test]
fn a_room_that_somebody_makes_while_the_host_decides_is_joined_as_it_is() {
    let mut world = world(CreateOnJoin::Ask);
    let alice = world.client();
    create(&mut world, alice, "den");
    let (ask, _) = world.asked.pop().unwrap();
    world.room_with("den", RoomConfig::default().capacity(9));
    let config = RoomConfig::default().capacity(1);
    world.answer(ask, Verdict::CreateRoom { config });
    assert_eq!(world.relay.room_config("den").unwrap().capacity.unwrap().get(), 9);
    assert!(world.peers[alice].rooms.contains_key("den"));
}

#[test]
fn data_and_the_creators_options_are_as_long_as_a_payload_together() {
    let mut world = World::with(|config| {
        config.create_on_join = CreateOnJoin::Always;
        config.max_payload = 10;
    });
    let alice = world.client();
    let mut ask = |data, options| {
        let if_missing = IfMissing::Create { options };
        let options = JoinOptions { data, if_missing, ..JoinOptions::default() };
        world.say(alice, &ClientMessage::Join { request: 7, room: "den", options });
        (world.refusals(alice), world.relay.room_count())
    };
    let too_large = Refusal::PayloadTooLarge { len: 11, max: 10 };
    assert_eq!(ask(&[0; 5], &[0; 6]), (vec![too_large.clone()], 0));
    assert_eq!(ask(&[0; 5], &[0; 5]), (vec![too_large], 1));
}

#[test]
fn rooms_that_the_host_makes_for_joins_count_for_the_address() {
    let mut world = World::with(|config| {
        *config = ghost_sync_core::RelayConfig::default();
        config.create_on_join = CreateOnJoin::Ask;
        config.rooms_per_client = 100;
    });
    world.from = "1.1.1.1:1000".parse().unwrap();
    let alice = world.client();
    for number in 0..8 {
        create(&mut world, alice, &format!("den-{number}"));
        let (ask, _) = world.asked.pop().unwrap();
        world.answer(ask, Verdict::CreateRoom { config: RoomConfig::default() });
    }
    assert_eq!(world.relay.room_count(), 6);
    let limited = |reason: &Refusal| matches!(reason, Refusal::RateLimited { .. });
    assert_eq!(world.refusals(alice).iter().filter(|reason| limited(reason)).count(), 2);
}

#[test]
fn a_second_join_of_the_same_room_moves_nobody() {
    let mut world = World::with(|config| config.host.ask_join = true);
    world.room("den");
    let alice = world.client();
    join(&mut world, alice, "den", IfMissing::Default);
    join(&mut world, alice, "den", IfMissing::Default);
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::Accept);
    assert_eq!(world.refusals(alice), [Refusal::AlreadyJoined { room: "den".to_owned() }]);
    assert!(world.asked.is_empty(), "the host is not asked again");
    let left =
        |e: &RelayEvent| matches!(e, RelayEvent::PlayerLeft { reason: LeaveReason::Moved, .. });
    assert!(!world.events.iter().any(left));
    assert_eq!(world.relay.player_count("den"), Some(1));
}
