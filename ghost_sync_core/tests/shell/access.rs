//! Who may come in, over Tokio: tokens, bans and the file that keeps them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ghost_sync_core::{
    Auth, AuthError, BindError, Client, ClientId, CloseReason, ConnectError, ConnectInfo,
    DisconnectReason, Identity, JoinInfo, Limits, Rate, Refusal, Revoke, RoomPatterns, SendError,
    SendOptions, Server, ServerBuilder, ServerEvent, ServerHandle, ServerHandler, Token, UserId,
    Verdict, Who,
};

use crate::support::*;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A token is the name of a user and, behind a colon, a room that it is for.
async fn read(token: Token, _: std::net::SocketAddr) -> Result<Identity, AuthError> {
    let text = std::str::from_utf8(&token.0).map_err(|_| AuthError::Malformed)?;
    if text == "never" {
        std::future::pending::<()>().await;
    }
    assert_ne!(text, "bug", "an authenticator that panics");
    let (name, rooms) = text.split_once(':').unwrap_or((text, "*"));
    let rooms = RoomPatterns::new([rooms]).map_err(|_| AuthError::Malformed)?;
    let user = UserId::new(name).map_err(|_| AuthError::Malformed)?;
    if name == "eve" {
        Err(AuthError::BadSignature)
    } else {
        Ok(Identity { rooms, ..Identity::new(user) })
    }
}

fn required() -> ServerBuilder {
    Server::builder().auth(Auth::required(read))
}

async fn sign_in(server: &ServerHandle, token: &str) -> Result<Client, ConnectError> {
    Client::builder().token(token).connect_over(server.connect_local()).await
}

fn refused(result: Result<Client, ConnectError>) -> ConnectError {
    result.map(drop).expect_err("it is kept out")
}

fn unauthenticated(error: &ConnectError) -> Option<AuthError> {
    if let ConnectError::Unauthenticated { why } = error { Some(*why) } else { None }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_the_user_of_its_token() {
    let server = serve(required()).await;
    let ada = sign_in(&server, "ada").await.unwrap();
    assert_eq!(ada.user(), Some(user("ada")));
    assert!(ada.rates().messages.is_some(), "it is told its limits");
    let identity = server.client_identity(ada.client_id()).unwrap();
    assert_eq!(identity.user, user("ada"));
    assert_eq!(server.user_clients(&user("ada")), [ada.client_id()]);
    let eve = refused(sign_in(&server, "eve").await);
    assert_eq!(unauthenticated(&eve), Some(AuthError::BadSignature));
    let without = refused(Client::builder().connect_over(server.connect_local()).await);
    assert_eq!(unauthenticated(&without), Some(AuthError::Missing));
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_panics_or_never_ends_keeps_its_client_out_and_nobody_else() {
    let server = serve(required()).await;
    for token in ["bug", "never"] {
        let late = refused(sign_in(&server, token).await);
        assert!(late.may_retry(), "{token}: {late:?}");
        sign_in(&server, "ada").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_for_its_rooms_and_a_fresh_one_for_its_own() {
    let server = serve(required().room("den")).await;
    let mut ada = sign_in(&server, "ada:lobby").await.unwrap();
    ada.join("den").await.unwrap();
    let event = next(&mut ada).await;
    let ServerEvent::Refused(error) = event else { panic!("{event:?}") };
    assert!(matches!(error.reason, Refusal::Forbidden { .. }));
    ada.authenticate("ada:den").await.unwrap();
    assert!(matches!(next(&mut ada).await, ServerEvent::Authenticated { lasts: None }));
    ada.join("den").await.unwrap();
    hear_joined(&mut ada, "den").await;
    ada.authenticate("bob").await.unwrap();
    let why = AuthError::WrongUser;
    let wrong = DisconnectReason::Closed(CloseReason::Unauthenticated { why });
    assert_eq!(end(&mut ada).await, wrong);
}

/// Remembers who it was asked about.
#[derive(Clone, Default)]
struct Doorman(Arc<Mutex<Vec<Option<UserId>>>>);

impl Doorman {
    fn saw(&self, identity: Option<&Identity>) {
        self.0.lock().unwrap().push(identity.map(|identity| identity.user.clone()));
    }
}

impl ServerHandler for Doorman {
    fn on_connect(&self, connect: &ConnectInfo<'_>) -> Verdict {
        self.saw(connect.identity);
        Verdict::Accept
    }

    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        self.saw(join.identity);
        Verdict::Accept
    }
}

#[tokio::test(start_paused = true)]
async fn rules_are_told_who_it_is() {
    let doorman = Doorman::default();
    let server = serve(Server::builder().auth(Auth::optional(read)).handler(doorman.clone())).await;
    let mut ada = sign_in(&server, "ada").await.unwrap();
    ada.join("lobby").await.unwrap();
    hear_joined(&mut ada, "lobby").await;
    join(&server, "lobby").await;
    let event = next(&mut ada).await;
    assert!(matches!(&event, ServerEvent::PlayerJoined { user, .. } if user.is_empty()));
    let seen = doorman.0.lock().unwrap().clone();
    let ada = || Some(user("ada"));
    assert_eq!(seen, [ada(), ada(), None, None]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_replaced_without_losing_the_seat() {
    let expiring = |token: Token, _| async move {
        let lasts = Duration::from_secs(if token.0 == "short" { 10 } else { 3600 });
        // Tokio's clock stands still here.
        let expires = Some(tokio::time::Instant::now().into_std() + lasts);
        Ok(Identity { expires, ..Identity::new(user("ada")) })
    };
    let server = serve(Server::builder().auth(Auth::required(expiring))).await;
    let mut ada = sign_in(&server, "short").await.unwrap();
    ada.join("lobby").await.unwrap();
    hear_joined(&mut ada, "lobby").await;
    let event = next(&mut ada).await;
    let ServerEvent::TokenExpiring { left } = event else { panic!("{event:?}") };
    assert_eq!(left, Duration::from_secs(2));
    ada.authenticate("long").await.unwrap();
    let event = next(&mut ada).await;
    let ServerEvent::Authenticated { lasts } = event else { panic!("{event:?}") };
    assert_eq!(lasts, Some(Duration::from_secs(3600)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.client_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn bans_and_revocations_end_what_there_is_at_once() {
    let server = serve(required()).await;
    let mut ada = sign_in(&server, "ada").await.unwrap();
    server.ban_client(ada.client_id(), None, "cheating").unwrap();
    let banned = CloseReason::Banned { message: "cheating".to_owned(), for_ms: None };
    assert_eq!(end(&mut ada).await, DisconnectReason::Closed(banned));
    let again = refused(sign_in(&server, "ada").await);
    assert!(matches!(again, ConnectError::Banned { left: None, .. }), "{again:?}");
    assert_eq!(server.bans()[0].who, Who::User(user("ada")));
    assert!(server.unban(&Who::User(user("ada"))));
    let mut ada = sign_in(&server, "ada").await.unwrap();
    server.revoke(&Revoke::user(user("ada"), std::time::SystemTime::now())).unwrap();
    let why = AuthError::Revoked;
    let revoked = DisconnectReason::Closed(CloseReason::Unauthenticated { why });
    assert_eq!(end(&mut ada).await, revoked);
}

/// A file of its own, removed at the end.
struct Bans(PathBuf);

impl Bans {
    fn new(text: Option<&str>) -> Self {
        let name = format!("ghost-sync-bans-{}.jsonl", ClientId::new_v4());
        let path = std::env::temp_dir().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        Self(path)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }

    async fn serve(&self) -> Result<ServerHandle, BindError> {
        required().bans(&self.0).local_only().room("lobby").build().run().await
    }
}

impl Drop for Bans {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn bans_hold_over_a_restart() {
    let bans = Bans::new(None);
    let server = bans.serve().await.unwrap();
    let hour = Some(Duration::from_secs(3600));
    server.ban(Who::User(user("ada")), hour, "cheating").unwrap();
    server.ban(Who::User(user("bob")), None, "for good").unwrap();
    server.ban(Who::User(user("cleo")), None, "by mistake").unwrap();
    server.unban(&Who::User(user("cleo")));
    server.shutdown().await;
    assert_eq!(bans.text().lines().count(), 2, "{}", bans.text());
    let server = bans.serve().await.unwrap();
    let ConnectError::Banned { message, left } = refused(sign_in(&server, "ada").await) else {
        panic!("it is banned")
    };
    assert!(message == "cheating" && left <= hour.map(|hour| hour + Duration::from_secs(1)));
    assert!(left > Some(Duration::from_secs(3000)), "{left:?}");
    let bob = refused(sign_in(&server, "bob").await);
    assert!(matches!(bob, ConnectError::Banned { left: None, .. }), "{bob:?}");
    sign_in(&server, "cleo").await.unwrap();
}

#[tokio::test]
async fn ended_bans_of_a_file_are_over_and_a_file_that_cannot_be_read_stops_the_start() {
    let bans = Bans::new(Some("\n{\"user\":\"ada\",\"until\":1000,\"message\":\"long ago\"}\n\n"));
    sign_in(&bans.serve().await.unwrap(), "ada").await.unwrap();
    let bans = Bans::new(Some("{\"user\":\"ada\"}\n{\"usr\":\"bob\"}\n"));
    let error = bans.serve().await.unwrap_err();
    let BindError::Bans(error) = &error else { panic!("{error}") };
    assert_eq!(error.line, Some(2));
    assert!(error.to_string().contains("usr"), "{error}");
    let nowhere = Bans("/no/such/folder/bans.jsonl".into());
    assert!(matches!(nowhere.serve().await, Err(BindError::Bans(_))));
}

#[tokio::test]
async fn many_clients_are_verified_at_once() {
    let slow = |_: Token, _| async {
        tokio::task::yield_now().await;
        Ok(Identity::new(user("ada")))
    };
    let builder = Server::builder().auth(Auth::required(slow));
    let relay = ghost_sync_core::RelayConfig { links_per_user: 100, ..Default::default() };
    let server = serve(builder.relay(relay)).await;
    let mut all = Vec::new();
    for _ in 0..50 {
        let server = server.clone();
        all.push(tokio::spawn(async move { sign_in(&server, "t").await.map(|it| it.client_id()) }));
    }
    let start = Instant::now();
    for client in all {
        client.await.unwrap().unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_client_in_a_hot_loop_keeps_to_the_limits_and_is_refused_nothing() {
    let limits = Limits::default()
        .messages(Rate::per_second(100).burst(50))
        .bytes(Rate::per_second(10_000).burst(5000))
        .requests(Rate::per_second(2).burst(4));
    let server = serve(Server::builder().limits(limits)).await;
    let mut listener = join(&server, "lobby").await;
    let client = join(&server, "lobby").await;
    next(&mut listener).await;
    let start = tokio::time::Instant::now();
    let heard = tokio::spawn(async move {
        for text in 0..500 {
            assert_eq!(hear(&mut listener).await, text.to_string());
        }
    });
    for text in 0..500 {
        client.broadcast(text.to_string()).await.unwrap();
    }
    heard.await.unwrap();
    let took = start.elapsed();
    assert!(took > Duration::from_secs(4), "100 a second: {took:?}");
    assert!(took < Duration::from_secs(6), "and no less: {took:?}");
    for _ in 0..20 {
        client.list_rooms().await.unwrap();
    }
    let (_sender, mut receiver) = client.split();
    let mut lists = 0;
    while lists < 20 {
        match receiver.recv().await.unwrap().unwrap() {
            ServerEvent::RoomList { .. } => lists += 1,
            ServerEvent::Refused(error) => panic!("{error}"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_when_to_try_again() {
    let limits = Limits::default().messages(Rate::per_second(10).burst(20));
    let server = serve(Server::builder().limits(limits)).await;
    let client = join(&server, "lobby").await;
    let options = SendOptions::default();
    let said = (0..100).take_while(|_| client.sender().try_broadcast("x", &options).is_ok());
    assert_eq!(said.count(), 10, "half of what the server takes at once");
    let paced = client.sender().try_broadcast("x", &options);
    let Err(SendError::Paced { retry_after }) = paced else { panic!("{paced:?}") };
    assert!(retry_after <= Duration::from_millis(100), "{retry_after:?}");
    tokio::time::sleep(retry_after).await;
    client.sender().try_broadcast("x", &options).unwrap();
}
