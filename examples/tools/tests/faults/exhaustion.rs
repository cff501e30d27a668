//! A relay that runs out of something.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{
    daemon::{PATIENCE, Relay, command_after},
    people::{Pair, Raw},
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
