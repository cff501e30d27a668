//! Layer 1: frames and messages as bytes. Knows no socket, no clock and no room.
//!
//! A frame is a `u32` length (little endian) and a body of that length; a body
//! is one [`ClientMessage`] or one [`ServerMessage`] in wincode, with `u8` enum
//! tags and `u32` lengths. `PROTOCOL.md` describes every byte.

mod auth_error;
mod client_message;
mod close;
mod codec;
mod extension;
mod frame;
mod handshake;
mod join;
mod metadata;
mod name;
mod protocol;
mod rate;
mod refusal;
mod server_message;
mod token;
mod user;
mod values;

pub use auth_error::AuthError;
pub use client_message::ClientMessage;
pub use close::{CloseReason, DisconnectReason, LeaveReason, ResumeFailure};
pub use codec::DecodeError;
pub use extension::Extension;
pub use frame::{Decoder, FrameTooLong, HEADER_LEN, encode_frame};
pub use handshake::{Hello, Resume, Versions, Welcome};
pub use join::{IfMissing, JoinOptions, Role};
pub use metadata::{
    InvalidMetadataKey, MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, MAX_METADATA_KEY, MetadataEntry,
    check_metadata_key,
};
pub use name::{InvalidRoomName, RoomName};
pub use protocol::{Direction, MessageType, Mismatch, Protocol, ProtocolType, TypeMismatch};
pub(crate) use rate::{BROADCAST_HEADER, Bucket, Cost};
pub use rate::{Rate, Rates};
pub use refusal::Refusal;
pub use server_message::ServerMessage;
pub use token::Token;
pub use user::{InvalidUserId, UserId};
pub use values::{
    Delivery, GapReason, MemberInfo, Progress, Replay, RoomSummary, Secret, SendFlags,
    SessionTicket,
};

/// A client's public id, chosen by the server. Not a secret.
pub type ClientId = uuid::Uuid;

/// The first four bytes of the first message of every connection.
pub const MAGIC: [u8; 4] = *b"GHST";

/// The versions of the wire protocol spoken by this crate.
pub const VERSIONS: Versions = Versions { oldest: 2, newest: 2 };

/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 8192;

/// The longest [`Hello`], in bytes of its frame's body: 4,096 beside its token.
pub const MAX_HELLO: usize = 4096 + MAX_TOKEN;

/// Bytes of a frame body that are not payload, at most: what a server allows
/// on top of its `max_payload`.
pub const MAX_OVERHEAD: usize = 512;

/// The longest frame body that a client accepts, in bytes (16 MiB).
pub const MAX_SERVER_FRAME: usize = 16 << 20;

/// Number of a room on the wire: unique per incarnation, never reused.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    wincode::SchemaRead,
    wincode::SchemaWrite,
)]
pub struct RoomId(pub u32);

/// A member's number inside one room incarnation; never reused there.
#[cfg_attr(feature = "reflect", derive(bevy_reflect::Reflect))]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    wincode::SchemaRead,
    wincode::SchemaWrite,
)]
pub struct Seat(pub u32);

impl Seat {
    /// The seat that the server speaks from; members start at 1.
    pub const SERVER: Self = Self(0);
}
