//! What can be said on the command line.

use std::{
    num::NonZeroUsize,
    process,
    thread::available_parallelism,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use ghost_sync_core::{Delivery, RoomName};

use crate::{
    dialect::Dialect,
    plan::{Load, Plan},
    speech::STAMP,
};

/// Bots that join rooms of a server, talk, and measure what arrives.
///
/// Latency counts from the time at which a message was due, so a stalled
/// server does not hide its stall. Losses are what was expected and neither
/// came nor was announced by a gap.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Args {
    /// The server, HOST:PORT; without it a relay is started for the test
    ///
    /// It must run without limits (relay --limits none), which are for players; unless it is
    /// on this machine, without the gate too (--gate none).
    pub(crate) address: Option<String>,

    /// How the server is spoken to; other servers than ours are for comparison
    #[arg(long, value_enum, default_value_t = Dialect::Ghost)]
    pub(crate) dialect: Dialect,

    /// Rooms; they are called PREFIX0, PREFIX1 and so on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,

    /// Members of each room
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    members: u16,

    /// Members of each room that talk; all that do not stall, without this
    #[arg(long, value_name = "N")]
    senders: Option<u16>,

    /// Messages per second of each sender
    #[arg(long, value_name = "HZ", default_value_t = 60.0, value_parser = rate)]
    rate: f64,

    /// Bytes of each message, at least 8
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    payload: usize,

    /// Time measured, after one second to warm up
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = rate)]
    seconds: f64,

    /// How hard the server shall try
    #[arg(long, value_enum, default_value_t = Class::Reliable)]
    delivery: Class,

    /// All senders talk at the same moment, not spread over the interval
    #[arg(long)]
    burst: bool,

    /// Instead of a rate: each sender keeps this many messages in flight
    #[arg(long, value_name = "WINDOW", conflicts_with_all = ["rate", "burst", "idle"], value_parser = clap::value_parser!(u32).range(1..))]
    saturate: Option<u32>,

    /// Members of each room that never read
    #[arg(long, value_name = "N", default_value_t = 0)]
    stall: u16,

    /// Only connect and answer pings: measures memory per connection
    #[arg(long, conflicts_with_all = ["rate", "burst", "senders", "stall"])]
    idle: bool,

    /// A named series of runs
    #[arg(long, value_enum, conflicts_with_all = ["rooms", "members", "senders", "rate", "saturate", "stall", "idle"])]
    pub(crate) scenario: Option<Scenario>,

    /// What room names start with; without it every run has names of its own
    #[arg(long, value_name = "PREFIX")]
    room_prefix: Option<String>,

    /// The server's process, whose CPU and memory are reported (Linux); found by
    /// itself where it listens on this machine
    #[arg(long)]
    pub(crate) pid: Option<u32>,

    /// Threads that read
    #[arg(long, value_name = "N", default_value_t = default_threads())]
    threads: NonZeroUsize,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Classes of delivery, as they are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Class {
    /// Never dropped
    Reliable,
    /// May be dropped
    Volatile,
    /// A newer one replaces an older one
    Latest,
}

/// Series of runs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// 128 bots in one room, talking at 12, 24 and 60 Hz
    Bots128,
}

impl Scenario {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bots128 => "bots128",
        }
    }
}

impl Args {
    /// The runs that are asked for, or what is wrong with them.
    pub(crate) fn plans(&self) -> Result<Vec<Plan>, String> {
        let base = self.base()?;
        Ok(match self.scenario {
            None => vec![base],
            Some(Scenario::Bots128) => {
                let load = |rate| Load::Paced { rate, burst: self.burst };
                let bots = |rate| -> Result<Plan, String> {
                    let prefix = self.prefix(&format!("{rate}hz-"))?;
                    let load = load(rate);
                    let base = base.clone();
                    Ok(Plan { rooms: 1, members: 128, senders: 128, load, prefix, ..base })
                };
                [12.0, 24.0, 60.0].into_iter().map(bots).collect::<Result<_, _>>()?
            }
        })
    }

    fn base(&self) -> Result<Plan, String> {
        let Some(listeners) = self.members.checked_sub(self.stall) else {
            return Err("--stall must not be more than --members".to_owned());
        };
        let senders = self.senders.unwrap_or(listeners);
        if senders > listeners {
            return Err("--senders and --stall must not be more than --members".to_owned());
        }
        if self.payload < STAMP {
            return Err(format!("--payload must be at least {STAMP}: the time is in it"));
        }
        let load = match self.saturate {
            Some(_) if self.dialect == Dialect::Floor => {
                return Err("--saturate needs a server that listens; floor does not".to_owned());
            }
            Some(_) if !matches!(self.delivery, Class::Reliable) => {
                return Err("--saturate waits for every message: only reliable ones fit".to_owned());
            }
            Some(window) => Load::Saturated { window },
            None if self.idle => Load::Idle,
            None if self.dialect == Dialect::Floor => Load::Listen,
            None => Load::Paced { rate: self.rate, burst: self.burst },
        };
        if self.dialect != Dialect::Ghost {
            if self.address.is_none() {
                return Err(format!(
                    "--dialect {} needs the server's address",
                    self.dialect.name()
                ));
            }
            if !matches!(self.delivery, Class::Reliable) {
                return Err(
                    "--delivery is for Ghost Sync: other servers have no classes".to_owned()
                );
            }
        }
        Ok(Plan {
            dialect: self.dialect,
            rooms: self.rooms,
            members: self.members,
            senders: if matches!(load, Load::Idle | Load::Listen) { 0 } else { senders },
            stalled: self.stall,
            load,
            payload: self.payload,
            delivery: match self.delivery {
                Class::Reliable => Delivery::Reliable,
                Class::Volatile => Delivery::Volatile,
                Class::Latest => Delivery::Latest(0),
            },
            measured: Duration::from_secs_f64(self.seconds),
            prefix: self.prefix("")?,
            threads: self.threads.get(),
        })
    }

    /// What the names of a run's rooms start with: late messages of another run reach nobody.
    fn prefix(&self, run: &str) -> Result<String, String> {
        let own = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("loadtest-{:x}-{:x}-{run}", process::id(), now.as_millis())
        };
        let prefix = self.room_prefix.clone().unwrap_or_else(own);
        let longest = format!("{prefix}{}", self.rooms - 1);
        RoomName::new(&longest).map_err(|error| format!("--room-prefix: {error}"))?;
        if !self.dialect.takes(&longest) {
            return Err("--room-prefix: only letters, digits, - and _ mean nothing else".to_owned());
        }
        Ok(prefix)
    }
}

/// A third of the machine reads; the rest is for the pacing and the server.
fn default_threads() -> NonZeroUsize {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores / 3).unwrap_or(NonZeroUsize::MIN)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        Ok(_) => Err("must be between 0.001 and 1000000".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
