//! With a window, with a picture, or as text: whatever this machine can show.

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    time::Duration,
};

use bevy::{
    app::{ScheduleRunnerPlugin, TerminalCtrlCHandlerPlugin},
    log::LogPlugin,
    prelude::*,
    render::{
        render_resource::{TextureFormat, TextureUsages},
        view::screenshot::{Screenshot, ScreenshotCaptured, save_to_disk},
    },
    window::ExitCondition,
    winit::WinitPlugin,
};
use bevy_ghost_client::{GoodbyePlugin, HeadlessClientPlugins};
use bevy_ghost_server::{DedicatedServerPlugins, ShutdownPlugin};
use clap::Args;

use crate::{
    board::{Board, Toast},
    client::Arena,
    draw::draw,
    headless::table,
    wander::Wanderer,
};

/// How a player looks at the scene.
#[derive(Args, Clone, Resource)]
pub(crate) struct View {
    /// The name above your ghost; otherwise that of your account.
    #[arg(long)]
    name: Option<String>,
    /// Let your ghost wander by itself. Without a window it always does.
    #[arg(long)]
    wander: bool,
    /// Draw without a window, and write the last frame to this PNG file.
    #[arg(long)]
    screenshot: Option<PathBuf>,
    /// Draw nothing: only a table.
    #[arg(long, conflicts_with = "screenshot")]
    headless: bool,
    /// End after so many seconds; without a window 20 are enough.
    #[arg(long)]
    seconds: Option<f32>,
    /// End after so many frames.
    #[arg(long)]
    frames: Option<u32>,
    /// Whether nobody sees what is drawn.
    #[arg(skip)]
    unwatched: bool,
}

/// When the scene ends by itself.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct End {
    /// End after so many seconds.
    #[arg(long)]
    pub(crate) seconds: Option<f32>,
}

impl View {
    pub(crate) fn name(&self) -> String {
        let account = || env::var("USER").or_else(|_| env::var("USERNAME")).ok();
        self.name.clone().or_else(account).unwrap_or_else(|| "guest".into())
    }

    pub(crate) fn unwatched(&self) -> bool {
        self.unwatched
    }

    fn picture(&self) -> PathBuf {
        self.screenshot.clone().unwrap_or_else(|| "arena.png".into())
    }

    /// Somebody whom nobody watches wanders, and not for ever.
    fn bounded(mut self) -> Self {
        if self.frames.is_none() {
            self.seconds.get_or_insert(20.0);
        }
        (self.wander, self.unwatched) = (true, true);
        self
    }

    fn length(&self) -> String {
        match (self.frames, self.seconds) {
            (Some(frames), _) => format!("{frames} frames"),
            (None, seconds) => format!("{} s", seconds.unwrap_or(f32::INFINITY)),
        }
    }
}

/// What an app does when it is told to end.
#[derive(Clone, Copy)]
pub(crate) enum Goodbye {
    /// Says it to the server.
    Client,
    /// Says it to the players.
    Server,
}

pub(crate) const SIZE: UVec2 = UVec2::new(1280, 720);

/// An app that shows the scene as well as this machine can.
pub(crate) fn seen(view: View, goodbye: Goodbye) -> App {
    let display =
        !cfg!(target_os = "linux") || env::var("DISPLAY").is_ok_and(|name| !name.is_empty());
    if !view.headless {
        if display
            && view.screenshot.is_none()
            && let Some(app) = attempt(|| window(view.clone(), goodbye))
        {
            return app;
        }
        if let Some(app) = attempt(|| picture(view.clone().bounded(), goodbye)) {
            return app;
        }
        let length = view.clone().bounded().length();
        println!("No display and no Vulkan driver: the scene runs for {length} as a table.");
    }
    unseen(view.bounded(), goodbye)
}

/// A server alone, which nobody looks at.
pub(crate) fn dedicated(end: End) -> App {
    let mut app = App::new();
    app.add_plugins((DedicatedServerPlugins.set(log()), table));
    stage(&mut app, end.seconds, None);
    app
}

/// Bevy panics where a display, a driver or a library of these is missing.
fn attempt(build: impl FnOnce() -> App) -> Option<App> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let app = panic::catch_unwind(AssertUnwindSafe(build)).ok();
    panic::set_hook(hook);
    app
}

fn window(view: View, goodbye: Goodbye) -> App {
    let mut app = App::new();
    let window = Window { title: "Ghost Sync arena".into(), resolution: SIZE.into(), ..default() };
    let plugin = WindowPlugin { primary_window: Some(window), ..default() };
    let plugins = DefaultPlugins.set(plugin).set(assets());
    app.add_plugins(plugins.disable::<LogPlugin>().disable::<TerminalCtrlCHandlerPlugin>());
    app.add_plugins((log(), draw)).add_systems(Update, rest);
    player(&mut app, view, goodbye);
    app
}

fn picture(view: View, goodbye: Goodbye) -> App {
    let mut app = App::new();
    let no_window =
        WindowPlugin { primary_window: None, exit_condition: ExitCondition::DontExit, ..default() };
    let plugins = DefaultPlugins.set(no_window).set(assets()).disable::<WinitPlugin>();
    app.add_plugins(plugins.disable::<LogPlugin>().disable::<TerminalCtrlCHandlerPlugin>());
    let mut image = Image::new_target_texture(SIZE.x, SIZE.y, TextureFormat::Rgba8UnormSrgb, None);
    image.texture_descriptor.usage |= TextureUsages::COPY_SRC;
    let image = app.world_mut().resource_mut::<Assets<Image>>().add(image);
    app.insert_resource(Canvas(image));
    let frames = ScheduleRunnerPlugin::run_loop(Duration::from_millis(33));
    app.add_plugins((frames, log(), draw, table));
    let (length, file) = (view.length(), view.picture());
    println!("No window: the scene runs for {length}, then {} shows it.", file.display());
    player(&mut app, view, goodbye);
    app
}

fn unseen(view: View, goodbye: Goodbye) -> App {
    let mut app = App::new();
    let plugins = HeadlessClientPlugins.set(log()).disable::<GoodbyePlugin>();
    app.add_plugins((plugins, table));
    player(&mut app, view, goodbye);
    app
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

fn player(app: &mut App, view: View, goodbye: Goodbye) {
    match goodbye {
        Goodbye::Client => app.add_plugins(GoodbyePlugin),
        Goodbye::Server => app.add_plugins(ShutdownPlugin::default()),
    };
    if view.wander {
        app.insert_resource(Wanderer::new(99));
    }
    stage(app, view.seconds, view.frames);
    app.insert_resource(view);
}

fn stage(app: &mut App, seconds: Option<f32>, frames: Option<u32>) {
    app.init_resource::<Arena>().init_resource::<Board>().add_message::<Toast>();
    app.add_systems(Last, finish(seconds, frames));
}

/// Where pictures go when there is no window.
#[derive(Resource)]
pub(crate) struct Canvas(pub(crate) Handle<Image>);

/// Ends the scene when it was told to end, with a last picture if there is no window.
fn finish(
    seconds: Option<f32>,
    most: Option<u32>,
) -> impl FnMut(Res<Time<Real>>, Option<Res<Canvas>>, Commands, MessageWriter<AppExit>) {
    let (mut frames, mut ended) = (0, false);
    move |time, canvas, mut commands, mut exit| {
        frames += 1;
        let late = seconds.is_some_and(|seconds| time.elapsed_secs() > seconds);
        let long = most.is_some_and(|most| frames >= most);
        if !(late || long) || std::mem::replace(&mut ended, true) {
            return;
        }
        let Some(canvas) = canvas else {
            exit.write(AppExit::Success);
            return;
        };
        commands.spawn(Screenshot::image(canvas.0.clone())).observe(keep_picture);
    }
}

fn keep_picture(
    captured: On<ScreenshotCaptured>,
    view: Res<View>,
    mut exit: MessageWriter<AppExit>,
) {
    let file = view.picture();
    save_to_disk(&file)(captured);
    println!("wrote {}", file.display());
    exit.write(AppExit::Success);
}
