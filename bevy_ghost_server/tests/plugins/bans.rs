//! Who is kept out, for how long, and who is told what.

use std::{future::ready, io, net::SocketAddr, time::Duration};

use bevy::prelude::*;
use bevy_ghost_client::{CloseReason, Connect, Connector, Disconnected, FromServer};
use bevy_ghost_server::{
    AuthError, BanRefusal, BanTarget, RevokeRefusal, Who,
    prelude::*,
    testing::{TestNet, record, recorded},
};

use crate::identity::{dial, end, id, lobby, optional, player};

const HOUR: Duration = Duration::from_secs(3600);

fn net() -> TestNet {
    TestNet::with_config(optional(), |server| {
        lobby(server);
        record::<BanRefused>(server);
        record::<RevokeRefused>(server);
    })
}

fn banned(message: &str, lasts: Option<Duration>) -> CloseReason {
    let for_ms = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap());
    CloseReason::Banned { message: message.to_owned(), for_ms }
}

fn ask<'a, E: Event<Trigger<'a>: Default>>(net: &mut TestNet, request: E) {
    net.server.world_mut().trigger(request);
    net.settle();
}

/// Whether a client is let in that shows this token.
fn gets_in(net: &mut TestNet, token: &str) -> bool {
    let client = dial(net, token);
    recorded::<Disconnected>(&net.clients[client]).is_empty()
}

fn only<F: bevy::ecs::query::QueryFilter>(net: &mut TestNet) -> Entity {
    let mut entities = net.server.world_mut().query_filtered::<Entity, F>();
    entities.single(net.server.world()).unwrap()
}

fn refusals(net: &TestNet) -> Vec<BanRefusal> {
    recorded::<BanRefused>(&net.server).iter().map(|it| it.reason).collect()
}

fn bans(net: &TestNet) -> Vec<Who> {
    let server = net.server.world().resource::<GhostServer>().handle().unwrap();
    server.bans().into_iter().map(|ban| ban.who).collect()
}

fn become_state(net: &mut TestNet, state: ServerState) {
    net.run_until("the server does as it was told", |net| {
        *net.server.world().resource::<State<ServerState>>().get() == state
    });
}

#[test]
fn a_banned_player_is_gone_as_a_user_and_may_come_back_when_it_is_over() {
    let mut net = net();
    let (ada, elsewhere) = (dial(&mut net, "ada"), dial(&mut net, "ada"));
    net.join(ada, "lobby");
    let player = only::<With<Player>>(&mut net);
    ask(&mut net, Ban::player(player).lasting(HOUR).because("cheating"));
    for client in [ada, elsewhere] {
        assert_eq!(end(&net, client), banned("cheating", Some(HOUR)));
    }
    let [left] = recorded::<PlayerLeft>(&net.server) else { panic!("it did not leave once") };
    assert_eq!(left.reason, LeaveReason::Banned { message: "cheating".to_owned() });
    assert_eq!(bans(&net), [Who::User(id("ada"))]);
    assert!(refusals(&net).is_empty());
    assert!(!gets_in(&mut net, "ada"));
    assert!(gets_in(&mut net, "bob"));
    net.advance(HOUR);
    assert!(gets_in(&mut net, "ada"));
    assert!(bans(&net).is_empty());
}

#[test]
fn a_ban_ends_the_session_of_who_is_away() {
    let mut net = net();
    let ada = dial(&mut net, "ada");
    net.join(ada, "lobby");
    net.cut(ada);
    net.settle();
    let connection = only::<With<Connection>>(&mut net);
    ask(&mut net, Ban::connection(connection));
    assert_eq!(recorded::<PlayerLeft>(&net.server).len(), 1);
    net.mend(ada);
    net.advance(Duration::from_secs(5));
    net.settle();
    assert_eq!(end(&net, ada), banned("", None));
}

#[test]
fn a_user_is_banned_before_it_comes_and_unbanned() {
    let mut net = net();
    ask(&mut net, Ban::user(id("ada")).because("known"));
    let ada = dial(&mut net, "ada");
    assert_eq!(end(&net, ada), banned("known", None));
    ask(&mut net, Unban::user(id("ada")));
    assert!(gets_in(&mut net, "ada"));
    assert!(refusals(&net).is_empty());
    ask(&mut net, Unban::user(id("ada")));
    let [refused] = recorded::<BanRefused>(&net.server) else { panic!("not told") };
    let who = BanTarget::Who(Who::User(id("ada")));
    assert_eq!((&refused.target, refused.reason), (&who, BanRefusal::NotBanned));
}

#[test]
fn an_address_is_banned_with_all_that_come_from_it() {
    let mut net = net();
    let (ada, nobody) = (dial(&mut net, "ada"), net.connect(player));
    ask(&mut net, Ban::address("127.0.0.0/8".parse().unwrap()).because("maintenance"));
    for client in [ada, nobody] {
        assert_eq!(end(&net, client), banned("maintenance", None));
    }
    assert!(!gets_in(&mut net, "bob"));
    // A part of it does not end it.
    ask(&mut net, Unban::address("127.0.0.1".parse().unwrap()));
    assert_eq!(refusals(&net), [BanRefusal::NotBanned]);
    ask(&mut net, Unban::address("127.0.0.0/8".parse().unwrap()));
    assert!(gets_in(&mut net, "bob"));
}

#[test]
fn who_has_no_user_is_banned_by_its_address() {
    let mut net = net();
    let server = net.server.world().resource::<GhostServer>().handle().unwrap();
    let connect = |addr: &str| {
        let (server, addr) = (server.clone(), addr.parse::<SocketAddr>().unwrap());
        Connect::through(Connector::new(move || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            ready(server.accept(ours, addr).map(|()| theirs).map_err(io::Error::other))
        }))
    };
    let nobody = net.client(player);
    net.clients[nobody].world_mut().trigger(connect("192.0.2.7:4000"));
    net.settle();
    let connection = only::<With<Connection>>(&mut net);
    ask(&mut net, Ban::connection(connection).because("griefing"));
    assert_eq!(end(&net, nobody), banned("griefing", None));
    assert_eq!(bans(&net), [Who::Address("192.0.2.7".parse().unwrap())]);
    for (addr, is_let_in) in [("192.0.2.7:4001", false), ("192.0.2.8:4000", true)] {
        let other = net.client(player);
        net.clients[other].world_mut().trigger(connect(addr));
        net.settle();
        assert_eq!(recorded::<Disconnected>(&net.clients[other]).is_empty(), is_let_in, "{addr}");
    }
}

#[test]
fn who_cannot_be_told_from_others_is_not_banned_and_that_is_told() {
    let mut net = net();
    let nobody = net.connect(player);
    net.join(nobody, "lobby");
    let player = only::<With<Player>>(&mut net);
    ask(&mut net, Ban::player(player));
    let [refused] = recorded::<BanRefused>(&net.server) else { panic!("not told") };
    let target = BanTarget::Client(player);
    assert_eq!((&refused.target, refused.reason), (&target, BanRefusal::SharedAddress));
    assert!(recorded::<Disconnected>(&net.clients[nobody]).is_empty());
}

#[test]
fn what_is_no_client_any_more_cannot_be_banned() {
    let mut net = net();
    let nobody = net.connect(player);
    net.join(nobody, "lobby");
    let gone = only::<With<Player>>(&mut net);
    drop(std::mem::take(&mut net.clients[nobody]));
    net.settle();
    let room = only::<With<Room>>(&mut net);
    ask(&mut net, Ban::player(gone));
    ask(&mut net, Ban::connection(room));
    assert_eq!(refusals(&net), [BanRefusal::Gone, BanRefusal::Gone]);
}

#[test]
fn who_leaves_can_be_banned_in_the_frame_in_which_that_is_told() {
    fn ban_leavers(mut left: MessageReader<PlayerLeft>, mut commands: Commands) {
        left.read().for_each(|left| commands.trigger(Ban::player(left.player)));
    }
    let mut net = net();
    net.server.add_systems(Update, ban_leavers);
    let ada = dial(&mut net, "ada");
    net.join(ada, "lobby");
    // Of the connection nothing is left but what the frame shows.
    drop(std::mem::take(&mut net.clients[ada]));
    net.settle();
    assert_eq!(bans(&net), [Who::User(id("ada"))]);
    // Here the seat alone is gone.
    let nobody = net.connect(player);
    let room = net.join(nobody, "lobby");
    net.clients[nobody].world_mut().despawn(room);
    net.settle();
    assert_eq!(refusals(&net), [BanRefusal::SharedAddress]);
}

#[test]
fn who_is_put_out_can_be_banned_in_the_same_frame() {
    let mut net = net();
    let ada = dial(&mut net, "ada");
    net.join(ada, "lobby");
    let (player, connection) = (only::<With<Player>>(&mut net), only::<With<Connection>>(&mut net));
    net.server.world_mut().trigger(DisconnectClient::new(connection, "out"));
    net.server.world_mut().flush();
    ask(&mut net, Ban::player(player).because("for good"));
    assert_eq!(bans(&net), [Who::User(id("ada"))]);
    assert!(refusals(&net).is_empty());
}

#[test]
fn last_words_come_before_the_ban_of_the_same_frame() {
    #[derive(Clone, SchemaRead, SchemaWrite)]
    struct Words(u32);
    fn protocol(app: &mut App) {
        app.add_ghost_message::<Words>();
    }
    let mut net = TestNet::with_config(optional(), |server| {
        lobby(server);
        protocol(server);
    });
    let ada = net.client(|client| {
        player(client);
        protocol(client);
        record::<FromServer<Words>>(client);
    });
    let connect = net.dial(ada).with_token("ada");
    net.clients[ada].world_mut().trigger(connect);
    net.join(ada, "lobby");
    let player = only::<With<Player>>(&mut net);
    net.server.world_mut().write_message(ToPlayer::new(player, Words(1)));
    net.server.world_mut().trigger(Ban::player(player));
    net.server.world_mut().flush();
    net.server.world_mut().write_message(ToPlayer::new(player, Words(2)));
    net.settle();
    let heard = recorded::<FromServer<Words>>(&net.clients[ada]).iter().map(|it| it.message.0);
    assert_eq!(heard.collect::<Vec<_>>(), [1]);
    assert_eq!(end(&net, ada), banned("", None));
}

#[test]
fn bans_hold_when_the_server_starts_and_starts_again() {
    let mut net = TestNet::with_config(optional(), |server| {
        lobby(server);
        record::<BanRefused>(server);
        server.world_mut().trigger(Ban::user(id("early")));
        server.world_mut().trigger(Ban::user(id("forgiven")));
        server.world_mut().trigger(Unban::user(id("forgiven")));
        server.world_mut().trigger(Unban::user(id("unknown")));
        server.add_systems(Startup, |mut commands: Commands| {
            commands.trigger(Ban::user(id("startup")));
        });
    });
    assert_eq!(refusals(&net), [BanRefusal::NotBanned]);
    ask(&mut net, Ban::user(id("running")).because("still"));
    net.server.world_mut().trigger(StopServer::default());
    net.server.update();
    ask(&mut net, Ban::user(id("stopping")));
    become_state(&mut net, ServerState::Stopped);
    ask(&mut net, Ban::user(id("stopped")));
    ask(&mut net, Unban::user(id("early")));
    net.server.world_mut().trigger(StartServer);
    become_state(&mut net, ServerState::Running);
    net.settle();
    let kept = ["running", "startup", "stopped", "stopping"].map(|user| Who::User(id(user)));
    assert_eq!(bans(&net), kept);
    let server = net.server.world().resource::<GhostServer>().handle().unwrap();
    assert_eq!(server.bans()[0].message, "still");
    assert_eq!(refusals(&net).len(), 1);
}

#[test]
fn a_token_that_is_called_back_ends_its_session_and_is_good_for_nothing() {
    let mut net = net();
    let (ada, bob) = (dial(&mut net, "ada id=t-1"), dial(&mut net, "ada id=t-2"));
    ask(&mut net, Revoke::token("t-1"));
    let why = AuthError::Revoked;
    assert_eq!(end(&net, ada), CloseReason::Unauthenticated { why });
    assert!(recorded::<Disconnected>(&net.clients[bob]).is_empty());
    assert!(!gets_in(&mut net, "ada id=t-1"));
    ask(&mut net, Revoke::user(id("ada")));
    assert_eq!(end(&net, bob), CloseReason::Unauthenticated { why });
    assert!(recorded::<RevokeRefused>(&net.server).is_empty());
}

#[test]
fn what_is_called_back_while_no_server_runs_is_refused() {
    let mut net = net();
    net.server.world_mut().trigger(StopServer::default());
    become_state(&mut net, ServerState::Stopped);
    ask(&mut net, Revoke::key("2026-11"));
    let [refused] = recorded::<RevokeRefused>(&net.server) else { panic!("not told") };
    assert_eq!(refused.reason, RevokeRefusal::NotRunning);
    assert_eq!(refused.revoke, Revoke::key("2026-11"));
}
