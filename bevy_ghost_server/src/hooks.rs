//! What the server's rules decide, as events that observers may refuse.
//!
//! An observer of one of these requests says no with `reject`, or takes a
//! [`Ticket`] with `defer` to answer later. Nobody's no can be undone, so the
//! verdict does not depend on the order in which observers run. A request that
//! nobody refuses is granted.
//!
//! ```
//! # use bevy::prelude::*;
//! # use bevy_ghost_server::prelude::*;
//! fn password(mut request: On<JoinRequest>) {
//!     if request.data.as_ref() != b"sesame" {
//!         request.reject("wrong password");
//!     }
//! }
//!
//! fn open_rooms(mut commands: Commands) {
//!     commands.spawn(Room::new("lobby"));
//!     commands.spawn(Room::new("cave")).observe(password); // of this room only
//! }
//! # App::new().add_systems(Startup, open_rooms);
//! ```

mod decision;

use std::{net::SocketAddr, sync::Arc};

use bevy::prelude::*;
use bevy_ghost_client::{GhostMessage, Metadata, typed::Greeting};
use bytes::Bytes;
use ghost_sync_core::{
    identity::Identity,
    wire::{ClientId, MessageType, RoomName, UserId},
};

use crate::RoomConfig;

pub use decision::Ticket;
pub(crate) use decision::{Decision, Outcome, Reply};

/// A client wants to connect. No entity of its own is there yet.
#[derive(Debug, Event)]
pub struct ConnectRequest {
    /// The public id that the client will have.
    pub client_id: ClientId,
    /// Where it dialled from.
    pub addr: SocketAddr,
    /// Who it is, if its token said so.
    pub identity: Option<Arc<Identity>>,
    /// What the client said with its request: an invitation, say.
    pub data: Bytes,
    /// What it wants others to know about it.
    pub metadata: Metadata,
    /// The program that it says it is, for logs: at most 128 characters, without control
    /// characters, empty if it says nothing. Anybody can say anything.
    pub user_agent: String,
    pub(crate) decision: Decision,
}

/// A client wants a seat in a room. Capacity is checked by the network thread.
#[derive(Debug, EntityEvent)]
pub struct JoinRequest {
    /// The entity with [`Room`](crate::Room); observers attached to it are asked.
    #[event_target]
    pub room: Entity,
    /// `Lobby` and `lobby` are two rooms.
    pub room_name: RoomName,
    /// The entity with the client's [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Where it dialled from.
    pub addr: SocketAddr,
    /// Who it is, if its token said so; whether that lets it into the room was checked before.
    pub identity: Option<Arc<Identity>>,
    /// What the client said with its request: a password, say.
    pub data: Bytes,
    pub(crate) decision: Decision,
}

/// A client wants to join a room that is not there.
///
/// Asked only with [`CreateOnJoin::Ask`](crate::CreateOnJoin::Ask), and not for who joins
/// existing rooms only. [`JoinRequest`] is asked next, of the new room. How many rooms may be
/// made from one address is limited too ([`Limits::rooms`](crate::Limits)).
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::{CreateOnJoin, prelude::*};
/// #[derive(SchemaRead, SchemaWrite)]
/// struct Match {
///     map: String,
///     seats: u32,
/// }
///
/// fn make_match(mut request: On<CreateRoomRequest>) {
///     let wishes = request.options.as_deref().unwrap_or_default();
///     match wincode::deserialize::<Match>(wishes) {
///         Ok(wishes) if wishes.seats <= 16 => {
///             request.config = RoomConfig::with_capacity(wishes.seats);
///             request.metadata.set("map", wishes.map);
///         }
///         Ok(_) => request.reject("16 seats at most"),
///         Err(_) => request.reject("say how the match should be"),
///     }
/// }
///
/// # let mut app = App::new();
/// let server = GhostServerPlugin::local()
///     .relay(|relay| relay.create_on_join = CreateOnJoin::Ask);
/// app.add_plugins(server).add_observer(make_match);
/// ```
#[derive(Debug, Event)]
pub struct CreateRoomRequest {
    /// The name that the room is to have; no room has it now.
    pub room_name: RoomName,
    /// The entity with the client's [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Where it dialled from.
    pub addr: SocketAddr,
    /// Who it is, if its token said so; whether that lets it make rooms was checked before.
    pub identity: Option<Arc<Identity>>,
    /// How the client wants the room to be, in bytes of the game's own
    /// ([`Join::or_create`](bevy_ghost_client::Join::or_create)); `None` for who only joins.
    pub options: Option<Bytes>,
    /// What the client said with its request to join: a password, say.
    pub data: Bytes,
    /// What newcomers will be told of the room; none, unless it is changed here.
    pub metadata: Metadata,
    /// The rules that the room will have; change them here.
    pub config: RoomConfig,
    pub(crate) decision: Decision,
}

/// A player wants to say something in a room that is
/// [`Moderated`](crate::RelayMode::Moderated).
///
/// [`MessageRegistry::decode`](crate::typed::MessageRegistry::decode) reads it. `None` also
/// means malformed, or another type: reject what you cannot read, or the room gets it.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::{prelude::*, typed::MessageRegistry};
/// #[derive(SchemaRead, SchemaWrite)]
/// struct Chat(String);
///
/// fn moderate(mut request: On<RelayRequest>, registry: Res<MessageRegistry>) {
///     match registry.decode::<Chat>(request.message_type, &request.payload) {
///         Some(Chat(text)) if text.len() <= 200 => {}
///         Some(_) => request.reject("too long"),
///         None => request.reject("only chat here"),
///     }
/// }
///
/// fn open_rooms(mut commands: Commands) {
///     let config = RoomConfig { mode: RelayMode::Moderated, ..RoomConfig::default() };
///     commands.spawn((Room::new("plaza"), config)).observe(moderate);
/// }
/// # App::new().add_ghost_message::<Chat>().add_systems(Startup, open_rooms);
/// ```
#[derive(Debug, EntityEvent)]
pub struct RelayRequest {
    /// The entity with [`Room`](crate::Room); observers attached to it are asked.
    #[event_target]
    pub room: Entity,
    /// The entity with [`Player`](crate::Player).
    pub player: Entity,
    /// The entity with its [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// The number of its type, [`MessageType::RAW`] for bytes of no type.
    pub message_type: MessageType,
    /// The bytes, as the client sent them: not checked yet.
    pub payload: Bytes,
    pub(crate) decision: Decision,
}

/// A client wants to change its metadata: what others see of it, such as a name.
///
/// Not asked about keys that the server has set ([`SetMetadata`](crate::SetMetadata)):
/// clients cannot change those. What a client brings when it connects is in
/// [`ConnectRequest`]. [`RelayConfig::client_metadata_keys`](crate::RelayConfig::client_metadata_keys)
/// names the keys that clients may set at all.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::prelude::*;
/// fn decent_names(mut request: On<SetMetadataRequest>) {
///     if request.key == "name" && request.value.as_deref() == Some("admin") {
///         request.reject("that name is taken");
///     }
/// }
/// # App::new().add_observer(decent_names);
/// ```
#[derive(Debug, EntityEvent)]
pub struct SetMetadataRequest {
    /// The entity with the client's [`Connection`](crate::Connection).
    #[event_target]
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// 1 to 64 bytes, without control characters.
    pub key: String,
    /// The new value; `None` removes the key.
    pub value: Option<String>,
    pub(crate) decision: Decision,
}

/// Somebody is to be told the state of the game, because it knows nothing of the room: it
/// joins and was let in, or it has its seat already and its program was started anew.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::prelude::*;
/// #[derive(Component, SchemaRead, SchemaWrite)]
/// struct Board(Vec<u8>); // registered with `add_ghost_message`
///
/// fn show_board(mut request: On<GreetRequest>, boards: Query<&Board>) {
///     if let Ok(board) = boards.get(request.room) {
///         request.greet_with(board);
///     }
/// }
/// # App::new().add_ghost_message::<Board>().add_observer(show_board);
/// ```
#[derive(Debug, EntityEvent)]
pub struct GreetRequest {
    /// The entity with [`Room`](crate::Room); observers attached to it are asked.
    #[event_target]
    pub room: Entity,
    /// `Lobby` and `lobby` are two rooms.
    pub room_name: RoomName,
    /// The entity with the client's [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// The player's entity, if it has its seat already: [`PlayerBack`](crate::PlayerBack)
    /// follows. `None` for a newcomer: [`PlayerJoined`](crate::PlayerJoined) follows.
    pub player: Option<Entity>,
    pub(crate) greeting: Greeting,
}

impl GreetRequest {
    /// Tells it something, right after who is in the room and before anything else of it.
    /// It reads [`FromServer`](crate::typed::FromServer). Several observers may add to it.
    ///
    /// All of it should be well below half of
    /// [`outbox_limit`](crate::RelayConfig::outbox_limit). A message that cannot be
    /// encoded, or whose type is not
    /// [registered](crate::GhostAppExt::add_ghost_message), is left out; the log says so.
    pub fn greet_with<T: GhostMessage>(&mut self, message: &T) {
        self.greeting.add(message);
    }
}

macro_rules! decided {
    ($($request:ident)*) => {
        $(impl $request {
            /// Says no. The reason reaches the client; of several, all do.
            pub fn reject(&mut self, reason: impl Into<String>) {
                self.decision.reject(reason.into());
            }

            /// Puts the answer off: the ticket decides, unless somebody says no before.
            ///
            /// With several tickets all must be accepted. A ticket that is dropped
            /// means no, and so does one that is not answered within
            /// [`ask_timeout`](crate::RelayConfig::ask_timeout).
            pub fn defer(&mut self) -> Ticket {
                self.decision.defer()
            }

            /// Whether somebody has said no. What other observers will say is not known.
            pub fn is_rejected(&self) -> bool {
                self.decision.is_rejected()
            }
        })*
    };
}

macro_rules! signed {
    ($($request:ident)*) => {
        $(impl $request {
            /// The user that asks; `None`: nobody in particular.
            pub fn user(&self) -> Option<&UserId> {
                self.identity.as_ref().map(|identity| &identity.user)
            }
        })*
    };
}

signed!(ConnectRequest JoinRequest CreateRoomRequest);

decided!(ConnectRequest JoinRequest CreateRoomRequest RelayRequest SetMetadataRequest);
