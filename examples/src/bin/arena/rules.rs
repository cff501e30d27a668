//! The rules of the game, which the server applies. They know neither network nor pictures.

use std::time::Duration;

use bevy::prelude::*;

use crate::{
    haunts::{BOARD, Haunt, RADIUS, SPEED},
    protocol::Lantern,
    wander::Dice,
};

/// Who is this near to a lantern has touched it.
pub(crate) const REACH: f32 = RADIUS + 18.0;
/// Lanterns in a room at once.
const LANTERNS: usize = 4;
/// Seconds between two that appear in a room.
const PAUSE: f64 = 1.6;
/// One in so many shines brighter, and is worth more.
const BRIGHT: f32 = 6.0;
const BRIGHT_WORTH: u32 = 3;

/// Longest name, in characters.
const NAME: usize = 16;

/// Where the server believes a ghost to be. What a client says of that is a claim: it is
/// followed no faster than a ghost can move.
#[derive(Component, Debug)]
pub(crate) struct Belief {
    at: Vec2,
    /// How far the ghost may have gone beyond `at`: it grows with time, and moving takes of it.
    range: f32,
    /// When it was heard last, in seconds.
    heard: f64,
}

impl Belief {
    /// Clocks differ, and claims come in bursts.
    const TOLERANCE: f32 = 1.15;
    /// However long nothing was heard, nobody has gone further: a second and a half of way.
    const MOST: f32 = 1.5 * SPEED;

    pub(crate) fn new(at: Vec2, now: f64) -> Self {
        Self { at, range: 0.25 * SPEED, heard: now }
    }

    /// Hears a claim, and returns what to believe of it.
    pub(crate) fn hear(&mut self, claim: Vec2, now: f64) -> Vec2 {
        let seconds = (now - std::mem::replace(&mut self.heard, now)).max(0.0) as f32;
        self.range = (self.range + seconds * SPEED * Self::TOLERANCE).min(Self::MOST);
        let step = (claim - self.at).clamp_length_max(self.range);
        self.range -= step.length();
        self.at += step;
        self.at
    }
}

/// The lanterns of a room.
#[derive(Component, Debug, Default)]
pub(crate) struct Lanterns {
    pub(crate) lit: Vec<Lantern>,
    /// When the next one may appear, in seconds.
    next: f64,
}

impl Lanterns {
    /// Lights another one if it is time: where a ghost has room and everybody sees it, and not
    /// where one waits.
    pub(crate) fn light(
        &mut self,
        id: u32,
        haunt: &Haunt,
        dice: &mut Dice,
        now: f64,
    ) -> Option<Lantern> {
        if self.lit.len() >= LANTERNS || now < self.next {
            return None;
        }
        let far = |at: Vec2, from: Vec2| at.distance(from) > 4.0 * RADIUS;
        let at = std::iter::repeat_with(|| dice.place()).take(100).find(|&at| {
            let alone = self.lit.iter().all(|other| far(at, other.at()));
            haunt.is_free(at)
                && alone
                && !BOARD.contains(at)
                && far(at, haunt.portal)
                && far(at, haunt.exit())
        })?;
        let worth = if dice.roll() * BRIGHT < 1.0 { BRIGHT_WORTH } else { 1 };
        let lantern = Lantern { id, worth, x: at.x, y: at.y };
        self.lit.push(lantern);
        self.next = now + PAUSE;
        Some(lantern)
    }

    /// Takes what a ghost that is there touches: one at a time, the nearest.
    pub(crate) fn catch(&mut self, at: Vec2) -> Option<Lantern> {
        let near = |lantern: &Lantern| lantern.at().distance(at);
        let (index, _) = (self.lit.iter().enumerate())
            .filter(|(_, lantern)| near(lantern) < REACH)
            .min_by(|(_, a), (_, b)| near(a).total_cmp(&near(b)))?;
        Some(self.lit.swap_remove(index))
    }
}

/// The round that is played, and for how long still.
#[derive(Debug, Resource)]
pub(crate) struct Round {
    pub(crate) number: u32,
    length: Duration,
    /// In seconds.
    ends: f64,
}

impl Round {
    pub(crate) fn first(length: Duration) -> Self {
        Self { number: 1, length, ends: length.as_secs_f64() }
    }

    pub(crate) fn left(&self, now: f64) -> Duration {
        Duration::from_secs_f64((self.ends - now).max(0.0))
    }

    /// Whether a round ends now; then the next begins. Its number is that of the one that ended.
    pub(crate) fn turn(&mut self, now: f64) -> Option<u32> {
        if now < self.ends {
            return None;
        }
        self.ends = now + self.length.as_secs_f64();
        self.number += 1;
        Some(self.number - 1)
    }
}

/// Those with the best score, and that: several share it, and nobody wins with nothing.
pub(crate) fn winners<T>(scores: impl Iterator<Item = (T, u32)> + Clone) -> (Vec<T>, u32) {
    let best = scores.clone().map(|(_, score)| score).max().unwrap_or(0);
    let won = scores.filter(|(_, score)| *score == best && best > 0);
    (won.map(|(who, _)| who).collect(), best)
}

/// A name as it may be shown: short, in one line, and unlike those taken.
pub(crate) fn name(wish: Option<&str>, taken: &[&str]) -> String {
    let shown = |wish: &str| wish.chars().filter(|c| !c.is_control()).take(NAME).collect();
    let wish: String = wish.map(str::trim).map(shown).unwrap_or_default();
    let wish = if wish.is_empty() { "somebody".to_owned() } else { wish };
    let numbered = (2..).map(|number| {
        let number = number.to_string();
        let kept: String = wish.chars().take(NAME - 1 - number.len()).collect();
        format!("{kept} {number}")
    });
    let free = |name: &String| !taken.contains(&name.as_str());
    std::iter::once(wish.clone()).chain(numbered).find(free).unwrap_or(wish)
}

/// The lowest number that nobody has.
pub(crate) fn lowest_free(taken: &[u32]) -> u32 {
    (0..).find(|number| !taken.contains(number)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haunts::HAUNTS;

    fn lantern(id: u32, x: f32) -> Lantern {
        Lantern { id, worth: 1, x, y: 0.0 }
    }

    #[test]
    fn who_touches_a_lantern_catches_it_once() {
        let mut lanterns = Lanterns { lit: vec![lantern(1, 0.0)], next: 0.0 };
        assert_eq!(lanterns.catch(Vec2::new(REACH + 1.0, 0.0)), None);
        assert_eq!(lanterns.catch(Vec2::new(REACH - 1.0, 0.0)), Some(lantern(1, 0.0)));
        assert_eq!(lanterns.catch(Vec2::ZERO), None);
    }

    #[test]
    fn of_two_lanterns_in_reach_the_nearer_is_caught_first() {
        let mut lanterns = Lanterns { lit: vec![lantern(1, -30.0), lantern(2, 20.0)], next: 0.0 };
        assert_eq!(lanterns.catch(Vec2::ZERO).map(|caught| caught.id), Some(2));
        assert_eq!(lanterns.catch(Vec2::ZERO).map(|caught| caught.id), Some(1));
    }

    #[test]
    fn a_room_fills_with_lanterns_one_after_another_where_ghosts_can_go() {
        let (mut lanterns, mut dice) = (Lanterns::default(), Dice::new(5));
        let haunt = &HAUNTS[1];
        assert!(lanterns.light(0, haunt, &mut dice, 0.0).is_some());
        assert!(lanterns.light(1, haunt, &mut dice, 0.5 * PAUSE).is_none());
        for id in 1..20 {
            lanterns.light(id, haunt, &mut dice, PAUSE * f64::from(id));
        }
        assert_eq!(lanterns.lit.len(), LANTERNS);
        assert!(lanterns.lit.iter().all(|lantern| haunt.is_free(lantern.at())));
    }

    #[test]
    fn a_ghost_that_glides_is_believed_and_one_that_leaps_is_not() {
        let (mut honest, mut leaping) =
            (Belief::new(Vec2::ZERO, 0.0), Belief::new(Vec2::ZERO, 0.0));
        let mut at = Vec2::ZERO;
        for frame in 1..=250 {
            let now = 0.04 * f64::from(frame);
            at.x += 0.04 * SPEED;
            assert_eq!(honest.hear(at, now), at);
            let believed = leaping.hear(Vec2::new(1e6, 0.0), now);
            let most = Belief::MOST + now as f32 * SPEED * Belief::TOLERANCE;
            assert!(believed.x <= most, "{believed} at {now}");
        }
    }

    #[test]
    fn after_a_silence_a_ghost_is_believed_to_have_gone_some_way_only() {
        let mut belief = Belief::new(Vec2::ZERO, 0.0);
        assert_eq!(belief.hear(Vec2::new(SPEED, 0.0), 1.0), Vec2::new(SPEED, 0.0));
        let believed = belief.hear(Vec2::new(-1e4, 0.0), 600.0);
        assert_eq!(believed, Vec2::new(SPEED - Belief::MOST, 0.0));
    }

    #[test]
    fn rounds_follow_one_another() {
        let mut round = Round::first(Duration::from_secs(120));
        assert_eq!((round.turn(119.9), round.left(119.0).as_secs()), (None, 1));
        assert_eq!((round.turn(120.5), round.number), (Some(1), 2));
        assert_eq!(round.left(120.5), Duration::from_secs(120));
    }

    #[test]
    fn the_best_share_the_crown_and_nobody_wears_it_for_nothing() {
        let scores = [("Ada", 3), ("Boo", 5), ("Nyx", 5)];
        assert_eq!(winners(scores.into_iter()), (vec!["Boo", "Nyx"], 5));
        assert_eq!(winners([("Ada", 0)].into_iter()), (vec![], 0));
        assert_eq!(winners(std::iter::empty::<(&str, u32)>()), (vec![], 0));
    }

    #[test]
    fn names_are_short_and_unlike_each_other() {
        assert_eq!(name(Some(" Ada\n"), &[]), "Ada");
        assert_eq!(name(Some("Ada"), &["Ada", "Ada 2"]), "Ada 3");
        assert_eq!(name(Some("a\u{7}b"), &[]), "ab");
        assert_eq!(name(Some(""), &[]), "somebody");
        assert_eq!(name(None, &["somebody"]), "somebody 2");
        let long = "x".repeat(40);
        assert_eq!(name(Some(&long), &[&"x".repeat(16)]), format!("{} 2", "x".repeat(14)));
    }

    #[test]
    fn numbers_of_those_who_left_are_given_again() {
        assert_eq!(lowest_free(&[0, 1, 3]), 2);
        assert_eq!(lowest_free(&[]), 0);
    }
}
