//! The game over a network in memory, on a clock that the tests move.

use bevy::prelude::*;
use bevy_ghost_client::prelude::*;
use bevy_ghost_server::testing::{TestNet, record, recorded};

use crate::{
    protocol::{At, It, protocol},
    server::server,
};

fn net() -> TestNet {
    TestNet::new(|app| {
        app.add_plugins((protocol, server));
    })
}

/// Somebody who stands there.
fn enter(net: &mut TestNet, x: f32) -> usize {
    let client = net.connect(|client| {
        protocol(client);
        record::<FromRoom<It>>(client);
        record::<FromRoom<At>>(client);
    });
    net.join(client, "yard");
    stand(net, client, x);
    client
}

fn stand(net: &mut TestNet, client: usize, x: f32) {
    net.clients[client].world_mut().write_message(Broadcast::new(At(Vec2::new(x, 0.0))).latest(0));
    net.settle();
}

fn wait(net: &mut TestNet) {
    (0..80).for_each(|_| net.exchange());
}

/// Who is it, as a client has heard in the room; the first who comes has seat 1.
fn it(net: &TestNet, client: usize) -> Option<Seat> {
    recorded::<FromRoom<It>>(&net.clients[client]).last().map(|said| said.message.0)
}

#[test]
fn whom_it_touches_is_it_and_both_hear_so() {
    let mut net = net();
    let (ada, bob) = (enter(&mut net, 0.0), enter(&mut net, 200.0));
    wait(&mut net);
    assert_eq!(it(&net, ada), Some(Seat(1)));
    stand(&mut net, ada, 180.0);
    assert_eq!(it(&net, bob), Some(Seat(2)));
}

#[test]
fn when_it_leaves_somebody_else_is_it() {
    let mut net = net();
    let (ada, bob) = (enter(&mut net, 0.0), enter(&mut net, 200.0));
    net.clients[ada].world_mut().trigger(Disconnect);
    wait(&mut net);
    assert_eq!(it(&net, bob), Some(Seat(2)));
}

#[test]
fn who_comes_late_is_told_who_is_it_and_where_everybody_is() {
    let mut net = net();
    enter(&mut net, 50.0);
    let late = enter(&mut net, 200.0);
    let client = &net.clients[late];
    assert_eq!(it(&net, late), Some(Seat(1)));
    let place = recorded::<FromRoom<At>>(client).first().map(|said| said.message.0.x);
    assert_eq!(place, Some(50.0));
}
