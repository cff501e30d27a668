//! Bevy's own types as fields of typed messages.
//!
//! wincode reads and writes what Rust's standard library has: numbers, texts, tuples, arrays,
//! `Vec`, `Option`, `HashMap`, and what derives its traits. Bevy's vectors, rotations and maps
//! it does not know: say with which of these schemas a field of such a type is written. They
//! are as fast as the numbers that they are made of, and put nothing but those on the wire.
//!
//! ```
//! use bevy::{platform::collections::HashMap, prelude::*};
//! use bevy_ghost_client::{prelude::*, schema};
//!
//! #[derive(SchemaRead, SchemaWrite)]
//! struct Moved {
//!     who: ClientId,
//!     #[wincode(with = "schema::Transform")]
//!     to: Transform,
//!     #[wincode(with = "schema::Vec3")]
//!     velocity: Vec3,
//!     #[wincode(with = "Option<schema::Vec2>")]
//!     aim: Option<Vec2>,
//!     #[wincode(with = "Vec<schema::Vec2>")]
//!     trail: Vec<Vec2>,
//!     #[wincode(with = "schema::HashMap<String, u32>")]
//!     ammunition: HashMap<String, u32>,
//! }
//! # let mut app = App::new();
//! # app.add_ghost_message::<Moved>();
//! ```
//!
//! Numbers that came from elsewhere may be anything, infinite or no number at all: look at
//! them before physics does.
//!
//! # Players and rooms in messages
//!
//! An `Entity` means nothing in another world. A message names a player by the
//! [`Seat`](crate::Seat) that it has in the room, or by its [`ClientId`](crate::ClientId), which is the
//! same in all rooms; both are fields as they are. [`Roster`](crate::Roster) finds the entity here.
//! A room is named by its name, as a `String`; [`JoinedRooms::get`](crate::JoinedRooms::get) finds it.
//!
//! ```
//! use bevy::prelude::*;
//! use bevy_ghost_client::prelude::*;
//!
//! #[derive(SchemaRead, SchemaWrite)]
//! struct Tagged(Seat);
//!
//! #[derive(Component)]
//! struct It;
//!
//! fn tag(mut tagged: MessageReader<FromRoom<Tagged>>, roster: Roster, mut commands: Commands) {
//!     for tagged in tagged.read() {
//!         if let Some(player) = roster.by_seat(tagged.room, tagged.message.0) {
//!             commands.entity(player).try_insert(It);
//!         }
//!     }
//! }
//! # App::new().add_plugins(GhostClientPlugin::default()).add_systems(Update, tag).add_ghost_message::<Tagged>();
//! ```

use std::hash::{BuildHasher, Hash};

use bevy::{math, platform::collections, transform::components};
use wincode::{SchemaRead, SchemaWrite, adapter::FromInto};

/// Numbers in a row, as the wire has them.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
pub struct Row<T, const N: usize>([T; N]);

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident: [$number:ty; $n:literal],)*) => {
        $(
            $(#[$doc])*
            pub type $name = FromInto<Row<$number, $n>, math::$name>;

            impl From<&math::$name> for Row<$number, $n> {
                fn from(value: &math::$name) -> Self {
                    Self(value.to_array())
                }
            }

            impl From<Row<$number, $n>> for math::$name {
                fn from(Row(numbers): Row<$number, $n>) -> Self {
                    Self::from_array(numbers)
                }
            }
        )*
    };
}

rows! {
    /// Two `f32`: 8 bytes.
    Vec2: [f32; 2],
    /// Three `f32`: 12 bytes.
    Vec3: [f32; 3],
    /// Three `f32`: 12 bytes.
    Vec3A: [f32; 3],
    /// Four `f32`: 16 bytes.
    Vec4: [f32; 4],
    /// Four `f32`, x to w: 16 bytes.
    Quat: [f32; 4],
    /// Two `i32`: 8 bytes.
    IVec2: [i32; 2],
    /// Three `i32`: 12 bytes.
    IVec3: [i32; 3],
    /// Two `u32`: 8 bytes.
    UVec2: [u32; 2],
    /// Three `u32`: 12 bytes.
    UVec3: [u32; 3],
}

/// Translation, rotation and scale as ten `f32`: 40 bytes.
pub type Transform = FromInto<Row<f32, 10>, components::Transform>;

impl From<&components::Transform> for Row<f32, 10> {
    fn from(transform: &components::Transform) -> Self {
        let components::Transform { translation: at, rotation: q, scale: by } = *transform;
        Self([at.x, at.y, at.z, q.x, q.y, q.z, q.w, by.x, by.y, by.z])
    }
}

impl From<Row<f32, 10>> for components::Transform {
    fn from(Row([x, y, z, i, j, k, w, a, b, c]): Row<f32, 10>) -> Self {
        Self {
            translation: math::Vec3::new(x, y, z),
            rotation: math::Quat::from_xyzw(i, j, k, w),
            scale: math::Vec3::new(a, b, c),
        }
    }
}

/// The pairs of a map, as the wire has them. Of two with one key, the later counts.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Pairs<K, V>(Vec<(K, V)>);

/// Bevy's map. The standard library's is one for wincode as it is.
pub type HashMap<K, V> = FromInto<Pairs<K, V>, collections::HashMap<K, V>>;

impl<K: Clone, V: Clone, S> From<&collections::HashMap<K, V, S>> for Pairs<K, V> {
    fn from(map: &collections::HashMap<K, V, S>) -> Self {
        Self(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Default> From<Pairs<K, V>>
    for collections::HashMap<K, V, S>
{
    fn from(Pairs(pairs): Pairs<K, V>) -> Self {
        pairs.into_iter().collect()
    }
}

/// The members of a set, as the wire has them.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Items<T>(Vec<T>);

/// Bevy's set. The standard library's is one for wincode as it is.
pub type HashSet<T> = FromInto<Items<T>, collections::HashSet<T>>;

impl<T: Clone, S> From<&collections::HashSet<T, S>> for Items<T> {
    fn from(set: &collections::HashSet<T, S>) -> Self {
        Self(set.iter().cloned().collect())
    }
}

impl<T: Eq + Hash, S: BuildHasher + Default> From<Items<T>> for collections::HashSet<T, S> {
    fn from(Items(items): Items<T>) -> Self {
        items.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, SchemaRead, SchemaWrite)]
    struct All {
        #[wincode(with = "Vec2")]
        vec2: math::Vec2,
        #[wincode(with = "Vec3A")]
        vec3a: math::Vec3A,
        #[wincode(with = "Quat")]
        quat: math::Quat,
        #[wincode(with = "IVec3")]
        ivec3: math::IVec3,
        #[wincode(with = "Transform")]
        transform: components::Transform,
        #[wincode(with = "Vec<Vec4>")]
        list: Vec<math::Vec4>,
        #[wincode(with = "HashMap<u8, String>")]
        map: collections::HashMap<u8, String>,
        #[wincode(with = "HashSet<u16>")]
        set: collections::HashSet<u16>,
    }

    #[test]
    fn bevys_types_come_back_as_they_were() {
        let all = All {
            vec2: math::Vec2::new(1.5, -2.0),
            vec3a: math::Vec3A::new(1.0, 2.0, 3.0),
            quat: math::Quat::from_rotation_y(0.3),
            ivec3: math::IVec3::new(-1, 2, i32::MIN),
            transform: components::Transform::from_xyz(1.0, 2.0, 3.0)
                .with_rotation(math::Quat::from_rotation_x(1.0))
                .with_scale(math::Vec3::splat(0.5)),
            list: vec![math::Vec4::X, math::Vec4::W],
            map: [(1, "one".to_owned()), (2, "two".to_owned())].into_iter().collect(),
            set: [7, 9].into_iter().collect(),
        };
        let bytes = wincode::serialize(&all).expect("it fits");
        let numbers = 8 + 12 + 16 + 12 + 40;
        let counts = 8 + 2 * 16 + 8 + 2 * (1 + 8 + 3) + 8 + 2 * 2;
        assert_eq!(bytes.len(), numbers + counts);
        assert_eq!(wincode::deserialize::<All>(&bytes).expect("it is one"), all);
        assert!(wincode::deserialize::<All>(&bytes[..bytes.len() - 1]).is_err());
    }
}
