//! What a game asks the plugin for: `commands.trigger(Join::new("lobby"))`.

use std::time::Duration;

use bevy::prelude::*;
use bytes::Bytes;
use ghost_sync_core::wire::{IfMissing, JoinOptions, MetadataEntry, Replay, SessionTicket, Token};

use crate::{Connector, LocalConnector, Reconnect, Target};

/// Asks for a connection; ends the one that is there.
///
/// Answered by [`Connected`](crate::Connected) or [`Disconnected`](crate::Disconnected).
#[derive(Clone, Debug, Event)]
pub struct Connect {
    pub(crate) target: Target,
    pub(crate) data: Bytes,
    pub(crate) token: Token,
    pub(crate) meta: Vec<MetadataEntry>,
    pub(crate) reconnect: Reconnect,
    pub(crate) resume_for: Option<Duration>,
    pub(crate) session: Option<SessionTicket>,
}

impl Connect {
    /// To a server at `host:port`.
    pub fn to(addr: impl Into<String>) -> Self {
        Self::new(Target::Addr(addr.into()))
    }

    /// To a server in the same process, without a socket: the other half of a
    /// listen server, or single player.
    pub fn local(connector: LocalConnector) -> Self {
        Self::new(Target::Local(connector))
    }

    /// To wherever the streams lead that `connector` makes: another transport, or a
    /// line that a test can cut.
    pub fn through(connector: Connector) -> Self {
        Self::new(Target::Through(connector))
    }

    /// With bytes for the server's rules: an invitation, say.
    #[must_use]
    pub fn with_data(self, data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..self }
    }

    /// As the user of that token, 8,192 bytes at most. Where it comes from is up to the game: its
    /// backend gives one to whoever logs in, say. The client comes back with it after the
    /// connection broke, or with a fresh one that was shown since
    /// ([`Authenticate`]); neither `Debug` nor a log shows it.
    ///
    /// A token that is not good ends in [`Disconnected`](crate::Disconnected), with
    /// [`CloseReason::Unauthenticated`](crate::CloseReason::Unauthenticated).
    #[must_use]
    pub fn with_token(self, token: impl Into<Token>) -> Self {
        Self { token: token.into(), ..self }
    }

    /// With a metadata entry that everybody in our rooms may see, such as a display name.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.push((key.into(), value.into()));
        self
    }

    /// With other rules for coming back after the connection broke: how long attempts
    /// wait, and whether rooms are joined again.
    #[must_use]
    pub fn reconnecting(self, reconnect: Reconnect) -> Self {
        Self { reconnect, ..self }
    }

    /// Tries for so long to come back to the same seats, before
    /// [`Disconnected`](crate::Disconnected) says that they are lost; by default as long as
    /// the server holds them. Zero: not at all.
    #[must_use]
    pub fn resume_for(self, time: Duration) -> Self {
        Self { resume_for: Some(time), ..self }
    }

    /// Goes on as the player of an earlier process that died, if the server still holds
    /// its seats: with the same id, and in its rooms, for each of which
    /// [`Joined`](crate::Joined) and [`Rejoined`](crate::Rejoined) come by themselves. Else
    /// a new player. [`Connected::resumed`](crate::Connected::resumed) says which.
    /// [`GhostClient::ticket`](crate::GhostClient::ticket) is what to keep for that.
    ///
    /// Where clients may be in one room only, joining another gives the old seat up. The
    /// first join of a game is therefore one [`if_nowhere`](Join::if_nowhere):
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_ghost_client::prelude::*;
    /// # #[derive(Resource)]
    /// # struct Kept(Option<ghost_sync_core::SessionTicket>);
    /// fn start(mut commands: Commands, kept: Res<Kept>) {
    ///     let mut connect = Connect::to("127.0.0.1:7777");
    ///     if let Some(ticket) = kept.0 {
    ///         connect = connect.session(ticket);
    ///     }
    ///     commands.trigger(connect);
    ///     commands.trigger(Join::new("lobby").if_nowhere());
    /// }
    /// # App::new().insert_resource(Kept(None)).add_systems(Startup, start);
    /// ```
    #[must_use]
    pub fn session(self, ticket: SessionTicket) -> Self {
        Self { session: Some(ticket), ..self }
    }

    /// Without coming back by itself after the connection broke, not even to seats that
    /// the server holds.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.reconnect.enabled = false;
        self
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            data: Bytes::new(),
            token: Token::default(),
            meta: Vec::new(),
            reconnect: Reconnect::default(),
            resume_for: None,
            session: None,
        }
    }
}

/// Shows a fresh token of the same user, before the last one expires
/// ([`TokenExpiring`](crate::TokenExpiring)).
///
/// Answered by [`Authenticated`](crate::Authenticated). From then on it says what this client may;
/// rooms that it does not cover are [`Left`](crate::Left). A token that is not good ends the
/// connection, as in [`Connect::with_token`]; without a connection, or by a client that came
/// without a token, it is [`Refused`](crate::Refused).
///
/// A client that looks for a connection by itself begins the next one with it:
/// [`Connected`](crate::Connected) or [`Disconnected`](crate::Disconnected) is the answer then.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// fn renew(_: On<TokenExpiring>, backend: Res<Backend>, mut commands: Commands) {
///     commands.trigger(Authenticate::with(backend.fresh_token()));
/// }
/// # #[derive(Resource)]
/// # struct Backend;
/// # impl Backend { fn fresh_token(&self) -> String { String::new() } }
/// # App::new().add_observer(renew);
/// ```
#[derive(Clone, Debug, Event)]
pub struct Authenticate {
    pub(crate) token: Token,
}

impl Authenticate {
    /// With that token: 1 to 8,192 bytes, which neither `Debug` nor a log shows.
    pub fn with(token: impl Into<Token>) -> Self {
        Self { token: token.into() }
    }
}

/// Asks to end the connection, and attempts to get one.
#[derive(Clone, Copy, Debug, Event, Reflect)]
pub struct Disconnect;

/// Asks for a seat in a room. May be asked before the connection is there.
///
/// Answered by [`Joined`](crate::Joined) or [`JoinRefused`](crate::JoinRefused); by nothing
/// more where this client is in that room already, or is just coming back to it.
#[derive(Clone, Debug, Event, Reflect)]
#[reflect(opaque)]
pub struct Join {
    pub(crate) room: String,
    pub(crate) options: JoinOptions,
    pub(crate) if_nowhere: bool,
}

impl Join {
    /// To the room of that name. Where there is none, the server decides whether one is made.
    pub fn new(room: impl Into<String>) -> Self {
        Self { room: room.into(), options: JoinOptions::default(), if_nowhere: false }
    }

    /// To a room that is there: a code that was mistyped makes none.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_ghost_client::prelude::*;
    /// # fn type_code(mut commands: Commands) {
    /// commands.trigger(Join::existing("KQZP"));
    /// # }
    /// # App::new().add_systems(Update, type_code);
    /// ```
    pub fn existing(room: impl Into<String>) -> Self {
        let mut join = Self::new(room);
        join.options.if_missing = IfMissing::Refuse;
        join
    }

    /// Makes the room where there is none, if the server lets clients do that. How it should
    /// be is said in bytes that the server's rules understand (its `CreateRoomRequest` has
    /// them); a room that is there is joined as it is.
    ///
    /// ```
    /// # use bevy::prelude::*;
    /// # use bevy_ghost_client::prelude::*;
    /// #[derive(SchemaRead, SchemaWrite)]
    /// struct Match {
    ///     map: String,
    ///     seats: u32,
    /// }
    ///
    /// fn host_match(mut commands: Commands) -> Result {
    ///     let wishes = Match { map: "cave".to_owned(), seats: 4 };
    ///     commands.trigger(Join::new("KQZP").or_create(wincode::serialize(&wishes)?));
    ///     Ok(())
    /// }
    /// # App::new().add_systems(Update, host_match);
    /// ```
    #[must_use]
    pub fn or_create(mut self, options: impl Into<Bytes>) -> Self {
        self.options.if_missing = IfMissing::Create { options: options.into() };
        self
    }

    /// With bytes for the server's rules: a password, say.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Bytes>) -> Self {
        self.options.data = data.into();
        self
    }

    /// Only if this client is in no room when the server has greeted it, and has asked for
    /// none: a lobby to begin in, unless the session of an earlier process goes on
    /// elsewhere ([`Connect::session`]). If it does, nothing is told about this join.
    #[must_use]
    pub fn if_nowhere(self) -> Self {
        Self { if_nowhere: true, ..self }
    }

    /// With what was said before, as far as the room has it for newcomers: it comes
    /// first, and [`FromRoom::replay`](crate::FromRoom::replay) tells it apart.
    ///
    /// ```
    /// # use bevy_ghost_client::{Join, Replay};
    /// Join::new("lobby").replay(Replay::Last(50));
    /// ```
    #[must_use]
    pub fn replay(mut self, replay: Replay) -> Self {
        self.options.replay = replay;
        self
    }
}

/// Asks to give a seat up; the same as despawning the room's entity.
///
/// Answered by [`Left`](crate::Left).
#[derive(Clone, Copy, Debug, EntityEvent, Reflect)]
pub struct Leave {
    /// The entity of the [`JoinedRoom`](crate::JoinedRoom).
    #[event_target]
    pub room: Entity,
}

/// Asks how long the way to the server and back takes; answered by [`Pong`](crate::Pong).
#[derive(Clone, Copy, Debug, Event, Reflect)]
pub struct Ping;

/// Asks which rooms there are; answered by [`RoomList`](crate::RoomList).
#[derive(Clone, Copy, Debug, Event, Reflect)]
pub struct ListRooms;

/// Asks to change an entry of the own metadata.
#[derive(Clone, Debug, Event, Reflect)]
pub struct SetMetadata {
    /// 1 to 64 bytes, without control characters.
    pub key: String,
    /// The new value; `None` removes the key.
    pub value: Option<String>,
}

impl SetMetadata {
    /// Sets a value.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }
}
