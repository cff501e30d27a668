//! One reader for what rooms and the server say.

use bevy::ecs::{entity::Entity, message::MessageReader, system::SystemParam};

use super::{
    envelopes::{FromRoom, FromServer, Sender},
    message::GhostMessage,
};

/// Client, in: reads all of one type, whether it was said in a room or by the server to this
/// client alone, in the order in which it came.
///
/// Two [`MessageReader`]s, one of [`FromRoom`] and one of [`FromServer`], would lose that
/// order: a newcomer that is told the board (`ToPlayer`) and then each change of it (`ToRoom`)
/// must not take them the other way round.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// # #[derive(SchemaRead, SchemaWrite)]
/// # struct Chat(String);
/// fn listen(mut chat: GhostReader<Chat>) {
///     for said in chat.read() {
///         println!("{}", said.message.0);
///     }
/// }
/// # App::new().add_ghost_message::<Chat>().add_systems(Update, listen);
/// ```
#[derive(Debug, SystemParam)]
pub struct GhostReader<'w, 's, T: GhostMessage> {
    rooms: MessageReader<'w, 's, FromRoom<T>>,
    server: MessageReader<'w, 's, FromServer<T>>,
}

/// Something that came, see [`GhostReader`].
#[derive(Debug)]
pub struct Heard<'a, T> {
    /// The entity with `JoinedRoom`, if it came from or about a room.
    pub room: Option<Entity>,
    /// Who, as the server vouches for it.
    pub sender: Sender,
    /// Place in the room's order; `None` for what was said to this client alone.
    pub seq: Option<u64>,
    /// See [`FromRoom::replay`].
    pub replay: bool,
    /// What was said.
    pub message: &'a T,
}

impl<T> Clone for Heard<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Heard<'_, T> {}

impl<T: GhostMessage> GhostReader<'_, '_, T> {
    /// What this system has not read yet.
    pub fn read(&mut self) -> impl Iterator<Item = Heard<'_, T>> {
        let mut rooms = self.rooms.read().peekable();
        let mut server = self.server.read().peekable();
        std::iter::from_fn(move || {
            let room_first = match (rooms.peek(), server.peek()) {
                (Some(room), Some(server)) => room.arrival < server.arrival,
                (room, _) => room.is_some(),
            };
            if room_first { rooms.next().map(Heard::from) } else { server.next().map(Heard::from) }
        })
    }

    /// How much this system has not read yet.
    pub fn len(&self) -> usize {
        self.rooms.len() + self.server.len()
    }

    /// Whether this system has read everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what this system has not read yet.
    pub fn clear(&mut self) {
        self.rooms.clear();
        self.server.clear();
    }
}

impl<'a, T> From<&'a FromRoom<T>> for Heard<'a, T> {
    fn from(said: &'a FromRoom<T>) -> Self {
        let FromRoom { room, sender, seq, replay, arrival: _, message } = said;
        Self { room: Some(*room), sender: *sender, seq: Some(*seq), replay: *replay, message }
    }
}

impl<'a, T> From<&'a FromServer<T>> for Heard<'a, T> {
    fn from(said: &'a FromServer<T>) -> Self {
        let FromServer { room, missed: _, arrival: _, message } = said;
        Self { room: *room, sender: Sender::Server, seq: None, replay: false, message }
    }
}
