//! Ghosts in two haunted rooms.
//!
//! ```sh
//! cargo run --release -p ghost_examples                    # server, window and some bots
//! cargo run --release -p ghost_examples -- client HOST     # a friend joins
//! ```
//!
//! In this order: the command line; what travels; the server; the client; the bots; the rooms;
//! and then, longer than all of these, what it looks like.
#![allow(clippy::print_stdout, reason = "a program that people read on a terminal")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    env, iter,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    thread,
    time::Duration,
};

use bevy::{
    app::{ScheduleRunnerPlugin, TerminalCtrlCHandlerPlugin},
    asset::RenderAssetUsages,
    camera::{RenderTarget, ScalingMode, visibility::NoFrustumCulling},
    log::LogPlugin,
    mesh::{Indices, PrimitiveTopology},
    prelude::*,
    render::{
        render_resource::{TextureFormat, TextureUsages},
        view::screenshot::{Screenshot, ScreenshotCaptured, save_to_disk},
    },
    text::LetterSpacing,
    time::common_conditions::on_timer,
    window::ExitCondition,
    winit::WinitPlugin,
};
use bevy_ghost_client::{prelude::*, typed::MessageRegistry};
use bevy_ghost_server::{
    DedicatedServerPlugins, GhostServer, GhostServerPlugin, Room, RoomStats, ServerFailed,
    ServerStarted,
};
use clap::{Args, Parser, Subcommand};
use ghost_sync_core::{
    Client, Delivery, MessageType, Protocol,
    client::{SendOptions, ServerEvent},
};
use tokio::{runtime, select, task::JoinSet, time};

// ---------------------------------------------------------------------------------------------
// The command line
// ---------------------------------------------------------------------------------------------

/// Ghosts in two haunted rooms. Without a sub-command: host.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    view: View,
}

#[derive(Subcommand)]
enum Role {
    /// A server and a player in one process, with some bots for company.
    Host {
        /// How many bots.
        #[arg(long, default_value_t = BOTS)]
        bots: usize,
        /// Where friends can join.
        #[arg(long, default_value = BIND)]
        bind: String,
    },
    /// A server alone.
    Server {
        /// Where players can join.
        #[arg(default_value = BIND)]
        bind: String,
    },
    /// A player who joins a server.
    Client {
        /// The server; port 7777 if none is given.
        #[arg(default_value = "127.0.0.1", value_parser = address)]
        server: String,
    },
    /// Players who wander about, unseen by anybody here.
    Bots {
        /// How many.
        count: usize,
        /// The server; port 7777 if none is given.
        #[arg(default_value = "127.0.0.1", value_parser = address)]
        server: String,
    },
}

const BIND: &str = "0.0.0.0:7777";
const BOTS: usize = 9;

fn address(server: &str) -> Result<String, Infallible> {
    let full = server.contains(':');
    Ok(if full { server.to_owned() } else { format!("{server}:7777") })
}

#[derive(Args, Clone, Resource)]
struct View {
    /// The name above your ghost; otherwise that of your account.
    #[arg(long, global = true)]
    name: Option<String>,
    /// Let your ghost wander by itself. Without a window it always does.
    #[arg(long, global = true)]
    wander: bool,
    /// Draw without a window, and write the last frame to this PNG file.
    #[arg(long, global = true)]
    screenshot: Option<PathBuf>,
    /// Draw nothing: only a table.
    #[arg(long, global = true, conflicts_with = "screenshot")]
    headless: bool,
    /// End after so many seconds; without a window, a player has 20.
    #[arg(long, global = true)]
    seconds: Option<f32>,
    /// End after so many frames.
    #[arg(long, global = true)]
    frames: Option<u32>,
}

fn main() -> AppExit {
    let Cli { role, view } = Cli::parse();
    let mut app = match role.unwrap_or_else(|| Role::Host { bots: BOTS, bind: BIND.into() }) {
        Role::Bots { count, server } => {
            bots(count, server, view.seconds);
            return AppExit::Success;
        }
        Role::Server { bind } => {
            let mut app = App::new();
            app.add_plugins((DedicatedServerPlugins.set(log()), table));
            server(&mut app, bind);
            app.add_systems(Update, tally.run_if(on_timer(Duration::from_secs(1))));
            stage(app, view)
        }
        Role::Client { server } => {
            let mut app = seen(view);
            client(&mut app);
            app.add_systems(Startup, connect(server));
            app
        }
        Role::Host { bots, bind } => {
            let mut app = seen(view);
            server(&mut app, bind);
            client(&mut app);
            app.add_observer(host(bots)).add_observer(no_server);
            app
        }
    };
    app.run()
}

// ---------------------------------------------------------------------------------------------
// What travels
// ---------------------------------------------------------------------------------------------

/// Where a ghost is; only the newest matters.
#[derive(Clone, Copy, SchemaRead, SchemaWrite)]
struct Pose {
    /// Counts the sender's poses, so that receivers see how many were skipped.
    count: u32,
    /// When, by the sender's clock.
    millis: u32,
    x: f32,
    y: f32,
}

impl Pose {
    fn seconds(self) -> f64 {
        f64::from(self.millis) / 1e3
    }

    /// Kept to the floor: a client may send whatever it likes.
    fn at(self) -> Vec2 {
        let at = Vec2::new(self.x, self.y);
        if at.is_finite() { at.clamp(-HALF, HALF) } else { Vec2::ZERO }
    }
}

/// Server, clients and bots agree on this; the handshake compares it.
fn protocol(app: &mut App) {
    app.add_ghost_message::<Pose>().from_clients();
}

/// Time between two poses.
const PACE: Duration = Duration::from_millis(40);

// ---------------------------------------------------------------------------------------------
// The server: two rooms, whose players hear each other
// ---------------------------------------------------------------------------------------------

fn server(app: &mut App, bind: String) {
    protocol(app);
    app.add_plugins(GhostServerPlugin::bind(bind));
    app.add_observer(|started: On<ServerStarted>| {
        if let Some(addr) = started.addr {
            println!("listening on {addr}");
        }
    });
    for haunt in &HAUNTS {
        app.world_mut().spawn(Room::new(haunt.name));
    }
}

fn no_server(failed: On<ServerFailed>, mut exit: MessageWriter<AppExit>) {
    println!("No server: {}. Try another --bind.", failed.reason);
    exit.write(AppExit::error());
}

/// Counts for the table what a server without a player of its own sees.
fn tally(mut arena: ResMut<Arena>, rooms: Query<(&Room, &RoomStats)>) {
    arena.messages = rooms.iter().map(|(_, stats)| stats.received.messages).sum();
    arena.players = HAUNTS.map(|haunt| {
        let room = rooms.iter().find(|(room, _)| room.name() == haunt.name);
        room.map_or(0, |(_, stats)| stats.players)
    });
}

// ---------------------------------------------------------------------------------------------
// The client: says where its own ghost is, and hears where the others are
// ---------------------------------------------------------------------------------------------

fn client(app: &mut App) {
    protocol(app);
    app.add_plugins(GhostClientPlugin::default());
    app.add_observer(enter).add_observer(refused).add_observer(greet).add_observer(part);
    app.add_observer(|list: On<RoomList>, mut arena: ResMut<Arena>| {
        arena.players = HAUNTS.map(|haunt| {
            list.rooms.iter().find(|room| room.name == haunt.name).map_or(0, |room| room.players)
        });
    });
    app.add_systems(PreUpdate, hear.after(GhostClientSystems::Receive));
    app.add_systems(Update, (steer, travel, follow).chain());
    app.add_systems(Update, say.after(follow).run_if(on_timer(PACE)));
    app.add_systems(Update, ask_for_rooms.run_if(on_timer(Duration::from_millis(400))));
    app.add_systems(Update, forget.run_if(on_timer(Duration::from_secs(1))));
}

/// Dials a server. It is dialled again, and the room joined again, whenever it is lost.
fn connect(server: String) -> impl Fn(Commands, Res<View>) {
    move |mut commands, view| {
        commands.trigger(Connect::to(&server).with_meta("name", view.name()));
        commands.trigger(Join::new(HAUNTS[0].name));
    }
}

/// Once the server runs: a player without a socket, and bots with.
fn host(count: usize) -> impl Fn(On<ServerStarted>, Commands, Res<View>, Res<GhostServer>) {
    move |started, mut commands, view, server| {
        let Some(connector) = server.connector() else { return };
        commands.trigger(Connect::local(connector).with_meta("name", view.name()));
        commands.trigger(Join::new(HAUNTS[0].name));
        if let Some(addr) = started.addr {
            let server = format!("127.0.0.1:{}", addr.port());
            thread::spawn(move || bots(count, server, None));
        }
    }
}

/// We are in: our ghost steps out of the portal. Others appear as their poses come.
fn enter(joined: On<Joined>, mut commands: Commands, mut arena: ResMut<Arena>, view: Res<View>) {
    arena.haunt = HAUNTS.iter().position(|haunt| joined.room_name == haunt.name).unwrap_or(0);
    let at = HAUNTS[arena.haunt].exit();
    let (at, ghost) = (Transform::from_translation(at.extend(0.0)), Ghost::new(view.name()));
    commands.entity(joined.player).insert((Me::default(), at, ghost));
}

fn refused(refused: On<JoinRefused>, mut toasts: MessageWriter<Toast>, mut me: Query<&mut Me>) {
    toasts.write(Toast(format!("{}: {}", refused.room_name, refused.reason), Color::WHITE));
    me.iter_mut().for_each(|mut me| me.leaving = false);
}

fn greet(joined: On<PlayerJoined>, who: Query<&Metadata>, mut toasts: MessageWriter<Toast>) {
    let name = name_of(joined.player, &who);
    toasts.write(Toast(format!("{name} joined"), glow(&name)));
}

fn part(left: On<PlayerLeft>, who: Query<&Metadata>, mut toasts: MessageWriter<Toast>) {
    let name = name_of(left.player, &who);
    toasts.write(Toast(format!("{name} {}", left.reason), glow(&name)));
}

fn name_of(player: Entity, who: &Query<&Metadata>) -> String {
    let name = who.get(player).ok().and_then(|metadata| metadata.get("name"));
    name.unwrap_or("somebody").chars().take(16).collect()
}

/// Moves our ghost by keyboard, or as it likes.
fn steer(
    time: Res<Time>,
    keys: Option<Res<ButtonInput<KeyCode>>>,
    mind: Option<ResMut<Wanderer>>,
    arena: Res<Arena>,
    me: Single<(&mut Transform, &mut Me)>,
) {
    let (mut transform, mut me) = me.into_inner();
    let mut at = transform.translation.truncate();
    let haunt = &HAUNTS[arena.haunt];
    let mut wish = Vec2::ZERO;
    if let Some(mut mind) = mind {
        wish = mind.wish(haunt, at, me.velocity, time.delta_secs());
    } else if let Some(keys) = keys {
        let axis = |more: [KeyCode; 2], less: [KeyCode; 2]| {
            f32::from(keys.any_pressed(more)) - f32::from(keys.any_pressed(less))
        };
        wish.x = axis([KeyCode::KeyD, KeyCode::ArrowRight], [KeyCode::KeyA, KeyCode::ArrowLeft]);
        wish.y = axis([KeyCode::KeyW, KeyCode::ArrowUp], [KeyCode::KeyS, KeyCode::ArrowDown]);
    }
    glide(haunt, &mut at, &mut me.velocity, wish, time.delta_secs());
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

/// Tells the room where we are.
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
    who: Query<&Metadata>,
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
            entity.insert((Other::new(*pose, now), at, Ghost::new(name_of(player, &who))));
        }
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

fn follow(time: Res<Time<Real>>, mut others: Query<(&Other, &mut Transform)>) {
    for (other, mut transform) in &mut others {
        if let Some(at) = other.at(time.elapsed_secs_f64()) {
            transform.translation = at.extend(transform.translation.z);
        }
    }
}

fn ask_for_rooms(mut commands: Commands) {
    commands.trigger(ListRooms);
}

/// Forgets old poses bit by bit, so that the loss shown is that of the last seconds.
fn forget(mut arena: ResMut<Arena>) {
    arena.loss.0 *= 0.7;
    arena.loss.1 *= 0.7;
}

// ---------------------------------------------------------------------------------------------
// The bots: plain clients, without Bevy
// ---------------------------------------------------------------------------------------------

/// Runs `count` bots, for ever if nothing else is said.
fn bots(count: usize, server: String, seconds: Option<f32>) {
    let mut app = App::new();
    MessageRegistry::enable_client(&mut app);
    protocol(&mut app);
    let protocol = app.world().resource::<MessageRegistry>().protocol();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives no more sockets to wait on").block_on(async move {
        let mut bots = JoinSet::new();
        for number in 0..count {
            bots.spawn(bot(number, server.clone(), protocol.clone()));
        }
        time::sleep(seconds.map_or(Duration::MAX, Duration::from_secs_f32)).await;
    });
}

/// Haunts, and comes back when the connection ends.
async fn bot(number: usize, server: String, protocol: Protocol) {
    const NAMES: [&str; 10] =
        ["Boo", "Wisp", "Shade", "Murmur", "Nyx", "Hush", "Glim", "Fen", "Echo", "Veil"];
    let name = match (NAMES[number % NAMES.len()], number / NAMES.len()) {
        (name, 0) => name.to_owned(),
        (name, round) => format!("{name} {}", round + 1),
    };
    time::sleep(Duration::from_millis(300) * number as u32).await;
    loop {
        let client = Client::builder().protocol(protocol.clone()).meta("name", &name);
        if let Ok(client) = client.connect(&server).await {
            // How it ended does not matter: it is dialled again.
            let _ = wander(client, number).await;
        }
        time::sleep(Duration::from_secs(1)).await;
    }
}

/// Moves a bot about until its connection ends.
async fn wander(client: Client, number: usize) -> Option<()> {
    let (sender, mut events) = client.split();
    let options = SendOptions {
        delivery: Delivery::Latest(0),
        message_type: MessageType::of("Pose"),
        ..SendOptions::default()
    };
    let mut mind = Wanderer::new(number as u64 + 1);
    let mut here = number % HAUNTS.len();
    let (mut at, mut velocity, mut joined) = (mind.place(), Vec2::ZERO, false);
    sender.join(HAUNTS[here].name).await.ok()?;
    let start = time::Instant::now();
    let mut ticks = time::interval(PACE);
    let mut count = 0;
    loop {
        select! {
            event = events.recv() => {
                joined |= matches!(event.ok()??, ServerEvent::Joined { .. });
                continue;
            }
            _ = ticks.tick() => {}
        }
        if !joined {
            continue;
        }
        let haunt = &HAUNTS[here];
        let wish = mind.wish(haunt, at, velocity, PACE.as_secs_f32());
        glide(haunt, &mut at, &mut velocity, wish, PACE.as_secs_f32());
        count += 1;
        let pose = Pose { count, millis: start.elapsed().as_millis() as u32, x: at.x, y: at.y };
        sender.try_broadcast(wincode::serialize(&pose).ok()?, &options).ok()?;
        if at.distance(haunt.portal) < PORTAL {
            here = 1 - here;
            (at, joined) = (HAUNTS[here].exit(), false);
            sender.join(HAUNTS[here].name).await.ok()?;
        }
    }
}

// ---------------------------------------------------------------------------------------------
// What the network tells and the pictures show
// ---------------------------------------------------------------------------------------------

/// Somebody in our room, ourselves included.
#[derive(Component)]
#[require(Transform, Visibility)]
struct Ghost {
    name: String,
    color: Color,
}

impl Ghost {
    fn new(name: String) -> Self {
        Self { color: glow(&name), name }
    }
}

/// The same name always glows in the same colour. (FNV, from a start that keeps the bots apart.)
fn glow(name: &str) -> Color {
    let hash = name
        .bytes()
        .fold(259_583_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Oklcha::new(0.83, 0.125, (hash >> 8) as f32 % 360.0, 1.0).into()
}

/// The ghost that is ours.
#[derive(Component, Default)]
struct Me {
    velocity: Vec2,
    /// The other room has been asked for.
    leaving: bool,
}

/// Where we are, and what is known of the rooms.
#[derive(Default, Resource)]
struct Arena {
    /// Index of our room.
    haunt: usize,
    /// In each room.
    players: [u32; 2],
    /// Poses heard since the start.
    messages: u64,
    /// Of the last seconds: poses of others that were skipped for newer ones, and those that came.
    loss: (f32, f32),
}

impl Arena {
    fn loss(&self) -> f32 {
        self.loss.0 / (self.loss.0 + self.loss.1).max(1.0)
    }
}

/// A line that is shown for a moment, with the colour of whom it is about.
#[derive(Message)]
struct Toast(String, Color);

// ---------------------------------------------------------------------------------------------
// The two rooms, and how one moves in them. Players and bots share this.
// ---------------------------------------------------------------------------------------------

/// Half the size of a room's floor; the whole floor is always in view.
const HALF: Vec2 = Vec2::new(608.0, 286.0);
/// Distance that a ghost keeps from walls.
const RADIUS: f32 = 20.0;
/// A ghost this near to a portal is through.
const PORTAL: f32 = 34.0;
/// Units per second.
const SPEED: f32 = 270.0;

/// A place to haunt: its name on the network, its colours, its walls.
struct Haunt {
    name: &'static str,
    accent: Srgba,
    floor: Srgba,
    portal: Vec2,
    /// Centre and size.
    walls: &'static [(Vec2, Vec2)],
}

impl Haunt {
    /// Where one steps out of the portal.
    fn exit(&self) -> Vec2 {
        self.portal - self.portal.signum() * 100.0
    }
}

const HAUNTS: [Haunt; 2] = [
    Haunt {
        name: "moonlight",
        accent: Srgba::rgb(0.47, 0.58, 1.0),
        floor: Srgba::rgb(0.030, 0.035, 0.085),
        portal: Vec2::new(470.0, 0.0),
        walls: &[
            (Vec2::new(-330.0, 130.0), Vec2::new(170.0, 44.0)),
            (Vec2::new(-330.0, 0.0), Vec2::new(44.0, 44.0)),
            (Vec2::new(-330.0, -150.0), Vec2::new(170.0, 44.0)),
            (Vec2::new(0.0, 0.0), Vec2::new(120.0, 120.0)),
            (Vec2::new(250.0, 160.0), Vec2::new(44.0, 130.0)),
            (Vec2::new(250.0, -160.0), Vec2::new(44.0, 130.0)),
        ],
    },
    Haunt {
        name: "embers",
        accent: Srgba::rgb(1.0, 0.50, 0.34),
        floor: Srgba::rgb(0.075, 0.030, 0.036),
        portal: Vec2::new(-470.0, 0.0),
        walls: &[
            (Vec2::new(-190.0, 140.0), Vec2::new(240.0, 44.0)),
            (Vec2::new(-190.0, -140.0), Vec2::new(240.0, 44.0)),
            (Vec2::new(110.0, 0.0), Vec2::new(44.0, 210.0)),
            (Vec2::new(330.0, 150.0), Vec2::new(90.0, 90.0)),
            (Vec2::new(330.0, -150.0), Vec2::new(90.0, 90.0)),
            (Vec2::new(430.0, 0.0), Vec2::new(140.0, 44.0)),
        ],
    },
];

/// One step of a ghost in a room: steer towards `wish`, slide along walls.
fn glide(haunt: &Haunt, at: &mut Vec2, velocity: &mut Vec2, wish: Vec2, seconds: f32) {
    velocity.smooth_nudge(&(wish.clamp_length_max(1.0) * SPEED), 9.0, seconds);
    let before = *at;
    *at = (*at + *velocity * seconds).clamp(-HALF + RADIUS, HALF - RADIUS);
    for (centre, size) in haunt.walls {
        let nearest = at.clamp(centre - size / 2.0, centre + size / 2.0);
        let apart = *at - nearest;
        if apart.length() < RADIUS {
            *at = nearest + apart.normalize_or(Vec2::Y) * RADIUS;
        }
    }
    *velocity = velocity.clamp_length_max(at.distance(before) / seconds.max(0.001) + 1.0);
}

/// A mind for those without a keyboard.
#[derive(Clone, Resource)]
struct Wanderer {
    dice: u64,
    goal: Vec2,
    patience: f32,
}

impl Wanderer {
    fn new(seed: u64) -> Self {
        Self { dice: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), goal: Vec2::ZERO, patience: 0.0 }
    }

    /// A number in `0.0..1.0` (xorshift; nothing here needs better).
    fn roll(&mut self) -> f32 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 40) as f32 / (1u64 << 24) as f32
    }

    fn place(&mut self) -> Vec2 {
        Vec2::new(self.roll() - 0.5, self.roll() - 0.5) * 2.0 * (HALF - 2.0 * RADIUS)
    }

    /// Where it wants to go now: to some goal, along a curve.
    fn wish(&mut self, haunt: &Haunt, at: Vec2, velocity: Vec2, seconds: f32) -> Vec2 {
        let stuck = velocity.length() < 0.3 * SPEED;
        self.patience -= if stuck { 10.0 * seconds } else { seconds };
        if self.patience < 0.0 || at.distance(self.goal) < 40.0 {
            self.patience = 1.5 + 3.0 * self.roll();
            self.goal = if self.roll() < 0.06 { haunt.portal } else { self.place() };
        }
        let around = Vec2::from_angle((self.patience * 1.7).sin() * 0.9);
        around.rotate((self.goal - at).normalize_or_zero()) * 0.9
    }
}

// ---------------------------------------------------------------------------------------------
// With a window, with a picture, or with a table
// ---------------------------------------------------------------------------------------------

impl View {
    fn name(&self) -> String {
        let account = || env::var("USER").or_else(|_| env::var("USERNAME")).ok();
        self.name.clone().or_else(account).unwrap_or_else(|| "guest".into())
    }

    fn picture(&self) -> PathBuf {
        self.screenshot.clone().unwrap_or_else(|| "arena.png".into())
    }

    /// Somebody whom nobody watches wanders, and not for ever.
    fn bounded(mut self) -> Self {
        if self.frames.is_none() {
            self.seconds.get_or_insert(20.0);
        }
        self.wander = true;
        self
    }

    fn end(&self) -> String {
        match (self.frames, self.seconds) {
            (Some(frames), _) => format!("{frames} frames"),
            (None, seconds) => format!("{} s", seconds.unwrap_or(f32::INFINITY)),
        }
    }
}

const SIZE: UVec2 = UVec2::new(1280, 720);

/// An app that shows the scene as well as this machine can.
fn seen(view: View) -> App {
    let display =
        !cfg!(target_os = "linux") || env::var("DISPLAY").is_ok_and(|name| !name.is_empty());
    if !view.headless {
        if display
            && view.screenshot.is_none()
            && let Some(app) = attempt(|| window(view.clone()))
        {
            return app;
        }
        if let Some(app) = attempt(|| picture(view.clone().bounded())) {
            return app;
        }
        let end = view.clone().bounded().end();
        println!("No display and no Vulkan driver: the scene runs for {end} as a table.");
    }
    unseen(view.bounded())
}

/// Bevy panics where a display, a driver or a library of these is missing.
fn attempt(build: impl FnOnce() -> App) -> Option<App> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let app = panic::catch_unwind(AssertUnwindSafe(build)).ok();
    panic::set_hook(hook);
    app
}

fn window(view: View) -> App {
    let mut app = App::new();
    let window = Window { title: "Ghost Sync arena".into(), resolution: SIZE.into(), ..default() };
    let plugin = WindowPlugin { primary_window: Some(window), ..default() };
    app.add_plugins(DefaultPlugins.set(plugin).set(assets()).disable::<LogPlugin>());
    app.add_plugins((log(), draw)).add_systems(Update, rest);
    stage(app, view)
}

fn picture(view: View) -> App {
    let mut app = App::new();
    let no_window =
        WindowPlugin { primary_window: None, exit_condition: ExitCondition::DontExit, ..default() };
    app.add_plugins(
        DefaultPlugins.set(no_window).set(assets()).disable::<WinitPlugin>().disable::<LogPlugin>(),
    );
    let mut image = Image::new_target_texture(SIZE.x, SIZE.y, TextureFormat::Rgba8UnormSrgb, None);
    image.texture_descriptor.usage |= TextureUsages::COPY_SRC;
    let image = app.world_mut().resource_mut::<Assets<Image>>().add(image);
    app.insert_resource(Canvas(image));
    app.add_plugins((
        ScheduleRunnerPlugin::run_loop(Duration::from_millis(33)),
        log(),
        draw,
        table,
    ));
    let (end, file) = (view.end(), view.picture());
    println!("No window: the scene runs for {end}, then {} shows it.", file.display());
    stage(app, view)
}

fn unseen(view: View) -> App {
    let mut app = App::new();
    let pace = ScheduleRunnerPlugin::run_loop(Duration::from_millis(16));
    app.add_plugins((MinimalPlugins.set(pace), TerminalCtrlCHandlerPlugin, log(), table));
    stage(app, view)
}

fn assets() -> AssetPlugin {
    AssetPlugin { file_path: concat!(env!("CARGO_MANIFEST_DIR"), "/../assets").into(), ..default() }
}

/// Added last, since an app that was not to be could not take its log back.
fn log() -> LogPlugin {
    LogPlugin { filter: "warn".into(), ..default() }
}

fn rest(keys: Res<ButtonInput<KeyCode>>, mut exit: MessageWriter<AppExit>) {
    if keys.just_pressed(KeyCode::Escape) {
        exit.write(AppExit::Success);
    }
}

fn stage(mut app: App, view: View) -> App {
    if view.wander {
        app.insert_resource(Wanderer::new(99));
    }
    app.init_resource::<Arena>().add_message::<Toast>().insert_resource(view);
    app.add_systems(Last, finish);
    app
}

/// Where pictures go when there is no window.
#[derive(Resource)]
struct Canvas(Handle<Image>);

/// Ends the scene when it was told to end, with a last picture if there is no window.
fn finish(
    time: Res<Time<Real>>,
    view: Res<View>,
    canvas: Option<Res<Canvas>>,
    mut commands: Commands,
    mut exit: MessageWriter<AppExit>,
    mut frames: Local<u32>,
    mut ended: Local<bool>,
) {
    *frames += 1;
    let late = view.seconds.is_some_and(|seconds| time.elapsed_secs() > seconds);
    let long = view.frames.is_some_and(|most| *frames >= most);
    if !(late || long) || std::mem::replace(&mut *ended, true) {
        return;
    }
    let Some(canvas) = canvas else {
        exit.write(AppExit::Success);
        return;
    };
    commands
        .spawn(Screenshot::image(canvas.0.clone()))
        .observe(save_to_disk(view.picture()))
        .observe(|_: On<ScreenshotCaptured>, view: Res<View>, mut exit: MessageWriter<AppExit>| {
            println!("wrote {}", view.picture().display());
            exit.write(AppExit::Success);
        });
}

/// Prints how things are, once a second, and who comes and goes.
fn table(app: &mut App) {
    app.add_systems(Update, print_row.run_if(on_timer(Duration::from_secs(1))));
    app.add_systems(Update, |mut toasts: MessageReader<Toast>| {
        toasts.read().for_each(|Toast(line, _)| println!("         {line}"));
    });
    app.add_observer(|lost: On<Disconnected>| println!("         reconnecting: {}", lost.reason));
}

fn print_row(
    time: Res<Time<Real>>,
    arena: Res<Arena>,
    client: Option<Res<GhostClient>>,
    mut before: Local<u64>,
    mut rows: Local<u32>,
) {
    if rows.is_multiple_of(20) {
        let [first, second] = HAUNTS.map(|haunt| haunt.name);
        println!("   time  {first:>10} {second:>10}       ping     loss   messages        /s");
    }
    *rows += 1;
    let [first, second] = arena.players;
    let ping = client.and_then(|client| client.rtt).map_or_else(|| "-".into(), milliseconds);
    println!(
        "{:>5.0} s  {first:>10} {second:>10} {ping:>10} {:>6.1} % {:>10} {:>9}",
        time.elapsed_secs(),
        arena.loss() * 100.0,
        arena.messages,
        arena.messages - *before,
    );
    *before = arena.messages;
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f32() * 1e3)
}

// ---------------------------------------------------------------------------------------------
// What it looks like
// ---------------------------------------------------------------------------------------------

/// Draws every [`Ghost`], our room, and each [`Toast`].
fn draw(app: &mut App) {
    app.insert_resource(ClearColor(Color::srgb(0.012, 0.013, 0.028)));
    app.add_systems(Startup, (set_stage, build_hud));
    app.add_systems(Update, (paint_haunt, spin_portal, drift_motes));
    app.add_systems(Update, (float, leave_trails, fade, draw_trails).chain());
    app.add_systems(Update, (fit_hud, show_readouts, show_rooms, show_toasts));
    app.add_observer(dress).add_observer(vanish);
}

#[derive(Resource)]
struct Art {
    ghost: Handle<Image>,
    eyes: Handle<Image>,
    glow: Handle<Image>,
    portal: Handle<Image>,
    wall: Handle<Image>,
    floor: Handle<Image>,
    trails: Handle<Mesh>,
}

fn set_stage(
    mut commands: Commands,
    assets: Res<AssetServer>,
    mut meshes: ResMut<Assets<Mesh>>,
    mut materials: ResMut<Assets<ColorMaterial>>,
    canvas: Option<Res<Canvas>>,
) {
    let (min_width, min_height) = (SIZE.x as f32, SIZE.y as f32);
    let projection = Projection::Orthographic(OrthographicProjection {
        scaling_mode: ScalingMode::AutoMin { min_width, min_height },
        ..OrthographicProjection::default_2d()
    });
    let at = Transform::from_xyz(0.0, 6.0, 0.0);
    let mut camera = commands.spawn((Camera2d, IsDefaultUiCamera, Msaa::Off, projection, at));
    if let Some(canvas) = canvas {
        camera.insert(RenderTarget::Image(canvas.0.clone().into()));
    }
    let empty = Mesh::new(PrimitiveTopology::TriangleList, RenderAssetUsages::default());
    let trails = meshes.add(empty);
    let light = materials.add(ColorMaterial::from(assets.load::<Image>("trail.png")));
    let at = Transform::from_xyz(0.0, 0.0, 2.0);
    commands.spawn((Mesh2d(trails.clone()), MeshMaterial2d(light), at, NoFrustumCulling));
    commands.insert_resource(Art {
        ghost: assets.load("ghost.png"),
        eyes: assets.load("eyes.png"),
        glow: assets.load("glow.png"),
        portal: assets.load("portal.png"),
        wall: assets.load("wall.png"),
        floor: assets.load("floor.png"),
        trails,
    });
}

/// A picture, tinted.
fn sprite(image: &Handle<Image>, size: Vec2, color: impl Into<Color>) -> Sprite {
    Sprite { image: image.clone(), color: color.into(), ..Sprite::sized(size) }
}

/// A square picture in its place.
fn piece(image: &Handle<Image>, size: f32, color: impl Into<Color>, at: Vec3) -> impl Bundle {
    (sprite(image, Vec2::splat(size), color), Transform::from_translation(at))
}

/// Text in the world: set at twice its size and drawn at half, so that it stays sharp when zoomed.
fn label(text: &str, size: f32, color: impl Into<Color>, at: Vec3) -> impl Bundle {
    let at = Transform::from_translation(at).with_scale(Vec3::splat(0.5));
    let font = TextFont::from_font_size(size * 2.0);
    (Text2d::new(text), font, TextColor(color.into()), LetterSpacing::Px(1.0), at)
}

/// Part of the room in view.
#[derive(Component)]
struct Scenery;

/// A ring of the portal, with its speed.
#[derive(Component)]
struct Swirl(f32);

/// A speck of dust, with its place at the start and how far it is ahead of the clock.
#[derive(Component)]
struct Mote(Vec2, f32);

/// Builds floor, walls and portal whenever we come to another room.
fn paint_haunt(
    mut commands: Commands,
    arena: Res<Arena>,
    art: Res<Art>,
    old: Query<Entity, With<Scenery>>,
    mut painted: Local<Option<usize>>,
) {
    if painted.replace(arena.haunt) == Some(arena.haunt) {
        return;
    }
    for scenery in &old {
        commands.entity(scenery).despawn();
    }
    let (haunt, other) = (&HAUNTS[arena.haunt], &HAUNTS[1 - arena.haunt]);
    let accent = |alpha| haunt.accent.with_alpha(alpha);
    let mut put = |sprite: Sprite, at: Vec2, z: f32| {
        commands.spawn((Scenery, sprite, Transform::from_translation(at.extend(z))));
    };

    put(Sprite::from_color(haunt.floor, HALF * 2.0), Vec2::ZERO, 0.0);
    let mut tiles = sprite(&art.floor, HALF * 2.0, accent(0.14));
    tiles.image_mode = SpriteImageMode::Tiled { tile_x: true, tile_y: true, stretch_value: 0.5 };
    put(tiles, Vec2::ZERO, 0.1);
    let lamps =
        [(Vec2::ZERO, 1100.0, 0.16), (haunt.portal, 520.0, 0.3), (-haunt.portal, 700.0, 0.1)];
    for (at, size, alpha) in lamps {
        put(sprite(&art.glow, Vec2::splat(size), accent(alpha)), at, 0.2);
    }
    let border = BorderRect::all(40.0);
    let slicer = TextureSlicer { border, max_corner_scale: 1.0, ..default() };
    let rim = [(Vec2::ZERO, HALF * 2.0 + 6.0)];
    for (i, (at, size)) in rim.iter().chain(haunt.walls).enumerate() {
        // The glow in the picture reaches 16 units beyond the wall.
        let mut wall = sprite(&art.wall, size + 32.0, haunt.accent);
        wall.image_mode = SpriteImageMode::Sliced(slicer.clone());
        put(wall, *at, if i == 0 { 0.05 } else { 1.0 });
    }
    for (size, speed, alpha) in [(120.0, 0.9, 1.0), (92.0, -1.4, 0.8)] {
        let color = other.accent.with_alpha(alpha);
        let ring = piece(&art.portal, size, color, haunt.portal.extend(1.1));
        commands.spawn((Scenery, Swirl(speed), ring));
    }
    let sign = format!("to {}", other.name);
    let below = haunt.portal - Vec2::Y * 78.0;
    commands.spawn((Scenery, label(&sign, 13.0, other.accent, below.extend(1.2))));
    let mut dice = Wanderer::new(7 + arena.haunt as u64);
    for _ in 0..46 {
        let mote = Mote(dice.place(), 60.0 * dice.roll());
        let speck = piece(&art.glow, 6.0 + 14.0 * dice.roll(), haunt.accent, Vec3::ZERO);
        commands.spawn((Scenery, mote, speck));
    }
}

fn spin_portal(time: Res<Time>, mut rings: Query<(&Swirl, &mut Transform)>) {
    for (Swirl(speed), mut ring) in &mut rings {
        ring.rotate_z(speed * time.delta_secs());
        ring.scale = Vec3::splat(1.0 + 0.04 * (time.elapsed_secs() * 2.0 * speed).sin());
    }
}

/// Dust in the light: up, sideways, and round again.
fn drift_motes(time: Res<Time>, mut motes: Query<(&Mote, &mut Transform, &mut Sprite)>) {
    for (Mote(home, ahead), mut transform, mut sprite) in &mut motes {
        let age = time.elapsed_secs() * 0.5 + ahead;
        let x = (home.x + 26.0 * age.sin()).clamp(-HALF.x, HALF.x);
        let y = (home.y + HALF.y + age * 16.0) % (HALF.y * 2.0) - HALF.y;
        transform.translation = Vec3::new(x, y, 1.5);
        sprite.color.set_alpha(0.2 + 0.18 * (age * 2.3).sin());
    }
}

/// How a ghost moves, and which of its parts move with it.
#[derive(Component)]
struct Body {
    born: f32,
    before: Vec2,
    velocity: Vec2,
    sheet: Entity,
    eyes: Entity,
}

/// Gives a new ghost its looks, and a flash.
fn dress(
    added: On<Add, Ghost>,
    mut commands: Commands,
    art: Res<Art>,
    time: Res<Time>,
    ghosts: Query<(&Ghost, &Transform, Has<Me>)>,
) -> Result {
    let (ghost, at, me) = ghosts.get(added.entity)?;
    let before = at.translation.truncate();
    let eyes = commands.spawn(piece(&art.eyes, 52.0, Color::WHITE, Vec3::ZERO)).id();
    let sheet =
        commands.spawn(piece(&art.ghost, 52.0, ghost.color, Vec3::ZERO)).add_child(eyes).id();
    let light = ghost.color.with_alpha(0.42);
    let (name, ring) =
        if me { (Color::WHITE, 0.22) } else { (ghost.color.mix(&Color::WHITE, 0.45), 0.0) };
    commands
        .entity(added.entity)
        .add_child(sheet)
        .insert(Body { born: time.elapsed_secs(), before, velocity: Vec2::ZERO, sheet, eyes })
        .insert(Trail::default())
        .with_child(piece(&art.glow, 190.0, light, Vec3::new(0.0, -2.0, -0.5)))
        .with_child(piece(&art.portal, 84.0, name.with_alpha(ring), Vec3::new(0.0, -2.0, -0.4)))
        .with_child(label(&ghost.name, 12.5, name, Vec3::new(0.0, 40.0, 0.2)));
    commands.spawn(flash(&art, before, ghost.color));
    Ok(())
}

/// A last light where somebody left.
fn vanish(
    removed: On<Remove, Ghost>,
    mut commands: Commands,
    art: Res<Art>,
    ghosts: Query<(&Ghost, &Transform)>,
) {
    if let Ok((ghost, at)) = ghosts.get(removed.entity) {
        commands.spawn(flash(&art, at.translation.truncate(), ghost.color));
    }
}

fn flash(art: &Art, at: Vec2, color: Color) -> impl Bundle {
    (
        Fade { age: 0.0, life: 0.7, alpha: 0.8, growth: 2.4 },
        piece(&art.portal, 70.0, color, at.extend(2.5)),
    )
}

/// Lets newcomers pop up, bobs and leans bodies, and turns eyes to where they go.
fn float(
    time: Res<Time>,
    mut ghosts: Query<(Entity, &mut Transform, &mut Body)>,
    mut parts: Query<&mut Transform, Without<Body>>,
) {
    for (ghost, mut transform, mut body) in &mut ghosts {
        let (now, at) = (time.elapsed_secs(), transform.translation.truncate());
        let moved = ((at - body.before) / time.delta_secs().max(0.001)).clamp_length_max(SPEED);
        body.velocity.smooth_nudge(&moved, 10.0, time.delta_secs());
        body.before = at;
        let grown = ((now - body.born) / 0.8).max(0.05);
        transform.scale = Vec3::splat(EaseFunction::ElasticOut.sample_clamped(grown));
        // Whoever is further down is nearer; the index keeps neighbours from flickering.
        let index = ghost.index_u32();
        transform.translation.z = 4.0 - at.y / 1000.0 + (index % 64) as f32 * 1e-5;
        let Ok([mut sheet, mut eyes]) = parts.get_many_mut([body.sheet, body.eyes]) else {
            continue;
        };
        let swing = (now * 3.2 + index as f32).sin();
        let lean = body.velocity / SPEED;
        sheet.translation.y = 3.0 * swing;
        sheet.rotation = Quat::from_rotation_z(-0.22 * lean.x);
        sheet.scale = Vec3::new(1.0 + 0.03 * swing, 1.0 - 0.03 * swing, 1.0);
        eyes.translation = (lean * Vec2::new(6.0, 4.0)).extend(0.01);
    }
}

/// Where a ghost has been in the last second, and how long ago, newest first.
#[derive(Component, Default)]
struct Trail {
    points: VecDeque<(Vec2, f32)>,
    since_echo: f32,
}

impl Trail {
    const LIFE: f32 = 1.1;
}

/// Lengthens trails, and leaves an echo of the ghost now and then.
fn leave_trails(
    time: Res<Time>,
    art: Res<Art>,
    mut commands: Commands,
    mut ghosts: Query<(&Ghost, &Body, &mut Trail)>,
) {
    for (ghost, body, mut trail) in &mut ghosts {
        let at = body.before;
        trail.points.iter_mut().for_each(|(_, age)| *age += time.delta_secs());
        trail.points.retain(|(_, age)| *age < Trail::LIFE);
        match trail.points.front().map(|(last, _)| last.distance(at)) {
            Some(step) if step < 4.0 => {}
            // A jump is no path.
            Some(step) if step > 150.0 => trail.points.clear(),
            _ => trail.points.push_front((at, 0.0)),
        }
        trail.since_echo += body.velocity.length() / SPEED * time.delta_secs();
        if trail.since_echo > 0.13 {
            trail.since_echo = 0.0;
            let echo = piece(&art.ghost, 50.0, ghost.color, at.extend(2.2));
            commands.spawn((Fade { age: 0.0, life: 0.75, alpha: 0.2, growth: -0.25 }, echo));
        }
    }
}

/// Draws all trails as one mesh of ribbons that narrow and fade.
fn draw_trails(
    art: Res<Art>,
    mut meshes: ResMut<Assets<Mesh>>,
    ghosts: Query<(&Ghost, &Body, &Trail)>,
) {
    // Starts with an empty triangle: the renderer wants no mesh without vertices.
    let (mut positions, mut uvs) = (vec![[0.0; 3]; 3], vec![[0.0; 2]; 3]);
    let (mut colors, mut indices) = (vec![[0.0; 4]; 3], vec![0, 1, 2]);
    for (ghost, body, trail) in &ghosts {
        let points: Vec<_> = iter::once((body.before, 0.0)).chain(trail.points.clone()).collect();
        let color = ghost.color.to_linear();
        for (i, &(at, age)) in points.iter().enumerate() {
            let newer = points[i.saturating_sub(3)].0;
            let older = points[(i + 3).min(points.len() - 1)].0;
            let left = 1.0 - age / Trail::LIFE;
            // Where the path turns back on itself the ribbon narrows, or its sides would cross.
            let path = newer.distance(at) + at.distance(older);
            let width = (6.0 + 20.0 * left) * newer.distance(older) / path.max(1.0);
            let side = (newer - older).normalize_or_zero().perp() * width;
            // Neither end may show an edge.
            let ends = (age / 0.1).min((points.len() - 1 - i) as f32 / 6.0).min(1.0);
            let alpha = 0.65 * left * left * ends;
            let base = positions.len() as u32;
            for (edge, v) in [(at + side, 0.0), (at - side, 1.0)] {
                positions.push([edge.x, edge.y, 0.0]);
                uvs.push([0.5, v]);
                colors.push(color.with_alpha(alpha).to_f32_array());
            }
            if i > 0 {
                indices.extend([base - 2, base - 1, base, base, base - 1, base + 1]);
            }
        }
    }
    if let Some(mut mesh) = meshes.get_mut(&art.trails) {
        mesh.insert_attribute(Mesh::ATTRIBUTE_POSITION, positions);
        mesh.insert_attribute(Mesh::ATTRIBUTE_UV_0, uvs);
        mesh.insert_attribute(Mesh::ATTRIBUTE_COLOR, colors);
        mesh.insert_indices(Indices::U32(indices));
    }
}

/// A sprite that fades and goes.
#[derive(Component)]
struct Fade {
    age: f32,
    life: f32,
    /// Opacity at the start.
    alpha: f32,
    /// Share of its size gained over its life.
    growth: f32,
}

fn fade(
    time: Res<Time>,
    mut commands: Commands,
    mut fading: Query<(Entity, &mut Fade, &mut Sprite, &mut Transform)>,
) {
    for (entity, mut fade, mut sprite, mut transform) in &mut fading {
        fade.age += time.delta_secs();
        let done = (fade.age / fade.life).min(1.0);
        sprite.color.set_alpha(fade.alpha * (1.0 - done).powi(2));
        transform.scale =
            Vec3::splat(1.0 + fade.growth * EaseFunction::CubicOut.sample_clamped(done));
        if done == 1.0 {
            commands.entity(entity).despawn();
        }
    }
}

// ---------------------------------------------------------------------------------------------
// The display around it
// ---------------------------------------------------------------------------------------------

const INK: Color = Color::srgb(0.86, 0.88, 0.97);
const DIM: Color = Color::srgb(0.47, 0.50, 0.64);
const PANEL: Color = Color::srgba(0.05, 0.055, 0.11, 0.92);

/// A text that follows what it names.
#[derive(Component)]
enum Readout {
    Players(usize),
    Ping,
    Loss,
    Trouble,
    Reason,
}

/// Stands for the room of that index.
#[derive(Component)]
struct Pill(usize);

/// Where toasts go.
#[derive(Component)]
struct Toaster;

/// Covers the room while the server is out of reach.
#[derive(Component)]
struct Veil;

fn text(text: impl Into<String>, size: f32, color: impl Into<Color>) -> impl Bundle {
    (Text::new(text), TextFont::from_font_size(size), TextColor(color.into()))
}

fn row(gap: f32) -> Node {
    Node { align_items: AlignItems::Center, column_gap: px(gap), ..default() }
}

fn column(gap: f32) -> Node {
    let (position_type, flex_direction) = (PositionType::Absolute, FlexDirection::Column);
    Node { position_type, flex_direction, row_gap: px(gap), ..default() }
}

/// A rounded box.
fn chip(x: f32, y: f32, border: f32, radius: f32, gap: f32) -> Node {
    let (padding, border) = (UiRect::axes(px(x), px(y)), UiRect::all(px(border)));
    Node { padding, border, border_radius: BorderRadius::all(px(radius)), ..row(gap) }
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
    let key = |cap: &'static str, action: &'static str| {
        let rim = BorderColor::all(DIM.with_alpha(0.5));
        let cap = (chip(8.0, 3.0, 1.0, 5.0, 0.0), rim, children![text(cap, 11.0, INK)]);
        (row(9.0), children![cap, text(action, 12.0, DIM)])
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
    commands.spawn((
        Node { bottom: px(-4), justify_content: JustifyContent::Center, ..bar },
        children![key("WASD", "drift"), key("TAB", "other room"), key("ESC", "rest in peace")],
    ));
    let corner =
        Node { left: px(44), bottom: px(72), align_items: AlignItems::FlexStart, ..column(8.0) };
    commands.spawn((Toaster, corner));
    let trouble = (Readout::Trouble, text("", 34.0, INK), LetterSpacing::Px(9.0));
    let reason = (Readout::Reason, text("", 15.0, DIM));
    let (align_items, justify_content) = (AlignItems::Center, JustifyContent::Center);
    let cover = Node {
        width: percent(100),
        height: percent(100),
        align_items,
        justify_content,
        ..column(14.0)
    };
    let shade = BackgroundColor(Color::srgba(0.01, 0.01, 0.025, 0.86));
    commands.spawn((Veil, cover, shade, GlobalZIndex(1), children![trouble, reason]));
}

/// Texts grow and shrink with the room.
fn fit_hud(window: Single<&Window>, mut scale: ResMut<UiScale>) {
    scale.0 = (window.size() / SIZE.as_vec2()).min_element();
}

fn show_readouts(
    time: Res<Time>,
    arena: Res<Arena>,
    client: Res<GhostClient>,
    state: Res<State<ClientState>>,
    mut readouts: Query<(&Readout, &mut Text)>,
    mut veil: Single<&mut Visibility, With<Veil>>,
) {
    let trouble = match state.get() {
        ClientState::Connected if client.away => "RECONNECTING",
        ClientState::Connected => "",
        ClientState::Connecting => "CONNECTING",
        ClientState::Reconnecting => "RECONNECTING",
        ClientState::Disconnected => "DISCONNECTED",
    };
    **veil = if trouble.is_empty() { Visibility::Hidden } else { Visibility::Inherited };
    for (readout, mut text) in &mut readouts {
        text.set_if_neq(Text(match readout {
            Readout::Players(haunt) => arena.players[*haunt].to_string(),
            Readout::Ping => client.rtt.map_or_else(|| "-".into(), milliseconds),
            Readout::Loss => format!("{:.1} %", arena.loss() * 100.0),
            Readout::Trouble => {
                let dots = ".".repeat(1 + (time.elapsed_secs() * 2.0) as usize % 3);
                format!("{trouble}{dots:<3}")
            }
            Readout::Reason => {
                let reason = client.last_reason.as_deref().unwrap_or("looking for the server");
                format!("{reason}  /  attempt {}", client.attempt.max(1))
            }
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

/// Age of a toast.
#[derive(Component)]
struct Shown(f32);

/// Toasts slide in from the left, and out again after some seconds.
fn show_toasts(
    mut commands: Commands,
    time: Res<Time>,
    list: Single<Entity, With<Toaster>>,
    mut new: MessageReader<Toast>,
    mut toasts: Query<(Entity, &mut Shown, &mut Node)>,
) {
    for Toast(line, color) in new.read() {
        let size = px(8);
        let dot = Node { width: size, height: size, border_radius: BorderRadius::MAX, ..default() };
        let looks = (chip(14.0, 8.0, 0.0, 9.0, 10.0), BackgroundColor(PANEL));
        let parts = children![(dot, BackgroundColor(*color)), text(line, 14.0, INK)];
        commands.entity(*list).with_child((Shown(0.0), looks, parts));
    }
    for (toast, mut age, mut node) in &mut toasts {
        age.0 += time.delta_secs();
        let shown = (age.0 * 4.0).min((4.5 - age.0) * 2.0);
        node.left = px(-420.0 * (1.0 - EaseFunction::CubicOut.sample_clamped(shown)));
        if age.0 > 4.5 {
            commands.entity(toast).despawn();
        }
    }
}
