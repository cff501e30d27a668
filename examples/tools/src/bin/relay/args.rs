//! What can be said on the command line.

use std::{num::NonZeroUsize, path::PathBuf, thread::available_parallelism, time::Duration};

use clap::ValueEnum;
use ghost_sync_core::{
    OverflowPolicy, RelayConfig, RoomConfig, RoomHistory, RoomName, recording::Speed,
};
use tracing_subscriber::EnvFilter;

use crate::{
    access::{AccessArgs, TokenArgs},
    limits::LimitArgs,
};

/// Rooms for multiplayer games, without game logic: what a member says to its
/// room goes to everybody else in it.
///
/// Prints `listening on ADDRESS` first. Ctrl-C or SIGTERM drains, a second one
/// quits at once. Durations are written like 31s, 500ms or 2m; a bare number
/// means seconds, but not for --tick, which needs a unit.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "relay", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:7777", value_parser = host_and_port)]
    pub(crate) bind: String,

    /// A room to have from the start; may be given many times
    ///
    /// Without any, and without --create-on-join, there is one room: lobby.
    #[arg(long = "room", value_name = "NAME", value_parser = RoomName::new)]
    pub(crate) rooms: Vec<RoomName>,

    /// More rooms: one name per line, lines that start with # are comments
    #[arg(long, value_name = "FILE")]
    pub(crate) rooms_file: Option<PathBuf>,

    /// Joining a room that is not there makes it
    #[arg(long)]
    pub(crate) create_on_join: bool,

    /// Time after which a room that a join made is deleted when nobody is in it
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) empty_room_timeout: Duration,

    /// Seats of each room; 0 for as many as there are clients
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) capacity: u32,

    /// Clients at once
    #[arg(long, value_name = "N", default_value_t = limits().max_clients, value_parser = at_least_one)]
    pub(crate) max_clients: usize,

    /// Rooms at once
    #[arg(long, value_name = "N", default_value_t = limits().max_rooms, value_parser = at_least_one)]
    pub(crate) max_rooms: usize,

    /// Rooms that one client may be in, up to 2862; with 1, joining another leaves the first
    #[arg(long, value_name = "N", default_value_t = limits().rooms_per_client, value_parser = at_least_one)]
    pub(crate) rooms_per_client: usize,

    /// Bytes of one message
    #[arg(long, value_name = "BYTES", default_value_t = limits().max_payload, value_parser = at_least_one)]
    pub(crate) max_payload: usize,

    /// Silence after which a client is disconnected
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) idle_timeout: Duration,

    /// Time between pings, which keep a quiet client connected
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub(crate) ping_interval: Duration,

    /// Messages that may wait for one client
    #[arg(long, value_name = "N", default_value_t = limits().channel_capacity, value_parser = at_least_one)]
    pub(crate) channel_capacity: usize,

    /// Bytes that may wait for one client
    #[arg(long, value_name = "BYTES", default_value_t = limits().outbox_limit, value_parser = at_least_one)]
    pub(crate) outbox_limit: usize,

    /// Time that a client which lost its connection keeps its seats; 0 for none
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = any_duration)]
    pub(crate) resume_grace: Duration,

    /// Bytes of the past that each room keeps for those who come back; 0 for nothing
    #[arg(long, value_name = "BYTES", default_value_t = RoomHistory::default().bytes)]
    pub(crate) history: usize,

    /// Time for which it is kept
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = any_duration)]
    pub(crate) history_age: Duration,

    /// Bytes of the past that all rooms together keep
    #[arg(long, value_name = "BYTES", default_value_t = limits().history_limit)]
    pub(crate) history_limit: usize,

    /// Events of the past that a newcomer may ask for
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) replay: u32,

    /// Latest values of each client that its room keeps for newcomers
    #[arg(long, value_name = "N", default_value_t = RoomConfig::default().retain)]
    pub(crate) retain: usize,

    /// Keys of metadata that clients may set, such as name,color; all if not given
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    pub(crate) client_metadata_keys: Option<Vec<String>>,

    /// Time in which a room sends what is said at most once; 0 to send at once
    ///
    /// Where a core is half busy, a tick of 16ms saves a third of that, and
    /// everybody hears everything 8 ms later on average.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = short_duration)]
    pub(crate) tick: Duration,

    /// What becomes of droppable messages that wait for a client that is behind
    #[arg(long, value_enum, default_value_t = Overflow::DropOldest)]
    pub(crate) overflow: Overflow,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// Time that clients get to close when the relay stops
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = any_duration)]
    pub(crate) drain: Duration,

    /// Record every room to a file of its own in this directory
    ///
    /// Show them with `relay play FILE`.
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,

    /// Rooms that are recorded at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    pub(crate) max_recordings: usize,

    /// Worker threads
    #[arg(long, value_name = "N", default_value_t = default_threads())]
    pub(crate) threads: NonZeroUsize,

    /// What to log to standard error, e.g. warn, or ghost_sync_core=debug
    ///
    /// Without it, the variable RUST_LOG decides; without that, info.
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub(crate) log: Option<EnvFilter>,
}

/// What else the program can do.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows a recording to every client that joins the room of its name
    Play(PlayArgs),
    /// Makes a token for a user, for development: a game's own backend signs the real ones
    Token(TokenArgs),
}

/// What can be said about playing.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlayArgs {
    /// A file that --record made; of several, the newest is shown
    #[arg(required = true)]
    pub(crate) file: Vec<PathBuf>,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:7777", value_parser = host_and_port)]
    pub(crate) bind: String,

    /// How many times as fast as it happened; max for as fast as possible
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = speed)]
    pub(crate) speed: Speed,

    /// The first event, by its number in the room's order; 0 for all
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) from: u64,
}

/// Policies of [`OverflowPolicy`], as they are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Overflow {
    /// The oldest go
    DropOldest,
    /// The newest go
    DropNewest,
    /// All go: only the latest state and reliable messages stay
    KeepLatest,
    /// The client is disconnected
    Disconnect,
}

impl Args {
    /// Files that may be open at once: sockets and recordings.
    pub(crate) fn files(&self) -> usize {
        let mut limits = limits();
        limits.max_clients = self.max_clients;
        let recordings =
            self.record.as_ref().map_or(0, |_| self.max_rooms.min(self.max_recordings));
        limits.max_links().saturating_add(recordings)
    }

    /// What does not fit together, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.ping_interval >= self.idle_timeout {
            return Err(format!(
                "--ping-interval ({:?}) must be shorter than --idle-timeout ({:?}), \
                 or quiet clients are disconnected",
                self.ping_interval, self.idle_timeout
            ));
        }
        Ok(())
    }
}

impl From<Overflow> for OverflowPolicy {
    fn from(overflow: Overflow) -> Self {
        match overflow {
            Overflow::DropOldest => Self::DropOldest,
            Overflow::DropNewest => Self::DropNewest,
            Overflow::KeepLatest => Self::KeepLatest,
            Overflow::Disconnect => Self::Disconnect,
        }
    }
}

fn limits() -> RelayConfig {
    RelayConfig::default()
}

/// Reading and deciding go through one lock, so more threads than this mostly wait for it.
fn default_threads() -> NonZeroUsize {
    available_parallelism().map_or(NonZeroUsize::MIN, |cores| cores.min(MOST_THREADS))
}

const MOST_THREADS: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");

fn host_and_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        Some(Err(_)) => Err("the port must be a number from 0 to 65535".to_owned()),
        None => Err("a port is missing: write HOST:PORT".to_owned()),
    }
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::FASTEST);
    }
    let times = text.parse().ok().and_then(Speed::new);
    times.ok_or_else(|| "write a number above 0, such as 1 or 0.5, or max".to_owned())
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = any_duration(text)?;
    if duration.is_zero() { Err("must be longer than nothing".to_owned()) } else { Ok(duration) }
}

pub(crate) fn any_duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| "write a duration like 31s, 500ms or 2m".to_owned()),
    }
}

/// A time that is usually shorter than a second.
fn short_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(number) if number > 0 => Err(format!("write {number}ms or {number}s")),
        Ok(_) | Err(_) => any_duration(text),
    }
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|error| error.to_string())
}
