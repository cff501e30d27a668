//! The server and clients over a network in memory, on a clock that the tests move.

use bevy_ghost_client::{Broadcast, Connect, Disconnect, FromRoom, FromServer, Join};
use bevy_ghost_server::testing::{TestNet, record, recorded};

use crate::{
    haunts::{Haunt, SPEED},
    protocol::Lantern,
};

use super::*;

const ROUND: Duration = Duration::from_secs(120);

fn net(round: Duration) -> TestNet {
    TestNet::new(|server| game(server, round))
}

/// Somebody of that name in that room.
fn enter(net: &mut TestNet, name: &str, room: &str) -> usize {
    let client = net.client(|client| {
        protocol(client);
        record::<FromRoom<News>>(client);
        record::<FromServer<News>>(client);
    });
    let connect: Connect = net.dial(client).with_metadata("name", name);
    net.clients[client].world_mut().trigger(connect);
    net.clients[client].world_mut().trigger(Join::new(room));
    net.run_until("the client is in the room", |net| net.room(client, room).is_some());
    net.settle();
    client
}

fn lanterns(net: &mut TestNet, room: &str) -> Vec<Lantern> {
    let mut rooms = net.server.world_mut().query::<(&Room, &Lanterns)>();
    let (_, lanterns) = rooms.iter(net.server.world()).find(|(it, _)| it.name() == room).unwrap();
    lanterns.lit.clone()
}

/// Name and score of each that is there.
fn scores(net: &mut TestNet) -> Vec<(String, u32)> {
    let mut contestants = net.server.world_mut().query::<&Contestant>();
    let all = contestants.iter(net.server.world());
    let mut all: Vec<_> = all.map(|it| (it.name.clone(), it.score)).collect();
    all.sort();
    all
}

fn say(net: &mut TestNet, client: usize, at: Vec2) {
    let pose = Pose { count: 0, millis: 0, x: at.x, y: at.y };
    net.clients[client].world_mut().write_message(Broadcast::new(pose).latest(0));
    net.exchange();
}

/// Lets a client say that it moves at that speed to the nearest lantern, which it returns.
fn fetch(net: &mut TestNet, client: usize, room: &str, speed: f32) -> Lantern {
    while lanterns(net, room).is_empty() {
        net.exchange();
    }
    let lantern = lanterns(net, room)[0];
    let mut at = HAUNTS[Haunt::index(room).unwrap()].exit();
    while at != lantern.at() {
        at = at.move_towards(lantern.at(), speed / 64.0);
        say(net, client, at);
    }
    net.settle();
    lantern
}

/// Seconds go by.
fn wait(net: &mut TestNet, seconds: u32) {
    for _ in 0..64 * seconds {
        net.exchange();
    }
}

fn told(net: &TestNet, client: usize) -> impl Iterator<Item = &News> {
    recorded::<FromRoom<News>>(&net.clients[client]).iter().map(|said| &said.message)
}

#[test]
fn who_moves_to_a_lantern_catches_it_and_the_room_is_told() {
    let mut net = net(ROUND);
    let ada = enter(&mut net, "Ada", "moonlight");
    let boo = enter(&mut net, "Boo", "moonlight");
    let lantern = fetch(&mut net, ada, "moonlight", SPEED);
    let score = scores(&mut net)[0].1;
    assert!(score >= lantern.worth, "{score}");
    let caught =
        |news: &News| matches!(news, News::Caught { lantern: id, .. } if *id == lantern.id);
    assert!(told(&net, ada).any(caught));
    assert!(told(&net, boo).any(caught));
}

#[test]
fn who_leaps_to_a_lantern_catches_nothing() {
    let mut net = net(ROUND);
    let ada = enter(&mut net, "Ada", "moonlight");
    while lanterns(&mut net, "moonlight").is_empty() {
        net.exchange();
    }
    // On the other side of the room, more than three seconds away.
    let far = Lantern { id: 999, worth: 1, x: -560.0, y: 250.0 };
    let mut rooms = net.server.world_mut().query::<&mut Lanterns>();
    rooms.iter_mut(net.server.world_mut()).for_each(|mut room| room.lit = vec![far]);
    for _ in 0..64 {
        say(&mut net, ada, far.at());
    }
    assert!(lanterns(&mut net, "moonlight").contains(&far), "caught after a second");
    for _ in 0..192 {
        say(&mut net, ada, far.at());
    }
    assert!(!lanterns(&mut net, "moonlight").contains(&far), "not even after four");
}

#[test]
fn who_comes_late_is_greeted_with_lanterns_and_board() {
    let mut net = net(ROUND);
    let ada = enter(&mut net, "Ada", "moonlight");
    fetch(&mut net, ada, "moonlight", SPEED);
    wait(&mut net, 1);
    let lit = lanterns(&mut net, "embers");
    let score = scores(&mut net)[0].1;
    let eve = enter(&mut net, "Eve", "embers");
    let greeting = recorded::<FromServer<News>>(&net.clients[eve]);
    let greeting: Vec<_> = greeting.iter().map(|said| &said.message).collect();
    let [News::Lanterns(all), News::Board { round, rows, .. }] = greeting.as_slice() else {
        panic!("{greeting:?}")
    };
    assert_eq!(*all, lit);
    assert_eq!((*round, rows[0].name.as_str(), rows[0].score), (1, "Ada", score));
}

#[test]
fn who_is_away_keeps_the_score_and_who_leaves_loses_it() {
    let mut net = net(ROUND);
    let ada = enter(&mut net, "Ada", "moonlight");
    let boo = enter(&mut net, "Boo", "moonlight");
    fetch(&mut net, ada, "moonlight", SPEED);
    let score = scores(&mut net)[0].1;
    assert!(score > 0);
    net.cut(ada);
    wait(&mut net, 1);
    assert_eq!(scores(&mut net)[0], ("Ada".to_owned(), score));
    let last = told(&net, boo).filter_map(|news| match news {
        News::Board { rows, .. } => Some(rows.clone()),
        News::Lanterns(_) | News::Appeared(_) | News::Caught { .. } | News::Crowned { .. } => None,
    });
    assert!(last.last().unwrap().iter().any(|row| row.name == "Ada" && row.away));
    net.mend(ada);
    net.advance(Duration::from_secs(5));
    wait(&mut net, 1);
    assert_eq!(scores(&mut net)[0], ("Ada".to_owned(), score));
    net.clients[ada].world_mut().trigger(Disconnect);
    net.settle();
    assert_eq!(scores(&mut net), [("Boo".to_owned(), 0)]);
}

#[test]
fn a_score_goes_with_its_player_from_room_to_room() {
    let mut net = net(ROUND);
    let ada = enter(&mut net, "Ada", "moonlight");
    fetch(&mut net, ada, "moonlight", SPEED);
    let before = scores(&mut net);
    net.join(ada, "embers");
    assert_eq!(scores(&mut net), before);
}

#[test]
fn a_round_ends_with_a_crown_and_the_next_begins_with_nothing() {
    let mut net = net(Duration::from_secs(8));
    let ada = enter(&mut net, "Ada", "moonlight");
    enter(&mut net, "Boo", "embers");
    fetch(&mut net, ada, "moonlight", SPEED);
    let best = scores(&mut net)[0].1;
    wait(&mut net, 8);
    let crowned = told(&net, ada).find_map(|news| match news {
        News::Crowned { round, winners, score } => Some((*round, winners.len(), *score)),
        News::Lanterns(_) | News::Appeared(_) | News::Caught { .. } | News::Board { .. } => None,
    });
    assert_eq!(crowned, Some((1, 1, best)));
    assert_eq!(scores(&mut net), [("Ada".to_owned(), 0), ("Boo".to_owned(), 0)]);
}

#[test]
fn two_of_a_name_are_told_apart() {
    let mut net = net(ROUND);
    enter(&mut net, "Ada", "moonlight");
    enter(&mut net, "Ada", "embers");
    let names: Vec<_> = scores(&mut net).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Ada", "Ada 2"]);
    let mut contestants = net.server.world_mut().query::<&Contestant>();
    let colors: Vec<_> = contestants.iter(net.server.world()).map(|it| it.color).collect();
    assert_ne!(colors[0], colors[1]);
}
