//! What came of a run, in numbers and in words.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    time::Duration,
};

use serde::Serialize;

use crate::{
    member::{Member, Meter, histogram},
    plan::{Load, Plan},
};

/// What was counted.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Messages sent by pace, per room and index.
    pub(crate) sent: HashMap<(u32, u16), u64>,
    pub(crate) members: Vec<Member>,
    pub(crate) meters: Vec<Meter>,
}

/// CPU time that the measured window took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) server: Option<Duration>,
    pub(crate) generator: Option<Duration>,
}

/// Several runs.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) scenario: Option<&'static str>,
    pub(crate) ok: bool,
    pub(crate) runs: Vec<Report>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether nothing was lost without a word and nobody was disconnected.
    pub(crate) ok: bool,
    pub(crate) interrupted: bool,
    dialect: &'static str,
    title: String,
    rooms: u32,
    members: u16,
    senders: u16,
    payload: usize,
    seconds: f64,
    joining_seconds: f64,
    /// What the senders mean to cause; `None` where there is no pace.
    offered_per_second: Option<f64>,
    delivered_per_second: f64,
    latency_us: Latency,
    sent: u64,
    expected: u64,
    received: u64,
    announced_losses: u64,
    unannounced_losses: u64,
    /// Expected by members that were disconnected; part of no other loss.
    missed_by_disconnected: u64,
    /// Came twice, or from others in the same rooms.
    unexpected: u64,
    out_of_order: u64,
    refused: u64,
    /// Reasons of connections that ended, with their numbers.
    disconnected: BTreeMap<String, u64>,
    stalled: Option<Stalled>,
    server: Usage,
    /// Percent of one core that this program took to make the load.
    generator_cpu_percent: Option<f64>,
}

/// Microseconds.
#[derive(Debug, Default, Serialize)]
struct Latency {
    /// Whether a stalled server cannot hide its stall: not so in a closed loop.
    from_intended_time: bool,
    samples: u64,
    p50: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

/// What members that never read were told when they did at last.
#[derive(Debug, Default, Serialize)]
struct Stalled {
    members: u64,
    received: u64,
    announced_losses: u64,
    ended: BTreeMap<String, u64>,
}

/// `None` where it is not known.
#[derive(Debug, Default, Serialize)]
struct Usage {
    /// Percent of one core.
    cpu_percent: Option<f64>,
    cpu_ns_per_delivery: Option<f64>,
    memory_bytes_before: Option<u64>,
    memory_bytes: Option<u64>,
    peak_memory_bytes: Option<u64>,
    /// What the run added, divided by its connections.
    memory_bytes_per_connection: Option<u64>,
}

impl Report {
    /// Sums up.
    pub(crate) fn new(
        plan: &Plan,
        counts: Counts,
        measured: Duration,
        joining: Duration,
        cpu: Spent,
        (before, after): (Option<(u64, u64)>, Option<(u64, u64)>),
        interrupted: bool,
    ) -> Self {
        let Plan { rooms, members, senders, payload, .. } = *plan;
        let seconds = measured.as_secs_f64();
        let delivered: u64 = counts.meters.iter().map(|meter| meter.delivered).sum();
        let per_second = if seconds > 0.0 { delivered as f64 / seconds } else { 0.0 };
        let connections = plan.connections() as u64;
        let percent = |cpu: Duration| 100.0 * cpu.as_secs_f64() / seconds.max(0.001);
        let server = Usage {
            cpu_percent: cpu.server.map(percent),
            cpu_ns_per_delivery: cpu
                .server
                .filter(|_| delivered > 0)
                .map(|cpu| cpu.as_nanos() as f64 / delivered as f64),
            memory_bytes_before: before.map(|(before, _)| before),
            memory_bytes: after.map(|(now, _)| now),
            peak_memory_bytes: after.map(|(_, peak)| peak),
            memory_bytes_per_connection: before
                .zip(after)
                .map(|((before, _), (now, _))| now.saturating_sub(before) / connections),
        };
        let mut report = Self {
            ok: false,
            interrupted,
            dialect: plan.dialect.name(),
            title: plan.title(),
            rooms,
            members,
            senders,
            payload,
            seconds,
            joining_seconds: joining.as_secs_f64(),
            offered_per_second: offered(plan),
            delivered_per_second: per_second,
            latency_us: Latency::new(plan, &counts.meters),
            sent: 0,
            expected: 0,
            received: 0,
            announced_losses: 0,
            unannounced_losses: 0,
            missed_by_disconnected: 0,
            unexpected: 0,
            out_of_order: 0,
            refused: 0,
            disconnected: BTreeMap::new(),
            stalled: (plan.stalled > 0).then(Stalled::default),
            server,
            generator_cpu_percent: cpu.generator.map(percent),
        };
        report.account(plan, &counts, interrupted);
        report.ok = report.unannounced_losses == 0
            && report.out_of_order == 0
            && report.refused == 0
            // A server started for the test hears Ctrl-C too, and closes.
            && (interrupted || report.disconnected.is_empty());
        report
    }

    /// Compares what was sent with what came, member by member.
    fn account(&mut self, plan: &Plan, counts: &Counts, interrupted: bool) {
        let own = |member: &Member| {
            let paced = counts.sent.get(&(member.room, member.index)).copied().unwrap_or(0);
            paced + member.tally.answers - member.tally.refused
        };
        // What a room was told, and whether everybody who told it is still there.
        let mut rooms: HashMap<u32, (u64, bool)> = HashMap::new();
        for member in &counts.members {
            let room = rooms.entry(member.room).or_insert((0, true));
            room.0 += own(member);
            room.1 &= member.end.is_none() || member.index >= plan.senders;
        }
        for member in &counts.members {
            let tally = &member.tally;
            if let (true, Some(stalled)) = (member.stalled, &mut self.stalled) {
                stalled.members += 1;
                stalled.received += tally.received;
                stalled.announced_losses += tally.announced;
                let end = member.end.as_deref().unwrap_or("still connected");
                *stalled.ended.entry(end.to_owned()).or_default() += 1;
                self.sent += own(member);
                continue;
            }
            let (told, intact) = rooms[&member.room];
            let expected = match plan.load {
                Load::Listen => tally.received,
                Load::Paced { .. } | Load::Saturated { .. } | Load::Idle if plan.echo() => told,
                Load::Paced { .. } | Load::Saturated { .. } | Load::Idle => told - own(member),
            };
            let accounted = tally.received + tally.announced;
            self.sent += own(member);
            self.expected += expected;
            self.received += tally.received;
            self.announced_losses += tally.announced;
            self.out_of_order += tally.disordered;
            self.refused += tally.refused;
            self.unexpected += accounted.saturating_sub(expected);
            let missing = expected.saturating_sub(accounted);
            if let Some(end) = &member.end {
                *self.disconnected.entry(end.clone()).or_default() += 1;
                self.missed_by_disconnected += missing;
            } else if intact && !interrupted {
                self.unannounced_losses += missing;
            } else {
                // What was sent last may never have arrived; holes in the numbers still count.
                let own_numbers = if plan.echo() { 0 } else { own(member) };
                self.unannounced_losses += tally.jumped.saturating_sub(own_numbers);
            }
        }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{}\n", self.title);
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<12} {value}");
        };
        let rate = |rate: f64| format!("{rate:.0}/s");
        if self.interrupted {
            row("interrupted", format!("after {:.1} s; losses are a lower bound", self.seconds));
        }
        row("joined", format!("in {:.2} s", self.joining_seconds));
        if let Some(offered) = self.offered_per_second {
            row("offered", rate(offered));
        }
        row("delivered", rate(self.delivered_per_second));
        let Latency { p50, p99, p99_9, max, from_intended_time, .. } = self.latency_us;
        let note = if from_intended_time { "" } else { "  (closed loop)" };
        row(
            "latency",
            format!("p50 {p50:.0} us  p99 {p99:.0} us  p99.9 {p99_9:.0} us  max {max:.0} us{note}"),
        );
        row(
            "losses",
            format!(
                "{} unannounced, {} announced, of {} expected",
                self.unannounced_losses, self.announced_losses, self.expected
            ),
        );
        let others = [
            ("unexpected", self.unexpected),
            ("out of order", self.out_of_order),
            ("refused", self.refused),
            ("missed", self.missed_by_disconnected),
        ];
        for (name, count) in others.into_iter().filter(|(_, count)| *count > 0) {
            row(name, count.to_string());
        }
        for (reason, count) in &self.disconnected {
            row("disconnected", format!("{count} x {reason}"));
        }
        if let Some(stalled) = &self.stalled {
            let told = format!(
                "received {}, {} lost and announced",
                stalled.received, stalled.announced_losses
            );
            row("stalled", format!("{}: {told}", stalled.members));
            for (reason, count) in &stalled.ended {
                row("", format!("{count} x {reason}"));
            }
        }
        row("server", self.server.text());
        row("generator", format!("CPU {} of a core", number(self.generator_cpu_percent, "%")));
        row("result", if self.ok { "ok" } else { "FAILED" }.to_owned());
        text
    }
}

fn number(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.1} {unit}"))
}

/// Deliveries a second that the senders mean to cause.
fn offered(plan: &Plan) -> Option<f64> {
    let Load::Paced { rate, .. } = plan.load else { return None };
    let each = f64::from(plan.members - plan.stalled - 1);
    Some(f64::from(plan.rooms) * f64::from(plan.senders) * rate * each)
}

impl Latency {
    fn new(plan: &Plan, meters: &[Meter]) -> Self {
        let mut all = histogram();
        for meter in meters {
            all.add(&meter.latency).expect("all have the same bounds");
        }
        let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            from_intended_time: !plan.closed_loop(),
            samples: all.len(),
            p50: at(0.5),
            p99: at(0.99),
            p99_9: at(0.999),
            max: all.max() as f64 / 1e3,
        }
    }
}

impl Usage {
    fn text(&self) -> String {
        let mib = |bytes: Option<u64>| number(bytes.map(|bytes| bytes as f64 / 1048576.0), "MiB");
        let each = self.memory_bytes_per_connection.map(|bytes| bytes as f64 / 1024.0);
        format!(
            "CPU {} of a core, {} per delivery; memory {}, peak {}, {} per connection",
            number(self.cpu_percent, "%"),
            number(self.cpu_ns_per_delivery, "ns"),
            mib(self.memory_bytes),
            mib(self.peak_memory_bytes),
            number(each, "KiB"),
        )
    }
}
