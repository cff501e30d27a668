//! How much clients may ask for, on the command line.

use clap::ValueEnum;
use ghost_sync_core::{GateConfig, IpPrefix, Limits, Rate};

/// Limits of clients and of addresses.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// How much each client may ask for: as usual, or any amount but for the flags below
    ///
    /// Turn limits off for measuring, and where all clients are your own.
    #[arg(long, value_enum, default_value_t = Usual::Default)]
    pub(crate) limits: Usual,

    /// Messages a second of one client, and how many at once; 250/8192
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    pub(crate) limit_messages: Option<Limit>,

    /// Bytes a second of one client, and how many at once; 262144/524288
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    pub(crate) limit_bytes: Option<Limit>,

    /// Bytes a second that one client's broadcasts become for all who hear them; 16777216/33554432
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    pub(crate) limit_fan_out: Option<Limit>,

    /// Joins and the like a second of one client, and how many at once; 5/20
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    pub(crate) limit_requests: Option<Limit>,

    /// Pings a second of one client that are answered, and how many at once; 5/20
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    pub(crate) limit_pings: Option<Limit>,

    /// Resumes of one session a second that bring much of the past, and how many at once; 1/10
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    pub(crate) limit_resumes: Option<Limit>,

    /// Rooms a minute that joins from one address make, and how many at once; 6/6
    #[arg(long, value_name = "RATE", value_parser = per_minute)]
    pub(crate) limit_rooms: Option<Limit>,

    /// How many connections may come from one address: as usual, or any number
    #[arg(long, value_enum, default_value_t = Usual::Default)]
    pub(crate) gate: Usual,

    /// Connections from one address at once
    #[arg(long, value_name = "N", default_value_t = GateConfig::default().connections)]
    pub(crate) gate_connections: usize,

    /// Addresses that are not limited, such as a proxy's; may be given many times
    #[arg(long, value_name = "PREFIX")]
    pub(crate) gate_exempt: Vec<IpPrefix>,

    /// Limits this machine's own addresses too, to try that out
    #[arg(long)]
    pub(crate) gate_loopback: bool,
}

/// The usual limits, or none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Usual {
    /// The usual ones
    Default,
    /// None
    None,
}

/// A rate, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(Option<Rate>);

impl LimitArgs {
    /// What each client may ask for.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = match self.limits {
            Usual::Default => Limits::default(),
            Usual::None => Limits::none(),
        };
        for (limit, given) in [
            (&mut limits.messages, self.limit_messages),
            (&mut limits.bytes, self.limit_bytes),
            (&mut limits.fan_out, self.limit_fan_out),
            (&mut limits.requests, self.limit_requests),
            (&mut limits.pings, self.limit_pings),
            (&mut limits.resumes, self.limit_resumes),
            (&mut limits.rooms, self.limit_rooms),
        ] {
            if let Some(Limit(rate)) = given {
                *limit = rate;
            }
        }
        limits
    }

    /// Who may come in.
    pub(crate) fn gate(&self) -> GateConfig {
        let gate = match self.gate {
            Usual::Default => GateConfig::default(),
            Usual::None => GateConfig::none(),
        };
        gate.connections(self.gate_connections)
            .exempt(self.gate_exempt.iter().copied())
            .loopback(self.gate_loopback)
    }
}

fn per_second(text: &str) -> Result<Limit, String> {
    rate(text, Rate::per_second)
}

fn per_minute(text: &str) -> Result<Limit, String> {
    rate(text, Rate::per_minute)
}

fn rate(text: &str, of: impl Fn(u64) -> Rate) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let number = |text: &str| text.parse().ok().filter(|number: &u64| *number > 0);
    let (amount, burst) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let rate = number(amount).map(of).and_then(|rate| match burst {
        Some(burst) => Some(rate.burst(number(burst)?)),
        None => Some(rate),
    });
    rate.map(|rate| Limit(Some(rate)))
        .ok_or_else(|| "write numbers above 0 like 250 or 250/8192 (at once), or none".to_owned())
}
