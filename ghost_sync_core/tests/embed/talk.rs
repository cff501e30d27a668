//! What programs say to each other.

use std::time::Duration;

use ghost_sync_core::{
    Client, Delivery, JoinOptions, MessageType, RelayEvent, Replay, Request, RoomConfig,
    ServerEvent, embed::*,
};

use crate::world::{World, events, name, poll, say};

#[tokio::test(start_paused = true)]
async fn two_clients_hear_each_other_and_the_server_sees_both() {
    let mut world = World::new().await;
    let (mut first, first_id) = world.join().await;
    let (mut second, second_id) = world.join().await;
    assert!(matches!(
        &events(poll(&mut first))[..],
        [ServerEvent::PlayerJoined { client_id, .. }] if *client_id == second_id
    ));
    first.send(say(b"hello")).unwrap();
    first.flush();
    world.step().await;
    assert!(matches!(
        &events(poll(&mut second))[..],
        [ServerEvent::Broadcast { sender, data, .. }]
            if sender.client_id() == Some(first_id) && data == "hello"
    ));
    assert!(world.updates.iter().any(|update| matches!(
        update,
        ServerUpdate::Event(RelayEvent::Broadcast { payload, .. }) if payload == "hello"
    )));
}

#[tokio::test(start_paused = true)]
async fn the_program_says_something_to_all_but_some_and_what_may_be_lost() {
    let mut world = World::new().await;
    let (mut first, first_id) = world.join().await;
    let (mut second, _) = world.join().await;
    let of_first = world.updates.iter().find_map(|update| match update {
        ServerUpdate::Event(RelayEvent::ConnectionOpened { conn, client_id, .. }) => {
            (*client_id == first_id).then_some(*conn)
        }
        _ => None,
    });
    let (room, message_type) = (name("lobby"), MessageType::RAW);
    for (except, payload) in [(of_first, "not you"), (None, "all")] {
        world.server.send(ServerCommand::Broadcast {
            room: room.clone(),
            delivery: Delivery::Reliable,
            except: except.into_iter().collect(),
            message_type,
            payload: payload.into(),
        });
    }
    for payload in ["old", "new"] {
        world.server.send(ServerCommand::Direct {
            conns: of_first.into_iter().collect(),
            room: None,
            delivery: Delivery::Latest(3),
            message_type,
            payload: payload.into(),
        });
    }
    world.server.flush();
    world.step().await;
    let said = |client: &mut ClientBridge| -> Vec<String> {
        let told = events(poll(client)).into_iter().filter_map(|event| match event {
            ServerEvent::Broadcast { data, .. } => {
                Some(String::from_utf8_lossy(&data).into_owned())
            }
            ServerEvent::Direct { data, missed, .. } => {
                Some(format!("{} {missed:?}", String::from_utf8_lossy(&data)))
            }
            _ => None,
        });
        told.collect()
    };
    let mut told = said(&mut first);
    told.sort();
    assert_eq!(told, ["all", "new Some(1)"]);
    assert_eq!(said(&mut second), ["not you", "all"]);
}

#[tokio::test(start_paused = true)]
async fn messages_beyond_the_outbox_are_not_taken() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    let mut taken = 0;
    while client.send(say(&[7; 60_000])).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, (1 << 20) / 60_200);
    client.send(Request::Ping).unwrap();
    client.flush();
    client.send(say(b"again")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_is_told_so_and_nothing_else() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    client.send(ClientCommand::Disconnect).unwrap();
    client.flush();
    world.step().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let updates = poll(&mut client);
    assert!(
        matches!(
            updates[..],
            [ClientUpdate::Disconnected { reason: ClientEnd::Requested, retry_in: None }]
        ),
        "{updates:?}"
    );
    assert_eq!(world.server.handle().client_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_join_may_ask_for_what_was_said_before() {
    let mut world = World::new().await;
    let config = RoomConfig::default().replay(2);
    world.server.send(ServerCommand::ConfigureRoom { name: name("lobby"), config });
    let (mut speaker, _) = world.join().await;
    for payload in [b"one", b"two", b"six"] {
        speaker.send(say(payload)).unwrap();
    }
    speaker.flush();
    world.step().await;
    let mut newcomer = world.connect(Client::builder());
    let options = JoinOptions { replay: Replay::Last(8), ..JoinOptions::default() };
    let room = name("lobby");
    newcomer.send(Request::Join { room, options, if_nowhere: false }).unwrap();
    newcomer.flush();
    world.step().await;
    let said: Vec<_> = events(poll(&mut newcomer))
        .into_iter()
        .filter_map(|event| match event {
            ServerEvent::Broadcast { replay: true, data, .. } => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["two", "six"]);
}
