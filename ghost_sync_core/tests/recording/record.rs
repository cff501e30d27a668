//! What a recorder writes.

use std::{
    io::{self, Write},
    sync::mpsc,
    time::Duration,
};

use ghost_sync_core::{
    RoomConfig, RoomHistory, Seat, Server, ServerEvent, ServerMessage,
    recording::{Ending, RecordedEvent, Recording},
};
use tokio::time::sleep;

use crate::support::{
    Disk, fastest, join, latest, next, play_a_match, recorded, rest, said, serve, watch_joined,
};

/// A disk that takes nothing until it is let.
struct StuckDisk(Disk, mpsc::Receiver<()>);

impl Write for StuckDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.1.recv();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_what_a_member_received() {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    let mut witness = join(&server, "Eve").await;
    play_a_match(&server).await;
    let summary = recorder.stop().await.unwrap();
    let mut live = Vec::new();
    while live.len() < 11 {
        live.push(next(&mut witness).await);
    }
    server.shutdown().await;

    let recording = disk.read();
    assert_eq!((recording.room().as_str(), recording.first_seq()), ("arena", 1));
    assert_eq!(recording.ending(), Ending::Stopped);
    assert_eq!((summary.events, summary.missed, summary.last_seq), (12, 0, 12));
    assert_eq!(summary.bytes, disk.bytes().len() as u64);
    assert_eq!(recording.duration(), Duration::from_secs(3));

    // Whoever watches is given what the witness was given, its own join apart.
    let (mut viewer, joined) = watch_joined(&recording.serve(fastest())).await;
    let ServerEvent::Joined { seat, members, seq: 0, epoch, .. } = joined else {
        panic!("{joined:?}")
    };
    assert_eq!((seat, members.len(), epoch), (Seat(u32::MAX), 1, recording.epoch()));
    let mut watched = rest(&mut viewer).await;
    let own_join = watched.remove(0);
    assert!(matches!(own_join, ServerEvent::PlayerJoined { seat: Seat(1), .. }), "{own_join:?}");
    assert_eq!(watched, live);
}

#[tokio::test(start_paused = true)]
async fn events_can_be_read_without_a_connection() {
    let recording = Recording::read(&recorded().await[..]).unwrap();
    let events: Vec<RecordedEvent<'_>> = recording.events().collect();
    let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
    assert_eq!((events[0].at, events[1].at), (Duration::ZERO, Duration::from_secs(1)));
    assert!(matches!(
        events[2].message,
        ServerMessage::Broadcast { sender: Seat(1), payload: b"hello", .. }
    ));
    assert_eq!((recording.first_seq(), recording.last_seq()), (1, 11));

    let state = recording.state_before(10);
    assert_eq!(state.seq(), 9);
    assert_eq!(state.metadata().collect::<Vec<_>>(), [("map", "moon")]);
    let members: Vec<_> = state.members().map(|member| member.meta.clone()).collect();
    let meta = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        members,
        [vec![meta("name", "Ada")], vec![meta("name", "Bob"), meta("team", "red")]]
    );
}

#[tokio::test(start_paused = true)]
async fn a_room_that_forgot_its_beginning_is_recorded_from_now_on() {
    let server = serve(Server::builder()).await;
    let mut ada = join(&server, "Ada").await;
    let config = RoomConfig::default().history(RoomHistory { events: 4, ..RoomHistory::default() });
    server.configure_room("arena", config).unwrap();
    let bob = join(&server, "Bob").await;
    bob.broadcast_with("first", latest(1)).await.unwrap();
    for _ in 0..10 {
        bob.broadcast("noise").await.unwrap();
    }
    for _ in 0..12 {
        next(&mut ada).await;
    }
    sleep(Duration::from_secs(1)).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    bob.broadcast("live").await.unwrap();
    next(&mut ada).await;
    recorder.stop().await.unwrap();

    let recording = disk.read();
    assert_eq!((recording.first_seq(), recording.last_seq()), (14, 14));
    assert_eq!(recording.start().members().count(), 2);
    let (mut viewer, joined) = watch_joined(&recording.serve(fastest())).await;
    assert!(matches!(joined, ServerEvent::Joined { seq: 13, .. }), "{joined:?}");
    // What a newcomer would have been told, then what happened.
    let heard: Vec<_> = rest(&mut viewer).await.into_iter().map(said).collect();
    assert_eq!(heard, [(3, true, "first".into()), (14, false, "live".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_recording_ends_with_its_room() {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    let _ada = join(&server, "Ada").await;
    server.delete_room("arena").unwrap();
    server.create_room("arena").unwrap();
    let summary = recorder.finished().await.unwrap();
    assert!(summary.room_gone);
    let recording = disk.read();
    assert_eq!(recording.ending(), Ending::RoomGone);
    let last = recording.events().last().unwrap();
    assert!(matches!(last.message, ServerMessage::RoomDeleted { .. }), "{last:?}");
    assert!(server.record("nowhere", Disk::default()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_dropped_writes_what_has_happened() {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    server.broadcast("arena", "last words").unwrap();
    drop(recorder);
    while Recording::read(&disk.bytes()[..]).map_or(true, |r| r.ending() != Ending::Stopped) {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(disk.read().last_seq(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_makes_a_gap_and_harms_nobody() {
    let server = serve(Server::builder()).await;
    let config = RoomConfig::default().history(RoomHistory { events: 8, ..RoomHistory::default() });
    server.configure_room("arena", config).unwrap();
    let disk = Disk::default();
    let (unstick, stuck) = mpsc::channel();
    let recorder = server.record("arena", StuckDisk(disk.clone(), stuck)).unwrap();
    let mut ada = join(&server, "Ada").await;
    let bob = join(&server, "Bob").await;
    for number in 0..50 {
        bob.broadcast(format!("{number}")).await.unwrap();
    }
    bob.set_metadata("team", "red").await.unwrap();
    server.set_room_metadata("arena", "map", "moon").unwrap();
    while !matches!(next(&mut ada).await, ServerEvent::PlayerMetadata { .. }) {}
    drop(unstick);
    // The recorder comes back to a room that has moved on.
    while Recording::read(&disk.bytes()[..]).map_or(true, |recording| recording.last_seq() == 0) {
        sleep(Duration::from_millis(50)).await;
    }
    bob.broadcast("after").await.unwrap();
    while !matches!(next(&mut ada).await, ServerEvent::Broadcast { .. }) {}
    let summary = recorder.stop().await.unwrap();
    assert_eq!((summary.missed, summary.events, summary.last_seq), (54, 1, 55));

    let recording = disk.read();
    let events: Vec<_> = recording.events().map(|event| (event.seq, event.message)).collect();
    assert!(matches!(events[0], (54, ServerMessage::Gap { from: 1, to: 54, .. })), "{events:?}");
    assert_eq!(recording.state_before(20), recording.state_before(55));
    // A viewer learns who is there all the same, and is told what it misses.
    let (mut viewer, _) = watch_joined(&recording.serve(fastest())).await;
    let events = rest(&mut viewer).await;
    assert!(matches!(events[0], ServerEvent::PlayerJoined { seat: Seat(1), seq: 1, .. }));
    assert!(matches!(events[1], ServerEvent::PlayerJoined { seat: Seat(2), seq: 2, .. }));
    assert!(matches!(events[2], ServerEvent::RoomMetadata { seq: 3, .. }), "{events:?}");
    assert!(matches!(events[3], ServerEvent::Gap { from: 4, to: 54, own: 0, .. }), "{events:?}");
    assert_eq!(said(events[4].clone()), (55, false, "after".into()));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_ends_the_recording_with_its_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = serve(Server::builder()).await;
    let error = server.record("arena", Full).unwrap().stop().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_room_is_recorded_whole() {
    const WORDS: u64 = 5000;
    let server = serve(Server::builder()).await;
    // Enough for a machine that has other things to do.
    let history = RoomHistory { events: 20_000, bytes: 8 << 20, ..RoomHistory::default() };
    server.configure_room("arena", RoomConfig::default().history(history)).unwrap();
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    let mut clients = Vec::new();
    for name in ["Ada", "Bob", "Eve"] {
        clients.push(join(&server, name).await);
    }
    let talking = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let sender = client.sender().clone();
            let listen = tokio::spawn(async move {
                let mut heard = 0;
                while heard < 2 * WORDS {
                    heard += u64::from(matches!(
                        client.recv().await,
                        Ok(Some(ServerEvent::Broadcast { .. }))
                    ));
                }
                client
            });
            for word in 0..WORDS {
                sender.broadcast(word.to_le_bytes()).await.unwrap();
                if word % 100 == 0 {
                    sleep(Duration::from_millis(5)).await;
                }
            }
            listen.await.unwrap()
        })
    });
    let talking: Vec<_> = talking.collect();
    let mut clients = Vec::new();
    for talker in talking {
        clients.push(talker.await.unwrap());
    }
    let summary = recorder.stop().await.unwrap();
    assert_eq!((summary.missed, summary.events), (0, 3 + 3 * WORDS));
    let (mut viewer, _) = watch_joined(&disk.read().serve(fastest())).await;
    for seq in 1..=3 + 3 * WORDS {
        #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else happened")]
        match next(&mut viewer).await {
            ServerEvent::PlayerJoined { seq: found, .. }
            | ServerEvent::Broadcast { seq: found, .. } => assert_eq!(found, seq),
            event => panic!("{event:?}"),
        }
    }
}
