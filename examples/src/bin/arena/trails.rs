//! The ribbons of light behind ghosts.

use std::{collections::VecDeque, iter};

use bevy::{mesh::Indices, prelude::*};

use crate::{
    client::Ghost,
    draw::{Art, Fade, piece},
    ghosts::{Body, float},
    haunts::SPEED,
};

pub(crate) fn trails(app: &mut App) {
    app.add_systems(Update, (leave_trails, draw_trails).chain().after(float));
}

/// Where a ghost has been in the last second, and how long ago, newest first.
#[derive(Component, Default)]
pub(crate) struct Trail {
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
