//! Names above ghosts, kept from covering each other.

use bevy::prelude::*;

use crate::{client::Ghost, ghosts::float};

pub(crate) fn labels(app: &mut App) {
    app.add_systems(Update, place_labels.after(float));
}

/// A name above a ghost.
#[derive(Component)]
pub(crate) struct Label {
    pub(crate) width: f32,
    /// Ours stays where it is.
    pub(crate) me: bool,
    /// Leaves room for a crown.
    pub(crate) crowned: bool,
}

impl Label {
    pub(crate) const SIZE: f32 = 12.5;
    /// Where it is, from the ghost, if nobody is near.
    pub(crate) const HOME: Vec2 = Vec2::new(0.0, 40.0);
    /// How far in front of its ghost: in front of all ghosts.
    pub(crate) const ABOVE: f32 = 2.0;
    const HEIGHT: f32 = 15.0;
    /// How far the crown lifts it.
    const CROWN: f32 = 12.0;

    /// Of so many letters, all equally wide.
    pub(crate) fn width(words: &str) -> f32 {
        words.chars().count() as f32 * (0.6 * Self::SIZE + 0.5)
    }
}

/// Places labels anew in each frame. A ghost that pops up is small, and so is its label.
fn place_labels(
    time: Res<Time>,
    ghosts: Query<(&Transform, &Children), With<Ghost>>,
    mut labels: Query<(&Label, &mut Transform), Without<Ghost>>,
) {
    let mut all = vec![];
    for (ghost, children) in &ghosts {
        for &child in children {
            if let Ok((label, _)) = labels.get(child) {
                let lift = if label.crowned { Label::CROWN } else { 0.0 };
                let at = ghost.translation.truncate() + Label::HOME + Vec2::Y * lift;
                all.push((
                    child,
                    ghost.translation.y,
                    Name { at, width: label.width, first: label.me },
                ));
            }
        }
    }
    let mut names: Vec<_> = all.iter().map(|(_, _, name)| name.clone()).collect();
    spread(&mut names);
    for ((entity, ghost, _), name) in all.iter().zip(names) {
        if let Ok((_, mut transform)) = labels.get_mut(*entity) {
            let height = name.at.y - ghost;
            // Up at once, or they would cover each other meanwhile; down slowly.
            if height < transform.translation.y {
                transform.translation.y.smooth_nudge(&height, 8.0, time.delta_secs());
            } else {
                transform.translation.y = height;
            }
        }
    }
}

/// A name, by the middle of its text.
#[derive(Clone, Debug)]
struct Name {
    at: Vec2,
    width: f32,
    first: bool,
}

impl Name {
    fn covers(&self, other: &Self) -> bool {
        let apart = (self.at - other.at).abs();
        apart.x < (self.width + other.width) / 2.0 + 4.0 && apart.y < Label::HEIGHT - 0.01
    }
}

/// Pushes names up until none covers another: the lowest stays, and before it the first.
fn spread(names: &mut [Name]) {
    let mut order: Vec<_> = (0..names.len()).collect();
    order.sort_by(|&a, &b| {
        let first = names[b].first.cmp(&names[a].first);
        first.then(names[a].at.y.total_cmp(&names[b].at.y)).then(a.cmp(&b))
    });
    for place in 0..order.len() {
        let (placed, rest) = order.split_at(place);
        let name = rest[0];
        // Each push leads above one of those placed, and none is met twice.
        while let Some(&below) = placed.iter().find(|&&other| names[other].covers(&names[name])) {
            names[name].at.y = names[below].at.y + Label::HEIGHT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wander::Dice;

    fn name(x: f32, y: f32) -> Name {
        Name { at: Vec2::new(x, y), width: 60.0, first: false }
    }

    #[test]
    fn names_far_from_each_other_stay_where_they_are() {
        let mut names = [name(0.0, 0.0), name(70.0, 0.0), name(0.0, 20.0)];
        spread(&mut names);
        assert_eq!(names.map(|name| name.at.y), [0.0, 0.0, 20.0]);
    }

    #[test]
    fn the_higher_one_is_pushed_up_and_the_own_one_never() {
        let mut names = [name(0.0, 5.0), name(10.0, 0.0)];
        spread(&mut names);
        assert_eq!(names.clone().map(|name| name.at.y), [Label::HEIGHT, 0.0]);
        let mut names = [Name { first: true, ..name(0.0, 5.0) }, name(10.0, 0.0)];
        spread(&mut names);
        assert_eq!(names.map(|name| name.at.y), [5.0, 5.0 + Label::HEIGHT]);
    }

    #[test]
    fn in_any_crowd_no_name_covers_another() {
        let mut dice = Dice::new(11);
        for _ in 0..200 {
            let mut names: Vec<_> =
                (0..25).map(|_| name(200.0 * dice.roll(), 100.0 * dice.roll())).collect();
            spread(&mut names);
            for a in 0..names.len() {
                assert!((0..a).all(|b| !names[a].covers(&names[b])), "{names:?}");
            }
        }
    }
}
