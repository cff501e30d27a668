//! A mind for those without a keyboard, and its dice.

use bevy::prelude::*;

use crate::haunts::{HALF, Haunt, RADIUS, SPEED};

/// Numbers that look random (xorshift; nothing here needs better).
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).max(1))
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn roll(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A place on the floor, perhaps in a wall.
    pub(crate) fn place(&mut self) -> Vec2 {
        Vec2::new(self.roll() - 0.5, self.roll() - 0.5) * 2.0 * (HALF - 2.0 * RADIUS)
    }
}

/// Goes for lanterns, mostly, and not as well as somebody with a keyboard could.
#[derive(Clone, Resource)]
pub(crate) struct Wanderer {
    dice: Dice,
    goal: Vec2,
    /// Whether the goal is a lantern.
    hunting: bool,
    patience: f32,
}

impl Wanderer {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), goal: Vec2::ZERO, hunting: false, patience: 0.0 }
    }

    /// Where it wants to go now: to some goal, along a curve.
    pub(crate) fn wish(
        &mut self,
        haunt: &Haunt,
        at: Vec2,
        velocity: Vec2,
        lanterns: impl Iterator<Item = Vec2> + Clone,
        seconds: f32,
    ) -> Vec2 {
        let stuck = velocity.length() < 0.3 * SPEED;
        self.patience -= if stuck { 6.0 * seconds } else { seconds };
        let lit = lanterns.clone().any(|lantern| lantern == self.goal);
        if self.patience < 0.0 || (self.hunting && !lit) || at.distance(self.goal) < 10.0 {
            // Who has not come to a lantern in time stands before a wall.
            let near = lanterns.min_by(|a, b| a.distance(at).total_cmp(&b.distance(at)));
            self.choose(haunt, near.filter(|_| !(self.hunting && lit)));
        }
        let swing = if self.hunting { 0.45 } else { 0.9 };
        let around = Vec2::from_angle((self.patience * 1.7).sin() * swing);
        around.rotate((self.goal - at).normalize_or_zero()) * 0.85
    }

    fn choose(&mut self, haunt: &Haunt, lantern: Option<Vec2>) {
        self.patience = 1.5 + 3.0 * self.dice.roll();
        let mood = self.dice.roll();
        (self.goal, self.hunting) = match lantern {
            Some(lantern) if mood < 0.7 => (lantern, true),
            Some(_) | None if mood > 0.95 => (haunt.portal, false),
            Some(_) | None => (self.dice.place(), false),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{haunts::HAUNTS, rules::REACH};

    #[test]
    fn a_wanderer_comes_to_a_lantern_within_a_minute() {
        for seed in 1..40 {
            let mut dice = Dice::new(seed + 1000);
            let haunt = &HAUNTS[seed as usize % 2];
            let (lantern, mut at) = (haunt.free(dice.place()), haunt.exit());
            let (mut mind, mut velocity) = (Wanderer::new(seed), Vec2::ZERO);
            let caught = (0..1500).any(|_| {
                let wish = mind.wish(haunt, at, velocity, [lantern].into_iter(), 0.04);
                haunt.glide(&mut at, &mut velocity, wish, 0.04);
                at.distance(lantern) < REACH
            });
            assert!(caught, "seed {seed}: it is at {at}, the lantern at {lantern}");
        }
    }
}
