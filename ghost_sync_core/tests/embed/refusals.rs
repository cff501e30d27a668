//! What cannot be done comes back to the program.

use bytes::Bytes;
use ghost_sync_core::{
    Client, ConnectError, Delivery, MAX_HELLO, MessageType, MetadataError, Refusal, RelayEvent,
    Request, RequestError, RequestKind, SendFlags, ServerEvent, embed::*, link::LocalStream,
};
use tokio::{runtime::Handle, task::yield_now};

use crate::world::{STEPS, World, events, name, parted, poll, say};

#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_comes_back() {
    let mut world = World::new().await;
    let mut client = world.connect(Client::builder());
    client.send(say(b"too early")).unwrap();
    client.flush();
    world.step().await;
    client.send(say(b"in no room")).unwrap();
    client.flush();
    world.step().await;
    let events = events(poll(&mut client));
    let [ServerEvent::Refused(early), ServerEvent::Refused(late)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((early.request, early.reference), (RequestKind::Broadcast, None));
    assert_eq!(late.reason, Refusal::NotInRoom);
}

#[tokio::test(start_paused = true)]
async fn what_the_program_cannot_say_or_set_comes_back_to_it_in_order() {
    let mut world = World::new().await;
    let (_client, client_id) = world.join().await;
    let conn = world.updates.iter().find_map(|update| match update {
        ServerUpdate::Event(RelayEvent::ConnectionOpened { conn, client_id: id, .. }) => {
            (*id == client_id).then_some(*conn)
        }
        _ => None,
    });
    let conn = conn.unwrap();
    world.updates.clear();
    let (message_type, long) = (MessageType(7), Bytes::from(vec![0; 70_000]));
    let (room, key, value) = (name("lobby"), "k".to_owned(), Some("v".repeat(100_000)));
    world.server.send(ServerCommand::SetRoomMetadata {
        room: room.clone(),
        key: key.clone(),
        value: Some("map".to_owned()),
    });
    world.server.send(ServerCommand::Broadcast {
        room: room.clone(),
        delivery: Delivery::Reliable,
        except: Vec::new(),
        message_type,
        payload: long.clone(),
    });
    world.server.send(ServerCommand::Direct {
        conns: vec![conn],
        room: Some(room.clone()),
        delivery: Delivery::Volatile,
        message_type,
        payload: long.clone(),
    });
    world.server.send(ServerCommand::BroadcastAll { message_type, payload: long.clone() });
    world.server.send(ServerCommand::BroadcastLast {
        room: name("nowhere"),
        key: 1,
        except: Vec::new(),
        message_type,
        payload: Bytes::new(),
    });
    world.server.send(ServerCommand::SetRoomMetadata {
        room,
        key: key.clone(),
        value: value.clone(),
    });
    world.server.send(ServerCommand::SetClientMetadata { conn, key, value });
    world.server.flush();
    world.step().await;
    let told = world.updates.iter().map(|update| match update {
        ServerUpdate::Event(RelayEvent::RoomMetadataChanged { .. }) => "set".to_owned(),
        ServerUpdate::Unsent { to, message_type: MessageType(7), payload, error } => {
            let to = match to {
                Audience::Room(room) => room.to_string(),
                Audience::Clients { conns, room } => {
                    assert_eq!((&conns[..], room), (&[conn][..], &Some(name("lobby"))));
                    "one".to_owned()
                }
                Audience::Everybody => "all".to_owned(),
            };
            format!("{to} {} {error}", payload.len())
        }
        ServerUpdate::MetadataRefused { of, key, value, error: MetadataError::TooLarge { .. } } => {
            assert_eq!((key.as_str(), value.as_ref().unwrap().len()), ("k", 100_000));
            match of {
                MetadataOwner::Room(room) => format!("meta of {room}"),
                MetadataOwner::Client(of) if *of == conn => "meta of the client".to_owned(),
                MetadataOwner::Client(other) => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    });
    let told: Vec<_> = told.collect();
    let too_large = "a payload of 70000 bytes is too large: at most 65536 are allowed";
    let expected = [
        "set".to_owned(),
        format!("lobby 70000 {too_large}"),
        format!("one 70000 {too_large}"),
        format!("all 70000 {too_large}"),
        "nowhere 0 room \"nowhere\" not found".to_owned(),
        "meta of lobby".to_owned(),
        "meta of the client".to_owned(),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_wait_for_a_connection_is_refused_as_such() {
    let (mut client, _lines) = parted(Client::builder()).await;
    let room = Some(name("lobby"));
    let say = Request::Broadcast {
        room: room.clone(),
        delivery: Delivery::Reliable,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload: Bytes::new(),
    };
    for request in [Request::Ping, Request::ListRooms, say] {
        client.send(request).unwrap();
    }
    client.flush();
    for _ in 0..STEPS {
        yield_now().await;
    }
    let refused: Vec<_> = events(poll(&mut client))
        .into_iter()
        .map(|event| match event {
            ServerEvent::Refused(error) => {
                (error.request, error.room, error.reference, error.reason)
            }
            event => panic!("{event:?}"),
        })
        .collect();
    let requests =
        [(RequestKind::Ping, None), (RequestKind::ListRooms, None), (RequestKind::Broadcast, room)];
    let expected = requests.map(|(request, room)| (request, room, None, Refusal::NotConnected));
    assert_eq!(refused, expected);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_work_is_told_before_anything_is_dialled() {
    let network = Network::from_handle(Handle::current());
    let dialled = Connector::new(|| -> std::future::Ready<std::io::Result<LocalStream>> {
        panic!("dialled")
    });
    let through = || Target::Through(dialled.clone());
    let web = || Target::Addr("http://127.0.0.1:1".to_owned());
    let empty_key = "metadata that no server takes: \"\" is not a key of metadata: \
                     a key of metadata needs at least one character";
    let many = "metadata that no server takes: metadata is limited to 2048 bytes and 32 entries";
    let url = "\"http://127.0.0.1:1\" is not the address of a server: \
               write HOST:PORT without http://";
    let cases = [
        (Client::builder().metadata("", "v"), through(), empty_key),
        (Client::builder().metadata("k", "v".repeat(2048)), through(), many),
        (Client::builder(), web(), url),
    ];
    for (builder, target, words) in cases {
        let mut client = ClientBridge::connect(&network, builder, target, Reconnect::default());
        for _ in 0..STEPS {
            yield_now().await;
        }
        let updates = poll(&mut client);
        let [
            ClientUpdate::Connecting { attempt: 0 },
            ClientUpdate::Disconnected { reason, retry_in: None },
        ] = &updates[..]
        else {
            panic!("{updates:?}")
        };
        assert_eq!(reason.to_string(), words);
        assert!(!reason.may_retry());
    }
    let data = Client::builder().data(vec![0; MAX_HELLO]);
    let mut client = ClientBridge::connect(&network, data, through(), Reconnect::default());
    for _ in 0..STEPS {
        yield_now().await;
    }
    let updates = poll(&mut client);
    assert!(
        matches!(
            updates[..],
            [
                _,
                ClientUpdate::Disconnected {
                    reason: ClientEnd::Connect(ConnectError::HelloTooLarge { .. }),
                    retry_in: None
                }
            ]
        ),
        "{updates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn metadata_that_no_server_takes_is_refused_without_a_connection_too() {
    let network = Network::from_handle(Handle::current());
    let nowhere = Connector::new(std::future::pending::<std::io::Result<LocalStream>>);
    let target = Target::Through(nowhere);
    let mut client =
        ClientBridge::connect(&network, Client::builder(), target, Reconnect::default());
    let set =
        |key: &str, len| Request::SetMetadata { key: key.to_owned(), value: Some("v".repeat(len)) };
    for command in [set("", 1), set("k", 2048), set("k", 2047)] {
        client.send(command).unwrap();
    }
    client.flush();
    for _ in 0..STEPS {
        yield_now().await;
    }
    let refused: Vec<_> = events(poll(&mut client))
        .into_iter()
        .map(|event| match event {
            ServerEvent::Refused(RequestError {
                request: RequestKind::SetMetadata,
                reason,
                ..
            }) => reason,
            event => panic!("{event:?}"),
        })
        .collect();
    assert!(
        matches!(
            refused[..],
            [
                Refusal::InvalidMetadataKey { .. },
                Refusal::MetadataTooLarge { max_bytes: 2048, max_entries: 32 }
            ]
        ),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_flushed_when_the_client_has_ended_comes_back() {
    let network = Network::from_handle(Handle::current());
    let target = Target::Addr("nowhere".to_owned());
    let mut client =
        ClientBridge::connect(&network, Client::builder(), target, Reconnect::default());
    for _ in 0..STEPS {
        yield_now().await;
    }
    client.send(say(b"too late")).unwrap();
    client.flush();
    client.send(say(b"later still")).unwrap();
    client.flush();
    let lost = client.take_lost();
    assert!(
        matches!(lost[..], [ClientCommand::Request(Request::Broadcast { .. })]),
        "of one flush: {lost:?}"
    );
    assert!(client.take_lost().is_empty());
    let updates = poll(&mut client);
    let [.., ClientUpdate::Disconnected { retry_in: None, .. }] = &updates[..] else {
        panic!("{updates:?}")
    };
}
