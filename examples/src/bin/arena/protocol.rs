//! What travels: where ghosts are, and what the server says of the game.

use bevy::prelude::*;
use bevy_ghost_client::prelude::*;

use crate::haunts::HALF;

/// Server, clients and bots agree on this; the handshake compares it.
pub(crate) fn protocol(app: &mut App) {
    app.add_ghost_message::<Pose>().from_clients();
    app.add_ghost_message::<News>().from_server();
}

/// Where a ghost says it is; only the newest matters.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
pub(crate) struct Pose {
    /// Counts the sender's poses, so that receivers see how many were skipped.
    pub(crate) count: u32,
    /// When, by the sender's clock.
    pub(crate) millis: u32,
    pub(crate) x: f32,
    pub(crate) y: f32,
}

impl Pose {
    pub(crate) fn seconds(self) -> f64 {
        f64::from(self.millis) / 1e3
    }

    /// Kept to the floor: a client may send whatever it likes.
    pub(crate) fn at(self) -> Vec2 {
        let at = Vec2::new(self.x, self.y);
        if at.is_finite() { at.clamp(-HALF, HALF) } else { Vec2::ZERO }
    }
}

/// What the server says to a room. One type, so that all of it is read in the order in which
/// it was said, be it a greeting or news.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub(crate) enum News {
    /// All lanterns of the room, for who comes in.
    Lanterns(Vec<Lantern>),
    /// One more lantern.
    Appeared(Lantern),
    /// Somebody has touched one.
    Caught {
        lantern: u32,
        by: ClientId,
        /// The catcher's, now.
        score: u32,
    },
    /// Who plays, in both rooms, the best first.
    Board {
        round: u32,
        /// Until the round ends.
        left_millis: u32,
        /// How long the server keeps the place of who loses the connection.
        kept_millis: u32,
        /// In each room.
        players: [u32; 2],
        rows: Vec<Row>,
    },
    /// A round has ended.
    Crowned {
        round: u32,
        /// Several share the crown; nobody has it when nobody caught anything.
        winners: Vec<ClientId>,
        score: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Lantern {
    pub(crate) id: u32,
    /// Points for who catches it.
    pub(crate) worth: u32,
    pub(crate) x: f32,
    pub(crate) y: f32,
}

impl Lantern {
    pub(crate) fn at(self) -> Vec2 {
        Vec2::new(self.x, self.y)
    }
}

/// A player, as the board shows it.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Row {
    pub(crate) who: ClientId,
    /// Unlike all others.
    pub(crate) name: String,
    /// Number of the colour, unlike all others.
    pub(crate) color: u32,
    /// Index of the room.
    pub(crate) haunt: u8,
    pub(crate) score: u32,
    /// Best of the last round.
    pub(crate) crowned: bool,
    /// Has lost the connection and may come back.
    pub(crate) away: bool,
}
