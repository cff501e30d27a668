//! Tables in Markdown, which can be read as they are.

use std::fmt::Write;

use crate::{
    results::{Results, Run},
    server::Kind,
    workload::Workload,
};

/// What a column shows.
#[derive(Clone, Copy, Debug)]
enum Column {
    /// Deliveries a second.
    Rate,
    /// The same, in parts of what the floor reached.
    OfFloor,
    /// Percent of a core.
    Cpu,
    /// Nanoseconds of CPU time for a delivery.
    CpuEach,
    P50,
    P99,
    P999,
    /// Messages that did not come, with or without a word.
    Lost,
    Disconnected,
    /// Losses that stalled members were told of.
    StalledTold,
    /// Stalled members whose connection the server ended.
    StalledEnded,
    /// Memory of a connection.
    Memory,
    /// Memory of all.
    Total,
    /// The same, at most so far.
    Peak,
    /// Connections made in a second.
    Joins,
}

/// A row's name and its cells.
type Row = Vec<String>;

impl Column {
    fn of(workload: Workload) -> &'static [Self] {
        match workload {
            Workload::W1 => &[
                Self::Rate,
                Self::OfFloor,
                Self::CpuEach,
                Self::P99,
                Self::Lost,
                Self::Disconnected,
                Self::Total,
            ],
            Workload::W4 => &[
                Self::Rate,
                Self::Cpu,
                Self::P50,
                Self::P99,
                Self::Lost,
                Self::Disconnected,
                Self::Peak,
                Self::StalledTold,
                Self::StalledEnded,
            ],
            Workload::W2 | Workload::W6 => &[
                Self::Rate,
                Self::Cpu,
                Self::P50,
                Self::P99,
                Self::P999,
                Self::Lost,
                Self::Disconnected,
                Self::Total,
            ],
            Workload::W3 => &[Self::Memory, Self::Total, Self::Joins, Self::Cpu],
            Workload::W5 => {
                &[Self::Rate, Self::CpuEach, Self::P50, Self::P99, Self::P999, Self::Lost]
            }
            Workload::Floor => &[Self::Rate, Self::CpuEach],
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Rate => "deliveries/s",
            Self::OfFloor => "of the floor",
            Self::Cpu => "CPU, % of a core",
            Self::CpuEach => "CPU, ns each",
            Self::P50 => "p50, ms",
            Self::P99 => "p99, ms",
            Self::P999 => "p99.9, ms",
            Self::Lost => "lost",
            Self::Disconnected => "disconnected",
            Self::StalledTold => "stalled: told of",
            Self::StalledEnded => "closed",
            Self::Memory => "KiB each",
            Self::Total => "memory, MiB",
            Self::Peak => "peak memory, MiB",
            Self::Joins => "joins/s",
        }
    }

    fn value(self, run: &Run) -> Option<f64> {
        let report = &run.report;
        let some = |count: u64| Some(count as f64);
        // The floor has no time at which a message is due.
        let ms = |us: f64| (us > 0.0).then_some(us / 1e3);
        match self {
            Self::Rate => Some(report.delivered_per_second),
            // Comes from two runs.
            Self::OfFloor => None,
            Self::Cpu => report.server.cpu_percent,
            Self::CpuEach => report.server.cpu_ns_per_delivery,
            Self::P50 => ms(report.latency_us.p50),
            Self::P99 => ms(report.latency_us.p99),
            Self::P999 => ms(report.latency_us.p99_9),
            Self::Lost => some(
                report.announced_losses + report.unannounced_losses + report.missed_by_disconnected,
            ),
            Self::Disconnected => some(report.disconnected.values().sum()),
            Self::StalledTold => some(report.stalled.as_ref()?.announced_losses),
            Self::StalledEnded => {
                let ended = report.stalled.as_ref()?.ended.iter();
                some(ended.filter(|(why, _)| *why != "still connected").map(|(_, n)| n).sum())
            }
            Self::Memory => Some(report.server.memory_bytes_per_connection? as f64 / 1024.0),
            Self::Total => Some(report.server.memory_bytes? as f64 / 1048576.0),
            Self::Peak => Some(report.server.peak_memory_bytes? as f64 / 1048576.0),
            Self::Joins => Some(f64::from(run.connections) / report.joining_seconds.max(1e-9)),
        }
    }

    /// Whether ours and another's can be divided.
    fn has_ratio(self) -> bool {
        !matches!(
            self,
            Self::Lost
                | Self::Disconnected
                | Self::OfFloor
                | Self::StalledTold
                | Self::StalledEnded
        )
    }
}

/// Everything, with a heading for each series.
pub(crate) fn all(results: &Results) -> String {
    let mut text = String::new();
    let workloads = [
        Workload::W1,
        Workload::W2,
        Workload::W3,
        Workload::W4,
        Workload::W5,
        Workload::W6,
        Workload::Floor,
    ];
    for workload in workloads {
        let cases = results.cases(workload);
        if cases.is_empty() {
            continue;
        }
        let rows: Vec<Row> = cases.iter().flat_map(|case| rows(results, workload, case)).collect();
        let head = ["load", "server"].into_iter().map(str::to_owned);
        let head = head.chain(Column::of(workload).iter().map(|column| column.title().to_owned()));
        let _ =
            writeln!(text, "### {}\n\n{}", workload.heading(), markdown(&head.collect(), &rows));
    }
    text
}

fn rows(results: &Results, workload: Workload, case: &str) -> Vec<Row> {
    let short = case.split_once(' ').map_or(case, |(_, short)| short);
    let row = |server: Kind| {
        let cells = Column::of(workload).iter().map(|&column| cell(results, case, server, column));
        [short.to_owned(), server.name().to_owned()].into_iter().chain(cells).collect()
    };
    results.servers(case).into_iter().map(row).collect()
}

/// The value, and for peers in brackets what part of it ours is.
fn cell(results: &Results, case: &str, server: Kind, column: Column) -> String {
    let median = |server| results.median(case, server, |run| column.value(run));
    if let Column::OfFloor = column {
        let rate = |server| results.median(case, server, |run| Column::Rate.value(run));
        let part = rate(server).zip(rate(Kind::Floor)).map(|(rate, floor)| 100.0 * rate / floor);
        return part.map_or_else(String::new, |part| format!("{part:.0} %"));
    }
    let Some(value) = median(server) else { return String::new() };
    let peer = !matches!(server, Kind::Ghost | Kind::Floor);
    let ratio = median(Kind::Ghost).filter(|_| peer && column.has_ratio() && value > 0.0);
    match ratio {
        Some(ours) => format!("{} ({}x)", number(value), number(ours / value)),
        None => number(value),
    }
}

/// With as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size < 1e4 && size.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.0} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn markdown(head: &Row, rows: &[Row]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().chain([head]).filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Row| {
        // Names to the left, numbers to the right.
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
            if at < 2 { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") }
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(at, &width)| {
        let dashes = "-".repeat(width + 1);
        if at < 2 { format!(":{dashes}|") } else { format!("{dashes}:|") }
    });
    let rule = format!("|{}\n", rule.collect::<String>());
    line(head) + &rule + &rows.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::{all, number};
    use crate::{
        results::{Report, Results, Run},
        server::Kind,
        workload::Workload,
    };

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.0123, 0.123, 7.0, 9.87, 12.34, 123.4, 12_345.0, 12_345_678.0];
        let expected = ["0", "0.012", "0.12", "7", "9.87", "12.3", "123", "12 k", "12.35 M"];
        assert_eq!(texts.map(number), expected);
    }

    #[test]
    fn a_peer_is_shown_with_what_ours_is_of_it() {
        let run = |server, rate| Run {
            workload: Workload::W1,
            case: "W1 1 x 64".to_owned(),
            server,
            connections: 64,
            report: Report { delivered_per_second: rate, ..Report::default() },
        };
        let runs = vec![run(Kind::Ghost, 9e6), run(Kind::Redis, 3e6), run(Kind::Floor, 18e6)];
        let text = all(&Results { runs, ..Results::default() });
        let cells: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with("| 1 x 64"))
            .map(|line| line.split('|').map(str::trim).take(5).collect())
            .collect();
        assert_eq!(cells[0], ["", "1 x 64", "Ghost Sync", "9.00 M", "50 %"]);
        assert_eq!(cells[1], ["", "1 x 64", "Redis", "3.00 M (3x)", "17 %"]);
        assert_eq!(cells[2], ["", "1 x 64", "floor", "18.00 M", "100 %"]);
    }
}
