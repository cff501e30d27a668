//! The two rooms, and how one moves in them: players and bots alike.

use bevy::prelude::*;

/// Half the size of a room's floor; the whole floor is always in view.
pub(crate) const HALF: Vec2 = Vec2::new(608.0, 286.0);
/// Distance that a ghost keeps from walls.
pub(crate) const RADIUS: f32 = 20.0;
/// A ghost this near to a portal is through.
pub(crate) const PORTAL: f32 = 34.0;
/// Units per second.
pub(crate) const SPEED: f32 = 270.0;

/// Where the board hangs before a room, in the corner where both have few walls.
pub(crate) const BOARD: Rect = Rect { min: Vec2::new(350.0, 70.0), max: HALF };

/// The longest step in seconds. A ghost moves by two units in it, and no wall is as thin.
const STEP: f32 = 1.0 / 120.0;
/// What a longer frame takes beyond this, in seconds, is not made up for.
const LONGEST: f32 = 1.0;

/// A place to haunt: its name on the network, its colours, its walls.
pub(crate) struct Haunt {
    pub(crate) name: &'static str,
    pub(crate) accent: Srgba,
    pub(crate) floor: Srgba,
    pub(crate) portal: Vec2,
    /// Centre and size.
    pub(crate) walls: &'static [(Vec2, Vec2)],
}

pub(crate) const HAUNTS: [Haunt; 2] = [
    Haunt {
        name: "moonlight",
        accent: Srgba::rgb(0.47, 0.58, 1.0),
        floor: Srgba::rgb(0.030, 0.035, 0.085),
        portal: Vec2::new(470.0, 0.0),
        walls: &[
            (Vec2::new(-330.0, 130.0), Vec2::new(170.0, 44.0)),
            (Vec2::new(-330.0, 0.0), Vec2::new(44.0, 44.0)),
            (Vec2::new(-330.0, -150.0), Vec2::new(170.0, 44.0)),
            (Vec2::new(0.0, 0.0), Vec2::new(120.0, 120.0)),
            (Vec2::new(250.0, 160.0), Vec2::new(44.0, 130.0)),
            (Vec2::new(250.0, -160.0), Vec2::new(44.0, 130.0)),
        ],
    },
    Haunt {
        name: "embers",
        accent: Srgba::rgb(1.0, 0.50, 0.34),
        floor: Srgba::rgb(0.075, 0.030, 0.036),
        portal: Vec2::new(-470.0, 0.0),
        walls: &[
            (Vec2::new(-190.0, 140.0), Vec2::new(240.0, 44.0)),
            (Vec2::new(-190.0, -140.0), Vec2::new(240.0, 44.0)),
            (Vec2::new(110.0, 0.0), Vec2::new(44.0, 210.0)),
            (Vec2::new(330.0, 150.0), Vec2::new(90.0, 90.0)),
            (Vec2::new(330.0, -150.0), Vec2::new(90.0, 90.0)),
            (Vec2::new(430.0, 0.0), Vec2::new(140.0, 44.0)),
        ],
    },
];

impl Haunt {
    /// The room of that name.
    pub(crate) fn index(name: &str) -> Option<usize> {
        HAUNTS.iter().position(|haunt| haunt.name == name)
    }

    /// Where one steps out of the portal.
    pub(crate) fn exit(&self) -> Vec2 {
        self.portal - self.portal.signum() * 100.0
    }

    /// Whether a ghost has room there.
    pub(crate) fn is_free(&self, at: Vec2) -> bool {
        // Who touches a wall is a rounding error inside.
        let radius = RADIUS - 0.01;
        let inside = at.abs().cmple(HALF - radius).all();
        inside && self.walls.iter().all(|wall| nearest(wall, at).distance(at) >= radius)
    }

    /// The place nearest to `at` where a ghost has room, as far as one can tell by looking at
    /// one wall at a time.
    pub(crate) fn free(&self, mut at: Vec2) -> Vec2 {
        for wall in self.walls {
            let edge = nearest(wall, at);
            let apart = at - edge;
            if apart == Vec2::ZERO {
                at = out_of(wall, at);
            } else if apart.length() < RADIUS {
                at = edge + apart.normalize() * RADIUS;
            }
        }
        at.clamp(-HALF + RADIUS, HALF - RADIUS)
    }

    /// Moves a ghost that steers towards `wish` and slides along walls: in steps so short that
    /// none leads through a wall, however long the frame.
    pub(crate) fn glide(&self, at: &mut Vec2, velocity: &mut Vec2, wish: Vec2, seconds: f32) {
        let seconds = seconds.min(LONGEST);
        let steps = (seconds / STEP).ceil().max(1.0);
        for _ in 0..steps as u32 {
            self.step(at, velocity, wish, seconds / steps);
        }
    }

    fn step(&self, at: &mut Vec2, velocity: &mut Vec2, wish: Vec2, seconds: f32) {
        velocity.smooth_nudge(&(wish.clamp_length_max(1.0) * SPEED), 9.0, seconds);
        let before = *at;
        *at = self.free(*at + *velocity * seconds);
        *velocity = velocity.clamp_length_max(at.distance(before) / seconds.max(0.0001) + 1.0);
    }
}

/// The point of a wall that is nearest.
fn nearest((centre, size): &(Vec2, Vec2), at: Vec2) -> Vec2 {
    at.clamp(centre - size / 2.0, centre + size / 2.0)
}

/// From inside a wall the shortest way out.
fn out_of((centre, size): &(Vec2, Vec2), at: Vec2) -> Vec2 {
    let (away, reach) = (at - centre, size / 2.0 + RADIUS);
    let left = reach - away.abs();
    // No zero: in the very middle one goes right, or up.
    let side = Vec2::ONE.copysign(away);
    if left.x < left.y {
        Vec2::new(centre.x + side.x * reach.x, at.y)
    } else {
        Vec2::new(at.x, centre.y + side.y * reach.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wander::Dice;

    /// Presses against every wall from every side.
    fn press(seconds: f32) {
        for haunt in &HAUNTS {
            for (centre, size) in haunt.walls {
                for side in [Vec2::X, Vec2::NEG_X, Vec2::Y, Vec2::NEG_Y] {
                    let mut at = haunt.free(centre + side * (size / 2.0 + RADIUS + 1.0));
                    let mut velocity = Vec2::ZERO;
                    for _ in 0..50 {
                        haunt.glide(&mut at, &mut velocity, -side, seconds);
                        let beyond = (at - centre).dot(side) / (size / 2.0).dot(side.abs());
                        assert!(beyond >= 1.0, "{}: through {centre} from {side}", haunt.name);
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_passes_a_wall_at_any_frame_rate() {
        for seconds in [1.0 / 240.0, 1.0 / 60.0, 0.1, 0.5, 1.0, 60.0] {
            press(seconds);
        }
    }

    #[test]
    fn a_ghost_always_has_room_where_it_is() {
        let mut dice = Dice::new(3);
        for haunt in &HAUNTS {
            let (mut at, mut velocity) = (haunt.exit(), Vec2::ZERO);
            for round in 0..3000 {
                let wish = Vec2::from_angle(std::f32::consts::TAU * dice.roll());
                haunt.glide(&mut at, &mut velocity, wish, 2.0 * dice.roll());
                assert!(haunt.is_free(at), "{} after {round} frames: {at}", haunt.name);
            }
        }
    }

    #[test]
    fn a_frame_as_long_as_ten_leads_as_far() {
        let haunt = &HAUNTS[0];
        let glide = |frames: u32| {
            let (mut at, mut velocity) = (Vec2::new(-100.0, 200.0), Vec2::ZERO);
            for _ in 0..frames {
                haunt.glide(&mut at, &mut velocity, Vec2::X, 0.5 / frames as f32);
            }
            at
        };
        assert!(glide(1).distance(glide(10)) < 1.0);
    }

    #[test]
    fn every_exit_is_free_and_no_portal() {
        for haunt in &HAUNTS {
            assert!(haunt.is_free(haunt.exit()));
            assert!(haunt.exit().distance(haunt.portal) > 2.0 * PORTAL);
        }
    }

    #[test]
    fn who_claims_to_be_inside_a_wall_is_put_beside_it_on_the_nearest_side() {
        for haunt in &HAUNTS {
            for (centre, size) in haunt.walls {
                assert!(haunt.is_free(haunt.free(*centre)), "{centre}");
                let inside = centre - Vec2::X * (size.x / 2.0 - 1.0);
                let beside = Vec2::new(inside.x - 1.0 - RADIUS, inside.y);
                assert_eq!(haunt.free(inside), beside);
            }
        }
    }
}
