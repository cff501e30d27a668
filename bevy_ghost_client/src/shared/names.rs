//! How people call themselves.

use bevy::{ecs::system::SystemParam, prelude::*};

use super::Metadata;

/// What clients call themselves: the value of `name` in their [`Metadata`], which a client sets
/// with `Connect::with_metadata("name", "Ada")`.
///
/// Of a member, on a server of a player or a connection. It is text of somebody else's: of any
/// length that metadata may have, and a terminal might obey what is in it. Several may have the
/// same, unless a token vouches for it; who somebody is, [`User`](super::User) says.
///
/// It reads all [`Metadata`]: a system that changes some has both in a
/// [`ParamSet`](bevy::ecs::system::ParamSet).
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// # #[derive(SchemaRead, SchemaWrite)]
/// # struct Chat(String);
/// fn listen(mut chat: MessageReader<FromRoom<Chat>>, names: Names) {
///     for said in chat.read() {
///         println!("{}: {}", names.of(said.sender.player()), said.message.0);
///     }
/// }
/// # let mut app = App::new();
/// # app.add_plugins((MinimalPlugins, GhostClientPlugin::default()));
/// # app.add_ghost_message::<Chat>();
/// # app.add_systems(Update, listen).update();
/// ```
#[derive(Debug, SystemParam)]
pub struct Names<'w, 's> {
    metadata: Query<'w, 's, &'static Metadata>,
    bearers: Query<'w, 's, &'static NamedAs>,
}

impl Names<'_, '_> {
    /// What somebody is called; "somebody" where there is no name, or nobody.
    pub fn of(&self, who: impl Into<Option<Entity>>) -> &str {
        self.get(who).unwrap_or("somebody")
    }

    /// What somebody is called. `None` where there is no name, or an empty one, or nobody.
    pub fn get(&self, who: impl Into<Option<Entity>>) -> Option<&str> {
        let who = who.into()?;
        let bearer = self.bearers.get(who).map_or(who, |named| named.0);
        self.metadata.get(bearer).ok()?.get("name").filter(|name| !name.is_empty())
    }
}

/// Whose name somebody has: a server's player has that of its connection.
#[derive(Clone, Component, Copy, Debug)]
#[component(immutable)]
pub struct NamedAs(pub Entity);
