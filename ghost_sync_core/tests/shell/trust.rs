//! What a client may say and change, over Tokio: rules, and what the client checks itself.

use ghost_sync_core::{
    AsyncServerHandler, Client, ClientId, ConnectError, Delivery, Direction, InvalidMetadataKey,
    MessageType, Protocol, Refusal, RequestKind, SendFlags, SendOptions, Server, ServerEvent,
    ServerHandle, ServerHandler, Verdict, client::SendError,
};

use crate::support::*;

/// Decides on names.
struct Names {
    wanted: bool,
}

fn decide(key: &str, value: Option<&str>) -> Verdict {
    assert_ne!(key, "bug", "a rule that panics");
    Verdict::from(value != Some("admin"))
}

impl ServerHandler for Names {
    fn on_set_metadata(&self, _: ClientId, key: &str, value: Option<&str>) -> Verdict {
        decide(key, value)
    }

    fn wants_metadata(&self) -> bool {
        self.wanted
    }
}

struct Later;

impl AsyncServerHandler for Later {
    async fn on_set_metadata(&self, _: ClientId, key: &str, value: Option<&str>) -> Verdict {
        tokio::task::yield_now().await;
        decide(key, value)
    }

    fn wants_metadata(&self) -> bool {
        true
    }
}

/// What comes of the changes: the values that were made, and the refusals.
async fn changes(client: &mut Client, sets: &[(&str, &str)]) -> Vec<Result<String, String>> {
    for (key, value) in sets {
        client.set_metadata(key, value).await.unwrap();
    }
    let mut came = Vec::new();
    while came.len() < sets.len() {
        match next(client).await {
            ServerEvent::PlayerMetadata { value, .. } => came.push(Ok(value.unwrap())),
            ServerEvent::Refused(error) => {
                assert_eq!(error.request, RequestKind::SetMetadata);
                came.push(Err(error.reason.to_string()));
            }
            _ => {}
        }
    }
    came
}

async fn named(server: &ServerHandle) -> Vec<Result<String, String>> {
    let mut client = join(server, "lobby").await;
    changes(&mut client, &[("name", "admin"), ("bug", "1"), ("name", "Ann")]).await
}

#[tokio::test(start_paused = true)]
async fn a_rule_decides_on_changes_of_metadata_and_one_that_panics_says_no() {
    let said = [
        Err("rejected by the server".to_owned()),
        Err("the server's rules failed".to_owned()),
        Ok("Ann".to_owned()),
    ];
    let server = serve(Server::builder().handler(Names { wanted: true })).await;
    assert_eq!(named(&server).await, said);
    let server = serve(Server::builder().async_handler(Later)).await;
    assert_eq!(named(&server).await, said);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_want_metadata_is_not_asked_about_it() {
    let server = serve(Server::builder().handler(Names { wanted: false })).await;
    let made = named(&server).await;
    assert_eq!(made, [Ok("admin".to_owned()), Ok("1".to_owned()), Ok("Ann".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_set_stays_through_the_handle_too() {
    let server = serve(Server::builder().client_metadata_keys(["name", "role"])).await;
    let mut client = join(&server, "lobby").await;
    let id = client.client_id();
    server.set_client_metadata(id, "role", "guest").unwrap();
    assert!(matches!(next(&mut client).await, ServerEvent::PlayerMetadata { .. }));
    let came = changes(&mut client, &[("role", "admin"), ("rank", "1"), ("name", "Ann")]).await;
    let words = [
        "not allowed: metadata \"role\" is the server's",
        "not allowed: clients may set no metadata \"rank\" here, only: name, role",
    ];
    assert_eq!(came, [Err(words[0].to_owned()), Err(words[1].to_owned()), Ok("Ann".to_owned())]);
    assert_eq!(server.client_metadata(id).unwrap().value("role"), Some("guest"));
    let mallory =
        Client::builder().metadata("rank", "1").connect_over(server.connect_local()).await;
    let Err(ConnectError::Rejected { message }) = mallory else { panic!("{mallory:?}") };
    assert_eq!(message, "clients may set no metadata \"rank\" here, only: name, role");
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_even_send_metadata_that_no_server_takes() {
    let server = serve(Server::builder()).await;
    let connect = |key: &str, value: &str| {
        Client::builder().metadata(key, value).connect_over(server.connect_local())
    };
    let long = "k".repeat(65);
    for key in ["", "a\tb", &long] {
        let error = connect(key, "v").await.unwrap_err();
        let ConnectError::InvalidMetadata(Refusal::InvalidMetadataKey { .. }) = error else {
            panic!("{error:?}")
        };
        assert!(!error.may_retry());
    }
    let error = connect("key", &"v".repeat(2046)).await.unwrap_err();
    let too_large = "metadata is limited to 2048 bytes and 32 entries";
    assert_eq!(error.to_string(), format!("metadata that no server takes: {too_large}"));
    let mut client = join(&server, "lobby").await;
    let set = client.set_metadata("", "v").await;
    assert_eq!(set, Err(SendError::InvalidMetadataKey(InvalidMetadataKey::Empty)));
    assert_eq!(changes(&mut client, &[("name", "Ann")]).await, [Ok("Ann".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_send_what_the_server_alone_says() {
    let mut protocol = Protocol::default();
    protocol.add("Score", 1, Direction::FromServer);
    let server = serve(Server::builder().protocol(protocol.clone())).await;
    let builder = Client::builder().protocol(protocol);
    let mut client = builder.connect_over(server.connect_local()).await.unwrap();
    client.join("lobby").await.unwrap();
    while !matches!(next(&mut client).await, ServerEvent::Joined { .. }) {}
    let message_type = MessageType::of("Score");
    let denied = SendError::SaidByServer { name: "Score".to_owned() };
    let options = SendOptions { message_type, ..SendOptions::default() };
    assert_eq!(client.broadcast_with(b"9", options).await, Err(denied.clone()));
    assert_eq!(client.send_to_server_with(None::<&str>, message_type, b"9").await, Err(denied));
    server.broadcast_with("lobby", Delivery::Reliable, message_type, b"3").unwrap();
    let ServerEvent::Broadcast { sender, .. } = next(&mut client).await else { panic!() };
    assert!(sender.is_server() && sender.client_id().is_none());
    let flags = SendFlags::FORGET;
    let options = SendOptions { flags, ..SendOptions::default() };
    let nothing = client.broadcast_with(b"9", options).await;
    assert_eq!(nothing, Err(SendError::NothingToForget));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_said_for_the_last_time_is_not_given_to_newcomers() {
    let server = serve(Server::builder()).await;
    for key in [1, 2] {
        let text = format!("value {key}");
        server.broadcast_with("lobby", Delivery::Latest(key), MessageType::RAW, text).unwrap();
    }
    server.broadcast_last("lobby", 1, MessageType::RAW, b"over").unwrap();
    let mut client = join(&server, "lobby").await;
    let ServerEvent::Broadcast { data, replay: true, .. } = next(&mut client).await else {
        panic!("no value")
    };
    assert_eq!(data, "value 2");
    server.broadcast("lobby", b"next").unwrap();
    assert_eq!(hear(&mut client).await, "next");
}
