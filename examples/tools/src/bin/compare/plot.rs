//! Pictures of results.

mod bars;
mod lines;

use std::{io, path::Path};

use plotters::{
    drawing::DrawingAreaErrorKind,
    prelude::{Color, RGBColor},
    style::{
        FontStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use self::{
    bars::{Bars, Group},
    lines::{Line, Lines},
};
use crate::{
    results::{Results, Run},
    server::Kind,
    workload::Workload,
};

/// What can go wrong while drawing.
type DrawError = DrawingAreaErrorKind<io::Error>;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlotError {
    /// The shapes do not fit.
    #[error("cannot draw {name}")]
    Draw {
        /// Which picture.
        name: &'static str,
        /// Why.
        source: DrawError,
    },
    /// It cannot be written.
    #[error("cannot write {name}")]
    Write {
        /// Which picture.
        name: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
}

const INK: RGBColor = RGBColor(0x1f, 0x23, 0x33);
const FAINT: RGBColor = RGBColor(0x6b, 0x71, 0x85);
const RULE: RGBColor = RGBColor(0xe3, 0xe5, 0xec);
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);

/// Draws what `results` have into `dir`; says which pictures that were.
pub(crate) fn all(results: &Results, dir: &Path) -> Result<Vec<&'static str>, PlotError> {
    let mut drawn = Vec::new();
    let mut keep = |name, picture: Option<Result<String, DrawError>>| {
        let Some(picture) = picture else { return Ok(()) };
        let svg = picture.map_err(|source| PlotError::Draw { name, source })?;
        let written =
            std::fs::create_dir_all(dir).and_then(|()| std::fs::write(dir.join(name), svg));
        written.map_err(|source| PlotError::Write { name, source })?;
        drawn.push(name);
        Ok(())
    };
    keep("bench-rate.svg", rate(results).map(|bars| bars.svg()))?;
    keep("bench-latency.svg", latency(results).map(|lines| lines.svg()))?;
    keep("bench-cpu.svg", cpu(results).map(|lines| lines.svg()))?;
    keep("bench-memory.svg", memory(results).map(|bars| bars.svg()))?;
    Ok(drawn)
}

fn rate(results: &Results) -> Option<Bars> {
    let rate = |run: &Run| Some(run.report.delivered_per_second / 1e6);
    // The table has the other sizes.
    let mut groups = bars(results, Workload::W1, rate)?;
    groups.retain(|group| group.name.ends_with(", 64 B"));
    (!groups.is_empty()).then_some(Bars {
        title: "Messages delivered per second, millions",
        note: "One core, saturated. The floor: one thread that only writes, 60 messages a call. \
               More is better.",
        groups,
    })
}

fn memory(results: &Results) -> Option<Bars> {
    let each = |run: &Run| Some(run.report.server.memory_bytes_per_connection? as f64 / 1024.0);
    // The more connections, the less the server itself counts.
    let mut most = bars(results, Workload::W3, each)?.pop()?;
    most.name += " connections";
    let groups = vec![most];
    Some(Bars {
        title: "Memory of an idle connection, KiB",
        note: "Resident in the server's process, without the system's buffers. Less is better.",
        groups,
    })
}

fn latency(results: &Results) -> Option<Lines> {
    let p99 = |run: &Run| Some(run.report.latency_us.p99 / 1e3);
    lines(results, p99).map(|(rooms, lines)| Lines {
        title: "99 of 100 messages arrive within, ms",
        note: "Rooms of 16 where everybody talks at 60 Hz, server on one core. Less is better.",
        axis: "rooms",
        steps: rooms,
        lines,
        decades: true,
        mark: Some((1000.0 / 60.0, "one frame at 60 Hz")),
    })
}

fn cpu(results: &Results) -> Option<Lines> {
    let cpu = |run: &Run| run.report.server.cpu_percent;
    lines(results, cpu).map(|(rooms, lines)| Lines {
        title: "Use of the server's core, %",
        note: "Rooms of 16 where everybody talks at 60 Hz. Less is better.",
        axis: "rooms",
        steps: rooms,
        lines,
        decades: false,
        mark: None,
    })
}

/// A group for each load of a series.
fn bars(
    results: &Results,
    workload: Workload,
    value: impl Fn(&Run) -> Option<f64>,
) -> Option<Vec<Group>> {
    let groups = results.cases(workload).into_iter().map(|case| {
        let bars = results.servers(case).into_iter();
        let bars = bars.filter_map(|kind| Some((kind, results.median(case, kind, &value)?)));
        Group { name: short(case).to_owned(), bars: bars.collect() }
    });
    let groups: Vec<Group> = groups.filter(|group| !group.bars.is_empty()).collect();
    (!groups.is_empty()).then_some(groups)
}

/// A line for each server over the loads of W2.
fn lines(
    results: &Results,
    value: impl Fn(&Run) -> Option<f64>,
) -> Option<(Vec<String>, Vec<Line>)> {
    let cases = results.cases(Workload::W2);
    let rooms = |case: &&str| short(case).split(' ').next().unwrap_or_default().to_owned();
    let line = |&kind: &Kind| {
        let values = cases.iter().map(|case| results.median(case, kind, &value)).collect();
        Line { kind, values }
    };
    let lines: Vec<Line> = Kind::ALL.iter().map(line).collect();
    let lines = lines.into_iter().filter(|line| line.values.iter().any(Option::is_some));
    let lines: Vec<Line> = lines.collect();
    // A line has two ends.
    (cases.len() > 1).then(|| (cases.iter().map(rooms).collect(), lines))
}

/// The name of a load without its series.
fn short(case: &str) -> &str {
    case.split_once(' ').map_or(case, |(_, short)| short)
}

/// One colour for each server, everywhere.
fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Ghost => RGBColor(0x5b, 0x3f, 0xd6),
        Kind::Redis => RGBColor(0xd6, 0x45, 0x50),
        Kind::Nats => RGBColor(0x1f, 0x9b, 0xa8),
        Kind::Mosquitto => RGBColor(0xe0, 0x9b, 0x2d),
        Kind::Ws => RGBColor(0x5f, 0xa0, 0x4e),
        Kind::Socketio => RGBColor(0x8a, 0x5a, 0x44),
        Kind::Floor => RGBColor(0xb9, 0xbe, 0xcb),
    }
}

/// Text of this size, placed by its left or right end and its middle.
fn text(size: u32, colour: RGBColor, style: FontStyle, at: HPos) -> TextStyle<'static> {
    let font = plotters::style::FontDesc::new(
        plotters::style::FontFamily::SansSerif,
        f64::from(size),
        style,
    );
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(at, VPos::Center) }
}
