//! A player. A square is the member's entity: it comes and goes with who plays.

use std::{env, time::Duration};

use bevy::{prelude::*, time::common_conditions::on_timer};
use bevy_ghost_client::prelude::*;

use crate::protocol::{At, It, SIZE};

const HALF: Vec2 = Vec2::new(600.0, 330.0);

/// Plays as `name`, wherever `connect` leads.
pub fn client(connect: Connect, name: &str) -> impl Plugin + use<> {
    let connect = connect.with_metadata("name", name);
    move |app: &mut App| {
        app.add_plugins(GhostClientPlugin::default()).insert_resource(It(Seat::SERVER));
        app.add_systems(Update, (appear, hear).chain()).add_systems(FixedUpdate, steer);
        app.world_mut().trigger(connect.clone());
        app.world_mut().trigger(Join::new("yard"));
    }
}

/// By its seat, so that a square looks the same everywhere.
fn appear(new: Query<(Entity, &Member), Added<Member>>, names: Names, mut commands: Commands) {
    for (entity, member) in &new {
        let turn = member.seat.0 as f32 * 2.4;
        commands.entity(entity).try_insert((
            Sprite::from_color(Color::hsl(turn.to_degrees() % 360.0, 0.8, 0.7), Vec2::splat(SIZE)),
            Transform::from_translation((Vec2::from_angle(turn) * HALF * 0.7).extend(0.0)),
            children![(Text2d::new(names.of(entity)), Transform::from_xyz(0.0, SIZE, 0.0))],
        ));
    }
}

/// Who is it is larger.
fn hear(
    mut places: MessageReader<FromRoom<At>>,
    mut said: MessageReader<FromRoom<It>>,
    mut it: ResMut<It>,
    mut squares: Query<(&Member, &mut Transform)>,
) {
    for FromRoom { sender, message: At(at), .. } in places.read() {
        if let Some(Ok((_, mut square))) = sender.player().map(|player| squares.get_mut(player)) {
            square.translation = at.clamp(-HALF, HALF).extend(0.0);
        }
    }
    said.read().for_each(|said| *it = said.message);
    for (member, mut square) in &mut squares {
        square.scale = Vec3::splat(if member.seat == it.0 { 1.4 } else { 1.0 });
    }
}

/// By keys; without any, to the nearest by who is it, and by the others away from the nearest.
fn steer(
    time: Res<Time>,
    it: Res<It>,
    keys: Option<Res<ButtonInput<KeyCode>>>,
    me: Single<(&Member, &mut Transform), With<LocalPlayer>>,
    others: Query<&Transform, (With<Member>, Without<LocalPlayer>)>,
    mut out: MessageWriter<Broadcast<At>>,
) {
    let (member, mut square) = me.into_inner();
    let (at, hunts) = (square.translation.truncate(), member.seat == it.0);
    let wish = if let Some(keys) = keys {
        let axis = |less, more| f32::from(keys.pressed(more)) - f32::from(keys.pressed(less));
        let sideways = axis(KeyCode::ArrowLeft, KeyCode::ArrowRight);
        Vec2::new(sideways, axis(KeyCode::ArrowDown, KeyCode::ArrowUp))
    } else {
        let ways = others.iter().map(|other| other.translation.truncate() - at);
        let way = ways.min_by(|a, b| a.length().total_cmp(&b.length())).unwrap_or_default();
        // Around the middle too, or who flees would stand in a corner.
        if hunts { way } else { at.perp() / 300.0 - at / HALF - way.normalize_or_zero() }
    };
    let step = wish.normalize_or_zero() * time.delta_secs() * if hunts { 200.0 } else { 170.0 };
    square.translation = (at + step).clamp(-HALF, HALF).extend(1.0);
    out.write(Broadcast::new(At(square.translation.truncate())).latest(0));
}

/// A window, or a line of text each second where there is no display.
pub fn view(app: &mut App) {
    if cfg!(target_os = "linux") && env::var_os("DISPLAY").is_none() {
        println!("no display: your square plays by itself, as text, until Ctrl-C");
        let print = |In(line): In<String>| println!("{line}");
        let news = news.pipe(print).run_if(on_timer(Duration::from_secs(1)));
        app.add_plugins(HeadlessClientPlugins).add_systems(Update, news);
        return;
    }
    let window = Window { title: "Tag: arrows move you".to_owned(), ..default() };
    app.add_plugins(DefaultPlugins.set(WindowPlugin { primary_window: Some(window), ..default() }));
    app.insert_resource(ClearColor(Color::BLACK)).world_mut().spawn((Camera2d, Text::default()));
    let show = |In(line): In<String>, mut text: Single<&mut Text>| text.0 = line;
    app.add_systems(Update, news.pipe(show));
}

fn news(
    it: Res<It>,
    client: Res<GhostClient>,
    squares: Query<(Entity, &Member, Has<LocalPlayer>)>,
    names: Names,
) -> String {
    match (squares.iter().find(|(_, member, _)| member.seat == it.0), &client.last_reason) {
        (Some((.., true)), _) => "you are it: touch somebody".to_owned(),
        (Some((square, ..)), _) => format!("run from {}", names.of(square)),
        (None, Some(reason)) => format!("no server: {reason}"),
        (None, None) => "coming in ...".to_owned(),
    }
}
