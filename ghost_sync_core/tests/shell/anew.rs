//! Clients that begin another session when one is over.

use std::{
    future::{Ready, ready},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use ghost_sync_core::{
    Client, ClientBuilder, CloseReason, ConnectError, ConnectInfo, DisconnectReason, Refusal,
    RequestError, RequestKind, Server, ServerEvent, ServerHandle, ServerHandler, Unconnected,
    Verdict,
    client::{Reconnect, SendError},
    link::LocalStream,
};
use tokio::time::Instant;

use crate::support::*;

/// The way to whichever server is there.
#[derive(Clone, Default)]
struct Way(Arc<Mutex<Option<ServerHandle>>>);

impl Way {
    fn lead_to(&self, server: Option<&ServerHandle>) {
        *self.0.lock().unwrap() = server.cloned();
    }

    fn connector(&self) -> impl FnMut() -> Ready<io::Result<LocalStream>> + Send + 'static {
        let way = self.clone();
        move || {
            let stream = way.0.lock().unwrap().as_ref().map(ServerHandle::connect_local);
            ready(stream.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()))
        }
    }
}

/// A client in the lobby of a server that has stopped since, which it has heard, and its way to
/// another one.
async fn parted(builder: ClientBuilder) -> (Client, Way) {
    let way = Way::default();
    let server = server().await;
    way.lead_to(Some(&server));
    let mut client = builder.begin_anew().connect_through(way.connector()).await.unwrap();
    client.join("lobby").await.unwrap();
    hear_joined(&mut client, "lobby").await;
    way.lead_to(None);
    let stopped = tokio::spawn(async move { server.shutdown().await });
    let ServerEvent::Disconnected { reason, retry_in: Some(_) } = next(&mut client).await else {
        panic!("no end")
    };
    let stop = |reason: &DisconnectReason| {
        matches!(reason, DisconnectReason::Closed(CloseReason::ServerShutdown { .. }))
    };
    assert!(matches!(reason, Unconnected::Disconnect(reason) if stop(&reason)));
    stopped.await.unwrap();
    (client, way)
}

/// What is told from the next session's beginning on.
async fn hear_connected(client: &mut Client) -> ServerEvent {
    loop {
        match next(client).await {
            ServerEvent::Connecting { .. } | ServerEvent::Disconnected { .. } => {}
            event => return event,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_server_is_started_again_is_back_where_it_was_with_its_metadata() {
    let (mut client, way) =
        parted(Client::builder().metadata("name", "Ann").metadata("team", "red")).await;
    let former = client.client_id();
    client.set_metadata("team", "blue").await.unwrap();
    let second = server().await;
    way.lead_to(Some(&second));
    let connected = hear_connected(&mut client).await;
    let ServerEvent::Connected { client_id, resumed: None, joining } = connected else {
        panic!("{connected:?}")
    };
    assert_eq!((client.client_id(), joining), (client_id, vec![name("lobby")]));
    let joined = next(&mut client).await;
    let ServerEvent::Joined { members, rejoined: true, .. } = joined else { panic!("{joined:?}") };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(members[0].meta, [pair("name", "Ann"), pair("team", "blue")]);
    assert_eq!(client.rooms(), [name("lobby")]);
    assert_ne!(former, client_id);
    client.broadcast(b"back").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn attempts_are_told_and_go_on_until_a_server_is_there() {
    let slow = Reconnect { base: Duration::from_secs(1), ..Reconnect::default() };
    let (mut client, way) = parted(Client::builder().reconnect(slow)).await;
    for attempt in 1..20 {
        assert_eq!(next(&mut client).await, ServerEvent::Connecting { attempt });
        let start = Instant::now();
        let told = next(&mut client).await;
        let ServerEvent::Disconnected { reason, retry_in: Some(wait) } = told else {
            panic!("{told:?}")
        };
        let refused = matches!(reason, Unconnected::Connect(ConnectError::ConnectionRefused(_)));
        assert!(refused && wait <= Duration::from_secs(5), "{reason:?} {wait:?}");
        tokio::time::sleep_until(start + wait).await;
    }
    let second = server().await;
    way.lead_to(Some(&second));
    assert!(matches!(hear_connected(&mut client).await, ServerEvent::Connected { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_comeback_that_is_refused_for_good_ends_the_client() {
    struct Closed;
    impl ServerHandler for Closed {
        fn on_connect(&self, _: &ConnectInfo<'_>) -> Verdict {
            Verdict::reject("closed")
        }
    }
    let (mut client, way) = parted(Client::builder()).await;
    let second = serve(Server::builder().handler(Closed)).await;
    way.lead_to(Some(&second));
    assert!(matches!(next(&mut client).await, ServerEvent::Connecting { attempt: 1 }));
    let message = "closed".to_owned();
    let reason = Unconnected::Connect(ConnectError::Rejected { message: message.clone() });
    let told = next(&mut client).await;
    assert_eq!(told, ServerEvent::Disconnected { reason, retry_in: None });
    let end = DisconnectReason::Closed(CloseReason::ConnectionRefused { message });
    assert_eq!(client.recv().await, Err(end.clone()));
    assert_eq!(client.join("lobby").await, Err(SendError::Disconnected(end)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_put_out_does_not_come_back() {
    let way = Way::default();
    let server = server().await;
    way.lead_to(Some(&server));
    let builder = Client::builder().begin_anew();
    let mut client = builder.connect_through(way.connector()).await.unwrap();
    server.disconnect(client.client_id(), "out").unwrap();
    let message = "out".to_owned();
    let end = DisconnectReason::Closed(CloseReason::Kicked { message });
    assert_eq!(client.recv().await, Err(end));
}

#[tokio::test(start_paused = true)]
async fn without_a_session_wishes_are_noted_and_words_are_not_said() {
    let (mut client, way) = parted(Client::builder()).await;
    let lost = |result| {
        let why = match result {
            Err(SendError::Disconnected(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(matches!(why, DisconnectReason::Closed(CloseReason::ServerShutdown { .. })));
    };
    lost(client.send_to_server(b"late").await);
    lost(client.broadcast(b"late").await.map(|_| 0));
    lost(client.list_rooms().await.map(|()| 0));
    assert_eq!(client.leave().await, Err(SendError::NotInRoom));
    let refused = client.set_metadata("k", "v".repeat(3000)).await;
    assert!(matches!(refused, Err(SendError::InvalidMetadata(Refusal::MetadataTooLarge { .. }))));
    client.join("arena").await.unwrap();
    client.join_with("lobby", vec![7; 70_000]).await.unwrap();
    client.join("cellar").await.unwrap();
    client.leave_room("cellar").await.unwrap();
    assert!(!client.join_if_nowhere("cellar", b"").await.unwrap());
    assert_eq!((client.rooms(), client.ticket()), (vec![], None));

    let second = serve(Server::builder().room("arena").room("cellar")).await;
    way.lead_to(Some(&second));
    let connected = hear_connected(&mut client).await;
    let ServerEvent::Connected { joining, .. } = connected else { panic!("{connected:?}") };
    assert_eq!(joining, [name("arena")]);
    let (request, room) = (RequestKind::Join, Some(name("lobby")));
    let reason = Refusal::PayloadTooLarge { len: 70_000, max: 65_536 };
    let error = RequestError { request, room, reference: None, reason };
    assert_eq!(next(&mut client).await, ServerEvent::Refused(error));
    let joined = next(&mut client).await;
    assert!(
        matches!(&joined, ServerEvent::Joined { room, rejoined: false, .. } if *room == "arena")
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_to_join_again_is_nowhere() {
    let stay_out = Reconnect { rejoin: false, ..Reconnect::default() };
    let (mut client, way) = parted(Client::builder().reconnect(stay_out)).await;
    let second = server().await;
    way.lead_to(Some(&second));
    let connected = hear_connected(&mut client).await;
    let ServerEvent::Connected { joining, .. } = connected else { panic!("{connected:?}") };
    assert!(joining.is_empty() && client.rooms().is_empty());
    assert!(client.join_if_nowhere("lobby", b"").await.unwrap());
    hear_joined(&mut client, "lobby").await;
}

#[tokio::test(start_paused = true)]
async fn while_a_program_takes_no_events_nothing_is_tried() {
    let (mut client, _way) = parted(Client::builder().inbox_limit(100)).await;
    for attempt in [1, 2] {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let told: Vec<_> = std::iter::from_fn(|| client.try_recv().ok()).collect();
        let [ServerEvent::Connecting { attempt: at }, ServerEvent::Disconnected { .. }] = told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!(at, attempt);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_session_closes_at_once() {
    let (mut client, _way) = parted(Client::builder()).await;
    let start = Instant::now();
    client.disconnect().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    loop {
        match client.recv().await {
            Ok(Some(ServerEvent::Connecting { .. } | ServerEvent::Disconnected { .. })) => {}
            end => return assert_eq!(end, Ok(None)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_connection_that_fails_is_told_at_once() {
    let builder = Client::builder().begin_anew();
    let start = Instant::now();
    let refused = builder.connect_through(Way::default().connector()).await;
    assert!(matches!(refused, Err(ConnectError::ConnectionRefused(_))));
    assert_eq!(start.elapsed(), Duration::ZERO);
}
