//! A ready server without game logic.
//!
//! ```text
//! cargo run --release --bin relay -- --room lobby --room arena
//! cargo run --release --bin relay -- --record matches
//! cargo run --release --bin relay -- play matches/lobby-0123456789abcdef.ghostrec --speed 2
//! cargo run --release --bin relay -- --help
//! ```
//!
//! The first line on standard output is `listening on ADDRESS`; logs go to
//! standard error. Ctrl-C or SIGTERM drains: clients are told and get some time
//! to close; a second one quits at once.

mod access;
mod args;
mod limits;
mod play;
mod record;
mod rooms;
mod signals;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use args::Args;
use clap::{CommandFactory, Parser};
use ghost_sync_core::{
    BindError, ConfigError, CreateOnJoin, RelayConfig, RoomConfig, RoomHistory, RoomName, Server,
    ServerBuilder, auth::KeysError,
};
use ghost_sync_tools::{chain, descriptors};
use tracing_subscriber::EnvFilter;

/// What clients are told when the relay stops.
const GOODBYE: &str = "the relay was stopped";

/// Lines of the log that may wait to be written.
const LOG_LINES: usize = 4096;

/// Why the relay did not run to a regular end.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("cannot verify tokens")]
    Keys(#[from] KeysError),
    #[error("there is no token")]
    Token(#[from] access::TokenError),
    #[error(transparent)]
    Rooms(#[from] rooms::RoomsFileError),
    #[error(transparent)]
    Play(#[from] play::PlayError),
    #[error(transparent)]
    Record(#[from] record::RecordError),
    #[error("cannot start the relay")]
    Bind(#[source] BindError),
    #[error("--{} is {}, must be {}", .0.setting.replace('_', "-"), .0.given, .0.allowed)]
    Setting(ConfigError),
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

impl RelayError {
    fn starting(error: BindError) -> Self {
        if let BindError::Setting(fault) = error { Self::Setting(fault) } else { Self::Bind(error) }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(complaint) = args.check() {
        Args::command().error(clap::error::ErrorKind::ArgumentConflict, complaint).exit();
    }
    // A log that nobody reads, or a disk that is full, must not stop the relay: lines
    // are dropped then.
    let (stderr, _flush) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES)
        .finish(io::stderr());
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(filter(&args))
        .log_internal_errors(false)
        .init();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be gone; there is nobody else to tell.
            let _ = writeln!(io::stderr(), "error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<(), RelayError> {
    if let Some(args::Command::Play(play)) = &args.command {
        return runtime(args)?.block_on(play::serve(play));
    }
    if let Some(args::Command::Token(token)) = &args.command {
        let token = access::token(token)?;
        let _ = writeln!(io::stdout(), "{token}");
        return Ok(());
    }
    let rooms = rooms::of(args)?;
    if let Err(error) = descriptors::allow(args.max_clients, args.files()) {
        tracing::warn!("{}", chain(&error));
    }
    runtime(args)?.block_on(serve(args, &rooms))
}

fn runtime(args: &Args) -> Result<tokio::runtime::Runtime, RelayError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads.get())
        .thread_name("relay")
        .enable_all()
        .build()
        .map_err(RelayError::Threads)
}

async fn serve(args: &Args, rooms: &[RoomName]) -> Result<(), RelayError> {
    let signals = signals::Signals::new().map_err(RelayError::Signals)?;
    args.record.as_deref().map(record::prepare).transpose()?;
    let builder = builder(args, rooms).auth(args.access.auth()?);
    let server = builder.build().run().await.map_err(RelayError::starting)?;
    let recording = args
        .record
        .clone()
        .map(|dir| tokio::spawn(record::all(server.clone(), dir, args.max_recordings)));
    let addr = server.local_addr().map_or_else(|| args.bind.clone(), |addr| addr.to_string());
    let mut stdout = io::stdout();
    // Whoever started the relay may have closed its end; that is no reason to stop.
    let _ = writeln!(stdout, "listening on {addr}").and_then(|()| stdout.flush());
    tracing::info!(%addr, rooms = rooms.len(), max_clients = args.max_clients, "ready");

    let signal = signals.wait_and_quit_on_second().await;
    let clients = server.client_count();
    tracing::info!(signal, clients, within = ?args.drain, "draining; once more quits at once");
    server.shutdown_with(GOODBYE, args.drain).await;
    if let Some(recording) = recording {
        let _ = recording.await;
    }
    tracing::info!("stopped");
    Ok(())
}

fn builder(args: &Args, rooms: &[RoomName]) -> ServerBuilder {
    let mut history =
        RoomHistory { bytes: args.history, age: args.history_age, ..RoomHistory::default() };
    if args.history == 0 {
        history.reliable = 0;
    }
    let room = RoomConfig::default()
        .capacity(args.capacity)
        .history(history)
        .replay(args.replay)
        .retain(args.retain)
        .tick(args.tick);
    let made_on_join = room.clone().remove_when_empty(args.empty_room_timeout);
    let create = if args.create_on_join { CreateOnJoin::Always } else { CreateOnJoin::Never };
    let relay = RelayConfig {
        max_clients: args.max_clients,
        max_payload: args.max_payload,
        max_rooms: args.max_rooms,
        rooms_per_client: args.rooms_per_client,
        idle_timeout: args.idle_timeout,
        ping_interval: args.ping_interval,
        channel_capacity: args.channel_capacity,
        outbox_limit: args.outbox_limit,
        overflow: args.overflow.into(),
        resume_grace: args.resume_grace,
        history_limit: args.history_limit,
        limits: args.limits.limits(),
        gate: args.limits.gate(),
        links_per_user: args.access.links_per_user,
        kick_bar: args.access.kick_bar,
        create_on_join: create,
        room_defaults: made_on_join,
        client_metadata_keys: args
            .client_metadata_keys
            .clone()
            .map(|keys| keys.into_iter().collect()),
        ..RelayConfig::for_games()
    };
    let mut builder = Server::builder().relay(relay).senders(args.threads).bind(&args.bind);
    if let Some(path) = &args.access.bans {
        builder = builder.bans(path);
    }
    rooms.iter().fold(builder, |builder, name| builder.room_with(name.as_str(), room.clone()))
}

/// `--log`, else `RUST_LOG`, else `info`.
fn filter(args: &Args) -> EnvFilter {
    args.log.clone().unwrap_or_else(|| {
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"))
    })
}
