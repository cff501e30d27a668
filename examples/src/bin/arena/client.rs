//! The client: says where its own ghost is, hears where the others are, and what the server
//! says of the game.

use std::{collections::VecDeque, time::Duration};

use bevy::{prelude::*, time::common_conditions::on_timer};
use bevy_ghost_client::prelude::*;

use crate::{
    board::{Board, Toast},
    colors::{INK, glow},
    haunts::{HAUNTS, Haunt, PORTAL},
    notice::{Line, notices},
    protocol::{self, News, Pose, protocol},
    rules,
    stage::View,
    wander::Wanderer,
};

/// Time between two poses.
pub(crate) const PACE: Duration = Duration::from_millis(40);

pub(crate) fn client(app: &mut App) {
    protocol(app);
    app.add_plugins((GhostClientPlugin::default(), notices));
    app.add_observer(enter).add_observer(leave).add_observer(refused);
    app.add_systems(PreUpdate, (hear, heed).after(GhostClientSystems::Receive));
    app.add_systems(Update, (steer, travel, follow, identify).chain());
    app.add_systems(Update, try_again);
    app.add_systems(Update, say.after(follow).run_if(on_timer(PACE)));
    app.add_systems(Update, forget.run_if(on_timer(Duration::from_secs(1))));
}

/// Dials a server when the app begins. It is dialled again, and the room joined again, whenever
/// it is lost.
pub(crate) fn dial(server: String) -> impl Fn(Commands, Res<View>, ResMut<Line>) {
    move |commands, view, mut line| {
        line.dial(Some(server.clone()));
        call(commands, &server, &view);
    }
}

fn call(mut commands: Commands, server: &str, view: &View) {
    commands.trigger(Connect::to(server).with_metadata("name", view.name()));
    commands.trigger(Join::new(HAUNTS[0].name).if_nowhere());
}

/// Dials once more after it was given up.
fn try_again(
    commands: Commands,
    keys: Option<Res<ButtonInput<KeyCode>>>,
    view: Res<View>,
    mut line: ResMut<Line>,
) {
    if !line.is_over() || !keys.is_some_and(|keys| keys.just_pressed(KeyCode::Enter)) {
        return;
    }
    if let Some(server) = line.server.clone() {
        line.dial(Some(server.clone()));
        call(commands, &server, &view);
    }
}

/// Where we are, and what is heard there.
#[derive(Default, Resource)]
pub(crate) struct Arena {
    /// Index of our room.
    pub(crate) haunt: usize,
    /// Poses heard since the start.
    pub(crate) messages: u64,
    /// Of the last seconds: poses of others that were skipped for newer ones, and those that came.
    loss: (f32, f32),
}

impl Arena {
    pub(crate) fn loss(&self) -> f32 {
        self.loss.0 / (self.loss.0 + self.loss.1).max(1.0)
    }
}

/// Somebody in our room, ourselves included.
#[derive(Clone, Component, Debug, PartialEq)]
#[require(Transform, Visibility)]
pub(crate) struct Ghost {
    pub(crate) name: String,
    pub(crate) color: Color,
    pub(crate) crowned: bool,
    pub(crate) away: bool,
}

impl Ghost {
    /// Before the board names it.
    fn stranger(wish: Option<&str>) -> Self {
        let name = rules::name(wish, &[]);
        Self { name, color: INK, crowned: false, away: false }
    }
}

/// The ghost that is ours.
#[derive(Component, Default)]
pub(crate) struct Me {
    velocity: Vec2,
    /// The other room has been asked for.
    leaving: bool,
}

/// A lantern in our room.
#[derive(Clone, Component)]
#[require(Transform, Visibility)]
pub(crate) struct Lantern(pub(crate) protocol::Lantern);

/// A lantern was caught there, by somebody of that colour, for so many points.
#[derive(Event)]
pub(crate) struct Catch {
    pub(crate) at: Vec2,
    pub(crate) worth: u32,
    pub(crate) color: Color,
}

/// We are in: our ghost steps out of the portal. Others appear as their poses come.
fn enter(joined: On<Joined>, mut commands: Commands, mut arena: ResMut<Arena>, who: Names) {
    arena.haunt = Haunt::index(joined.room_name.as_str()).unwrap_or(0);
    let at = Transform::from_translation(HAUNTS[arena.haunt].exit().extend(0.0));
    let ghost = Ghost::stranger(who.get(joined.player));
    commands.entity(joined.player).insert((Me::default(), at, ghost));
}

/// What was in a room is not here any more.
fn leave(_: On<Left>, mut commands: Commands, lanterns: Query<Entity, With<Lantern>>) {
    lanterns.iter().for_each(|lantern| commands.entity(lantern).despawn());
}

fn refused(refused: On<JoinRefused>, mut toasts: MessageWriter<Toast>, mut me: Query<&mut Me>) {
    toasts.write(Toast(format!("{}: {}", refused.room_name, refused.reason), INK));
    me.iter_mut().for_each(|mut me| me.leaving = false);
}

/// Moves our ghost by keyboard, or as it likes.
fn steer(
    time: Res<Time>,
    keys: Option<Res<ButtonInput<KeyCode>>>,
    mind: Option<ResMut<Wanderer>>,
    arena: Res<Arena>,
    lanterns: Query<&Lantern>,
    me: Single<(&mut Transform, &mut Me)>,
) {
    let (mut transform, mut me) = me.into_inner();
    let mut at = transform.translation.truncate();
    let haunt = &HAUNTS[arena.haunt];
    let mut wish = Vec2::ZERO;
    if let Some(mut mind) = mind {
        let lanterns = lanterns.iter().map(|lantern| lantern.0.at());
        wish = mind.wish(haunt, at, me.velocity, lanterns, time.delta_secs());
    } else if let Some(keys) = keys {
        let axis = |more: [KeyCode; 2], less: [KeyCode; 2]| {
            f32::from(keys.any_pressed(more)) - f32::from(keys.any_pressed(less))
        };
        wish.x = axis([KeyCode::KeyD, KeyCode::ArrowRight], [KeyCode::KeyA, KeyCode::ArrowLeft]);
        wish.y = axis([KeyCode::KeyW, KeyCode::ArrowUp], [KeyCode::KeyS, KeyCode::ArrowDown]);
    }
    haunt.glide(&mut at, &mut me.velocity, wish, time.delta_secs());
    transform.translation = at.extend(transform.translation.z);
}

/// Through the portal, or by Tab, to the other room. To join it is to leave this one.
fn travel(
    mut commands: Commands,
    keys: Option<Res<ButtonInput<KeyCode>>>,
    arena: Res<Arena>,
    me: Single<(&Transform, &mut Me)>,
) {
    let (transform, mut me) = me.into_inner();
    let near = transform.translation.truncate().distance(HAUNTS[arena.haunt].portal) < PORTAL;
    let asked = keys.is_some_and(|keys| keys.just_pressed(KeyCode::Tab));
    if (near || asked) && !std::mem::replace(&mut me.leaving, true) {
        commands.trigger(Join::new(HAUNTS[1 - arena.haunt].name));
    }
}

/// Tells the room where we are; the server hears it too.
fn say(
    time: Res<Time<Real>>,
    mut count: Local<u32>,
    me: Single<&Transform, With<Me>>,
    mut out: MessageWriter<Broadcast<Pose>>,
) {
    *count += 1;
    let at = me.translation;
    let pose = Pose { count: *count, millis: time.elapsed().as_millis() as u32, x: at.x, y: at.y };
    out.write(Broadcast::new(pose).latest(0));
}

/// Takes in where the others are; the first pose of somebody makes the ghost appear.
fn hear(
    time: Res<Time<Real>>,
    mut commands: Commands,
    mut poses: MessageReader<FromRoom<Pose>>,
    who: Names,
    mut others: Query<&mut Other>,
    mut arena: ResMut<Arena>,
) {
    for FromRoom { sender, message: pose, .. } in poses.read() {
        let Some(player) = sender.player() else { continue };
        arena.messages += 1;
        let now = time.elapsed_secs_f64();
        if let Ok(mut other) = others.get_mut(player) {
            arena.loss.0 += other.hear(*pose, now) as f32;
            arena.loss.1 += 1.0;
        } else if let Ok(mut entity) = commands.get_entity(player) {
            let at = Transform::from_translation(pose.at().extend(0.0));
            entity.insert((Other::new(*pose, now), at, Ghost::stranger(who.get(player))));
        }
    }
}

/// Takes in what the server says of the game.
fn heed(
    time: Res<Time<Real>>,
    mut commands: Commands,
    mut news: GhostReader<News>,
    mut board: ResMut<Board>,
    mut toasts: MessageWriter<Toast>,
    lanterns: Query<(Entity, &Lantern)>,
) {
    // Those that are there, and those that this run of the system has made.
    let mut known: Vec<_> = lanterns.iter().map(|(entity, lantern)| (entity, lantern.0)).collect();
    let light = |commands: &mut Commands, lantern: protocol::Lantern| {
        let at = Transform::from_translation(lantern.at().extend(1.3));
        (commands.spawn((Lantern(lantern), at)).id(), lantern)
    };
    for said in news.read() {
        match said.message {
            News::Lanterns(all) => {
                known.drain(..).for_each(|(entity, _)| commands.entity(entity).despawn());
                known.extend(all.iter().map(|lantern| light(&mut commands, *lantern)));
            }
            News::Appeared(lantern) => known.push(light(&mut commands, *lantern)),
            News::Caught { lantern, by, .. } => {
                let found = known.iter().position(|(_, other)| other.id == *lantern);
                if let Some((entity, lantern)) = found.map(|index| known.swap_remove(index)) {
                    commands.entity(entity).despawn();
                    let color = board.row(*by).map_or(INK, |row| glow(row.color));
                    commands.trigger(Catch { at: lantern.at(), worth: lantern.worth, color });
                }
            }
            News::Board { .. } | News::Crowned { .. } => {}
        }
        toasts.write_batch(board.heed(said.message, time.elapsed_secs_f64()));
    }
}

/// Gives ghosts the names, colours and crowns that the board has for them.
fn identify(board: Res<Board>, mut ghosts: Query<(&Member, Has<Away>, &mut Ghost)>) {
    for (member, away, mut ghost) in &mut ghosts {
        let mut looks = ghost.clone();
        looks.away = away;
        if let Some(row) = board.row(member.client_id) {
            looks.name.clone_from(&row.name);
            (looks.color, looks.crowned) = (glow(row.color), row.crowned);
        }
        ghost.set_if_neq(looks);
    }
}

/// What was heard of another player, drawn a little late so that there mostly is a next pose.
#[derive(Component)]
struct Other {
    poses: VecDeque<Pose>,
    /// Our clock minus the sender's, as of the fastest deliveries.
    lag: f64,
}

impl Other {
    const DELAY: f64 = 0.1;

    fn new(pose: Pose, now: f64) -> Self {
        Self { poses: [pose].into(), lag: now - pose.seconds() }
    }

    /// Returns how many poses were skipped before this one.
    fn hear(&mut self, pose: Pose, now: f64) -> u32 {
        // Creeps up, since clocks drift and ways get longer.
        self.lag = (self.lag + 0.0005).min(now - pose.seconds());
        let skipped = self.poses.back().map_or(0, |last| pose.count.saturating_sub(last.count));
        self.poses.push_back(pose);
        self.poses.drain(..self.poses.len().saturating_sub(32));
        skipped.saturating_sub(1)
    }

    fn at(&self, now: f64) -> Option<Vec2> {
        let then = now - self.lag - Self::DELAY;
        let next = self.poses.iter().position(|pose| pose.seconds() > then);
        let Some(next) = next else { return self.poses.back().map(|last| last.at()) };
        let (from, to) = (self.poses[next.saturating_sub(1)], self.poses[next]);
        let share = (then - from.seconds()) / (to.seconds() - from.seconds()).max(0.001);
        Some(from.at().lerp(to.at(), share.clamp(0.0, 1.0) as f32))
    }
}

/// Where poses are far apart, the straight way between them may lead through a wall; the ghost
/// goes along it.
fn follow(time: Res<Time<Real>>, arena: Res<Arena>, mut others: Query<(&Other, &mut Transform)>) {
    for (other, mut transform) in &mut others {
        if let Some(at) = other.at(time.elapsed_secs_f64()) {
            let at = HAUNTS[arena.haunt].free(at);
            transform.translation = at.extend(transform.translation.z);
        }
    }
}

/// Forgets old poses bit by bit, so that the loss shown is that of the last seconds.
fn forget(mut arena: ResMut<Arena>) {
    arena.loss.0 *= 0.7;
    arena.loss.1 *= 0.7;
}
