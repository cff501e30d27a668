//! Colours: of players, and of what is written.

use bevy::prelude::*;

pub(crate) const INK: Color = Color::srgb(0.86, 0.88, 0.97);
pub(crate) const DIM: Color = Color::srgb(0.47, 0.50, 0.64);
pub(crate) const GOLD: Color = Color::srgb(1.0, 0.82, 0.36);
pub(crate) const PANEL: Color = Color::srgba(0.05, 0.055, 0.11, 0.92);

/// The colour of that number: by the golden angle, which keeps any few in a row far apart, and
/// after each eight of another brightness.
pub(crate) fn glow(number: u32) -> Color {
    let hue = (number % 360) as f32 * 137.508 + 25.0;
    let (lightness, chroma) = match number / 8 % 3 {
        0 => (0.82, 0.14),
        1 => (0.65, 0.16),
        _ => (0.50, 0.15),
    };
    Oklcha::new(lightness, chroma, hue % 360.0, 1.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_dozen_players_have_colours_that_can_be_told_apart() {
        // As a screen shows them.
        let screen = |channel: f32| channel.clamp(0.0, 1.0);
        let color = |number| {
            let Srgba { red, green, blue, .. } = glow(number).into();
            Oklaba::from(Srgba::rgb(screen(red), screen(green), screen(blue)))
        };
        for a in 0..24 {
            for b in 0..a {
                let (x, y) = (color(a), color(b));
                let apart = Vec3::new(x.lightness - y.lightness, x.a - y.a, x.b - y.b).length();
                assert!(apart > 0.05, "{a} and {b}: {apart}");
            }
        }
    }
}
