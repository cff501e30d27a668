//! Who clients are: what their tokens say, on both sides, and when tokens end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bevy::prelude::*;
use bevy_ghost_client::{
    Authenticate, Authenticated, CloseReason, Connect, Disconnected, GhostClient, GhostClientEvent,
    Join, JoinRefused, Left, LocalPlayer, Member, Refusal, Refused, TokenExpiring,
};
use bevy_ghost_server::{
    AuthError, CreateOnJoin, Identity, LockedMeta, ManyLinks, MaxRole, RoomPatterns, Token,
    prelude::*,
    testing::{TestNet, record, recorded},
};

/// Takes tokens like `ada rooms=lobby,match-* role=moderator create name=Ada for=60 id=t-1`.
pub(crate) fn verify(token: &Token) -> Result<Identity, AuthError> {
    let text = std::str::from_utf8(&token.0).map_err(|_| AuthError::Malformed)?;
    let mut words = text.split(' ');
    let user = words.next().filter(|user| *user != "mallory").ok_or(AuthError::BadSignature)?;
    let mut identity = Identity::new(UserId::new(user).map_err(|_| AuthError::Malformed)?);
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("rooms", rooms) => identity.rooms = RoomPatterns::new(rooms.split(',')).unwrap(),
            ("role", role) => identity.role = MaxRole::from_name(role).unwrap(),
            ("create", _) => identity.create = true,
            ("name", name) => identity.meta = LockedMeta::new([("name", name)]).unwrap(),
            ("for", seconds) => {
                let lasts = Duration::from_secs(seconds.parse().unwrap());
                identity.expires = Some((tokio::time::Instant::now() + lasts).into_std());
            }
            ("id", id) => identity.token_id = Some(id.into()),
            _ => return Err(AuthError::Malformed),
        }
    }
    Ok(identity)
}

pub(crate) fn config(auth: Auth) -> ServerConfig {
    ServerConfig { auth, ..ServerConfig::default() }
}

pub(crate) fn optional() -> ServerConfig {
    config(Auth::optional(|token: Token, _| async move { verify(&token) }))
}

pub(crate) fn lobby(server: &mut App) {
    record::<ConnectionOpened>(server);
    record::<PlayerJoined>(server);
    record::<PlayerLeft>(server);
    server.world_mut().spawn(Room::new("lobby"));
}

pub(crate) fn player(client: &mut App) {
    record::<Authenticated>(client);
    record::<Disconnected>(client);
    record::<JoinRefused>(client);
    record::<Left>(client);
    record::<Refused>(client);
    record::<TokenExpiring>(client);
}

/// A client that dials with that token, whatever comes of it.
pub(crate) fn dial(net: &mut TestNet, token: &str) -> usize {
    let client = net.client(player);
    let connect = net.dial(client).with_token(token);
    net.clients[client].world_mut().trigger(connect);
    net.settle();
    client
}

/// Why a client was put out, or never let in.
#[track_caller]
pub(crate) fn end(net: &TestNet, client: usize) -> CloseReason {
    let [.., end] = recorded::<Disconnected>(&net.clients[client]) else { panic!("no end") };
    assert_eq!(end.retry_in, None);
    end.close_reason().expect("the server said why")
}

pub(crate) fn show(net: &mut TestNet, client: usize, token: &str) {
    net.clients[client].world_mut().trigger(Authenticate::with(token));
    net.settle();
}

pub(crate) fn id(user: &str) -> UserId {
    UserId::new(user).unwrap()
}

/// Lets the next attempts of clients succeed.
fn come_back(net: &mut TestNet) {
    for _ in 0..5 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
}

fn users<F: bevy::ecs::query::QueryFilter>(app: &mut App) -> Vec<String> {
    let mut users = app.world_mut().query_filtered::<Option<&User>, F>();
    let named =
        |user: Option<&User>| user.map_or_else(|| "nobody".to_owned(), |user| user.to_string());
    let mut users: Vec<_> = users.iter(app.world()).map(named).collect();
    users.sort();
    users
}

#[test]
fn a_user_is_on_connections_players_and_members_and_nobody_has_none() {
    let mut net = TestNet::with_config(optional(), lobby);
    let (ada, nobody) = (dial(&mut net, "ada"), net.connect(|_| {}));
    net.join(ada, "lobby");
    net.join(nobody, "lobby");
    net.settle();

    assert_eq!(users::<With<Connection>>(&mut net.server), ["ada", "nobody"]);
    assert_eq!(users::<With<Player>>(&mut net.server), ["ada", "nobody"]);
    let mut signed_in = net.server.world_mut().query_filtered::<&SignedIn, With<Connection>>();
    assert_eq!(signed_in.single(net.server.world()).unwrap().user, "ada");
    let opened = recorded::<ConnectionOpened>(&net.server).iter().map(|it| it.user.clone());
    assert_eq!(opened.collect::<Vec<_>>(), [Some(id("ada")), None]);
    let joined = recorded::<PlayerJoined>(&net.server).iter().map(|it| it.user.clone());
    assert_eq!(joined.collect::<Vec<_>>(), [Some(id("ada")), None]);

    for (client, own) in [(ada, "ada"), (nobody, "nobody")] {
        let app = &mut net.clients[client];
        assert_eq!(users::<With<LocalPlayer>>(app), [own]);
        assert_eq!(users::<With<Member>>(app), ["ada", "nobody"]);
    }
    let known = |client: usize| net.clients[client].world().resource::<GhostClient>().user();
    assert_eq!((known(ada), known(nobody)), (Some(&id("ada")), None));

    // Of somebody who comes while one looks on.
    let bob = dial(&mut net, "bob");
    net.join(bob, "lobby");
    assert_eq!(users::<With<Member>>(&mut net.clients[ada]), ["ada", "bob", "nobody"]);
}

#[test]
fn users_that_are_hidden_are_known_to_themselves_and_to_the_server() {
    let relay = RelayConfig { show_users: false, ..RelayConfig::for_games() };
    let mut net = TestNet::with_config(ServerConfig { relay, ..optional() }, lobby);
    let (ada, bob) = (dial(&mut net, "ada"), dial(&mut net, "bob"));
    net.join(ada, "lobby");
    net.join(bob, "lobby");
    net.settle();
    assert_eq!(users::<With<Player>>(&mut net.server), ["ada", "bob"]);
    assert_eq!(users::<With<Member>>(&mut net.clients[ada]), ["ada", "nobody"]);
    assert_eq!(users::<With<Member>>(&mut net.clients[bob]), ["bob", "nobody"]);
}

#[test]
fn rules_are_asked_with_the_identity() {
    let relay = RelayConfig { create_on_join: CreateOnJoin::Ask, ..RelayConfig::for_games() };
    let mut net = TestNet::with_config(ServerConfig { relay, ..optional() }, |server| {
        lobby(server);
        server.add_observer(|mut request: On<ConnectRequest>| {
            if request.user().is_none() {
                request.reject("sign in");
            }
        });
        server.add_observer(|mut request: On<CreateRoomRequest>| {
            let Some(user) = request.user().map(ToString::to_string) else { return };
            request.metadata.set("owner", user);
        });
        server.add_observer(|mut request: On<JoinRequest>| {
            let moderates = |identity: &Arc<Identity>| identity.role == MaxRole::Moderator;
            if request.room_name == "lobby" && !request.identity.as_ref().is_some_and(moderates) {
                let words = format!("{} is no moderator", request.user().unwrap());
                request.reject(words);
            }
        });
    });
    let nobody = net.client(player);
    let connect = net.dial(nobody);
    net.clients[nobody].world_mut().trigger(connect);
    net.settle();
    let [refused] = recorded::<Disconnected>(&net.clients[nobody]) else { panic!("let in") };
    assert!(refused.reason.to_string().contains("sign in"), "{}", refused.reason);

    let (ada, bob) = (dial(&mut net, "ada role=moderator"), dial(&mut net, "bob create"));
    net.join(ada, "lobby");
    net.clients[bob].world_mut().trigger(Join::new("lobby"));
    net.settle();
    let refused = &recorded::<JoinRefused>(&net.clients[bob])[0];
    assert_eq!(refused.reason.to_string(), "bob is no moderator");
    net.join(bob, "den");
    let den = net.server.world().resource::<Rooms>().get("den").unwrap();
    let metadata = net.server.world().get::<Metadata>(den).unwrap();
    assert_eq!(metadata.get("owner"), Some("bob"));
}

#[test]
fn a_name_that_a_token_vouches_for_cannot_be_changed() {
    let mut net = TestNet::with_config(optional(), lobby);
    let ada = dial(&mut net, "ada name=Ada");
    let change = bevy_ghost_client::SetMetadata::new("name", "Eve");
    net.clients[ada].world_mut().trigger(change);
    net.settle();
    assert_eq!(recorded::<Refused>(&net.clients[ada]).len(), 1);
    let mut metadata = net.server.world_mut().query_filtered::<&Metadata, With<Connection>>();
    assert_eq!(metadata.single(net.server.world()).unwrap().get("name"), Some("Ada"));
}

#[test]
fn why_a_token_is_not_taken_is_typed() {
    let required = config(Auth::required(|token: Token, _| async move { verify(&token) }));
    let mut net = TestNet::with_config(required, lobby);
    for (token, why) in [("", AuthError::Missing), ("mallory", AuthError::BadSignature)] {
        let client = dial(&mut net, token);
        assert_eq!(end(&net, client), CloseReason::Unauthenticated { why });
        assert_eq!(net.clients[client].world().resource::<GhostClient>().user(), None);
    }
    assert!(recorded::<ConnectionOpened>(&net.server).is_empty());
}

#[test]
fn a_user_that_is_connected_too_often_is_told_so_or_loses_the_oldest() {
    for many_links in [ManyLinks::Refuse, ManyLinks::CloseOldest] {
        let relay = RelayConfig { links_per_user: 1, many_links, ..RelayConfig::for_games() };
        let mut net = TestNet::with_config(ServerConfig { relay, ..optional() }, lobby);
        let clients = [dial(&mut net, "ada"), dial(&mut net, "ada")];
        match many_links {
            ManyLinks::Refuse => {
                assert_eq!(end(&net, clients[1]), CloseReason::TooManyLinks { max: 1 });
            }
            ManyLinks::CloseOldest => assert_eq!(end(&net, clients[0]), CloseReason::TakenOver),
        }
        assert_eq!(users::<With<Connection>>(&mut net.server), ["ada"]);
    }
}

#[test]
fn a_token_that_ends_is_told_of_and_a_fresh_one_takes_its_place() {
    let mut net = TestNet::with_config(optional(), |server| {
        lobby(server);
        server.world_mut().spawn(Room::new("cellar"));
    });
    let ada = dial(&mut net, "ada for=100");
    net.join(ada, "lobby");
    net.advance(Duration::from_secs(79));
    net.settle();
    assert!(recorded::<TokenExpiring>(&net.clients[ada]).is_empty());
    net.advance(Duration::from_secs(1));
    net.settle();
    let [expiring] = recorded::<TokenExpiring>(&net.clients[ada]) else { panic!("not told") };
    assert_eq!(expiring.left, Duration::from_secs(20));

    show(&mut net, ada, "ada for=200 rooms=cellar role=moderator");
    let [authenticated] = recorded::<Authenticated>(&net.clients[ada]) else { panic!("no answer") };
    assert_eq!(authenticated.lasts, Some(Duration::from_secs(200)));
    let mut signed_in = net.server.world_mut().query::<(&SignedIn, &User)>();
    let (signed_in, user) = signed_in.single(net.server.world()).unwrap();
    assert_eq!((signed_in.role, &user.0), (MaxRole::Moderator, &id("ada")));
    // What it does not cover is left.
    assert_eq!(recorded::<Left>(&net.clients[ada])[0].room_name, "lobby");
    net.advance(Duration::from_secs(150));
    net.settle();
    assert!(recorded::<Disconnected>(&net.clients[ada]).is_empty());
    net.join(ada, "cellar");
    assert_eq!(users::<With<Player>>(&mut net.server), ["ada"]);
}

#[test]
fn a_seat_outlives_its_token_for_who_comes_back_with_a_fresh_one() {
    let mut net = TestNet::with_config(optional(), lobby);
    let ada = dial(&mut net, "ada for=100");
    net.join(ada, "lobby");
    net.advance(Duration::from_secs(100));
    net.settle();
    assert_eq!(end(&net, ada), CloseReason::TokenExpired);
    let client = net.clients[ada].world().resource::<GhostClient>();
    assert_eq!((client.user(), client.ticket.is_some()), (None, true));
    assert_eq!(net.server.world().resource::<GhostServer>().away, 1);

    let ticket = client.ticket.unwrap();
    let connect = net.dial(ada).session(ticket).with_token("ada for=50");
    net.clients[ada].world_mut().trigger(connect);
    net.run_until("it is in its room again", |net| net.room(ada, "lobby").is_some());
    net.settle();
    assert_eq!(recorded::<PlayerJoined>(&net.server).len(), 1);
    assert_eq!(users::<With<Player>>(&mut net.server), ["ada"]);
    assert_eq!(users::<With<LocalPlayer>>(&mut net.clients[ada]), ["ada"]);
}

#[test]
fn a_token_that_is_shown_is_answered_whatever_becomes_of_the_connection() {
    let mut net = TestNet::with_config(optional(), lobby);
    let (ada, nobody) = (dial(&mut net, "ada"), net.connect(player));
    show(&mut net, nobody, "bob");
    let [refused] = recorded::<Refused>(&net.clients[nobody]) else { panic!("no answer") };
    assert_eq!(refused.request, "authenticate");
    assert!(matches!(refused.reason, Refusal::Forbidden { .. }), "{}", refused.reason);
    let alone = net.client(player);
    show(&mut net, alone, "ada");
    assert_eq!(recorded::<Refused>(&net.clients[alone])[0].reason, Refusal::NotConnected);
    show(&mut net, ada, &"x".repeat(8193));
    assert!(recorded::<Refused>(&net.clients[ada])[0].reason.to_string().contains("8193 bytes"));

    // Under way when the server forgets everything.
    net.stall(ada);
    show(&mut net, ada, "ada");
    assert_eq!(recorded::<Refused>(&net.clients[ada]).len(), 1);
    net.restart_server();
    come_back(&mut net);
    let told = |net: &TestNet| {
        let client = &net.clients[ada];
        recorded::<Refused>(client).len() + recorded::<Authenticated>(client).len()
    };
    assert_eq!(told(&net), 2);
    show(&mut net, ada, "ada");
    assert_eq!(told(&net), 3);

    show(&mut net, ada, "bob");
    let why = AuthError::WrongUser;
    assert_eq!(end(&net, ada), CloseReason::Unauthenticated { why });
    assert_eq!(told(&net), 4);
}

#[test]
fn a_token_that_is_shown_before_there_is_a_connection_is_answered_by_it() {
    let mut net = TestNet::with_config(optional(), lobby);
    let ada = net.client(player);
    let connect = net.dial(ada).with_token("mallory");
    net.clients[ada].world_mut().trigger(connect);
    show(&mut net, ada, "ada");
    let client = &net.clients[ada];
    assert_eq!(client.world().resource::<GhostClient>().user(), Some(&id("ada")));
    assert!(recorded::<Refused>(client).is_empty());
    // And by nothing else when that ends.
    net.server.world_mut().trigger(StopServer::default());
    net.settle();
    assert!(!recorded::<Disconnected>(&net.clients[ada]).is_empty());
    assert!(recorded::<Refused>(&net.clients[ada]).is_empty());
}

#[test]
fn a_client_comes_back_with_the_token_that_it_showed_last() {
    for crashes in [true, false] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = seen.clone();
        let auth = Auth::required(move |token: Token, _| {
            note.lock().unwrap().push(String::from_utf8(token.0.to_vec()).unwrap());
            std::future::ready(verify(&token))
        });
        let mut net = TestNet::with_config(config(auth), lobby);
        let ada = net.client(player);
        let connect = if crashes { net.dial(ada) } else { Connect::local(net.connector()) };
        net.clients[ada].world_mut().trigger(connect.with_token("ada id=old"));
        net.settle();
        show(&mut net, ada, "ada id=fresh");
        assert_eq!(*seen.lock().unwrap(), ["ada id=old", "ada id=fresh"]);
        seen.lock().unwrap().clear();

        if crashes {
            net.restart_server();
        } else {
            // The client hears of it, and begins anew.
            net.server.world_mut().trigger(StopServer::default());
            net.server.world_mut().trigger(StartServer);
        }
        come_back(&mut net);
        let seen = seen.lock().unwrap();
        assert!(!seen.is_empty() && seen.iter().all(|token| token == "ada id=fresh"), "{seen:?}");
        assert_eq!(users::<With<Connection>>(&mut net.server), ["ada"]);
    }
}

#[test]
fn no_token_is_shown_by_what_a_game_may_print() {
    let auth = Auth::required(|token: Token, _| async move { verify(&token) });
    let mut net = TestNet::with_config(config(auth), |server| {
        record::<bevy_ghost_server::GhostServerEvent>(server);
    });
    let ada = net.client(|client| {
        player(client);
        record::<GhostClientEvent>(client);
    });
    let connect = net.dial(ada).with_token("ada id=hush");
    let authenticate = Authenticate::with("ada id=hush");
    let mut printed = vec![format!("{connect:?}"), format!("{authenticate:?}")];
    net.clients[ada].world_mut().trigger(connect);
    net.settle();
    show(&mut net, ada, "mallory hush");
    net.settle();
    let client = net.clients[ada].world();
    printed.push(format!("{:?}", recorded::<GhostClientEvent>(&net.clients[ada])));
    printed.push(format!("{:?}", client.resource::<GhostClient>()));
    printed.push(format!("{:?}", net.server.world().resource::<ServerConfig>()));
    for words in printed {
        assert!(!words.contains("mallory") && !words.contains("id=hush"), "{words}");
    }
}
