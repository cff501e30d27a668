//! Messages as bytes, and back.

use bytes::BytesMut;
use wincode::{
    SchemaRead, SchemaWrite,
    config::{self, Configuration},
    len::FixIntLen,
};

/// wincode as the wire uses it: `u8` enum tags, `u32` lengths, little endian,
/// and no allocation above 256 KiB on the word of a length.
type WireConfig = Configuration<
    true,
    { 256 * 1024 },
    FixIntLen<u32>,
    wincode::int_encoding::LittleEndian,
    wincode::int_encoding::FixInt,
    u8,
>;

/// A frame body that is no message of this direction and version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No message has that tag in this direction.
    #[error("unknown message kind {0}")]
    UnknownKind(u8),
    /// The body has no bytes.
    #[error("empty frame")]
    Empty,
    /// The body goes on after the message.
    #[error("bytes after the end of a message of kind {0}")]
    TrailingBytes(u8),
    /// The body ends too early, or a value in it is not allowed.
    #[error("malformed message of kind {0}")]
    Malformed(u8),
    /// Metadata in it is not sorted by key, or has a key twice.
    #[error("metadata that is not sorted by key, each key once, in a message of kind {0}")]
    UnsortedMetadata(u8),
    /// Extensions in it are not sorted by id, or one is there twice.
    #[error("extensions that are not sorted by id, each id once, in a message of kind {0}")]
    UnsortedExtensions(u8),
}

pub(super) fn write<T: SchemaWrite<WireConfig, Src = T>>(buf: &mut BytesMut, message: &T) {
    let size = config::serialized_size(message, WireConfig::new())
        .expect("lengths were checked against limits far below u32");
    let start = buf.len();
    let end = start + usize::try_from(size).expect("messages are far smaller than memory");
    buf.resize(end, 0);
    config::serialize_into(&mut buf[start..end], message, WireConfig::new())
        .expect("the buffer has the size that was computed");
}

pub(super) fn read<'a, T: SchemaRead<'a, WireConfig, Dst = T>>(
    body: &'a [u8],
    is_kind: fn(u8) -> bool,
) -> Result<T, DecodeError> {
    let kind = *body.first().ok_or(DecodeError::Empty)?;
    if !is_kind(kind) {
        return Err(DecodeError::UnknownKind(kind));
    }
    config::deserialize_exact(body, WireConfig::new()).map_err(|error| {
        if matches!(error, wincode::error::ReadError::TrailingBytes) {
            DecodeError::TrailingBytes(kind)
        } else {
            DecodeError::Malformed(kind)
        }
    })
}
