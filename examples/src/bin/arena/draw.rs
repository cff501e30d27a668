//! The room in view: camera, floor, walls, portal, dust.

use bevy::{
    asset::RenderAssetUsages,
    camera::{RenderTarget, ScalingMode, visibility::NoFrustumCulling},
    mesh::PrimitiveTopology,
    prelude::*,
    text::LetterSpacing,
};

use crate::{
    client::Arena,
    ghosts,
    haunts::{HALF, HAUNTS},
    hud, labels, lights,
    stage::{Canvas, SIZE},
    trails,
    wander::Dice,
};

/// Draws our room, everything in it, and the display around it.
pub(crate) fn draw(app: &mut App) {
    app.insert_resource(ClearColor(Color::srgb(0.012, 0.013, 0.028)));
    app.add_systems(Startup, set_stage);
    app.add_systems(Update, (paint_haunt, spin_portal, drift_motes, fade));
    app.add_plugins((ghosts::ghosts, trails::trails, lights::lights, labels::labels, hud::hud));
}

#[derive(Resource)]
pub(crate) struct Art {
    pub(crate) ghost: Handle<Image>,
    pub(crate) eyes: Handle<Image>,
    pub(crate) glow: Handle<Image>,
    pub(crate) portal: Handle<Image>,
    pub(crate) lantern: Handle<Image>,
    pub(crate) crown: Handle<Image>,
    pub(crate) wall: Handle<Image>,
    pub(crate) floor: Handle<Image>,
    pub(crate) trails: Handle<Mesh>,
}

fn set_stage(
    mut commands: Commands,
    assets: Res<AssetServer>,
    mut meshes: ResMut<Assets<Mesh>>,
    mut materials: ResMut<Assets<ColorMaterial>>,
    canvas: Option<Res<Canvas>>,
) {
    let (min_width, min_height) = (SIZE.x as f32, SIZE.y as f32);
    let projection = Projection::Orthographic(OrthographicProjection {
        scaling_mode: ScalingMode::AutoMin { min_width, min_height },
        ..OrthographicProjection::default_2d()
    });
    let at = Transform::from_xyz(0.0, 6.0, 0.0);
    let mut camera = commands.spawn((Camera2d, IsDefaultUiCamera, Msaa::Off, projection, at));
    if let Some(canvas) = canvas {
        camera.insert(RenderTarget::Image(canvas.0.clone().into()));
    }
    let empty = Mesh::new(PrimitiveTopology::TriangleList, RenderAssetUsages::default());
    let trails = meshes.add(empty);
    let light = materials.add(ColorMaterial::from(assets.load::<Image>("trail.png")));
    let at = Transform::from_xyz(0.0, 0.0, 2.0);
    commands.spawn((Mesh2d(trails.clone()), MeshMaterial2d(light), at, NoFrustumCulling));
    commands.insert_resource(Art {
        ghost: assets.load("ghost.png"),
        eyes: assets.load("eyes.png"),
        glow: assets.load("glow.png"),
        portal: assets.load("portal.png"),
        lantern: assets.load("lantern.png"),
        crown: assets.load("crown.png"),
        wall: assets.load("wall.png"),
        floor: assets.load("floor.png"),
        trails,
    });
}

/// A picture, tinted.
pub(crate) fn sprite(image: &Handle<Image>, size: Vec2, color: impl Into<Color>) -> Sprite {
    Sprite { image: image.clone(), color: color.into(), ..Sprite::sized(size) }
}

/// A square picture in its place.
pub(crate) fn piece(
    image: &Handle<Image>,
    size: f32,
    color: impl Into<Color>,
    at: Vec3,
) -> impl Bundle {
    (sprite(image, Vec2::splat(size), color), Transform::from_translation(at))
}

/// Text in the world: set at twice its size and drawn at half, so that it stays sharp when zoomed.
pub(crate) fn label(text: &str, size: f32, color: impl Into<Color>, at: Vec3) -> impl Bundle {
    let at = Transform::from_translation(at).with_scale(Vec3::splat(0.5));
    let font = TextFont::from_font_size(size * 2.0);
    (Text2d::new(text), font, TextColor(color.into()), LetterSpacing::Px(1.0), at)
}

/// Part of the room in view.
#[derive(Component)]
struct Scenery;

/// A ring of the portal, with its speed.
#[derive(Component)]
struct Swirl(f32);

/// A speck of dust, with its place at the start and how far it is ahead of the clock.
#[derive(Component)]
struct Mote(Vec2, f32);

/// Builds floor, walls and portal whenever we come to another room.
fn paint_haunt(
    mut commands: Commands,
    arena: Res<Arena>,
    art: Res<Art>,
    old: Query<Entity, With<Scenery>>,
    mut painted: Local<Option<usize>>,
) {
    if painted.replace(arena.haunt) == Some(arena.haunt) {
        return;
    }
    for scenery in &old {
        commands.entity(scenery).despawn();
    }
    let (haunt, other) = (&HAUNTS[arena.haunt], &HAUNTS[1 - arena.haunt]);
    let accent = |alpha| haunt.accent.with_alpha(alpha);
    let mut put = |sprite: Sprite, at: Vec2, z: f32| {
        commands.spawn((Scenery, sprite, Transform::from_translation(at.extend(z))));
    };

    put(Sprite::from_color(haunt.floor, HALF * 2.0), Vec2::ZERO, 0.0);
    let mut tiles = sprite(&art.floor, HALF * 2.0, accent(0.14));
    tiles.image_mode = SpriteImageMode::Tiled { tile_x: true, tile_y: true, stretch_value: 0.5 };
    put(tiles, Vec2::ZERO, 0.1);
    let lamps =
        [(Vec2::ZERO, 1100.0, 0.16), (haunt.portal, 520.0, 0.3), (-haunt.portal, 700.0, 0.1)];
    for (at, size, alpha) in lamps {
        put(sprite(&art.glow, Vec2::splat(size), accent(alpha)), at, 0.2);
    }
    let border = BorderRect::all(40.0);
    let slicer = TextureSlicer { border, max_corner_scale: 1.0, ..default() };
    let rim = [(Vec2::ZERO, HALF * 2.0 + 6.0)];
    for (i, (at, size)) in rim.iter().chain(haunt.walls).enumerate() {
        // The glow in the picture reaches 16 units beyond the wall.
        let mut wall = sprite(&art.wall, size + 32.0, haunt.accent);
        wall.image_mode = SpriteImageMode::Sliced(slicer.clone());
        put(wall, *at, if i == 0 { 0.05 } else { 1.0 });
    }
    for (size, speed, alpha) in [(120.0, 0.9, 1.0), (92.0, -1.4, 0.8)] {
        let color = other.accent.with_alpha(alpha);
        let ring = piece(&art.portal, size, color, haunt.portal.extend(1.1));
        commands.spawn((Scenery, Swirl(speed), ring));
    }
    let sign = format!("to {}", other.name);
    let below = haunt.portal - Vec2::Y * 78.0;
    commands.spawn((Scenery, label(&sign, 13.0, other.accent, below.extend(1.2))));
    let mut dice = Dice::new(7 + arena.haunt as u64);
    for _ in 0..46 {
        let mote = Mote(dice.place(), 60.0 * dice.roll());
        let speck = piece(&art.glow, 6.0 + 14.0 * dice.roll(), haunt.accent, Vec3::ZERO);
        commands.spawn((Scenery, mote, speck));
    }
}

fn spin_portal(time: Res<Time>, mut rings: Query<(&Swirl, &mut Transform)>) {
    for (Swirl(speed), mut ring) in &mut rings {
        ring.rotate_z(speed * time.delta_secs());
        ring.scale = Vec3::splat(1.0 + 0.04 * (time.elapsed_secs() * 2.0 * speed).sin());
    }
}

/// Dust in the light: up, sideways, and round again.
fn drift_motes(time: Res<Time>, mut motes: Query<(&Mote, &mut Transform, &mut Sprite)>) {
    for (Mote(home, ahead), mut transform, mut sprite) in &mut motes {
        let age = time.elapsed_secs() * 0.5 + ahead;
        let x = (home.x + 26.0 * age.sin()).clamp(-HALF.x, HALF.x);
        let y = (home.y + HALF.y + age * 16.0) % (HALF.y * 2.0) - HALF.y;
        transform.translation = Vec3::new(x, y, 1.5);
        sprite.color.set_alpha(0.2 + 0.18 * (age * 2.3).sin());
    }
}

/// A sprite that fades and goes.
#[derive(Component)]
pub(crate) struct Fade {
    pub(crate) age: f32,
    pub(crate) life: f32,
    /// Opacity at the start.
    pub(crate) alpha: f32,
    /// Share of its size gained over its life.
    pub(crate) growth: f32,
}

fn fade(
    time: Res<Time>,
    mut commands: Commands,
    mut fading: Query<(Entity, &mut Fade, &mut Sprite, &mut Transform)>,
) {
    for (entity, mut fade, mut sprite, mut transform) in &mut fading {
        fade.age += time.delta_secs();
        let done = (fade.age / fade.life).min(1.0);
        sprite.color.set_alpha(fade.alpha * (1.0 - done).powi(2));
        transform.scale =
            Vec3::splat(1.0 + fade.growth * EaseFunction::CubicOut.sample_clamped(done));
        if done == 1.0 {
            commands.entity(entity).despawn();
        }
    }
}
