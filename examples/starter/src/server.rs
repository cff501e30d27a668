//! The server decides who is it, and nothing else: where a square is, its player says.

use bevy::prelude::*;
use bevy_ghost_server::prelude::*;

use crate::protocol::{At, It, SIZE};

pub fn server(app: &mut App) {
    app.add_systems(Update, (hear, referee).chain()).world_mut().spawn(Room::new("yard"));
}

fn hear(mut said: MessageReader<FromPlayer<At>>, mut commands: Commands) {
    for said in said.read() {
        commands.entity(said.player).try_insert(said.message);
    }
}

/// Whom it touches is it, a second later at the earliest. If it is gone, somebody else is.
/// Sent as `latest`, so that who comes late hears of it too.
fn referee(
    mut it: Local<Option<(Entity, f32)>>,
    time: Res<Time>,
    room: Single<Entity, With<Room>>,
    players: Query<(Entity, &Player, &At), Without<Away>>,
    mut out: MessageWriter<ToRoom<It>>,
) {
    let now = time.elapsed_secs();
    let next = match it.and_then(|(it, since)| Some((players.get(it).ok()?, since))) {
        None => players.iter().next(),
        Some((_, since)) if now < since + 1.0 => None,
        Some(((it, _, at), _)) => players
            .iter()
            .find(|(other, _, place)| *other != it && (place.0 - at.0).abs().max_element() < SIZE),
    };
    if let Some((player, Player { seat, .. }, _)) = next {
        *it = Some((player, now));
        out.write(ToRoom::new(*room, It(*seat)).latest(0));
    }
}
