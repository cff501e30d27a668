//! The two programs, used as a user would.

#![expect(clippy::unwrap_used, reason = "a test ends where it does not go on")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

#[cfg(unix)]
use ghost_sync_core::{Client, ServerEvent, recording::Ending};

/// A relay on a port of its own, stopped at the end.
struct Relay {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addr: String,
}

impl Relay {
    fn start(args: &[&str]) -> Self {
        Self::of(&mut relay(args))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, stdout, addr }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn relay(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.args(["--bind", "127.0.0.1:0"]).args(args);
    command
}

fn loadtest(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_first_line_says_where_the_relay_listens() {
    let relay = Relay::start(&[]);
    let addr: std::net::SocketAddr = relay.addr.parse().unwrap();
    assert!(addr.ip().is_loopback());
    assert_ne!(addr.port(), 0);
    std::net::TcpStream::connect(addr).unwrap();
}

#[cfg(unix)]
#[test]
fn a_relay_that_is_asked_to_stop_drains_and_ends_well() {
    for signal in ["-TERM", "-INT"] {
        let mut relay = Relay::start(&["--drain", "1s"]);
        let pid = relay.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(relay.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        relay.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "nothing else is said on standard output");
    }
}

#[test]
fn a_taken_port_is_named() {
    let first = Relay::start(&[]);
    let second = Command::new(env!("CARGO_BIN_EXE_relay")).args(["--bind", &first.addr]).output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains(&format!("{} is in use already", first.addr)));
    assert!(second.stdout.is_empty());
}

#[test]
fn an_unreadable_rooms_file_is_named() {
    let output = relay(&["--rooms-file", "no/such/file"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot read the rooms file no/such/file"));
}

#[test]
fn bad_usage_has_an_exit_code_of_its_own() {
    for args in [
        &["--no-such-flag"][..],
        &["--bind", "nonsense"],
        &["--room", ""],
        &["--max-clients", "0"],
        &["--idle-timeout", "soon"],
        &["--ping-interval", "40s"],
        &["--tick", "16"],
        &["--resume-grace", "soon"],
        &["--replay", "all"],
        &["--log", "=,="],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_relay")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).starts_with("error: "), "{args:?}");
    }
    for args in [
        &["--payload", "7"][..],
        &["--rate", "0"],
        &["--members", "4", "--stall", "5"],
        &["--saturate", "8", "--delivery", "volatile"],
        &["--dialect", "redis"],
        &["--dialect", "smoke", "127.0.0.1:1"],
        &["--dialect", "nats", "127.0.0.1:1", "--delivery", "latest"],
        &["--dialect", "mqtt", "127.0.0.1:1", "--room-prefix", "a/+"],
        &["--dialect", "floor", "127.0.0.1:1", "--saturate", "8"],
    ] {
        assert_eq!(loadtest(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_number_that_could_be_milliseconds_or_seconds_is_asked_about() {
    let output = Command::new(env!("CARGO_BIN_EXE_relay")).args(["--tick", "16"]).output().unwrap();
    let text = stderr(&output);
    assert!(text.contains("--tick") && text.contains("write 16ms or 16s"), "{text}");
}

#[test]
fn a_setting_that_makes_no_sense_is_named_as_it_was_written() {
    for (flag, value) in [("--max-payload", "99999999"), ("--outbox-limit", "1")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        let output = command.args(["--bind", "127.0.0.1:0", flag, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{flag}");
        let text = stderr(&output);
        assert!(text.contains(&format!("error: {flag} is {value}, must be ")), "{text}");
    }
}

#[test]
fn rooms_come_from_flags_and_from_a_file_and_nowhere_else() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("rooms.txt");
    fs::write(&file, "# two\nfrom-file-0\n\n  from-file-1  \n").unwrap();
    let relay = Relay::start(&["--room", "flag-0", "--rooms-file", file.to_str().unwrap()]);
    let reach = |prefix, rooms| {
        loadtest(&[&relay.addr, "--room-prefix", prefix, "--rooms", rooms, "--seconds", "0.1"])
    };
    assert!(reach("flag-", "1").status.success());
    assert!(reach("from-file-", "2").status.success());
    let refused = reach("from-file-", "3");
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("room \"from-file-2\" not found"));
    assert!(stderr(&refused).contains("--create-on-join"));
}

#[test]
fn a_short_load_loses_nothing() {
    let relay = Relay::start(&["--create-on-join"]);
    let args = ["--rooms", "2", "--members", "4", "--rate", "20", "--seconds", "1", "--json"];
    let output = loadtest(&[&[relay.addr.as_str()][..], &args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["unannounced_losses"], 0);
    assert_eq!(report["unexpected"], 0);
    assert_eq!(report["received"], report["expected"]);
    // 2 rooms, 4 senders, 20 Hz, 2 s with the warm-up, 3 others each
    assert_eq!(report["expected"], 2 * 4 * 20 * 2 * 3);
    assert!(report["latency_us"]["samples"].as_u64().unwrap() > 0);
}

#[test]
fn a_saturated_server_answers_every_message() {
    let args = ["--members", "3", "--saturate", "4", "--seconds", "0.2", "--json"];
    let output = loadtest(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["received"], report["expected"]);
    assert!(report["received"].as_u64().unwrap() > 100);
}

#[test]
fn a_server_that_speaks_another_language_is_said_plainly() {
    let relay = Relay::start(&["--create-on-join"]);
    for dialect in ["redis", "mqtt", "ws", "socketio"] {
        let output = loadtest(&[&relay.addr, "--dialect", dialect, "--members", "2"]);
        assert_eq!(output.status.code(), Some(1), "{dialect}");
        let said = stderr(&output);
        assert!(said.contains("error: bot 1 of 2 is not where it should be"), "{said}");
    }
}

#[test]
fn the_floor_talks_to_those_who_listen() {
    let mut floor = Command::new(env!("CARGO_BIN_EXE_floor"));
    let floor = Relay::of(floor.args(["--sockets", "2", "--frames", "3", "--payload", "64"]));
    let args = ["--dialect", "floor", "--members", "2", "--seconds", "0.2", "--json"];
    let output = loadtest(&[&[floor.addr.as_str()][..], &args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["unexpected"], 0);
    assert!(report["received"].as_u64().unwrap() > 100);
}

#[test]
fn a_comparison_can_be_kept_and_shown_and_drawn() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (file, page) = (dir.join("results.json"), dir.join("page.md"));
    let compare = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_compare")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let path = file.to_str().unwrap();
    let args = ["w1", "--quick", "--case", "1 x 64", "--seconds", "0.2"];
    let said = compare(&[&args[..], &["--server", "ghost", "--json", path]].concat());
    assert!(said.contains("| 1 x 64, 64 B | Ghost Sync |"), "{said}");
    assert_eq!(compare(&["table", path]), said);
    let lines = "<!-- written by compare -->\n<!-- end of what compare writes -->\n";
    fs::write(&page, lines).unwrap();
    compare(&["table", path, "--into", page.to_str().unwrap()]);
    assert!(fs::read_to_string(&page).unwrap().contains(said.trim()));
    compare(&["plot", path, "--out", dir.to_str().unwrap()]);
    assert!(fs::read_to_string(dir.join("bench-rate.svg")).unwrap().contains("Ghost Sync"));
    // What is no result is named.
    let mut compare = Command::new(env!("CARGO_BIN_EXE_compare"));
    let output = compare.args(["table", page.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("page.md was not written by compare"));
}

#[test]
fn nobody_there_is_said_plainly() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = loadtest(&[&free.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("cannot connect to {free}")));
}

/// A proxy on a port of its own, stopped at the end.
struct Proxy {
    child: Child,
    addr: String,
}

impl Proxy {
    fn start(target: &str, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
        let mut child = command.arg(target).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, addr }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_proxy_slows_a_line_down_and_can_break_it() {
    let relay = Relay::start(&["--create-on-join"]);
    let run = |addr: &str| {
        let args = ["--members", "2", "--rate", "10", "--seconds", "1", "--json"];
        loadtest(&[&[addr][..], &args].concat())
    };
    let slow = Proxy::start(&relay.addr, &["--delay", "30ms", "--pieces", "7"]);
    let output = run(&slow.addr);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["received"], report["expected"]);
    let broken = Proxy::start(&relay.addr, &["--direction", "down", "--reset-at", "200..400"]);
    assert!(!run(&broken.addr).status.success());
    let mut usage = Command::new(env!("CARGO_BIN_EXE_proxy"));
    usage.args(["h:1", "--reset-at", "5..5"]);
    assert_eq!(usage.output().unwrap().status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn rooms_are_recorded_and_their_recordings_played() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("recordings");
    let _ = fs::remove_dir_all(&dir);
    let path = dir.to_str().unwrap();
    let mut relay = Relay::start(&["--create-on-join", "--record", path]);
    let args = [&relay.addr, "--room-prefix", "a/b-", "--members", "2", "--seconds", "0.5"];
    assert!(loadtest(&args).status.success());
    let pid = relay.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(relay.child.wait().unwrap().code(), Some(0));
    drop(relay);

    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("a_b-0-"));
    let recording = ghost_sync_core::Recording::open(file).unwrap();
    assert_eq!(recording.room(), &"a/b-0");
    assert_eq!((recording.first_seq(), recording.ending()), (1, Ending::Stopped));

    let mut player = Command::new(env!("CARGO_BIN_EXE_relay"));
    // An older one, as a pattern finds it too.
    let older = dir.join("a_b-0-older");
    fs::write(&older, "no recording").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(&older).unwrap().set_modified(long_ago).unwrap();
    player.arg("play").args([file, &older]).args(["--bind", "127.0.0.1:0", "--speed", "max"]);
    let player = Relay::of(&mut player);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut played = 0;
    runtime.block_on(async {
        let mut viewer = Client::connect(&player.addr).await.unwrap();
        viewer.join("a/b-0").await.unwrap();
        while !matches!(viewer.recv().await.unwrap(), Some(ServerEvent::Left { .. })) {
            played += 1;
        }
    });
    // `Joined` beside the events.
    assert_eq!(played, recording.last_seq() + 1);

    let output =
        Command::new(env!("CARGO_BIN_EXE_relay")).args(["play", "no/such/file"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot play no/such/file"), "{}", stderr(&output));
}

/// A directory of its own, removed at the end.
struct Dir(std::path::PathBuf);

impl Dir {
    fn new() -> Self {
        let name = format!("ghost-sync-tools-{}", ghost_sync_core::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn token(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.arg("token").args(args).output().unwrap()
}

#[tokio::test]
async fn a_relay_lets_in_who_shows_a_token_of_its_key_and_nobody_who_is_banned() {
    let dir = Dir::new();
    fs::write(dir.path("dev.secret"), "d0b1c7a94e2f5368d0c1b7a94e2f5368\n").unwrap();
    fs::write(dir.path("bans.jsonl"), "{\"user\":\"mallory\",\"message\":\"cheating\"}\n").unwrap();
    let (keys, bans) = (dir.path(""), dir.path("bans.jsonl"));
    let relay = Relay::start(&["--auth", &keys, "--require-token", "--bans", &bans]);
    let connect = async |args: &[&str]| {
        let key = dir.path("dev.secret");
        let made = token(&[&["--key", key.as_str()], args].concat());
        assert!(made.status.success(), "{}", stderr(&made));
        let token = String::from_utf8(made.stdout).unwrap();
        Client::builder().token(token.trim()).connect(&*relay.addr).await
    };
    let ada =
        connect(&["--user", "ada", "--room", "lob*", "--metadata", "name=Ada"]).await.unwrap();
    assert_eq!(ada.user().unwrap(), "ada");
    ada.join("lobby").await.unwrap();
    let mallory = connect(&["--user", "mallory"]).await.map(drop).unwrap_err().to_string();
    assert!(mallory.contains("cheating"), "{mallory}");
    let other = connect(&["--user", "ada", "--audience", "elsewhere"]).await.map(drop);
    assert!(other.unwrap_err().to_string().contains("not for this server"));
    let without = Client::connect(&*relay.addr).await.map(drop).unwrap_err().to_string();
    assert!(without.contains("a token is needed"), "{without}");
}

#[test]
fn keys_and_bans_that_cannot_be_read_are_named_and_nothing_starts() {
    let dir = Dir::new();
    let keys = dir.path("");
    let none = relay(&["--auth", &keys]).output().unwrap();
    assert!(!none.status.success() && stderr(&none).contains(&keys), "{}", stderr(&none));
    fs::write(dir.path("dev.secret"), "changeme").unwrap();
    let weak = relay(&["--auth", &keys]).output().unwrap();
    assert!(!weak.status.success() && stderr(&weak).contains("dev.secret"), "{}", stderr(&weak));
    fs::write(dir.path("bans.jsonl"), "mallory\n").unwrap();
    let bans = dir.path("bans.jsonl");
    let wrong = relay(&["--bans", &bans]).output().unwrap();
    assert!(!wrong.status.success() && stderr(&wrong).contains("line 1"), "{}", stderr(&wrong));
    let key = dir.path("dev.secret");
    let unsigned = token(&["--key", &key, "--user", "ada"]);
    assert!(!unsigned.status.success() && stderr(&unsigned).contains("dev.secret"));
    let usage = token(&["--key", &key, "--user", ""]);
    assert_eq!(usage.status.code(), Some(2));
}
