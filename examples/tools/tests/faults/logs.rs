//! Logs that nobody reads, that cannot be written, and that others try to write.

use std::{
    fs::{self, File},
    io::Write,
    net::TcpStream,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use ghost_sync_core::{ClientMessage, CloseReason};

use crate::{
    daemon::{Relay, command, command_after},
    people::{Pair, Raw, enter},
};

fn file(name: &str) -> (PathBuf, File) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = File::create(&path).unwrap();
    (path, file)
}

const SOON: Duration = Duration::from_secs(2);

/// Connections of which each is worth a line or two to whoever logs everything.
fn knock(relay: &Relay, times: usize) {
    for _ in 0..times {
        // One that hangs waits for a connection that it will never get.
        let Ok(mut stream) = TcpStream::connect_timeout(&relay.addr, SOON) else { return };
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
    }
}

#[tokio::test]
async fn fault_56_bad_peers_do_not_fill_the_log() {
    let (path, log) = file("flood.log");
    let relay = Relay::spawn(command("127.0.0.1:0", &["--log", "info"]).stderr(log));
    knock(&relay, 1000);
    Pair::join(relay.addr).await.talk().await;
    let len = fs::metadata(path).unwrap().len();
    assert!(len < 16 << 10, "{len} bytes about a thousand peers");
}

#[tokio::test]
async fn fault_68_what_clients_say_cannot_forge_lines_or_colours_of_the_log() {
    let (path, log) = file("forged.log");
    let args = ["--log", "debug", "--create-on-join"];
    let relay = Relay::spawn(command("127.0.0.1:0", &args).stderr(log));
    let nasty = "\u{1b}[31mred\u{7}\r\nFORGED ready".to_owned();
    for reason in [
        CloseReason::Protocol { what: nasty.clone() },
        CloseReason::ServerShutdown { message: nasty.clone(), retry_after_ms: 0 },
        CloseReason::Kicked { message: nasty },
    ] {
        let mut raw = Raw::connect(relay.addr);
        raw.say(&ClientMessage::Close { reason });
        raw.answer_pings();
    }
    for room in ["a\u{202e}b", "a\u{2028}FORGED", "a=b \"c\" {d}", "%0a%1b"] {
        enter(relay.addr, room).await.disconnect().await;
    }
    Pair::join(relay.addr).await.talk().await;
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("joined"), "the log is there: {text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{text}");
}

#[tokio::test]
async fn fault_111_a_relay_whose_standard_error_is_closed_serves_on() {
    let mut command = command_after("exec 2>&-", &["--log", "debug"]);
    let relay = Relay::spawn(&mut command);
    knock(&relay, 100);
    Pair::join(relay.addr).await.talk().await;
}

#[tokio::test]
async fn fault_111_a_relay_whose_log_is_on_a_full_disk_serves_on() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return eprintln!("skipped: no /dev/full here");
    };
    let relay = Relay::spawn(command("127.0.0.1:0", &["--log", "debug"]).stderr(full));
    knock(&relay, 100);
    Pair::join(relay.addr).await.talk().await;
}

#[tokio::test]
async fn fault_111_a_relay_whose_log_nobody_reads_serves_on() {
    let mut command = command("127.0.0.1:0", &["--log", "trace"]);
    let relay = Relay::spawn(command.stderr(Stdio::piped()));
    // Far more than a pipe holds.
    knock(&relay, 1500);
    Pair::join(relay.addr).await.talk().await;
}
