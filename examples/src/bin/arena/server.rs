//! The server: two rooms whose players hear each other, and the game in them, which it alone
//! decides.

use std::time::Duration;

use bevy::{ecs::system::SystemParam, prelude::*, time::common_conditions::on_timer};
use bevy_ghost_server::{ConnectionOpened, ShutdownPlugin, prelude::*};

use crate::{
    board::{Board, Toast},
    client::Arena,
    haunts::HAUNTS,
    invite::Invitation,
    protocol::{News, Pose, Row, protocol},
    rules::{self, Belief, Lanterns, Round},
    wander::Dice,
};

/// Rows of the board that are told; who has less than all of these is not on it.
const ROWS: usize = 64;
/// Seconds from a change to the board that has it. Who goes from room to room is in neither
/// for a moment.
const BOARD_DELAY: f64 = 0.1;

/// A server that listens there, and plays rounds of that length.
pub(crate) fn server(app: &mut App, bind: String, round: Duration) {
    app.add_plugins(GhostServerPlugin::bind(bind));
    if !app.is_plugin_added::<ShutdownPlugin>() {
        app.add_plugins(ShutdownPlugin::default());
    }
    app.add_observer(invite).add_observer(advise);
    game(app, round);
}

/// Opens the rooms, and plays in them.
fn game(app: &mut App, round: Duration) {
    protocol(app);
    app.insert_resource(Round::first(round)).init_resource::<Chalk>();
    app.insert_resource(Luck { dice: Dice::new(42), lanterns: 0 }).add_message::<Told>();
    app.add_observer(welcome).add_observer(greet);
    app.add_observer(seat).add_observer(left).add_observer(away).add_observer(back);
    app.add_systems(Update, (referee, light, turn, tell_board, tell).chain());
    for (index, haunt) in HAUNTS.iter().enumerate() {
        app.world_mut().spawn((Room::new(haunt.name), Place(index), Lanterns::default()));
    }
}

/// Lets a server without a player of its own say what it tells the rooms.
pub(crate) fn overhear(app: &mut App) {
    app.add_systems(Update, heed.after(tell));
    app.add_systems(Update, tally.run_if(on_timer(Duration::from_secs(1))));
}

/// Which of the [`HAUNTS`] a room is.
#[derive(Component)]
struct Place(usize);

/// Whoever is connected, in whichever room: on the connection, which stays when a player goes
/// from room to room or is away, and goes with who leaves.
#[derive(Component)]
struct Contestant {
    name: String,
    color: u32,
    score: u32,
    crowned: bool,
}

#[derive(Resource)]
struct Luck {
    dice: Dice,
    /// Lanterns that there were.
    lanterns: u32,
}

/// What writes the board.
#[derive(Default, Resource)]
struct Chalk {
    /// Whether it has to be written anew.
    stale: bool,
    /// When it will be, in seconds.
    due: Option<f64>,
}

/// News for one room, or for all.
#[derive(Clone, Message)]
struct Told(Option<Entity>, News);

fn invite(started: On<ServerStarted>, mut commands: Commands) {
    let Some(addr) = started.addr else { return };
    let invitation = Invitation::to(addr);
    println!("listening on {addr}");
    println!("{}: {}", invitation.title, invitation.command);
    println!("{}; {}", invitation.provided, invitation.advice);
    commands.insert_resource(invitation);
}

/// The plugin ends the program.
fn advise(failed: On<ServerFailed>) {
    println!("No server: {}. Listen elsewhere, at 0.0.0.0:7778 say.", failed.reason);
}

/// Gives a name and a colour that nobody else has.
fn welcome(
    opened: On<ConnectionOpened>,
    mut commands: Commands,
    who: Names,
    others: Query<&Contestant, Without<Ended>>,
) {
    let names: Vec<_> = others.iter().map(|other| other.name.as_str()).collect();
    let colors: Vec<_> = others.iter().map(|other| other.color).collect();
    let wish = who.get(opened.connection);
    commands.entity(opened.connection).insert(Contestant {
        name: rules::name(wish, &names),
        color: rules::lowest_free(&colors),
        score: 0,
        crowned: false,
    });
}

/// Who comes in is told the game as it is.
fn greet(mut request: On<GreetRequest>, rooms: Query<&Lanterns>, slate: Slate) {
    if let Ok(lanterns) = rooms.get(request.room) {
        request.greet_with(&News::Lanterns(lanterns.lit.clone()));
    }
    request.greet_with(&slate.read());
}

fn seat(
    joined: On<PlayerJoined>,
    mut commands: Commands,
    mut chalk: ResMut<Chalk>,
    rooms: Query<&Place>,
    time: Res<Time<Real>>,
) {
    let Ok(Place(index)) = rooms.get(joined.room) else { return };
    let belief = Belief::new(HAUNTS[*index].exit(), time.elapsed_secs_f64());
    commands.entity(joined.player).insert(belief);
    chalk.stale = true;
}

fn left(_: On<PlayerLeft>, mut chalk: ResMut<Chalk>) {
    chalk.stale = true;
}

fn away(_: On<PlayerAway>, mut chalk: ResMut<Chalk>) {
    chalk.stale = true;
}

fn back(_: On<PlayerBack>, mut chalk: ResMut<Chalk>) {
    chalk.stale = true;
}

/// Hears where ghosts say they are, and lets them catch what they touch there.
fn referee(
    time: Res<Time<Real>>,
    mut poses: MessageReader<FromPlayer<Pose>>,
    mut beliefs: Query<&mut Belief, Without<Ended>>,
    mut rooms: Query<(&Place, &mut Lanterns)>,
    mut contestants: Query<&mut Contestant>,
    mut chalk: ResMut<Chalk>,
    mut news: MessageWriter<Told>,
) {
    for FromPlayer { player, room, connection, client_id, message: pose, .. } in poses.read() {
        let Ok(mut belief) = beliefs.get_mut(*player) else { continue };
        let Ok((Place(index), mut lanterns)) = rooms.get_mut(*room) else { continue };
        let Ok(mut contestant) = contestants.get_mut(*connection) else { continue };
        let claim = HAUNTS[*index].free(pose.at());
        let at = belief.hear(claim, time.elapsed_secs_f64());
        if let Some(caught) = lanterns.catch(at) {
            contestant.score += caught.worth;
            let (lantern, by, score) = (caught.id, *client_id, contestant.score);
            news.write(Told(Some(*room), News::Caught { lantern, by, score }));
            chalk.stale = true;
        }
    }
}

fn light(
    time: Res<Time<Real>>,
    mut rooms: Query<(Entity, &Place, &mut Lanterns)>,
    mut luck: ResMut<Luck>,
    mut news: MessageWriter<Told>,
) {
    let Luck { dice, lanterns: count } = &mut *luck;
    for (room, Place(index), mut lanterns) in &mut rooms {
        if let Some(lit) = lanterns.light(*count, &HAUNTS[*index], dice, time.elapsed_secs_f64()) {
            *count = count.wrapping_add(1);
            news.write(Told(Some(room), News::Appeared(lit)));
        }
    }
}

/// Ends a round: crowns its best, and begins the next with no points.
fn turn(
    time: Res<Time<Real>>,
    mut round: ResMut<Round>,
    mut contestants: Query<(Entity, &Connection, &mut Contestant), Without<Ended>>,
    mut chalk: ResMut<Chalk>,
    mut news: MessageWriter<Told>,
) {
    let Some(round) = round.turn(time.elapsed_secs_f64()) else { return };
    let scores = contestants.iter().map(|(entity, _, it)| (entity, it.score));
    let (best, score) = rules::winners(scores);
    let mut winners = vec![];
    for (entity, connection, mut contestant) in &mut contestants {
        contestant.score = 0;
        contestant.crowned = best.contains(&entity);
        if contestant.crowned && winners.len() < ROWS {
            winners.push(connection.client_id);
        }
    }
    news.write(Told(None, News::Crowned { round, winners, score }));
    chalk.stale = true;
}

/// What the board is made of.
#[derive(SystemParam)]
struct Slate<'w, 's> {
    time: Res<'w, Time<Real>>,
    round: Res<'w, Round>,
    config: Res<'w, ServerConfig>,
    players: Query<
        'w,
        's,
        (&'static Player, &'static InRoom, &'static SeatOf, Has<Away>),
        Without<Ended>,
    >,
    contestants: Query<'w, 's, &'static Contestant, Without<Ended>>,
    places: Query<'w, 's, &'static Place>,
}

impl Slate<'_, '_> {
    fn now(&self) -> f64 {
        self.time.elapsed_secs_f64()
    }

    /// The board as it is.
    fn read(&self) -> News {
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let mut rows: Vec<_> = self.players.iter().filter_map(|player| self.row(player)).collect();
        let players = [0, 1]
            .map(|haunt| rows.iter().filter(|row| usize::from(row.haunt) == haunt).count() as u32);
        rows.sort_by_key(|row| std::cmp::Reverse(row.score));
        rows.truncate(ROWS);
        News::Board {
            round: self.round.number,
            left_millis: millis(self.round.left(self.now())),
            kept_millis: millis(self.config.relay.resume_grace),
            players,
            rows,
        }
    }

    fn row(
        &self,
        (player, InRoom(room), SeatOf(connection), away): (&Player, &InRoom, &SeatOf, bool),
    ) -> Option<Row> {
        let Contestant { name, color, score, crowned } = self.contestants.get(*connection).ok()?;
        let Place(index) = self.places.get(*room).ok()?;
        let (who, name, haunt) = (player.client_id, name.clone(), *index as u8);
        Some(Row { who, name, color: *color, haunt, score: *score, crowned: *crowned, away })
    }
}

/// Writes the board anew, shortly after what has changed it.
fn tell_board(slate: Slate, mut chalk: ResMut<Chalk>, mut news: MessageWriter<Told>) {
    if !chalk.stale {
        return;
    }
    let now = slate.now();
    let due = *chalk.due.get_or_insert(now + BOARD_DELAY);
    if now >= due {
        *chalk = Chalk::default();
        news.write(Told(None, slate.read()));
    }
}

fn tell(
    mut news: MessageReader<Told>,
    rooms: Query<Entity, With<Place>>,
    mut out: MessageWriter<ToRoom<News>>,
) {
    for Told(to, news) in news.read() {
        let rooms = rooms.iter().filter(|room| to.is_none_or(|to| to == *room));
        out.write_batch(rooms.map(|room| ToRoom::new(room, news.clone())));
    }
}

fn heed(
    time: Res<Time<Real>>,
    mut news: MessageReader<Told>,
    mut board: ResMut<Board>,
    mut toasts: MessageWriter<Toast>,
) {
    for Told(_, news) in news.read() {
        toasts.write_batch(board.heed(news, time.elapsed_secs_f64()));
    }
}

/// Counts for the table what a server without a player of its own sees.
fn tally(mut arena: ResMut<Arena>, rooms: Query<&RoomStats>) {
    arena.messages = rooms.iter().map(|stats| stats.received.messages).sum();
}

#[cfg(test)]
mod tests;
