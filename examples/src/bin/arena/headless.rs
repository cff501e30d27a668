//! The scene as text: who comes and goes, who catches what, and how the network does.

use std::time::Duration;

use bevy::{prelude::*, time::common_conditions::on_timer};
use bevy_ghost_client::prelude::*;

use crate::{
    board::{Board, Toast},
    client::Arena,
    haunts::HAUNTS,
    notice::Line,
};

/// Seconds between two lines with everybody's score.
const SCORES: Duration = Duration::from_secs(10);

/// Prints how things are, once a second, and what happens.
pub(crate) fn table(app: &mut App) {
    app.add_systems(Update, print_row.run_if(on_timer(Duration::from_secs(1))));
    app.add_systems(Update, print_scores.run_if(on_timer(SCORES)));
    app.add_systems(Update, print_toasts);
    app.add_systems(Last, print_last_scores);
}

fn print_toasts(mut toasts: MessageReader<Toast>) {
    toasts.read().for_each(|Toast(line, _)| println!("         {line}"));
}

fn print_row(
    time: Res<Time<Real>>,
    arena: Res<Arena>,
    board: Res<Board>,
    client: Option<Res<GhostClient>>,
    line: Option<Res<Line>>,
    mut before: Local<u64>,
    mut rows: Local<u32>,
) {
    if rows.is_multiple_of(20) {
        let [first, second] = HAUNTS.map(|haunt| haunt.name);
        println!("   time  {first:>10} {second:>10}       ping     loss   messages        /s");
    }
    *rows += 1;
    let now = time.elapsed_secs();
    if let Some(notice) = line.and_then(|line| line.notice(time.elapsed_secs_f64())) {
        let [first, second] = &notice.lines;
        println!("{now:>5.0} s  {}", if second.is_empty() { first } else { second });
        return;
    }
    let [first, second] = board.players;
    let ping = client.and_then(|client| client.rtt).map_or_else(|| "-".into(), milliseconds);
    println!(
        "{now:>5.0} s  {first:>10} {second:>10} {ping:>10} {:>6.1} % {:>10} {:>9}",
        arena.loss() * 100.0,
        arena.messages,
        arena.messages - *before,
    );
    *before = arena.messages;
}

/// What was known before the link was lost is not true any more.
fn print_scores(time: Res<Time<Real>>, board: Res<Board>, line: Option<Res<Line>>) {
    if line.is_some_and(|line| !line.is_up()) {
        return;
    }
    if let Some(clock) = board.clock(time.elapsed_secs_f64())
        && !board.rows.is_empty()
    {
        println!("         round {}, {clock} to go: {}", board.round, board.line());
    }
}

fn print_last_scores(
    mut ended: MessageReader<AppExit>,
    time: Res<Time<Real>>,
    board: Res<Board>,
    line: Option<Res<Line>>,
) {
    if ended.read().count() > 0 {
        print_scores(time, board, line);
    }
}

pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f32() * 1e3)
}
