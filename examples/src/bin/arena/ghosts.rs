//! How ghosts look: body, eyes, light, crown.

use bevy::prelude::*;

use crate::{
    client::{Ghost, Me},
    colors::GOLD,
    draw::{Art, Fade, label, piece},
    haunts::SPEED,
    labels::Label,
    trails::Trail,
};

/// Draws every [`Ghost`].
pub(crate) fn ghosts(app: &mut App) {
    app.add_systems(Update, (dress, float).chain()).add_observer(vanish);
}

/// How a ghost moves, and which of its parts move with it.
#[derive(Component)]
pub(crate) struct Body {
    born: f32,
    pub(crate) before: Vec2,
    pub(crate) velocity: Vec2,
    sheet: Entity,
    eyes: Entity,
}

/// Gives a ghost its looks whenever they change, and a new one a flash.
fn dress(
    mut commands: Commands,
    art: Res<Art>,
    time: Res<Time>,
    ghosts: Query<(Entity, &Ghost, &Transform, Option<&Body>, Has<Me>), Changed<Ghost>>,
) {
    for (entity, ghost, at, body, me) in &ghosts {
        let strength = if ghost.away { 0.3 } else { 1.0 };
        let color = ghost.color.with_alpha(strength);
        let eyes = piece(&art.eyes, 52.0, Color::WHITE.with_alpha(strength), Vec3::ZERO);
        let eyes = commands.spawn(eyes).id();
        let sheet = commands.spawn(piece(&art.ghost, 52.0, color, Vec3::ZERO)).add_child(eyes).id();
        if ghost.crowned {
            let crown = piece(&art.crown, 30.0, GOLD, Vec3::new(0.0, 29.0, 0.02));
            commands.entity(sheet).with_child(crown);
        }
        let (tint, ring) =
            if me { (Color::WHITE, 0.3) } else { (ghost.color.mix(&Color::WHITE, 0.45), 0.0) };
        let mut words = ghost.name.clone();
        words.push_str(if me { " (you)" } else { "" });
        words.push_str(if ghost.away { " (away)" } else { "" });
        let width = Label::width(&words);
        let name = label(&words, Label::SIZE, tint, Label::HOME.extend(Label::ABOVE));
        let light = ghost.color.with_alpha(0.42 * strength);
        commands
            .entity(entity)
            .despawn_related::<Children>()
            .add_child(sheet)
            .with_child(piece(&art.glow, 190.0, light, Vec3::new(0.0, -2.0, -0.5)))
            .with_child(piece(&art.portal, 84.0, tint.with_alpha(ring), Vec3::new(0.0, -2.0, -0.4)))
            .with_child((name, Label { width, me, crowned: ghost.crowned }));
        let at = at.translation.truncate();
        let (born, before, velocity) = match body {
            Some(body) => (body.born, body.before, body.velocity),
            None => (time.elapsed_secs(), at, Vec2::ZERO),
        };
        commands.entity(entity).insert(Body { born, before, velocity, sheet, eyes });
        if body.is_none() {
            commands.entity(entity).insert(Trail::default());
            commands.spawn(flash(&art, at, ghost.color));
        }
    }
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

pub(crate) fn flash(art: &Art, at: Vec2, color: Color) -> impl Bundle {
    (
        Fade { age: 0.0, life: 0.7, alpha: 0.8, growth: 2.4 },
        piece(&art.portal, 70.0, color, at.extend(2.5)),
    )
}

/// Lets newcomers pop up, bobs and leans bodies, and turns eyes to where they go.
pub(crate) fn float(
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
