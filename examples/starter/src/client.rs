//! A player. A square is the member's entity: it comes and goes with who plays.

use bevy::prelude::*;
use bevy_ghost_client::prelude::*;

use crate::protocol::{At, It, SIZE};

pub const HALF: Vec2 = Vec2::new(380.0, 210.0);

/// Who is it.
#[derive(Resource)]
pub struct Chase(pub Seat);

pub fn client(app: &mut App) {
    app.add_plugins(GhostClientPlugin::default()).insert_resource(Chase(Seat::SERVER));
    app.add_systems(Update, (appear, hear, steer).chain()).add_systems(FixedUpdate, say);
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
    mut it: MessageReader<FromRoom<It>>,
    mut chase: ResMut<Chase>,
    mut squares: Query<(&Member, &mut Transform)>,
) {
    for FromRoom { sender, message: At(at), .. } in places.read() {
        if let Some(Ok((_, mut square))) = sender.player().map(|player| squares.get_mut(player)) {
            square.translation = at.clamp(-HALF, HALF).extend(0.0);
        }
    }
    it.read().for_each(|said| chase.0 = said.message.0);
    for (member, mut square) in &mut squares {
        square.scale = Vec3::splat(if member.seat == chase.0 { 1.4 } else { 1.0 });
    }
}

/// By keys; a bot has none, and goes to the nearest if it is it, else away from it.
fn steer(
    time: Res<Time>,
    keys: Option<Res<ButtonInput<KeyCode>>>,
    chase: Res<Chase>,
    me: Single<(&Member, &mut Transform), With<LocalPlayer>>,
    others: Query<(&Member, &Transform), Without<LocalPlayer>>,
) {
    let (Member { seat, .. }, mut me) = me.into_inner();
    let (at, it) = (me.translation.truncate(), *seat == chase.0);
    let wish = if let Some(keys) = keys {
        let axis = |less, more| f32::from(keys.pressed(more)) - f32::from(keys.pressed(less));
        let sideways = axis(KeyCode::ArrowLeft, KeyCode::ArrowRight);
        Vec2::new(sideways, axis(KeyCode::ArrowDown, KeyCode::ArrowUp))
    } else {
        let others = others.iter().filter(|(other, _)| it || other.seat == chase.0);
        let ways = others.map(|(_, other)| other.translation.truncate() - at);
        let way = ways.min_by(|a, b| a.length().total_cmp(&b.length())).unwrap_or_default();
        // Around the middle too, or who flees would stand in a corner.
        if it { way } else { at.perp() / 300.0 - at / HALF - way.normalize_or_zero() }
    };
    let step = wish.normalize_or_zero() * time.delta_secs() * if it { 200.0 } else { 170.0 };
    me.translation = (at + step).clamp(-HALF, HALF).extend(1.0);
}

fn say(me: Single<&Transform, With<LocalPlayer>>, mut out: MessageWriter<Broadcast<At>>) {
    out.write(Broadcast::new(At(me.translation.truncate())).latest(0));
}
