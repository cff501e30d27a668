//! Rooms as entities: how they open, close and are found.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{JoinRefused, Refusal, RoomList};
use bevy_ghost_server::{
    CreateOnJoin, CreateRoomError, GhostServerEvent, SetMetadata,
    prelude::*,
    testing::{TestNet, record, recorded},
};

fn refusals(net: &TestNet, client: usize) -> Vec<Refusal> {
    recorded::<JoinRefused>(&net.clients[client]).iter().map(|it| it.reason.clone()).collect()
}

#[test]
fn spawning_a_room_opens_it_and_despawning_closes_it() {
    let mut net = TestNet::new(|server| {
        record::<RoomOpened>(server);
        record::<RoomClosed>(server);
    });
    let client = net.connect(record::<JoinRefused>);
    let room = net.server.world_mut().spawn(Room::new("lobby")).id();
    net.settle();
    assert_eq!(recorded::<RoomOpened>(&net.server)[0].room, room);
    assert!(net.server.world().get::<RoomStats>(room).unwrap().open);
    net.join(client, "lobby");

    net.server.world_mut().despawn(room);
    net.settle();
    assert_eq!(recorded::<RoomClosed>(&net.server).len(), 1);
    assert_eq!(net.room(client, "lobby"), None);
    net.clients[client].world_mut().trigger(bevy_ghost_client::Join::new("lobby"));
    net.settle();
    assert!(matches!(refusals(&net, client)[..], [Refusal::RoomNotFound { .. }]));
}

#[test]
fn a_room_that_is_closed_before_it_was_open_is_not_told_at_all() {
    let mut net = TestNet::new(|server| {
        record::<RoomOpened>(server);
        record::<RoomClosed>(server);
    });
    let room = net.server.world_mut().spawn(Room::new("lobby")).id();
    net.server.world_mut().despawn(room);
    net.settle();
    assert!(recorded::<RoomOpened>(&net.server).is_empty());
    assert!(recorded::<RoomClosed>(&net.server).is_empty());
    net.server.world_mut().spawn(Room::new("lobby"));
    net.settle();
    assert_eq!(recorded::<RoomOpened>(&net.server).len(), 1);
}

#[test]
fn the_end_of_a_room_is_told_after_the_ends_of_its_players() {
    let mut net = TestNet::new(|server| {
        record::<GhostServerEvent>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    for _ in 0..2 {
        let client = net.connect(|_| {});
        net.join(client, "lobby");
    }
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    net.server.world_mut().despawn(room);
    net.settle();
    let ends = recorded::<GhostServerEvent>(&net.server).iter().filter_map(|event| {
        if let GhostServerEvent::PlayerLeft(left) = event {
            Some((left.room, "left"))
        } else if let GhostServerEvent::RoomClosed(closed) = event {
            Some((closed.room, "closed"))
        } else {
            None
        }
    });
    assert_eq!(ends.collect::<Vec<_>>(), [(room, "left"), (room, "left"), (room, "closed")]);
}

#[test]
fn a_room_closed_with_words_tells_them_to_its_players() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn(Room::new("lobby"));
    });
    let client = net.connect(record::<bevy_ghost_client::Left>);
    net.join(client, "lobby");
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    net.server.world_mut().trigger(CloseRoom::new(room, "maintenance"));
    net.settle();
    let left = recorded::<bevy_ghost_client::Left>(&net.clients[client]);
    assert!(left[0].reason.to_string().contains("maintenance"), "{}", left[0].reason);
}

#[test]
fn the_resource_opens_and_closes_rooms_too() {
    let mut net = TestNet::new(|_| {});
    let mut rooms = net.server.world_mut().resource_mut::<Rooms>();
    rooms.create("lobby").unwrap();
    assert_eq!(
        rooms.create("lobby"),
        Err(CreateRoomError::RoomAlreadyExists("lobby".parse().unwrap()))
    );
    assert!(matches!(rooms.create(""), Err(CreateRoomError::InvalidName(_))));
    net.settle();
    let client = net.connect(|_| {});
    net.join(client, "lobby");

    let mut rooms = net.server.world_mut().resource_mut::<Rooms>();
    assert_eq!(rooms.len(), 1);
    assert!(rooms.close("lobby", "over"));
    assert!(!rooms.close("nowhere", "over"));
    net.settle();
    assert!(net.server.world().resource::<Rooms>().is_empty());
    assert_eq!(net.room(client, "lobby"), None);
}

#[test]
fn a_second_room_of_the_same_name_is_refused_and_the_first_stays() {
    let mut net = TestNet::new(record::<RoomRefused>);
    let first = net.server.world_mut().spawn(Room::new("lobby")).id();
    let second = net.server.world_mut().spawn(Room::new("lobby")).id();
    net.settle();
    assert_eq!(recorded::<RoomRefused>(&net.server)[0].room, second);
    assert!(net.server.world().get_entity(second).is_err());
    assert_eq!(net.server.world().resource::<Rooms>().get("lobby"), Some(first));
    let client = net.connect(|_| {});
    net.join(client, "lobby");
}

#[test]
fn a_room_above_the_limit_is_refused() {
    let config = ServerConfig::from(RelayConfig { max_rooms: 1, ..RelayConfig::for_games() });
    let mut net = TestNet::with_config(config, record::<RoomRefused>);
    net.server.world_mut().spawn(Room::new("a"));
    let second = net.server.world_mut().spawn(Room::new("b")).id();
    net.settle();
    assert_eq!(recorded::<RoomRefused>(&net.server).len(), 1);
    assert!(net.server.world().get_entity(second).is_err());
    assert_eq!(net.server.world().resource::<Rooms>().get("b"), None);
}

#[test]
fn a_room_can_be_closed_and_opened_again_in_one_frame() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn(Room::new("lobby"));
    });
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    let old = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    net.server.world_mut().despawn(old);
    let new = net.server.world_mut().spawn(Room::new("lobby")).id();
    net.settle();
    assert_eq!(net.room(client, "lobby"), None, "the old room is closed");
    net.join(client, "lobby");
    assert_eq!(net.server.world().get::<RoomStats>(new).unwrap().players, 1);
    assert!(net.server.world().get_entity(old).is_err());
}

#[test]
fn a_full_room_refuses_and_a_raised_capacity_lets_in() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn((Room::new("duel"), RoomConfig::with_capacity(1)));
    });
    let first = net.connect(|_| {});
    let second = net.connect(record::<JoinRefused>);
    net.join(first, "duel");
    net.clients[second].world_mut().trigger(bevy_ghost_client::Join::new("duel"));
    net.settle();
    assert!(matches!(refusals(&net, second)[..], [Refusal::RoomFull { capacity: 1, .. }]));

    let room = net.server.world().resource::<Rooms>().get("duel").unwrap();
    net.server.world_mut().entity_mut(room).insert(RoomConfig::with_capacity(2));
    net.exchange();
    net.join(second, "duel");
}

#[test]
fn a_room_says_when_its_last_player_has_left() {
    let mut net = TestNet::new(|server| {
        record::<RoomEmptied>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let (a, b) = (net.connect(|_| {}), net.connect(|_| {}));
    let (in_a, in_b) = (net.join(a, "lobby"), net.join(b, "lobby"));
    net.clients[a].world_mut().despawn(in_a);
    net.settle();
    assert!(recorded::<RoomEmptied>(&net.server).is_empty());
    net.clients[b].world_mut().despawn(in_b);
    net.settle();
    assert_eq!(recorded::<RoomEmptied>(&net.server).len(), 1);
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    assert_eq!(net.server.world().get::<RoomStats>(room).unwrap().players, 0);
    assert!(net.server.world().get::<Players>(room).is_none());
}

#[test]
fn a_list_shows_the_listed_rooms_with_players_and_metadata() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn(Room::new("lobby"));
        let hidden = RoomConfig { listed: false, ..RoomConfig::default() };
        server.world_mut().spawn((Room::new("hidden"), hidden));
    });
    let client = net.connect(record::<RoomList>);
    net.join(client, "lobby");
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    net.server.world_mut().trigger(SetMetadata::new(room, "map", "cave"));
    net.settle();
    assert_eq!(net.server.world().get::<Metadata>(room).unwrap().get("map"), Some("cave"));
    let seen = net.room(client, "lobby").unwrap();
    let seen = net.clients[client].world().get::<Metadata>(seen).unwrap();
    assert_eq!(seen.get("map"), Some("cave"));

    net.clients[client].world_mut().trigger(bevy_ghost_client::ListRooms);
    net.settle();
    let list = &recorded::<RoomList>(&net.clients[client])[0];
    assert_eq!(list.rooms.len(), 1);
    let lobby = &list.rooms[0];
    assert_eq!((lobby.name.as_str(), lobby.players), ("lobby", 1));
    assert_eq!(lobby.meta, [("map".to_owned(), "cave".to_owned())]);
}

#[test]
fn rooms_stay_and_open_again_when_the_server_starts_again() {
    let mut net = TestNet::new(|server| {
        record::<PlayerLeft>(server);
        record::<ConnectionClosed>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    net.server.world_mut().trigger(StopServer::default());
    net.run_until("the server has stopped", |net| {
        *net.server.world().resource::<State<ServerState>>().get() == ServerState::Stopped
    });
    assert_eq!(recorded::<PlayerLeft>(&net.server).len(), 1);
    assert_eq!(recorded::<ConnectionClosed>(&net.server).len(), 1);
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    assert!(!net.server.world().get::<RoomStats>(room).unwrap().open);

    net.server.world_mut().trigger(StartServer);
    net.run_until("the server runs again", |net| {
        net.server.world().get::<RoomStats>(room).unwrap().open
    });
    let client = net.connect(|_| {});
    net.join(client, "lobby");
}

#[test]
fn an_empty_room_is_removed_after_its_time_if_it_says_so() {
    let after = Duration::from_secs(60);
    let mut net = TestNet::new(|server| {
        let config = RoomConfig { remove_when_empty: Some(after), ..RoomConfig::default() };
        server.world_mut().spawn((Room::new("duel"), config));
        record::<RoomClosed>(server);
    });
    let client = net.connect(|_| {});
    let room = net.join(client, "duel");
    net.advance(after * 2);
    net.settle();
    assert!(recorded::<RoomClosed>(&net.server).is_empty(), "somebody is in it");
    net.clients[client].world_mut().despawn(room);
    net.settle();
    net.advance(after);
    net.settle();
    let closed = recorded::<RoomClosed>(&net.server)[0].room;
    assert!(net.server.world().get_entity(closed).is_err());
    assert!(net.server.world().resource::<Rooms>().is_empty());
}

fn opened_by_clients() -> ServerConfig {
    ServerConfig::from(RelayConfig {
        create_on_join: CreateOnJoin::Always,
        ..RelayConfig::for_games()
    })
}

#[test]
fn a_room_that_a_client_opens_has_an_entity_like_others() {
    let mut net = TestNet::with_config(opened_by_clients(), |_| {});
    let client = net.connect(|_| {});
    net.join(client, "den");
    let room = net.server.world().resource::<Rooms>().get("den").unwrap();
    let stats = net.server.world().get::<RoomStats>(room).unwrap();
    assert!(stats.open && stats.players == 1);
    assert_eq!(net.server.world().get::<Name>(room).unwrap().as_str(), "den");
    net.server.world_mut().despawn(room);
    net.settle();
    assert_eq!(net.room(client, "den"), None);
}

#[test]
fn a_room_that_client_and_server_open_at_once_is_one_room_with_the_servers_rules() {
    let mut net = TestNet::with_config(opened_by_clients(), record::<RoomRefused>);
    let (first, second) = (net.connect(|_| {}), net.connect(record::<JoinRefused>));
    net.clients[first].world_mut().trigger(bevy_ghost_client::Join::new("den"));
    net.clients[first].update();
    net.advance(Duration::ZERO);
    let room = net.server.world_mut().spawn((Room::new("den"), RoomConfig::with_capacity(1))).id();
    net.settle();
    assert_eq!(net.server.world().resource::<Rooms>().get("den"), Some(room));
    assert_eq!(net.server.world().get::<RoomStats>(room).unwrap().players, 1);
    assert!(recorded::<RoomRefused>(&net.server).is_empty());
    net.clients[second].world_mut().trigger(bevy_ghost_client::Join::new("den"));
    net.settle();
    assert!(matches!(refusals(&net, second)[..], [Refusal::RoomFull { capacity: 1, .. }]));
}
