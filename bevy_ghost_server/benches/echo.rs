//! How long a player waits for an answer of the server's systems, over a real socket: a
//! server that wakes when something arrives against one that looks 60 times a second.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bevy::{app::ScheduleRunnerPlugin, prelude::*};
use bevy_ghost_server::{
    ConnectionClosed, Limits, ServerStarted, WakeRunnerPlugin, prelude::*, typed::MessageRegistry,
};
use ghost_sync_core::{
    Client, ServerEvent,
    wire::{MessageType, Protocol},
};

/// What is echoed.
#[derive(Clone, Copy, SchemaRead, SchemaWrite)]
struct Echo([u8; 32]);

/// How the server's app is updated.
#[derive(Clone, Copy, Debug)]
enum Runner {
    /// When something arrives, but not twice within so many milliseconds, and 64 times
    /// a second.
    Wake(u64),
    /// So many times a second.
    Fixed(u32),
}

/// What a round of measuring has found.
struct Found {
    /// Of all echoes of all players, sorted.
    times: Vec<Duration>,
    /// Of one core, by all threads of the server, the network's too.
    cpu: Option<f64>,
}

/// Between two messages of a player: no multiple of a frame, so that they come at any
/// time in one.
const PAUSE: Duration = Duration::from_micros(17_300);

fn main() {
    // As Criterion does: `cargo test --benches` says neither.
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    let (echoes, rounds) = if asked("--bench") && !asked("--test") { (400, 3) } else { (3, 1) };
    println!("{:>10} {:>8} {:>10} {:>10} {:>8}", "runner", "players", "p50", "p99", "CPU");
    for players in [1, 32] {
        for _ in 0..rounds {
            for runner in [Runner::Wake(1), Runner::Wake(4), Runner::Fixed(60)] {
                let Found { times, cpu } = measure(runner, players, echoes);
                let at = |share: usize| times[(times.len() - 1) * share / 100];
                let cpu = cpu.map_or_else(|| "?".to_owned(), |cpu| format!("{:.1} %", cpu * 100.0));
                let (runner, p50, p99) = (format!("{runner:?}"), at(50), at(99));
                println!("{runner:>10} {players:>8} {p50:>10.1?} {p99:>10.1?} {cpu:>8}");
            }
        }
    }
}

fn measure(runner: Runner, players: usize, echoes: usize) -> Found {
    let (started, addr) = mpsc::channel();
    let server = thread::spawn(move || serve(runner, started));
    let (addr, protocol) = addr.recv().expect("the server starts");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime without threads needs nothing that can be missing");
    let found = runtime.block_on(play(addr, protocol, players, echoes));
    assert_eq!(server.join().expect("the server does not panic"), AppExit::Success);
    found
}

/// Runs a server that echoes, until its last player has gone.
fn serve(runner: Runner, started: mpsc::Sender<(SocketAddr, Protocol)>) -> AppExit {
    let mut app = App::new();
    match runner {
        Runner::Wake(millis) => {
            let min_interval = Duration::from_millis(millis);
            let runner = WakeRunnerPlugin { min_interval, ..WakeRunnerPlugin::default() };
            let own = MinimalPlugins.build().disable::<ScheduleRunnerPlugin>();
            app.add_plugins((own, runner));
        }
        Runner::Fixed(rate) => {
            let frames = ScheduleRunnerPlugin::run_loop(Duration::from_secs(1) / rate);
            app.add_plugins(MinimalPlugins.set(frames));
        }
    }
    let mut plugin = GhostServerPlugin::bind("127.0.0.1:0");
    plugin.config.relay.limits = Limits::none();
    app.add_plugins(plugin)
        .add_ghost_message::<Echo>()
        .add_systems(Startup, |mut commands: Commands| {
            commands.spawn(Room::new("hall"));
        })
        .add_systems(Update, (answer, leave))
        .add_observer(move |server: On<ServerStarted>, types: Res<MessageRegistry>| {
            let addr = server.addr.expect("it listens");
            started
                .send((addr, types.protocol().unwrap_or_default()))
                .expect("somebody waits for it");
        })
        .run()
}

fn answer(mut said: MessageReader<FromPlayer<Echo>>, mut answers: MessageWriter<ToPlayer<Echo>>) {
    answers.write_batch(said.read().map(|said| ToPlayer::new(said.player, said.message)));
}

fn leave(
    mut closed: MessageReader<ConnectionClosed>,
    server: Res<GhostServer>,
    mut exit: MessageWriter<AppExit>,
) {
    if closed.read().count() > 0 && server.connections == 0 {
        exit.write(AppExit::Success);
    }
}

async fn play(addr: SocketAddr, protocol: Protocol, players: usize, echoes: usize) -> Found {
    let mut clients = Vec::new();
    for _ in 0..players {
        let client = Client::builder().protocol(protocol.clone()).connect(addr).await;
        let mut client = client.expect("the server runs");
        client.join("hall").await.expect("the connection is there");
        while !matches!(next(&mut client).await, ServerEvent::Joined { .. }) {}
        clients.push(client);
    }
    let (before, since) = (cpu_of_others(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        let offset = PAUSE * u32::try_from(number).unwrap_or(0) / 32;
        tasks.spawn(echo(client, offset, echoes));
    }
    let played = tasks.join_all().await;
    let (passed, after) = (since.elapsed(), cpu_of_others());
    let mut times = Vec::new();
    for (client, took) in played {
        times.extend(took);
        client.disconnect().await;
    }
    times.sort_unstable();
    let cpu = before.zip(after).map(|(before, after)| (after - before).div_duration_f64(passed));
    Found { times, cpu }
}

/// Says something again and again, and measures until the answer is there.
async fn echo(mut client: Client, offset: Duration, echoes: usize) -> (Client, Vec<Duration>) {
    let mut pace = tokio::time::interval_at(tokio::time::Instant::now() + offset, PAUSE);
    let mut times = Vec::new();
    for _ in 0..echoes {
        pace.tick().await;
        let started = Instant::now();
        let sent = client.send_to_server_with(Some("hall"), MessageType::of("Echo"), [7; 32]).await;
        sent.expect("the connection is there");
        loop {
            if let ServerEvent::Direct { data, .. } = next(&mut client).await {
                assert_eq!(data[..], [7; 32]);
                break;
            }
        }
        times.push(started.elapsed());
    }
    (client, times)
}

async fn next(client: &mut Client) -> ServerEvent {
    client.recv().await.expect("the connection is there").expect("the client was not closed")
}

/// What all threads but this one have computed up to now; only Linux tells.
fn cpu_of_others() -> Option<Duration> {
    let own = std::fs::read_link("/proc/thread-self").ok()?.file_name()?.to_owned();
    let tasks = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    let others = tasks.filter(|task| task.file_name() != own);
    let nanos = others.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(nanos.sum()))
}
