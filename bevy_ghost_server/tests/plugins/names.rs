//! What people are called, on both sides.

use bevy::{ecs::system::SystemState, prelude::*};
use bevy_ghost_client::{LocalPlayer, Member};
use bevy_ghost_server::{prelude::*, testing::TestNet};

fn name_of(world: &mut World, who: Option<Entity>) -> String {
    let mut state = SystemState::<Names>::new(world);
    state.get(world).expect("it needs nothing").of(who).to_owned()
}

#[test]
fn members_players_and_connections_have_the_name_that_the_client_gave() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn(Room::new("lobby"));
    });
    let (ada, nobody) = (net.client(|_| {}), net.connect(|_| {}));
    let connect = net.dial(ada).with_metadata("name", "Ada");
    net.clients[ada].world_mut().trigger(connect);
    net.join(ada, "lobby");
    net.join(nobody, "lobby");
    net.settle();

    let world = net.clients[nobody].world_mut();
    let mut others = world.query_filtered::<Entity, (With<Member>, Without<LocalPlayer>)>();
    let mut own = world.query_filtered::<Entity, With<LocalPlayer>>();
    let (other, own) = (others.single(world).unwrap(), own.single(world).unwrap());
    assert_eq!(name_of(world, Some(other)), "Ada");
    assert_eq!(name_of(world, Some(own)), "somebody", "it gave none");
    assert_eq!(name_of(world, None), "somebody", "has left");

    let world = net.server.world_mut();
    let mut players = world.query::<(Entity, &SeatOf)>();
    let seats: Vec<_> = players.iter(world).map(|(player, of)| (player, of.0)).collect();
    let mut names: Vec<_> = seats.iter().map(|&(player, _)| name_of(world, Some(player))).collect();
    names.sort();
    assert_eq!(names, ["Ada", "somebody"]);
    for (player, connection) in seats {
        let name = name_of(world, Some(player));
        assert_eq!(name_of(world, Some(connection)), name, "of the player's connection");
    }
}
