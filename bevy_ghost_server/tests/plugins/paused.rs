//! A game whose clock stands still keeps no more than a second of what others say.

use bevy::{ecs::message::Messages, prelude::*};
use bevy_ghost_client::{Broadcast, FromRoom, GhostClientEvent};
use bevy_ghost_server::{
    GhostServerEvent,
    prelude::*,
    testing::{TestNet, record, recorded},
};

#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Chat(u32);

fn protocol(app: &mut App) {
    app.add_ghost_message::<Chat>();
}

fn kept<M: Message>(app: &App) -> usize {
    app.world().resource::<Messages<M>>().len()
}

#[test]
fn what_is_said_while_the_clock_stands_still_does_not_pile_up() {
    let mut net = TestNet::new(|server| {
        protocol(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let (alice, bob) = (net.connect(protocol), net.connect(protocol));
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.server.world_mut().resource_mut::<Time<Virtual>>().pause();
    net.clients[bob].world_mut().resource_mut::<Time<Virtual>>().pause();
    for frame in 0..500 {
        net.clients[alice].world_mut().write_message(Broadcast::new(Chat(frame)));
        net.exchange();
    }
    // A frame is 1/64 s: two buffers of a second's messages at most.
    for kept in [
        kept::<FromRoom<Chat>>(&net.clients[bob]),
        kept::<GhostClientEvent>(&net.clients[bob]),
        kept::<FromPlayer<Chat>>(&net.server),
        kept::<GhostServerEvent>(&net.server),
    ] {
        assert!((1..=140).contains(&kept), "{kept} are kept");
    }
}

#[test]
fn a_slow_clock_lets_fixed_systems_see_what_comes_within_a_second() {
    let mut net = TestNet::new(|server| {
        protocol(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let alice = net.connect(protocol);
    let bob = net.connect(|client| {
        protocol(client);
        record::<FromRoom<Chat>>(client);
        client.init_resource::<Seen>().add_systems(
            FixedUpdate,
            |mut chat: MessageReader<FromRoom<Chat>>, mut seen: ResMut<Seen>| {
                seen.0 += chat.read().count();
            },
        );
    });
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.clients[bob].world_mut().resource_mut::<Time<Virtual>>().set_relative_speed(0.1);
    for frame in 0..200 {
        net.clients[alice].world_mut().write_message(Broadcast::new(Chat(frame)));
        net.exchange();
    }
    for _ in 0..20 {
        net.exchange();
    }
    assert_eq!(recorded::<FromRoom<Chat>>(&net.clients[bob]).len(), 200);
    assert_eq!(net.clients[bob].world().resource::<Seen>().0, 200);
}

#[derive(Default, Resource)]
struct Seen(usize);
