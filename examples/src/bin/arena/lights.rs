//! How lanterns look, and what is seen when one is caught.

use bevy::prelude::*;

use crate::{
    client::{Catch, Lantern},
    colors::GOLD,
    draw::{Art, Fade, label, piece},
    ghosts::flash,
};

/// Draws every [`Lantern`].
pub(crate) fn lights(app: &mut App) {
    app.add_systems(Update, (hang, flicker, rise)).add_observer(burst);
}

/// The light of a lantern, and its size.
#[derive(Component)]
struct Shine(f32);

/// Points that rise from where they were won.
#[derive(Component)]
struct Points(f32);

const WARM: Color = Color::srgb(1.0, 0.78, 0.38);
const BRIGHT: Color = Color::srgb(0.78, 0.94, 1.0);

fn hang(mut commands: Commands, art: Res<Art>, new: Query<(Entity, &Lantern), Added<Lantern>>) {
    for (entity, Lantern(lantern)) in &new {
        let (color, size) = if lantern.worth > 1 { (BRIGHT, 54.0) } else { (WARM, 44.0) };
        let glow = 4.2 * size;
        commands
            .entity(entity)
            .with_child((Shine(glow), piece(&art.glow, glow, color.with_alpha(0.5), Vec3::ZERO)))
            .with_child(piece(&art.lantern, size, color, Vec3::Z * 0.01));
        let at = lantern.at().extend(2.5);
        let appears = Fade { age: 0.0, life: 0.9, alpha: 0.7, growth: 1.2 };
        commands.spawn((appears, piece(&art.glow, 2.0 * size, color, at)));
    }
}

fn flicker(time: Res<Time>, mut shines: Query<(Entity, &Shine, &mut Sprite)>) {
    for (entity, Shine(size), mut sprite) in &mut shines {
        let now = time.elapsed_secs() + entity.index_u32() as f32;
        let breath = 0.06 * (2.3 * now).sin() + 0.03 * (7.1 * now).sin();
        sprite.custom_size = Some(Vec2::splat(size * (1.0 + breath)));
    }
}

fn burst(caught: On<Catch>, mut commands: Commands, art: Res<Art>) {
    let at = caught.at;
    commands.spawn(flash(&art, at, caught.color));
    let light = Fade { age: 0.0, life: 0.5, alpha: 0.9, growth: 0.8 };
    commands.spawn((light, piece(&art.glow, 150.0, GOLD, at.extend(2.4))));
    let points = label(&format!("+{}", caught.worth), 18.0, GOLD, at.extend(6.0));
    commands.spawn((Points(0.0), points));
}

fn rise(
    time: Res<Time>,
    mut commands: Commands,
    mut points: Query<(Entity, &mut Points, &mut Transform, &mut TextColor)>,
) {
    for (entity, mut points, mut transform, mut color) in &mut points {
        points.0 += time.delta_secs();
        transform.translation.y += 50.0 * time.delta_secs();
        color.0.set_alpha(1.0 - points.0);
        if points.0 > 1.0 {
            commands.entity(entity).despawn();
        }
    }
}
