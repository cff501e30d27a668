//! The types that an app knows, by name and number.

use std::any::{TypeId, type_name};

use bevy::{
    app::App,
    ecs::{resource::Resource, world::World},
    log::warn,
    platform::collections::HashMap,
};
use bytes::Bytes;
use ghost_sync_core::wire::{MessageType, Protocol};
use wincode::{SchemaWrite, TypeMeta, config::DefaultConfig};

use super::{
    GhostMessage, Raw,
    codec::Codec,
    ends::Ends,
    parcels::{ClientParcel, Origin, ServerParcel},
};

/// The typed messages of this app; filled by
/// [`add_ghost_message`](super::GhostAppExt::add_ghost_message).
#[derive(Default, Resource)]
pub struct MessageRegistry {
    entries: Vec<Entry>,
    by_type: HashMap<MessageType, usize>,
    client: bool,
    server: bool,
    undecodable: u64,
}

struct Entry {
    name: String,
    message_type: MessageType,
    shape: u64,
    rust_type: TypeId,
    rust_name: &'static str,
    ends: Ends,
}

impl MessageRegistry {
    /// The types as the handshake compares them.
    pub fn protocol(&self) -> Protocol {
        let mut protocol = Protocol::default();
        for entry in self.entries.iter().filter(|entry| entry.rust_type != TypeId::of::<Raw>()) {
            protocol.add(&entry.name, entry.shape);
        }
        protocol
    }

    /// Whether payloads of that number have a registered type.
    pub fn knows(&self, message_type: MessageType) -> bool {
        self.by_type.contains_key(&message_type)
    }

    /// The payload as a `T`. `None` also means malformed: rules must reject what they
    /// cannot read, or look at the number ([`MessageType::of`]) where some of it may pass.
    pub fn decode<T: GhostMessage>(&self, message_type: MessageType, payload: &Bytes) -> Option<T> {
        let entry = &self.entries[*self.by_type.get(&message_type)?];
        (entry.rust_type == TypeId::of::<T>()).then(|| T::decode(message_type, payload).ok())?
    }

    /// The number of a type.
    pub(super) fn number_of(&self, rust_type: TypeId) -> Option<MessageType> {
        let entry = self.entries.iter().find(|entry| entry.rust_type == rust_type)?;
        Some(entry.message_type)
    }

    /// Payloads that came but were not what their type says, since the app began.
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// Makes the client's envelopes of all types, present and future, known to the app.
    pub fn enable_client(app: &mut App) {
        let mut registry = app.world_mut().get_resource_or_init::<Self>();
        if !std::mem::replace(&mut registry.client, true) {
            Self::add_raw(app);
            for ends in Self::all_ends(app.world()) {
                (ends.add_client)(app);
            }
        }
    }

    /// Makes the server's envelopes of all types, present and future, known to the app.
    pub fn enable_server(app: &mut App) {
        let mut registry = app.world_mut().get_resource_or_init::<Self>();
        if !std::mem::replace(&mut registry.server, true) {
            Self::add_raw(app);
            for ends in Self::all_ends(app.world()) {
                (ends.add_server)(app);
            }
        }
    }

    /// Everything that the systems of a client have written, in the order in
    /// which the types were registered.
    pub fn take_client(world: &mut World, out: &mut Vec<ClientParcel>) {
        for (message_type, ends) in Self::all_types(world) {
            (ends.take_client)(world, message_type, out);
        }
    }

    /// Everything that the systems of a server have written, in the order in
    /// which the types were registered.
    pub fn take_server(world: &mut World, out: &mut Vec<ServerParcel>) {
        for (message_type, ends) in Self::all_types(world) {
            (ends.take_server)(world, message_type, out);
        }
    }

    /// Decodes a payload and writes it as a Bevy message: typed if its type is
    /// registered, else [`Raw`].
    ///
    /// # Errors
    /// The name of the registered type that the payload is none of. It is counted
    /// and left out: that is its sender's fault. The log has the first of them, the
    /// second, the fourth and so on, so that no sender can flood it.
    pub fn give(
        world: &mut World,
        origin: Origin,
        message_type: MessageType,
        payload: &Bytes,
    ) -> Result<(), String> {
        let registry = world.resource::<Self>();
        let Some(entry) = registry.entry(message_type) else { return Ok(()) };
        let give = entry.ends.give;
        give(world, origin, message_type, payload).map_err(|error| {
            let mut registry = world.resource_mut::<Self>();
            registry.undecodable += 1;
            let name = registry.entry(message_type).map(|entry| entry.name.clone());
            let name = name.unwrap_or_default();
            let count = registry.undecodable;
            if count.is_power_of_two() {
                warn!("left out a payload that is no {name}, {count} by now: {error} ({origin:?})");
            }
            name
        })
    }

    pub(super) fn add<T: GhostMessage>(app: &mut App, name: &str) {
        let shape = match <T as SchemaWrite<DefaultConfig>>::TYPE_META {
            TypeMeta::Static { size, .. } => 1 + size as u64,
            TypeMeta::Dynamic => 0,
        };
        Self::insert::<T>(app, name, MessageType::of(name), shape);
    }

    fn add_raw(app: &mut App) {
        Self::insert::<Raw>(app, "Raw", MessageType::RAW, 0);
    }

    fn insert<T: Codec>(app: &mut App, name: &str, message_type: MessageType, shape: u64) {
        let mut registry = app.world_mut().get_resource_or_init::<Self>();
        let rust_name = type_name::<T>();
        if let Some(&at) = registry.by_type.get(&message_type) {
            let known = &registry.entries[at];
            assert!(
                known.rust_type == TypeId::of::<T>() && known.name == name,
                "ghost messages must have different names: `{rust_name}` would be {name:?} and \
                 `{}` is {:?} already (number {}); register one of them under another name with \
                 `add_ghost_message_as`",
                known.rust_name,
                known.name,
                message_type.0,
            );
            return;
        }
        let rust_type = TypeId::of::<T>();
        let ends = Ends::of::<T>();
        let at = registry.entries.len();
        let name = name.to_owned();
        registry.entries.push(Entry { name, message_type, shape, rust_type, rust_name, ends });
        registry.by_type.insert(message_type, at);
        let (client, server) = (registry.client, registry.server);
        if client {
            (ends.add_client)(app);
        }
        if server {
            (ends.add_server)(app);
        }
    }

    /// What is known of a type; of an unknown one, what is known of raw bytes.
    fn entry(&self, message_type: MessageType) -> Option<&Entry> {
        let known = self.by_type.get(&message_type);
        let at = known.or_else(|| self.by_type.get(&MessageType::RAW))?;
        self.entries.get(*at)
    }

    fn all_ends(world: &World) -> Vec<Ends> {
        world.resource::<Self>().entries.iter().map(|entry| entry.ends).collect()
    }

    fn all_types(world: &World) -> Vec<(MessageType, Ends)> {
        let entries = &world.resource::<Self>().entries;
        entries.iter().map(|entry| (entry.message_type, entry.ends)).collect()
    }
}

impl std::fmt::Debug for MessageRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.name)).finish()
    }
}
