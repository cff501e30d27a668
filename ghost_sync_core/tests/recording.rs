//! Rooms are recorded, and recordings are read, watched and performed.

#![expect(clippy::unwrap_used, reason = "a test ends where it does not go on")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use bytes::Bytes;
use ghost_sync_core::{
    Client, ClientId, Delivery, History, LeaveReason, MessageType, Refusal, Request, RoomConfig,
    RoomName, Seat, SendOptions, Server, ServerBuilder, ServerEvent, ServerHandle, ServerMessage,
    recording::{
        Ending, PerformOptions, Playback, PlaybackOptions, RecordedEvent, Recording,
        RecordingError, Speed, WhyNot,
    },
};
use tokio::time::{Instant, sleep};

/// A file in memory.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Vec<u8>>>);

impl Disk {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn read(&self) -> Recording {
        Recording::read(&self.bytes()[..]).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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

async fn serve(builder: ServerBuilder) -> ServerHandle {
    builder.local_only().room("arena").build().run().await.unwrap()
}

async fn connect(server: &ServerHandle, name: &str) -> Client {
    let stream = server.connect_local();
    Client::builder().meta("name", name).connect_over(stream).await.unwrap()
}

async fn join(server: &ServerHandle, name: &str) -> Client {
    let mut client = connect(server, name).await;
    client.join("arena").await.unwrap();
    assert!(matches!(next(&mut client).await, ServerEvent::Joined { .. }));
    client
}

async fn next(client: &mut Client) -> ServerEvent {
    client.recv().await.expect("a connection").expect("an open one")
}

/// Events until the client is put out of the room, or nothing comes for a minute.
async fn rest(client: &mut Client) -> Vec<ServerEvent> {
    let mut events = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_secs(60), next(client)).await {
        if matches!(event, ServerEvent::Left { .. }) {
            break;
        }
        events.push(event);
    }
    events
}

async fn watch(playback: &Playback) -> Client {
    Client::builder().connect_over(playback.connect_local()).await.unwrap()
}

/// A viewer in the room, and the answer to its join.
async fn watch_joined(playback: &Playback) -> (Client, ServerEvent) {
    let mut viewer = watch(playback).await;
    viewer.join("arena").await.unwrap();
    let joined = next(&mut viewer).await;
    (viewer, joined)
}

fn fastest() -> PlaybackOptions {
    PlaybackOptions { speed: Speed::FASTEST, ..PlaybackOptions::default() }
}

fn latest(key: u32) -> SendOptions {
    SendOptions { delivery: Delivery::Latest(key), ..SendOptions::default() }
}

/// A small match: two players, words of all kinds, metadata, somebody who leaves.
async fn play_a_match(server: &ServerHandle) {
    let ada = join(server, "Ada").await;
    sleep(Duration::from_secs(1)).await;
    let mut bob = join(server, "Bob").await;
    ada.broadcast("hello").await.unwrap();
    ada.broadcast_with("here", latest(7)).await.unwrap();
    let typed = SendOptions {
        delivery: Delivery::Volatile,
        message_type: MessageType(9),
        ..SendOptions::default()
    };
    ada.broadcast_with("boom", typed).await.unwrap();
    for _ in 0..3 {
        next(&mut bob).await;
    }
    sleep(Duration::from_secs(2)).await;
    server.broadcast("arena", "half-time").unwrap();
    server.set_room_meta("arena", "map", "moon").unwrap();
    bob.set_meta("team", "red").await.unwrap();
    bob.broadcast("bye").await.unwrap();
    bob.leave().await.unwrap();
    while !matches!(next(&mut bob).await, ServerEvent::Left { .. }) {}
    ada.close().await;
}

/// The bytes of a recorded match.
async fn recorded() -> Vec<u8> {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    play_a_match(&server).await;
    recorder.stop().await.unwrap();
    server.shutdown().await;
    disk.bytes()
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
    assert_eq!(state.meta().collect::<Vec<_>>(), [("map", "moon")]);
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
    let config = RoomConfig::default().history(History { events: 4, ..History::default() });
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

fn said(event: ServerEvent) -> (u64, bool, Bytes) {
    let ServerEvent::Broadcast { seq, replay, data, .. } = event else { panic!("{event:?}") };
    (seq, replay, data)
}

#[tokio::test(start_paused = true)]
async fn speed_and_place_are_chosen_and_the_roster_is_that_of_the_place() {
    let recording = Recording::read(&recorded().await[..]).unwrap();
    for (times, whole) in [(1.0, 3000), (2.0, 1500), (0.5, 6000)] {
        let speed = Speed::new(times).unwrap();
        let playback = recording.serve(PlaybackOptions { speed, ..PlaybackOptions::default() });
        let start = Instant::now();
        let (mut viewer, _) = watch_joined(&playback).await;
        assert_eq!(rest(&mut viewer).await.len(), 11);
        assert_eq!(start.elapsed().as_millis(), whole);
    }
    // From the server's words on: 2 s are over, both are there, the value is known.
    let playback = recording.serve(PlaybackOptions { from: 6, ..PlaybackOptions::default() });
    let start = Instant::now();
    let (mut viewer, joined) = watch_joined(&playback).await;
    let ServerEvent::Joined { seq: 5, members, .. } = joined else { panic!("{joined:?}") };
    assert_eq!(members.len(), 3);
    assert_eq!(said(next(&mut viewer).await), (4, true, "here".into()));
    assert_eq!(said(next(&mut viewer).await), (6, false, "half-time".into()));
    assert_eq!(rest(&mut viewer).await.len(), 5);
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
}

#[test]
fn no_speed_is_none_or_backwards() {
    for wrong in [0.0, -1.0, f64::NAN] {
        assert_eq!(Speed::new(wrong), None);
    }
    assert_eq!(Speed::new(f64::INFINITY), Some(Speed::FASTEST));
}

#[tokio::test(start_paused = true)]
async fn every_viewer_has_a_clock_of_its_own_and_may_watch_again() {
    let playback =
        Recording::read(&recorded().await[..]).unwrap().serve(PlaybackOptions::default());
    let (mut first, _) = watch_joined(&playback).await;
    sleep(Duration::from_millis(1500)).await;
    let (mut second, _) = watch_joined(&playback).await;
    let start = Instant::now();
    assert_eq!(rest(&mut first).await.len(), 11);
    assert_eq!(start.elapsed().as_millis(), 1500);
    assert_eq!(rest(&mut second).await.len(), 11);
    assert_eq!(start.elapsed().as_millis(), 3000);
    first.join("arena").await.unwrap();
    assert!(matches!(next(&mut first).await, ServerEvent::Joined { .. }));
    assert_eq!(rest(&mut first).await.len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_cannot_speak_and_is_told_why() {
    let playback =
        Recording::read(&recorded().await[..]).unwrap().serve(PlaybackOptions::default());
    let (mut viewer, _) = watch_joined(&playback).await;
    let reference = viewer.broadcast("goal!").await.unwrap();
    viewer.set_meta("name", "Eve").await.unwrap();
    viewer.join("elsewhere").await.unwrap();
    viewer.join("arena").await.unwrap();
    viewer.list_rooms().await.unwrap();
    viewer.leave().await.unwrap();
    let mut refused = Vec::new();
    loop {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the match goes on beside it")]
        match next(&mut viewer).await {
            ServerEvent::Error(error) => refused.push(error),
            ServerEvent::Rooms { rooms, .. } => assert_eq!(rooms[0].name, "arena"),
            ServerEvent::Left { reason, .. } => break assert_eq!(reason, LeaveReason::Left),
            _ => {}
        }
    }
    let why = Refusal::Rejected { message: "this is a recording".into() };
    let arena = RoomName::new("arena").ok();
    assert_eq!(refused[0].request, Request::Broadcast { room: arena, reference });
    assert_eq!(refused[0].reason, why);
    assert_eq!(refused[1].reason, why);
    assert_eq!(refused[2].reason, Refusal::RoomNotFound { room: "elsewhere".into() });
    assert_eq!(refused.len(), 3, "it is in the arena already");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_a_long_silence_stays_connected() {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    server.broadcast("arena", "long ago").unwrap();
    sleep(Duration::from_secs(300)).await;
    server.broadcast("arena", "now").unwrap();
    recorder.stop().await.unwrap();
    let (mut viewer, _) = watch_joined(&disk.read().serve(PlaybackOptions::default())).await;
    let start = Instant::now();
    assert_eq!(said(next(&mut viewer).await).2, "long ago");
    assert_eq!(said(next(&mut viewer).await).2, "now");
    assert_eq!(start.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_full_house_takes_no_more_viewers() {
    let recording = Recording::read(&recorded().await[..]).unwrap();
    let playback =
        recording.serve(PlaybackOptions { max_viewers: 1, ..PlaybackOptions::default() });
    let first = watch(&playback).await;
    let second = Client::builder().connect_over(playback.connect_local()).await;
    assert!(second.unwrap_err().may_retry());
    first.close().await;
    watch(&playback).await;
}

#[tokio::test]
async fn viewers_come_over_tcp_too() {
    let playback = Recording::read(&recorded().await[..]).unwrap().serve(fastest());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { playback.listen(listener).await });
    let mut viewer = Client::connect(addr).await.unwrap();
    viewer.join("arena").await.unwrap();
    assert!(matches!(next(&mut viewer).await, ServerEvent::Joined { .. }));
    assert_eq!(rest(&mut viewer).await.len(), 11);
    server.abort();
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
    let config = RoomConfig::default().history(History { events: 8, ..History::default() });
    server.configure_room("arena", config).unwrap();
    let disk = Disk::default();
    let (unstick, stuck) = mpsc::channel();
    let recorder = server.record("arena", StuckDisk(disk.clone(), stuck)).unwrap();
    let mut ada = join(&server, "Ada").await;
    let bob = join(&server, "Bob").await;
    for number in 0..50 {
        bob.broadcast(format!("{number}")).await.unwrap();
    }
    bob.set_meta("team", "red").await.unwrap();
    server.set_room_meta("arena", "map", "moon").unwrap();
    while !matches!(next(&mut ada).await, ServerEvent::PlayerMeta { .. }) {}
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
    assert!(matches!(events[2], ServerEvent::RoomMeta { seq: 3, .. }), "{events:?}");
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

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_off_is_read_up_to_its_last_whole_record() {
    let bytes = recorded().await;
    let whole = Recording::read(&bytes[..]).unwrap();
    let all: Vec<_> = whole.events().collect();
    let mut before = 0;
    for len in 0..bytes.len() {
        match Recording::read(&bytes[..len]) {
            Ok(part) => {
                assert_eq!(part.ending(), Ending::CutOff);
                let events: Vec<_> = part.events().collect();
                assert_eq!(events, all[..events.len()]);
                assert!(events.len() >= before);
                before = events.len();
            }
            Err(RecordingError::NotARecording) => assert!(len < 10),
            Err(RecordingError::NoStart { .. }) => assert_eq!(before, 0),
            Err(error) => panic!("{len}: {error:?}"),
        }
    }
    assert_eq!(before, all.len());
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_never_goes_unnoticed() {
    let bytes = recorded().await;
    let whole = Recording::read(&bytes[..]).unwrap();
    let all: Vec<_> = whole.events().collect();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match Recording::read(&bytes[..]) {
            // A length that points past the end looks like the end.
            Ok(part) => {
                assert_eq!(part.ending(), Ending::CutOff, "bit {bit}");
                let events: Vec<_> = part.events().collect();
                assert_eq!(events, all[..events.len()]);
            }
            Err(RecordingError::Corrupt { offset, .. }) => assert!(offset <= bit as u64 / 8),
            Err(RecordingError::NoStart { offset }) => assert_eq!(offset, 10),
            Err(RecordingError::NotARecording | RecordingError::UnknownVersion { .. }) => {
                assert!(bit < 80);
            }
            Err(error) => panic!("{bit}: {error:?}"),
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let error = Recording::read(&longer[..]).unwrap_err();
    assert!(
        matches!(error, RecordingError::Corrupt { offset, .. } if offset == bytes.len() as u64)
    );
}

/// The log of a room, without the ids of this server's clients.
async fn log_of(server: &ServerHandle) -> Vec<ServerMessage<'static>> {
    let disk = Disk::default();
    server.record("arena", disk.clone()).unwrap().stop().await.unwrap();
    without_ids(&disk.read())
}

fn without_ids(recording: &Recording) -> Vec<ServerMessage<'static>> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "players cause nothing else")]
    let events = recording.events().map(|event| match event.message {
        ServerMessage::PlayerJoined { room, seq, mut member } => {
            member.client_id = ClientId::nil();
            ServerMessage::PlayerJoined { room, seq, member }
        }
        ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload } => {
            let payload = payload.to_vec().leak();
            ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload }
        }
        ServerMessage::PlayerMeta { room, seq, seat, version, key, value } => {
            let (key, value) =
                (key.to_owned().leak(), value.map(|value| &*value.to_owned().leak()));
            ServerMessage::PlayerMeta { room, seq, seat, version, key, value }
        }
        ServerMessage::PlayerLeft { room, seq, seat, reason } => {
            ServerMessage::PlayerLeft { room, seq, seat, reason }
        }
        message => panic!("{message:?}"),
    });
    events.collect()
}

/// A match in which everything is done by players.
async fn chatter(server: &ServerHandle) {
    let players = [join(server, "Ada").await, join(server, "Bob").await];
    for number in 0..20_u32 {
        let delivery = match number % 3 {
            0 => Delivery::Reliable,
            1 => Delivery::Volatile,
            _ => Delivery::Latest(number),
        };
        let options =
            SendOptions { delivery, message_type: MessageType(number), ..SendOptions::default() };
        let player = &players[number as usize / 2 % 2];
        player.broadcast_with(format!("word {number}"), options).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    players[1].set_meta("team", "red").await.unwrap();
    sleep(Duration::from_millis(10)).await;
    players[0].leave().await.unwrap();
    sleep(Duration::from_millis(10)).await;
    players[1].close().await;
}

async fn recorded_chatter() -> Recording {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    chatter(&server).await;
    recorder.stop().await.unwrap();
    disk.read()
}

#[tokio::test(start_paused = true)]
async fn a_performance_leaves_the_same_log_on_a_fresh_server() {
    let recording = recorded_chatter().await;
    let options = || PerformOptions { speed: Speed::FASTEST, ..PerformOptions::default() };
    for in_order in [true, false] {
        let server = serve(Server::builder()).await;
        let connector = || std::future::ready(Ok(server.connect_local()));
        let options = PerformOptions { in_order, ..options() };
        let performance = recording.perform(connector, options).await;
        assert!(performance.not_performed.is_empty(), "{:?}", performance.not_performed);
        assert_eq!((performance.performed, performance.left_out), (25, 0));
        assert!(performance.players.is_empty());
        let log = log_of(&server).await;
        if in_order {
            assert_eq!(log, without_ids(&recording));
        } else {
            assert_eq!(log.len(), 25);
        }
        server.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_performance_takes_as_long_as_the_match_and_leaves_out_the_server() {
    let recording = Recording::read(&recorded().await[..]).unwrap();
    let server = serve(Server::builder()).await;
    let connector = || std::future::ready(Ok(server.connect_local()));
    let start = Instant::now();
    let performance = recording.perform(connector, PerformOptions::default()).await;
    assert_eq!(start.elapsed().as_secs(), 3);
    assert!(performance.not_performed.is_empty(), "{:?}", performance.not_performed);
    // The words of the server and the metadata of its room.
    assert_eq!((performance.performed, performance.left_out), (9, 2));

    // From the middle on, those who were there join at once; one can stay.
    let options = PerformOptions { from: 6, speed: Speed::FASTEST, ..PerformOptions::default() };
    let cut = recording.events().nth(7).unwrap();
    assert!(matches!(cut.message, ServerMessage::PlayerMeta { .. }), "{cut:?}");
    let performance = recording.perform(connector, options).await;
    assert_eq!((performance.performed, performance.left_out), (6, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_refuses_is_reported() {
    let recording = recorded_chatter().await;
    let server = serve(Server::builder()).await;
    server.configure_room("arena", RoomConfig::default().capacity(1)).unwrap();
    let connector = || std::future::ready(Ok(server.connect_local()));
    let options = PerformOptions { speed: Speed::FASTEST, ..PerformOptions::default() };
    let performance = recording.perform(connector, options).await;
    let not = performance.not_performed;
    assert_eq!((not[0].seq, not[0].seat), (2, Seat(2)));
    assert!(matches!(&not[0].why, WhyNot::Refused(Refusal::RoomFull { capacity: 1, .. })));
    assert!(not[1..].iter().all(|not| matches!(not.why, WhyNot::NotInRoom)), "{not:?}");
    assert_eq!((performance.performed, not.len()), (12, 13));
}

#[tokio::test(start_paused = true)]
async fn players_who_did_not_leave_are_handed_over() {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    let _ada = join(&server, "Ada").await;
    recorder.stop().await.unwrap();
    let fresh = serve(Server::builder()).await;
    let there = fresh.clone();
    let connector = move || std::future::ready(Ok(there.connect_local()));
    let recording = disk.read();
    let performing = async move { recording.perform(connector, PerformOptions::default()).await };
    let performance = tokio::spawn(performing).await.unwrap();
    assert_eq!(performance.players.len(), 1);
    assert_eq!(fresh.room_client_count("arena"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_reported_for_each_player() {
    let connector = || {
        std::future::ready(Err::<tokio::io::DuplexStream, _>(
            io::ErrorKind::ConnectionRefused.into(),
        ))
    };
    let performance = recorded_chatter().await.perform(connector, PerformOptions::default()).await;
    assert_eq!((performance.performed, performance.not_performed.len()), (0, 25));
    assert!(matches!(performance.not_performed[0].why, WhyNot::NotConnected(_)));
}

/// Where the records of a file are: first byte of the header, length of the body.
fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut records = Vec::new();
    let mut at = 10;
    while at < bytes.len() {
        let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        records.push((at, len));
        at += 8 + len;
    }
    records
}

fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 }
        })
    })
}

/// Makes the checksum of a record right again.
fn sign(bytes: &mut [u8], (at, len): (usize, usize)) {
    let signed = [&bytes[at..at + 4], &bytes[at + 8..at + 8 + len]].concat();
    bytes[at + 4..at + 8].copy_from_slice(&crc_32(&signed).to_le_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_forged_record_is_refused_or_makes_sense() {
    let bytes = recorded().await;
    let mut sensible = 0;
    for record in records(&bytes) {
        for byte in record.0 + 8..record.0 + 8 + record.1 {
            for change in [0x01, 0x80, 0xff, 0x02] {
                let mut forged = bytes.clone();
                forged[byte] ^= change;
                sign(&mut forged, record);
                match Recording::read(&forged[..]) {
                    Ok(recording) => {
                        sensible += 1;
                        assert_eq!(recording.events().count(), 11);
                        recording.state_before(u64::MAX);
                        let _ = (recording.started_at(), recording.duration());
                    }
                    Err(RecordingError::Corrupt { offset, .. }) => {
                        assert!(offset >= record.0 as u64);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }
    assert!(sensible > 0);
}

#[tokio::test(start_paused = true)]
async fn a_length_that_lies_takes_no_memory() {
    let mut bytes = recorded().await;
    bytes.truncate(18);
    for (len, expected) in [(64 << 20, "NoStart"), (u32::MAX, "Corrupt")] {
        bytes[10..14].copy_from_slice(&u32::to_le_bytes(len));
        let error = Recording::read(&bytes[..]).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_room_is_recorded_whole() {
    const WORDS: u64 = 5000;
    let server = serve(Server::builder()).await;
    // Enough for a machine that has other things to do.
    let history = History { events: 20_000, bytes: 8 << 20, ..History::default() };
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
