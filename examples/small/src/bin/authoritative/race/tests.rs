//! The race over a network in memory, on a clock that the tests move.

use bevy_ghost_client::{FromRoom, ToServer};
use bevy_ghost_server::testing::{TestNet, record, recorded};

use super::*;

fn enter(net: &mut TestNet, push: f32) -> usize {
    let client = net.connect(|client| {
        protocol(client);
        record::<FromRoom<Track>>(client);
    });
    net.join(client, "track");
    net.clients[client].world_mut().write_message(ToServer::new(Push(push)));
    net.exchange();
    client
}

fn second(net: &mut TestNet) {
    (0..64).for_each(|_| net.exchange());
}

/// Where runners are, as the server has it, the first at the end.
fn places(net: &mut TestNet) -> Vec<f32> {
    let mut runners = net.server.world_mut().query::<&Runner>();
    let mut all: Vec<_> = runners.iter(net.server.world()).map(|runner| runner.at).collect();
    all.sort_by(f32::total_cmp);
    all
}

#[test]
fn who_pushes_harder_than_one_can_is_no_faster() {
    let mut net = TestNet::new(rules);
    enter(&mut net, 1000.0);
    second(&mut net);
    let [at] = places(&mut net)[..] else { panic!("one runs") };
    assert!((15.0..25.0).contains(&at), "{at}");
}

#[test]
fn who_pushes_backwards_or_nonsense_stays_where_it_is() {
    let mut net = TestNet::new(rules);
    enter(&mut net, -1.0);
    enter(&mut net, f32::NAN);
    second(&mut net);
    assert_eq!(places(&mut net), [0.0, 0.0]);
}

#[test]
fn who_comes_late_sees_where_the_others_are() {
    let mut net = TestNet::new(rules);
    enter(&mut net, 0.5);
    second(&mut net);
    let late = enter(&mut net, 0.0);
    let first = recorded::<FromRoom<Track>>(&net.clients[late]).first();
    let Track(runners) = &first.expect("told on coming in").message;
    assert!(matches!(runners[..], [(_, at)] if at > 5.0), "{runners:?}");
}
