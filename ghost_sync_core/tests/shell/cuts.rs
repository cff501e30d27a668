//! Links that break all the time, at any byte: nobody misses anything, nobody
//! hears anything twice, and nobody speaks twice.

use std::{sync::Arc, time::Duration};

use ghost_sync_core::{Client, ClientId, ServerEvent, ServerHandle, ServerMessage};
use tokio::sync::Notify;

use crate::support::{hear_joined, next, server};

const MESSAGES: u32 = 1000;

/// A client whose link breaks when `cut` says so, wherever its bytes are then.
async fn cuttable(server: &ServerHandle, cut: &Arc<Notify>) -> Client {
    let (server, cut) = (server.clone(), cut.clone());
    let connector = move || {
        let (ours, mut theirs) = tokio::io::duplex(100);
        let (mut inside, cut) = (server.connect_local(), cut.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut theirs, &mut inside) => {}
                () = cut.notified() => {}
            }
        });
        std::future::ready(Ok(ours))
    };
    let mut client = Client::builder().connect_through(connector).await.unwrap();
    client.join("lobby").await.unwrap();
    hear_joined(&mut client, "lobby").await;
    client
}

/// Says its messages, a few at a time.
fn talk(client: &Client) {
    let sender = client.sender().clone();
    tokio::spawn(async move {
        for number in 0..MESSAGES {
            sender.broadcast(number.to_le_bytes()).await.unwrap();
            if number % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    });
}

/// What a client heard from others, and how often it came back.
async fn listen(mut client: Client, others: u32) -> (ClientId, Vec<(u64, ClientId, u32)>, u32) {
    let (mut heard, mut resumed) = (Vec::new(), 0);
    while heard.len() < (others * MESSAGES) as usize {
        match next(&mut client).await {
            ServerEvent::Broadcast { seq, sender, data, .. } => {
                let sender_id = sender.client_id().unwrap();
                heard.push((seq, sender_id, u32::from_le_bytes(data[..].try_into().unwrap())));
            }
            ServerEvent::Resumed => resumed += 1,
            event @ (ServerEvent::ResumeFailed { .. }
            | ServerEvent::PlayerLeft { .. }
            | ServerEvent::Gap { .. }
            | ServerEvent::Refused(_)) => panic!("{event:?}"),
            _ => {}
        }
    }
    (client.client_id(), heard, resumed)
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_all_the_time_hears_exactly_the_rooms_log() {
    let server = server().await;
    let cuts: Vec<_> = (0..3).map(|_| Arc::new(Notify::new())).collect();
    let mut clients = Vec::new();
    for cut in &cuts {
        clients.push(cuttable(&server, cut).await);
    }
    let seats = server.room_clients("lobby").unwrap();
    for client in &clients {
        talk(client);
    }
    let cutter = tokio::spawn(async move {
        let mut random = fastrand::Rng::with_seed(7);
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(1..200))).await;
            cuts[random.usize(..cuts.len())].notify_waiters();
        }
    });
    let ears: Vec<_> = clients.into_iter().map(|client| tokio::spawn(listen(client, 2))).collect();
    let mut told = Vec::new();
    for ear in ears {
        told.push(ear.await.unwrap());
    }
    cutter.abort();
    let mut log = Vec::new();
    for event in server.history("lobby", 1, usize::MAX).unwrap().events {
        if let Ok(ServerMessage::Broadcast { seq, sender, payload, .. }) =
            ServerMessage::decode(&event.frame[4..])
        {
            log.push((seq, sender, u32::from_le_bytes(payload.try_into().unwrap())));
        }
    }
    assert_eq!(log.len(), 3 * MESSAGES as usize, "nobody spoke twice");
    let mut resumed = 0;
    for (own, heard, times) in told {
        resumed += times;
        let due = log.iter().map(|(seq, seat, number)| (*seq, seats[seat.0 as usize - 1], *number));
        let due: Vec<_> = due.filter(|(_, sender, _)| *sender != own).collect();
        assert_eq!(heard, due);
    }
    assert!(resumed > 5, "only {resumed} times");
}

#[tokio::test(start_paused = true)]
async fn a_killed_program_is_back_at_once_as_the_same_player() {
    let server = server().await;
    let witness = cuttable(&server, &Arc::default()).await;
    let cut = Arc::new(Notify::new());
    let killed = cuttable(&server, &cut).await;
    let ticket = killed.ticket().expect("the server holds sessions");
    let (id, start) = (killed.client_id(), tokio::time::Instant::now());
    // Nobody says goodbye for it; the server may not even know yet.
    std::mem::forget(killed);
    let connecting = Client::builder().session(ticket).connect_over(server.connect_local());
    let mut again = connecting.await.unwrap();
    assert_eq!(again.client_id(), id);
    let event = next(&mut again).await;
    let ServerEvent::Joined { room, members, rejoined: true, .. } = event else { panic!() };
    assert_eq!((room.as_str(), members.len()), ("lobby", 2));
    again.broadcast("I am back").await.unwrap();
    let (_, heard, _) = hear_one(witness).await;
    assert_eq!(heard, "I am back");
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(server.client_count(), 2);
}

async fn hear_one(mut client: Client) -> (ClientId, String, u64) {
    loop {
        if let ServerEvent::Broadcast { sender, data, seq, .. } = next(&mut client).await {
            let sender_id = sender.client_id().unwrap();
            return (sender_id, String::from_utf8_lossy(&data).into_owned(), seq);
        }
    }
}
