//! The server decides who is it, and nothing else: where a square is, its player says.

use bevy::prelude::*;
use bevy_ghost_server::prelude::*;

use crate::protocol::{At, It, SIZE};

pub fn server(app: &mut App) {
    app.insert_resource(Chase(Entity::PLACEHOLDER, 0.0));
    app.add_systems(Update, (hear, referee).chain());
    app.world_mut().spawn(Room::new("yard"));
}

/// The player who is it, and since when.
#[derive(Resource)]
struct Chase(Entity, f32);

fn hear(mut said: MessageReader<FromPlayer<At>>, mut commands: Commands) {
    for FromPlayer { player, message: At(place), .. } in said.read() {
        commands.entity(*player).try_insert(Transform::from_translation(place.extend(0.0)));
    }
}

/// Whom it touches is it, a second later at the earliest. If it is gone, somebody else is.
/// Sent as `latest`, so that who comes late hears of it too.
fn referee(
    time: Res<Time>,
    room: Single<Entity, With<Room>>,
    mut chase: ResMut<Chase>,
    players: Query<(Entity, &Player, &Transform), Without<Away>>,
    mut out: MessageWriter<ToRoom<It>>,
) {
    let now = time.elapsed_secs();
    let next = match players.get(chase.0) {
        Err(_) => players.iter().next(),
        Ok(_) if now < chase.1 + 1.0 => None,
        Ok((it, _, at)) => players.iter().find(|(other, _, place)| {
            *other != it && (place.translation - at.translation).abs().max_element() < SIZE
        }),
    };
    if let Some((it, player, _)) = next {
        *chase = Chase(it, now);
        out.write(ToRoom::new(*room, It(player.seat)).latest(0));
    }
}
