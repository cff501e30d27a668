//! The board on screen: round, clock, and who has how much.

use bevy::prelude::*;
use bevy_ghost_client::GhostClient;

use crate::{
    board::Board,
    client::Arena,
    colors::{DIM, GOLD, INK, PANEL, glow},
    hud::{column, row, text},
    notice::Line,
};

/// Rows that are shown.
const ROWS: usize = 8;
/// The clock glows in the last seconds.
const SOON: f64 = 10.0;

pub(crate) fn panel(app: &mut App) {
    app.add_systems(Startup, build_panel).add_systems(Update, (show_clock, show_rows));
}

#[derive(Component)]
struct Panel;

#[derive(Component)]
enum Head {
    Round,
    Clock,
}

/// Part of that row.
#[derive(Component)]
enum Cell {
    Name(usize),
    Score(usize),
}

/// The colour of that row.
#[derive(Component)]
struct Dot(usize);

#[derive(Component)]
struct Whole(usize);

fn build_panel(mut commands: Commands) {
    let between = |node| Node { justify_content: JustifyContent::SpaceBetween, ..node };
    let frame = Node {
        top: px(94),
        right: px(44),
        width: px(214),
        padding: UiRect::axes(px(12), px(9)),
        border_radius: BorderRadius::all(px(9)),
        ..column(4.0)
    };
    let head = children![(Head::Round, text("", 12.0, DIM)), (Head::Clock, text("", 14.0, INK))];
    let looks = BackgroundColor(PANEL.with_alpha(0.72));
    commands.spawn((Panel, frame, looks)).with_children(|panel| {
        panel.spawn((between(row(8.0)), head));
        for index in 0..ROWS {
            let size = px(8);
            let round = BorderRadius::MAX;
            let dot = Node { width: size, height: size, border_radius: round, ..default() };
            let dot = (Dot(index), dot, BackgroundColor::default());
            let name = (Cell::Name(index), text("", 12.0, INK));
            let score = (Cell::Score(index), text("", 12.0, INK));
            let left = (row(8.0), children![dot, name]);
            panel.spawn((Whole(index), between(row(8.0)), children![left, score]));
        }
    });
}

fn show_clock(
    time: Res<Time<Real>>,
    board: Res<Board>,
    mut panel: Single<&mut Visibility, With<Panel>>,
    line: Res<Line>,
    mut heads: Query<(&Head, &mut Text, &mut TextColor)>,
) {
    let now = time.elapsed_secs_f64();
    let clock = board.clock(now);
    let visible = if clock.is_some() { Visibility::Inherited } else { Visibility::Hidden };
    panel.set_if_neq(visible);
    let soon = board.seconds_left(now) < SOON;
    for (head, mut text, mut color) in &mut heads {
        let (words, tint) = match head {
            Head::Round => (format!("ROUND {}", board.round), DIM),
            // Perhaps nobody counts any more.
            Head::Clock if !line.is_up() => ("-".to_owned(), DIM),
            Head::Clock => (clock.clone().unwrap_or_default(), if soon { GOLD } else { INK }),
        };
        text.set_if_neq(Text(words));
        color.set_if_neq(TextColor(tint));
    }
}

/// Who is in our room is bright, who is elsewhere or away is dim; ours is white.
fn show_rows(
    board: Res<Board>,
    arena: Res<Arena>,
    client: Res<GhostClient>,
    mut wholes: Query<(&Whole, &mut Node)>,
    mut cells: Query<(&Cell, &mut Text, &mut TextColor)>,
    mut dots: Query<(&Dot, &mut BackgroundColor)>,
) {
    let rows = board.shown(client.client_id, ROWS);
    for (Whole(index), mut node) in &mut wholes {
        let display = if *index < rows.len() { Display::Flex } else { Display::None };
        if node.display != display {
            node.display = display;
        }
    }
    for (cell, mut text, mut color) in &mut cells {
        let (Cell::Name(index) | Cell::Score(index)) = cell;
        let Some(row) = rows.get(*index) else { continue };
        let me = client.client_id == Some(row.who);
        let here = usize::from(row.haunt) == arena.haunt && !row.away;
        let words = match cell {
            Cell::Score(_) => row.score.to_string(),
            Cell::Name(_) if me => format!("{} (you)", row.name),
            Cell::Name(_) if row.away => format!("{} (away)", row.name),
            Cell::Name(_) => row.name.clone(),
        };
        let tint = match row {
            _ if me => Color::WHITE,
            row if row.crowned => GOLD,
            _ if here => INK,
            _ => DIM,
        };
        text.set_if_neq(Text(words));
        color.set_if_neq(TextColor(tint));
    }
    for (Dot(index), mut dot) in &mut dots {
        if let Some(row) = rows.get(*index) {
            let here = usize::from(row.haunt) == arena.haunt && !row.away;
            let strength = if here { 1.0 } else { 0.35 };
            dot.set_if_neq(BackgroundColor(glow(row.color).with_alpha(strength)));
        }
    }
}
