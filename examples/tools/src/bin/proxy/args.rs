//! What can be said on the command line.

use std::{ops::Range, time::Duration};

use clap::ValueEnum;

use crate::proxy::{Chaos, End, Line};

/// A bad network between clients and a server, the same for the same seed.
///
/// Prints `listening on ADDRESS` first. Durations are written like 50ms or 2s;
/// bytes like 1000, or like 1000..5000 for one of these. Ctrl-C ends it.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "proxy", version)]
pub(crate) struct Args {
    /// The server
    #[arg(value_name = "HOST:PORT")]
    pub(crate) target: String,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: String,

    /// Where the random numbers start
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Which bytes the rest is about
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    direction: Direction,

    /// How long bytes take
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    delay: Duration,

    /// How much longer they take, at most
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    jitter: Duration,

    /// Cut what is written into pieces of 1 to so many bytes; 0 for no cutting
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pieces: usize,

    /// Gather bytes for so long and write them at once
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    gather: Duration,

    /// Bytes per second; 0 for as many as come
    #[arg(long, value_name = "N", default_value_t = 0)]
    rate: u32,

    /// Change a bit in one of so many bytes; 0 for none
    #[arg(long, value_name = "N", default_value_t = 0)]
    corrupt: u32,

    /// Let nothing through from this byte on
    #[arg(long, value_name = "BYTE")]
    stall_at: Option<u64>,

    /// Reset each connection at this byte
    #[arg(long, value_name = "BYTES", value_parser = bytes, group = "end")]
    reset_at: Option<Range<u64>>,

    /// Close each connection at this byte
    #[arg(long, value_name = "BYTES", value_parser = bytes, group = "end")]
    close_at: Option<Range<u64>>,

    /// Close one direction at this byte
    #[arg(long, value_name = "BYTES", value_parser = bytes, group = "end")]
    half_close_at: Option<Range<u64>>,

    /// Reset each connection when it is so old
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    cut_every: Duration,

    /// Reset all connections at once, again and again after this time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) cut_all_every: Duration,

    /// Turn everybody away for so long at first
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) refuse_for: Duration,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Direction {
    /// Both ways
    Both,
    /// From the client to the server
    Up,
    /// From the server to the client
    Down,
}

impl Args {
    /// What is to be done to connections.
    pub(crate) fn chaos(&self) -> Chaos {
        let line = |direction| {
            let meant = [Direction::Both, direction].contains(&self.direction);
            if meant { self.line() } else { Line::default() }
        };
        Chaos {
            seed: self.seed,
            up: line(Direction::Up),
            down: line(Direction::Down),
            cut_every: self.cut_every,
            refuse: false,
        }
    }

    fn line(&self) -> Line {
        let ends = [
            (End::Reset, &self.reset_at),
            (End::Close, &self.close_at),
            (End::HalfClose, &self.half_close_at),
        ];
        Line {
            delay: self.delay,
            jitter: self.jitter,
            pieces: self.pieces,
            gather: self.gather,
            bytes_per_second: self.rate,
            corrupt: self.corrupt,
            stall_at: self.stall_at,
            end: ends.into_iter().find_map(|(end, at)| Some((end, at.clone()?))),
        }
    }
}

/// `1000`, or `1000..5000`.
fn bytes(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => {
            let at = number(text)?;
            at..at.saturating_add(1)
        }
    };
    if range.is_empty() { Err("there is no byte in that range".to_owned()) } else { Ok(range) }
}
