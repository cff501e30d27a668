//! Clients that are greeted anew, with another id.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ghost_sync_core::{Client, RelayEvent, RequestKind, ServerEvent, embed::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use crate::world::{Lines, World, events, join, name, parted, poll};

#[tokio::test(start_paused = true)]
async fn a_client_that_is_greeted_anew_is_told_its_new_id_before_its_rooms() {
    let mut world = World::new().await;
    let lines = Lines::default();
    lines.lead_to(Some(world.server.handle()));
    let target = Target::Through(lines.connector());
    let reconnect = Reconnect::default();
    let mut client = ClientBridge::connect(&world.network, Client::builder(), target, reconnect);
    client.send(join("lobby")).unwrap();
    client.flush();
    world.step().await;
    poll(&mut client);

    lines.lead_to(None);
    let mut world = World::new().await;
    lines.lead_to(Some(world.server.handle()));
    world.pass().await;
    let mut updates = poll(&mut client);
    let ticket = |update: &mut ClientUpdate| matches!(update, ClientUpdate::Ticket { .. });
    assert_eq!(updates.extract_if(.., ticket).count(), 1);
    let [
        ClientUpdate::Event(ServerEvent::Reconnecting { .. }),
        ClientUpdate::Event(ServerEvent::ResumeFailed { .. }),
        ClientUpdate::Connected { client_id: new, user: None, resumed: None },
        ClientUpdate::Event(ServerEvent::Joined { client_id, rejoined: true, .. }),
    ] = updates[..]
    else {
        panic!("{updates:?}")
    };
    assert_eq!(new, client_id);

    // One that says goodbye to everybody ends the session, and is come back to as well.
    let (message, deadline) = ("restart".to_owned(), Duration::from_secs(1));
    world.server.send(ServerCommand::Shutdown { message, deadline });
    world.server.flush();
    world.step().await;
    let mut world = World::new().await;
    lines.lead_to(Some(world.server.handle()));
    world.pass().await;
    let updates = poll(&mut client);
    assert!(
        matches!(
            updates.last(),
            Some(ClientUpdate::Event(ServerEvent::Joined { rejoined: true, .. }))
        ),
        "{updates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_join_of_the_program_beside_that_of_the_client_itself_is_one_seat() {
    let (mut client, lines) = parted(Client::builder()).await;
    let mut world = World::new().await;
    lines.lead_to(Some(world.server.handle()));
    let mut updates = Vec::new();
    while !updates.iter().any(|update| matches!(update, ClientUpdate::Connected { .. })) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.step().await;
        client.poll(&mut updates);
    }
    client.send(join("lobby")).unwrap();
    client.flush();
    world.step().await;
    client.poll(&mut updates);
    let told: Vec<_> = events(updates)
        .into_iter()
        .map(|event| match event {
            ServerEvent::Joined { rejoined, .. } => format!("joined, rejoined: {rejoined}"),
            ServerEvent::AlreadyJoined { room } => format!("already in {room}"),
            event => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(told, ["joined, rejoined: true", "already in lobby"]);
    let seats = |update: &&ServerUpdate| {
        matches!(
            update,
            ServerUpdate::Event(RelayEvent::PlayerJoined { .. } | RelayEvent::PlayerLeft { .. })
        )
    };
    assert_eq!(world.updates.iter().filter(seats).count(), 1, "{:?}", world.updates);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_gone_after_a_restart_is_told_apart_from_one_that_was_asked_for() {
    for asks in [false, true] {
        let (mut client, lines) = parted(Client::builder()).await;
        if asks {
            client.send(join("lobby")).unwrap();
            client.flush();
        }
        let mut world = World::new().await;
        let (name, message) = (name("lobby"), String::new());
        world.server.send(ServerCommand::CloseRoom { name: name.clone(), message });
        world.server.flush();
        world.step().await;
        lines.lead_to(Some(world.server.handle()));
        world.pass().await;
        let told = events(poll(&mut client));
        let [ServerEvent::Refused(error)] = &told[..] else { panic!("{told:?}") };
        let request = if asks { RequestKind::Join } else { RequestKind::Rejoin };
        assert_eq!((error.request, &error.room), (request, &Some(name.clone())));
        // Neither is asked for again.
        lines.lead_to(Some(world.server.handle()));
        world.pass().await;
        let told = events(poll(&mut client));
        assert!(!told.iter().any(|event| matches!(event, ServerEvent::Refused(_))), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_in_no_room_that_is_greeted_anew_is_told_its_new_id() {
    let mut world = World::new().await;
    let lines = Lines::default();
    lines.lead_to(Some(world.server.handle()));
    let (target, reconnect) = (Target::Through(lines.connector()), Reconnect::default());
    let mut client = ClientBridge::connect(&world.network, Client::builder(), target, reconnect);
    world.step().await;
    poll(&mut client);
    lines.lead_to(Some(world.server.handle()));
    world.pass().await;
    let mut updates = poll(&mut client);
    let ticket = |update: &mut ClientUpdate| matches!(update, ClientUpdate::Ticket { .. });
    assert_eq!(updates.extract_if(.., ticket).count(), 1);
    assert!(
        matches!(
            updates[..],
            [
                ClientUpdate::Event(ServerEvent::Reconnecting { .. }),
                ClientUpdate::Event(ServerEvent::ResumeFailed { .. }),
                ClientUpdate::Connected { .. }
            ]
        ),
        "{updates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_answers_for_a_server_that_is_started_again_ends_no_client() {
    let mut world = World::new().await;
    let handle = world.server.handle();
    let (dials, cut) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, wait) = (dials.clone(), cut.clone());
    let way = Connector::new(move || {
        let (handle, wait) = (handle.clone(), wait.clone());
        // The second to the fourth time, somebody else is there.
        let stranger = (1..4).contains(&count.fetch_add(1, Ordering::Relaxed));
        async move {
            let (mut near, far) = tokio::io::duplex(1 << 16);
            if stranger {
                near.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await?;
                tokio::spawn(async move { near.read(&mut [0; 64]).await });
            } else {
                let mut server = handle.connect_local();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut server) => {}
                        () = wait.notified() => {}
                    }
                });
            }
            Ok(far)
        }
    });
    for resume in [true, false] {
        dials.store(0, Ordering::Relaxed);
        let mut builder = Client::builder();
        if !resume {
            builder = builder.resume_for(Duration::ZERO);
        }
        let target = Target::Through(way.clone());
        let mut client =
            ClientBridge::connect(&world.network, builder, target, Reconnect::default());
        client.send(join("lobby")).unwrap();
        client.flush();
        world.step().await;
        poll(&mut client);
        cut.notify_waiters();
        for _ in 0..3 {
            world.pass().await;
        }
        let updates = poll(&mut client);
        let over =
            |it: &ClientUpdate| matches!(it, ClientUpdate::Disconnected { retry_in: None, .. });
        assert!(!updates.iter().any(over), "{updates:?}");
        let back = |it: &ClientUpdate| {
            let resumed = matches!(it, ClientUpdate::Event(ServerEvent::Resumed));
            resumed || matches!(it, ClientUpdate::Connected { .. })
        };
        assert!(updates.iter().any(back), "{updates:?}");
        assert_eq!(dials.load(Ordering::Relaxed), 5);
    }
}
