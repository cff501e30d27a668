//! A relay that runs out of something.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
    sync::mpsc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use ghost_sync_core::{
    Client, ClientMessage, CloseReason, ConnectError, MessageType, RoomId, ServerEvent,
};

use crate::{
    daemon::{PATIENCE, Relay, command, command_after},
    people::{Pair, Raw, enter},
};

#[tokio::test]
async fn fault_37_a_relay_without_descriptors_waits_for_some_and_serves_whom_it_has() {
    let mut command = command_after("ulimit -n 64", &[]);
    let relay = Relay::spawn(command.stderr(Stdio::null()));
    let mut pair = Pair::join(relay.addr).await;
    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(relay.addr).unwrap()).collect();
    pair.talk().await;
    if let Some(before) = relay.process.processor_time() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let used = relay.process.processor_time().unwrap() - before;
        assert!(used < 50, "{used} % of a processor to do nothing");
    } else {
        eprintln!("skipped a check: no /proc to read the processor's time from");
    }
    pair.talk().await;
    // Who says something takes the place of those who say nothing, and waits for nobody.
    let start = Instant::now();
    Pair::join(relay.addr).await.talk().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(crowd);
    Pair::join(relay.addr).await.talk().await;
    pair.talk().await;
}

#[test]
fn fault_39_a_limit_of_files_below_what_clients_need_is_said_at_the_start() {
    let mut command = command_after("ulimit -n 64", &["--max-clients", "500"]);
    let mut relay = Relay::spawn(command.stderr(Stdio::piped()));
    relay.process.signal("TERM");
    let mut text = String::new();
    relay.process.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("only 64 files may be open"), "{text}");
}

#[tokio::test]
async fn fault_36_memory_does_not_grow_with_connections_that_came_and_went() {
    let relay = Relay::start(&[]);
    let mut pair = Pair::join(relay.addr).await;
    let mut memory = Vec::new();
    for _ in 0..4 {
        for number in 0..500 {
            let mut raw = Raw::connect(relay.addr);
            if number % 2 == 0 {
                let _ = raw.stream.write_all(&[0xff; 100]);
            } else {
                raw.stream.read_exact(&mut [0; 8]).unwrap();
            }
        }
        pair.talk().await;
        memory.extend(relay.process.memory());
    }
    let Some((first, last)) = memory.first().zip(memory.last()) else {
        return eprintln!("skipped: no /proc to read the memory from");
    };
    // The first rounds warm the allocator up.
    assert!(last - first.min(last) < 4096, "kilobytes: {memory:?}");
}

#[tokio::test]
async fn fault_22_a_crowd_that_says_nothing_does_not_keep_a_client_out() {
    let relay = Relay::start(&["--max-clients", "2000"]);
    let crowd: Vec<_> = (0..800).filter_map(|_| TcpStream::connect(relay.addr).ok()).collect();
    let start = Instant::now();
    Pair::join(relay.addr).await.talk().await;
    assert!(start.elapsed() < PATIENCE / 6, "{:?} with {}", start.elapsed(), crowd.len());
}

#[tokio::test]
async fn fault_42_rooms_that_are_too_many_to_record_are_said_once() {
    let dir = std::env::temp_dir().join(format!("ghost-sync-recordings-{}", std::process::id()));
    let record = ["--record", &dir.display().to_string(), "--max-recordings", "4"];
    let args = [&record[..], &["--create-on-join", "--limits", "none"]].concat();
    let mut relay = Relay::spawn(command("127.0.0.1:0", &args).stderr(Stdio::piped()));
    let (sender, lines) = mpsc::channel();
    let stderr = BufReader::new(relay.process.0.stderr.take().unwrap());
    std::thread::spawn(move || {
        stderr.lines().map_while(Result::ok).try_for_each(|l| sender.send(l))
    });
    let mut client = enter(relay.addr, "first").await;
    for room in 0..50 {
        client.join(&format!("room-{room}")).await.unwrap();
    }
    let is_said = |line: &String| line.contains("no more are recorded");
    let start = Instant::now();
    while !lines.try_iter().any(|line| is_said(&line)) {
        assert!(start.elapsed() < PATIENCE, "it is not said");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for room in 50..100 {
        client.join(&format!("room-{room}")).await.unwrap();
    }
    while !matches!(
        client.recv().await.unwrap(),
        Some(ServerEvent::Joined { room, .. }) if room == *"room-99"
    ) {}
    // The relay looks for new rooms five times a second.
    tokio::time::sleep(Duration::from_millis(500)).await;
    relay.process.0.kill().unwrap();
    assert_eq!(lines.iter().filter(is_said).count(), 0, "it is said again and again");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 4);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn fault_44_who_floods_is_put_out_and_its_address_barred() {
    let relay = Relay::start(&["--gate-loopback", "--limit-messages", "10/20"]);
    // A client of ours would keep to the limits.
    let flooder = Raw::connect(relay.addr);
    let mut stream = flooder.stream.try_clone().unwrap();
    let (room, message_type, payload) = (RoomId(0), MessageType::RAW, &b"again and again"[..]);
    let mut words = BytesMut::new();
    ClientMessage::ToServer { room, message_type, payload }.encode(&mut words);
    let flood = std::thread::spawn(move || {
        while stream.write_all(&words).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let limited = CloseReason::RateLimited { retry_after_ms: 60_000 };
    assert_eq!(flooder.answer_pings(), Some(limited), "which is longer than the seat is held");
    flood.join().unwrap();
    let error = Client::connect(relay.addr).await.unwrap_err();
    let ConnectError::RateLimited { retry_after } = error else { panic!("{error}") };
    assert!(retry_after > Duration::from_secs(50) && error.may_retry(), "{retry_after:?}");
}
