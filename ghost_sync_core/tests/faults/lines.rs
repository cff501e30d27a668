//! Honest clients on bad lines: everything, or a clean end.

use std::time::Duration;

use ghost_sync_core::{Client, ServerEvent};

use crate::{
    proxy::{Chaos, End, Line, Proxy},
    rig::{PATIENCE, Rig, SHARED, until},
};

/// Joins over a line with this weather, says something `count` times and waits
/// until it has come back; `false` if the line ended before that.
async fn talk_over(rig: &Rig, chaos: Chaos, count: u64) -> bool {
    let proxy = Proxy::start("127.0.0.1:0", rig.addr, chaos).await.unwrap();
    let talk = async {
        let mut client = Client::connect(proxy.addr()).await.ok()?;
        client.join(SHARED).await.ok()?;
        let joined = client.recv().await.ok()??;
        let ServerEvent::Joined { seq, .. } = joined else { panic!("{joined:?}") };
        let flags = ghost_sync_core::SendFlags::ECHO;
        for number in 0..count {
            let options = ghost_sync_core::SendOptions { flags, ..Default::default() };
            client.broadcast_with(number.to_le_bytes(), options).await.ok()?;
        }
        let (mut heard, mut next) = (0, seq + 1);
        while heard < count {
            let event = client.recv().await.ok()??;
            let ServerEvent::Broadcast { seq, sender, data, .. } = event else {
                panic!("{event:?}")
            };
            assert_eq!(seq, next, "in order, all of them");
            next += 1;
            if sender.client_id() == Some(client.client_id()) {
                assert_eq!(data, heard.to_le_bytes()[..]);
                heard += 1;
            }
        }
        Some(())
    };
    let done = tokio::time::timeout(PATIENCE, talk).await.expect("it ends, well or not").is_some();
    drop(proxy);
    assert!(until(|| rig.server.client_count() == 4).await);
    done
}

fn both_ways(seed: u64, line: Line) -> Chaos {
    Chaos { seed, up: line.clone(), down: line, ..Chaos::default() }
}

#[tokio::test]
async fn slow_trembling_and_chopped_lines_lose_nothing() {
    let rig = Rig::new().await;
    let delay = Duration::from_millis(5);
    for (seed, line) in [
        Line { delay, jitter: delay * 4, ..Line::default() },
        Line { pieces: 3, ..Line::default() },
        Line { gather: delay * 4, ..Line::default() },
        Line { bytes_per_second: 100_000, pieces: 100, jitter: delay, ..Line::default() },
    ]
    .into_iter()
    .enumerate()
    {
        assert!(talk_over(&rig, both_ways(seed as u64, line), 60).await);
    }
    rig.finish().await;
}

#[tokio::test]
async fn lines_that_break_anywhere_end_cleanly() {
    let rig = Rig::new().await;
    for (seed, end) in
        [End::Reset, End::Close, End::HalfClose].into_iter().cycle().take(18).enumerate()
    {
        let breaking = Line { end: Some((end, 60..3000)), ..Line::default() };
        let mut chaos = Chaos { seed: seed as u64, ..Chaos::default() };
        if seed % 2 == 0 {
            chaos.up = breaking
        } else {
            chaos.down = breaking
        }
        assert!(!talk_over(&rig, chaos, 500).await);
    }
    rig.finish().await;
}

#[tokio::test]
async fn a_line_that_is_cut_again_and_again_is_usable_in_between() {
    let rig = Rig::new().await;
    let chaos = Chaos { cut_every: Duration::from_millis(60), ..Chaos::default() };
    let proxy = Proxy::start("127.0.0.1:0", rig.addr, chaos).await.unwrap();
    for round in 0..15 {
        let Ok(mut client) = Client::connect(proxy.addr()).await else { continue };
        let _ = client.join(SHARED).await;
        if round % 5 == 0 {
            proxy.cut();
        }
        while let Ok(Some(_)) = client.recv().await {}
    }
    proxy.change(|chaos| chaos.refuse = true);
    assert!(Client::connect(proxy.addr()).await.unwrap_err().may_retry());
    proxy.change(|chaos| *chaos = Chaos::default());
    assert!(talk_over(&rig, Chaos::default(), 20).await);
    drop(proxy);
    rig.finish().await;
}
