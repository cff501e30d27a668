//! The display around the room: rooms, network, what to press, and notices over all of it.

use bevy::{prelude::*, text::LetterSpacing};
use bevy_ghost_client::prelude::*;

use crate::{
    board::Board,
    client::Arena,
    colors::{DIM, GOLD, INK, PANEL},
    haunts::{HAUNTS, Haunt},
    headless::milliseconds,
    invite::Invitation,
    notice::Line,
    panel::panel,
    stage::SIZE,
    toasts::toasts,
};

pub(crate) fn hud(app: &mut App) {
    app.add_plugins((panel, toasts)).add_systems(Startup, build_hud);
    app.add_systems(Update, (fit_hud, show_readouts, show_notice, show_rooms));
}

/// A text that follows what it names.
#[derive(Component)]
enum Readout {
    Players(usize),
    Ping,
    Loss,
    /// One line of how friends join.
    Invitation(usize),
    Crowning,
}

/// A text of a notice about the connection: its title, or one of its lines.
#[derive(Component)]
enum NoticeText {
    Title,
    Line(usize),
}

/// Stands for the room of that index.
#[derive(Component)]
struct Pill(usize);

/// Covers the room while the server is out of reach.
#[derive(Component)]
struct Veil;

/// What to press when nothing more is tried.
#[derive(Component)]
struct Again;

pub(crate) fn text(
    text: impl Into<String>,
    size: f32,
    color: impl Into<Color>,
) -> (Text, TextFont, TextColor) {
    (Text::new(text), TextFont::from_font_size(size), TextColor(color.into()))
}

pub(crate) fn row(gap: f32) -> Node {
    Node { align_items: AlignItems::Center, column_gap: px(gap), ..default() }
}

pub(crate) fn column(gap: f32) -> Node {
    let (position_type, flex_direction) = (PositionType::Absolute, FlexDirection::Column);
    Node { position_type, flex_direction, row_gap: px(gap), ..default() }
}

/// A rounded box.
pub(crate) fn chip(x: f32, y: f32, border: f32, radius: f32, gap: f32) -> Node {
    let (padding, border) = (UiRect::axes(px(x), px(y)), UiRect::all(px(border)));
    Node { padding, border, border_radius: BorderRadius::all(px(radius)), ..row(gap) }
}

fn key(cap: &'static str, action: &'static str) -> impl Bundle {
    let rim = BorderColor::all(DIM.with_alpha(0.5));
    let cap = (chip(8.0, 3.0, 1.0, 5.0, 0.0), rim, children![text(cap, 11.0, INK)]);
    (row(9.0), children![cap, text(action, 12.0, DIM)])
}

fn build_hud(mut commands: Commands) {
    let title = (text("GHOST SYNC", 17.0, INK), LetterSpacing::Px(4.0));
    let scene = (text("arena", 17.0, DIM), LetterSpacing::Px(2.0));
    let number = |name: &'static str, readout| {
        (row(8.0), children![text(name, 13.0, DIM), (readout, text("", 13.0, INK))])
    };
    let pill = |haunt: usize| {
        let Haunt { name, accent, .. } = HAUNTS[haunt];
        let players = (Readout::Players(haunt), text("", 14.0, accent));
        let looks = (BackgroundColor::default(), BorderColor::default());
        (
            Pill(haunt),
            looks,
            chip(14.0, 6.0, 1.5, 16.0, 10.0),
            children![text(name, 14.0, INK), players],
        )
    };
    let side = |justify_content, gap| Node { width: px(300), justify_content, ..row(gap) };
    let bar = Node {
        position_type: PositionType::Absolute,
        width: percent(100),
        height: px(56),
        padding: UiRect::horizontal(px(28)),
        justify_content: JustifyContent::SpaceBetween,
        ..row(26.0)
    };
    commands.spawn((
        bar.clone(),
        children![
            (side(JustifyContent::Start, 12.0), children![title, scene]),
            (row(10.0), children![pill(0), pill(1)]),
            (
                side(JustifyContent::End, 22.0),
                children![number("ping", Readout::Ping), number("loss", Readout::Loss)]
            ),
        ],
    ));
    let below = Node { bottom: px(14), height: px(36), ..bar.clone() };
    commands.spawn((
        Node { justify_content: JustifyContent::Center, ..below },
        children![
            key("WASD", "catch lanterns"),
            key("TAB", "other room"),
            key("ESC", "rest in peace")
        ],
    ));
    let friends = [0, 1, 2].map(|line| (Readout::Invitation(line), text("", 11.0, DIM)));
    let [title, command, provided] = friends;
    let align_items = AlignItems::FlexEnd;
    let corner = Node { right: px(28), bottom: px(5), align_items, ..column(1.0) };
    commands.spawn((corner, children![title, command, provided]));
    let crown = (Readout::Crowning, text("", 22.0, GOLD), LetterSpacing::Px(1.0));
    let justify_content = JustifyContent::Center;
    let above = Node { top: px(100), height: px(30), justify_content, ..bar };
    commands.spawn((above, children![crown]));
    build_veil(&mut commands);
}

fn build_veil(commands: &mut Commands) {
    let title = (NoticeText::Title, text("", 34.0, INK), LetterSpacing::Px(9.0));
    let lines = [0, 1].map(|line| (NoticeText::Line(line), text("", 15.0, INK)));
    let [first, second] = lines;
    let (align_items, justify_content) = (AlignItems::Center, JustifyContent::Center);
    let cover = Node {
        width: percent(100),
        height: percent(100),
        align_items,
        justify_content,
        ..column(14.0)
    };
    let shade = BackgroundColor(PANEL.with_luminance(0.002).with_alpha(0.86));
    let again = (Again, key("ENTER", "try again"));
    commands.spawn((Veil, cover, shade, GlobalZIndex(1), children![title, first, second, again]));
}

/// Texts grow and shrink with the room.
fn fit_hud(window: Single<&Window>, mut scale: ResMut<UiScale>) {
    scale.0 = (window.size() / SIZE.as_vec2()).min_element();
}

/// Numbers are shown while they are true: without a link nobody knows them.
fn show_readouts(
    time: Res<Time<Real>>,
    arena: Res<Arena>,
    board: Res<Board>,
    client: Res<GhostClient>,
    line: Res<Line>,
    invitation: Option<Res<Invitation>>,
    mut readouts: Query<(&Readout, &mut Text, &mut TextColor)>,
) {
    let known = |number: String| if line.is_up() { number } else { "-".into() };
    let shade = |color: Color| if line.is_up() { color } else { DIM };
    for (readout, mut text, mut color) in &mut readouts {
        let (words, tint) = match readout {
            Readout::Players(haunt) => {
                (known(board.players[*haunt].to_string()), shade(HAUNTS[*haunt].accent.into()))
            }
            Readout::Ping => {
                (known(client.rtt.map_or_else(|| "-".into(), milliseconds)), shade(INK))
            }
            Readout::Loss => (known(format!("{:.1} %", arena.loss() * 100.0)), shade(INK)),
            Readout::Invitation(line) => match &invitation {
                None => (String::new(), DIM),
                Some(it) if *line == 0 => (it.title.to_owned(), DIM),
                Some(it) if *line == 1 => (it.command.clone(), INK),
                Some(it) => (it.provided.clone(), DIM),
            },
            Readout::Crowning => {
                let line = board.crowning(time.elapsed_secs_f64()).unwrap_or_default();
                (line.to_owned(), GOLD)
            }
        };
        text.set_if_neq(Text(words));
        color.set_if_neq(TextColor(tint));
    }
}

fn show_notice(
    time: Res<Time<Real>>,
    line: Res<Line>,
    mut veil: Single<&mut Visibility, With<Veil>>,
    mut again: Single<&mut Node, With<Again>>,
    mut texts: Query<(&NoticeText, &mut Text)>,
) {
    let notice = line.notice(time.elapsed_secs_f64());
    let visible = if notice.is_some() { Visibility::Inherited } else { Visibility::Hidden };
    veil.set_if_neq(visible);
    let Some(notice) = notice else { return };
    let display = if line.is_over() { Display::Flex } else { Display::None };
    if again.display != display {
        again.display = display;
    }
    for (part, mut text) in &mut texts {
        text.set_if_neq(Text(match part {
            NoticeText::Title if line.is_over() => notice.title.to_owned(),
            NoticeText::Title => {
                let dots = ".".repeat(1 + (time.elapsed_secs() * 2.0) as usize % 3);
                format!("{}{dots:<3}", notice.title)
            }
            NoticeText::Line(index) => notice.lines[*index].clone(),
        }));
    }
}

/// Lights the pill of the room that we are in.
fn show_rooms(
    arena: Res<Arena>,
    mut pills: Query<(&Pill, &mut BackgroundColor, &mut BorderColor)>,
) {
    for (Pill(haunt), mut inside, mut rim) in &mut pills {
        let (fill, line) = if *haunt == arena.haunt { (0.2, 0.9) } else { (0.03, 0.25) };
        let accent = HAUNTS[*haunt].accent;
        inside.set_if_neq(BackgroundColor(accent.with_alpha(fill).into()));
        rim.set_if_neq(BorderColor::all(accent.with_alpha(line)));
    }
}
