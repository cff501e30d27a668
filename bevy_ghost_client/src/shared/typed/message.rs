//! What can be a typed message.

use wincode::{SchemaRead, SchemaWrite, config::DefaultConfig};

/// A type that can be sent: anything owned that wincode reads and writes.
///
/// Implemented by itself for what derives `SchemaRead` and `SchemaWrite`.
pub trait GhostMessage:
    SchemaWrite<DefaultConfig, Src = Self>
    + for<'de> SchemaRead<'de, DefaultConfig, Dst = Self>
    + Send
    + Sync
    + 'static
{
}

impl<T> GhostMessage for T where
    T: SchemaWrite<DefaultConfig, Src = T>
        + for<'de> SchemaRead<'de, DefaultConfig, Dst = T>
        + Send
        + Sync
        + 'static
{
}
