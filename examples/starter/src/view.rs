//! A window, or a line of text each second where there is no display.

use std::{env, time::Duration};

use bevy::{prelude::*, time::common_conditions::on_timer};
use bevy_ghost_client::prelude::*;

use crate::client::{Chase, HALF};

pub fn view(app: &mut App) {
    if cfg!(target_os = "linux") && env::var_os("DISPLAY").is_none() {
        println!("no display: your square plays by itself, as text, until Ctrl-C");
        app.add_plugins(HeadlessClientPlugins);
        let print = |In(line): In<String>| println!("{line}");
        app.add_systems(Update, news.pipe(print).run_if(on_timer(Duration::from_secs(1))));
        return;
    }
    let resolution = (HALF * 2.0 + 100.0).as_uvec2().into();
    let window = Window { title: "Tag: arrows move you".into(), resolution, ..default() };
    let window = WindowPlugin { primary_window: Some(window), ..default() };
    app.add_plugins(DefaultPlugins.set(window));
    let yard = Sprite::from_color(Color::BLACK, HALF * 2.0 + 40.0);
    app.world_mut().spawn((yard, Transform::from_xyz(0.0, 0.0, -1.0)));
    app.world_mut().spawn((Camera2d, Text::default()));
    let show = |In(line): In<String>, mut text: Single<&mut Text>| text.0 = line;
    app.add_systems(Update, news.pipe(show));
}

fn news(
    client: Res<GhostClient>,
    chase: Res<Chase>,
    squares: Query<(Entity, &Member, Has<LocalPlayer>)>,
    names: Names,
) -> String {
    let it = squares.iter().find(|(_, member, _)| member.seat == chase.0);
    match (it, &client.last_reason) {
        (Some((.., true)), _) => "you are it: touch somebody".to_owned(),
        (Some((it, ..)), _) => format!("run from {}", names.of(it)),
        (None, Some(reason)) => format!("no server: {reason}"),
        (None, None) => "coming in ...".to_owned(),
    }
}
