//! What the others see of an app that exits.

use bevy::prelude::*;
use bevy_ghost_client::{
    AtExit, Connect, Disconnect, Disconnected, GhostClient, GhostClientPlugin, Join, JoinedRooms,
    Reconnecting,
};
use bevy_ghost_server::{
    prelude::*,
    testing::{TestNet, record, recorded},
};

/// A server with a lobby, and somebody in it.
fn lobby() -> (TestNet, usize) {
    let mut net = TestNet::new(|server| {
        record::<PlayerLeft>(server);
        record::<PlayerAway>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let alice = net.connect(|_| {});
    net.join(alice, "lobby");
    net.settle();
    (net, alice)
}

/// How many players have left, and how many are held.
fn gone(net: &TestNet) -> (usize, usize) {
    (recorded::<PlayerLeft>(&net.server).len(), net.server.world().resource::<GhostServer>().away)
}

#[test]
fn a_client_whose_app_exits_says_goodbye() {
    let (mut net, alice) = lobby();
    // Nobody drops the app: its window may take its time, or its driver crash.
    net.clients[alice].world_mut().write_message(AppExit::Success);
    net.settle();
    assert_eq!(gone(&net), (1, 0));
}

#[test]
fn an_app_that_is_dropped_says_goodbye() {
    let (mut net, alice) = lobby();
    drop(std::mem::take(&mut net.clients[alice]));
    net.settle();
    assert_eq!(gone(&net), (1, 0));
}

#[test]
fn an_app_that_keeps_its_seats_comes_back_to_them_with_its_ticket() {
    for drops in [false, true] {
        let (mut net, alice) = lobby();
        let game = net.clients[alice].world_mut();
        let ticket = game.resource::<GhostClient>().ticket.expect("a ticket");
        game.insert_resource(AtExit::KeepSeats);
        if !drops {
            game.write_message(AppExit::Success);
        }
        net.exchange();
        if drops {
            drop(std::mem::take(&mut net.clients[alice]));
        }
        net.settle();
        assert_eq!(gone(&net), (0, 1), "dropped: {drops}");
        assert_eq!(recorded::<PlayerAway>(&net.server).len(), 1);

        let again = net.client(|_| {});
        let connect = Connect::local(net.connector()).session(ticket);
        net.clients[again].world_mut().trigger(connect);
        net.settle();
        assert!(net.clients[again].world().resource::<JoinedRooms>().get("lobby").is_some());
        assert_eq!(gone(&net), (0, 0));
    }
}

#[test]
fn who_would_keep_its_seats_and_disconnects_says_goodbye() {
    let (mut net, alice) = lobby();
    net.clients[alice].world_mut().insert_resource(AtExit::KeepSeats);
    net.clients[alice].world_mut().trigger(Disconnect);
    net.settle();
    assert_eq!(gone(&net), (1, 0));
}

#[test]
fn a_game_that_panics_keeps_its_seats_for_a_while() {
    let (mut net, alice) = lobby();
    let game = std::mem::take(&mut net.clients[alice]);
    let crash = std::panic::AssertUnwindSafe(move || {
        let _game = game;
        std::panic::resume_unwind(Box::new("a bug of the game"));
    });
    assert!(std::panic::catch_unwind(crash).is_err());
    net.settle();
    assert_eq!(gone(&net), (0, 1));
}

#[test]
fn a_server_whose_app_exits_tells_its_clients() {
    let (mut net, alice) = lobby();
    record::<Disconnected>(&mut net.clients[alice]);
    record::<Reconnecting>(&mut net.clients[alice]);
    net.server.world_mut().write_message(AppExit::Success);
    net.settle();
    assert_eq!(recorded::<Reconnecting>(&net.clients[alice]).len(), 0);
    let [end] = recorded::<Disconnected>(&net.clients[alice]) else { panic!("not one end") };
    assert_eq!(end.reason.to_string(), "the server is shutting down");
}

#[test]
fn a_host_whose_app_exits_tells_its_guests() {
    let mut net = TestNet::new(|host| {
        host.add_plugins(GhostClientPlugin { ping_every: None });
        record::<PlayerLeft>(host);
        host.world_mut().spawn(Room::new("lobby"));
        host.add_observer(
            |_: On<ServerStarted>, server: Res<GhostServer>, mut commands: Commands| {
                commands.trigger(Connect::local(server.connector()));
                commands.trigger(Join::new("lobby"));
            },
        );
    });
    let guest = net.connect(record::<Disconnected>);
    net.join(guest, "lobby");
    net.server.world_mut().write_message(AppExit::Success);
    net.settle();
    let [end] = recorded::<Disconnected>(&net.clients[guest]) else { panic!("not one end") };
    assert_eq!(end.reason.to_string(), "the server is shutting down");
}
