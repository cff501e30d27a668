//! A program that was killed and started again, with the ticket that it kept.

use bytes::Bytes;
use ghost_sync_core::{
    AsyncServerHandler, Client, ClientBuilder, ClientId, JoinInfo, MessageType, Server,
    ServerEvent, ServerHandle, ServerHandler, Verdict,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::*;

/// Lets everybody in once, and tells who comes back what it must know.
struct Game(UnboundedSender<(ClientId, bool)>);

impl ServerHandler for Game {
    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        (join.room == "lobby" || join.room == "arena").into()
    }

    fn on_greet(&self, _: ClientId, room: &str) -> Vec<(MessageType, Bytes)> {
        vec![(MessageType::RAW, format!("state of {room}").into())]
    }

    fn on_back(&self, client: ClientId, _: &str, restarted: bool) {
        let _ = self.0.send((client, restarted));
    }
}

fn game() -> (Game, UnboundedReceiver<(ClientId, bool)>) {
    let (sender, told) = unbounded_channel();
    (Game(sender), told)
}

/// A client in a room, with a ticket for another that goes on as it.
async fn first(server: &ServerHandle, room: &str) -> (Client, ClientBuilder) {
    let way = server.clone();
    let connector = move || std::future::ready(Ok(way.connect_local()));
    let mut client = Client::builder().connect_through(connector).await.unwrap();
    client.join(room).await.unwrap();
    hear_joined(&mut client, room).await;
    let ticket = client.ticket().unwrap();
    (client, Client::builder().session(ticket))
}

#[tokio::test(start_paused = true)]
async fn a_program_that_was_killed_is_told_the_state_and_stays_where_it_was() {
    let (rules, mut told) = game();
    let server = serve(Server::builder().room("arena").handler(rules)).await;
    // It says no goodbye: its link is taken over.
    let (first, builder) = first(&server, "arena").await;
    let id = first.client_id();
    let mut second = builder.connect_over(server.connect_local()).await.unwrap();
    assert_eq!(second.client_id(), id);
    assert_eq!(second.resumed(), Some(vec![name("arena")]));
    assert_eq!(second.rooms(), [name("arena")]);
    assert!(!second.join_if_nowhere("lobby", b"").await.unwrap());
    hear_joined(&mut second, "arena").await;
    let ServerEvent::Direct { data, .. } = next(&mut second).await else { panic!("no state") };
    assert_eq!(data, "state of arena");
    assert_eq!(told.recv().await, Some((id, true)));
    assert_eq!(second.rooms(), [name("arena")]);
}

#[tokio::test(start_paused = true)]
async fn a_program_without_a_session_to_go_on_with_begins_in_its_lobby() {
    let (rules, _told) = game();
    let server = serve(Server::builder().handler(rules)).await;
    let mut client = connect(&server).await;
    assert_eq!((client.resumed(), client.rooms()), (None, vec![]));
    assert!(client.join_if_nowhere("lobby", b"").await.unwrap());
    assert!(!client.join_if_nowhere("lobby", b"").await.unwrap(), "it has asked already");
    hear_joined(&mut client, "lobby").await;
    assert!(!client.join_if_nowhere("lobby", b"").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn rules_that_are_futures_greet_too() {
    struct Later;
    impl AsyncServerHandler for Later {
        async fn on_greet(&self, _: ClientId, _: &str) -> Vec<(MessageType, Bytes)> {
            tokio::task::yield_now().await;
            vec![(MessageType::RAW, Bytes::from_static(b"later"))]
        }
    }
    let server = serve(Server::builder().async_handler(Later)).await;
    let (_first, builder) = first(&server, "lobby").await;
    let mut second = builder.connect_over(server.connect_local()).await.unwrap();
    hear_joined(&mut second, "lobby").await;
    let ServerEvent::Direct { data, .. } = next(&mut second).await else { panic!("no state") };
    assert_eq!(data, "later");
}

#[tokio::test(start_paused = true)]
async fn rules_that_panic_over_a_greeting_take_no_seat_away() {
    struct Broken;
    impl ServerHandler for Broken {
        fn on_greet(&self, _: ClientId, _: &str) -> Vec<(MessageType, Bytes)> {
            panic!("a rule that is wrong")
        }
    }
    let server = serve(Server::builder().handler(Broken)).await;
    let (_first, builder) = first(&server, "lobby").await;
    let mut second = builder.connect_over(server.connect_local()).await.unwrap();
    hear_joined(&mut second, "lobby").await;
}
