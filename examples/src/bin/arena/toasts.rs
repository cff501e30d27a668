//! Lines in the corner that tell what happened.

use bevy::prelude::*;

use crate::{
    board::Toast,
    colors::INK,
    hud::{column, row, text},
};

/// Seconds for which a line is shown.
const SHOWN: f32 = 4.5;
/// Lines at once; older ones make room.
const LINES: usize = 3;

pub(crate) fn toasts(app: &mut App) {
    app.add_systems(Startup, build_corner).add_systems(Update, show_toasts);
}

/// Where toasts go.
#[derive(Component)]
struct Toaster;

/// Age of a toast.
#[derive(Component)]
struct Age(f32);

fn build_corner(mut commands: Commands) {
    let align_items = AlignItems::FlexStart;
    let corner = Node { left: px(28), bottom: px(5), align_items, ..column(1.0) };
    commands.spawn((Toaster, corner));
}

/// Toasts slide in from the left, and out again after some seconds.
fn show_toasts(
    mut commands: Commands,
    time: Res<Time>,
    list: Single<(Entity, Option<&Children>), With<Toaster>>,
    mut new: MessageReader<Toast>,
    mut toasts: Query<(Entity, &mut Age, &mut Node)>,
) {
    let (list, shown) = list.into_inner();
    let shown: Vec<_> = shown.into_iter().flatten().copied().collect();
    let over = (shown.len() + new.len()).saturating_sub(LINES);
    for Toast(line, color) in new.read() {
        let size = px(7);
        let dot = Node { width: size, height: size, border_radius: BorderRadius::MAX, ..default() };
        let parts = children![(dot, BackgroundColor(*color)), text(line, 11.0, INK)];
        commands.entity(list).with_child((Age(0.0), row(8.0), parts));
    }
    for (toast, mut age, mut node) in &mut toasts {
        age.0 += time.delta_secs();
        let part = (age.0 * 4.0).min((SHOWN - age.0) * 2.0);
        node.left = px(-420.0 * (1.0 - EaseFunction::CubicOut.sample_clamped(part)));
        if age.0 > SHOWN || shown.iter().take(over).any(|old| *old == toast) {
            commands.entity(toast).despawn();
        }
    }
}
