//! The types that an app knows, by name and number.

use std::{
    any::{TypeId, type_name},
    fmt::{self, Debug},
};

use bevy::{
    app::App,
    ecs::{resource::Resource, world::World},
    log::warn,
    platform::collections::HashMap,
};
use bytes::Bytes;
use ghost_sync_core::wire::{Direction, MessageType, Protocol};
use wincode::{ReadError, SchemaWrite, TypeMeta, config::DefaultConfig};

use super::{
    codec::{Buffer, Codec, Raw},
    directions::{Directions, Side},
    message::GhostMessage,
    payload::{Arrival, ClientOrigin, ClientPayload, ServerOrigin, ServerPayload, Unreadable},
    type_fns::{Arrivals, Failures, Give, TypeFns},
};

/// The typed messages of this app; filled by
/// [`add_ghost_message`](super::GhostAppExt::add_ghost_message).
#[derive(Default, Resource)]
pub struct MessageRegistry {
    known_types: Vec<KnownType>,
    by_type: HashMap<MessageType, usize>,
    directions: Directions,
    /// Places of arrivals, sorted by type while they are given.
    sorted: Vec<Vec<usize>>,
    /// Arrivals that were given.
    arrived: u64,
    buffer: Buffer,
    client: bool,
    server: bool,
    /// Whether programs with other types are taken, too.
    unchecked: bool,
    complaints: Vec<String>,
    undecodable: u64,
}

struct KnownType {
    name: String,
    message_type: MessageType,
    shape: u64,
    rust_type: TypeId,
    rust_name: &'static str,
    type_fns: TypeFns,
}

impl MessageRegistry {
    /// The types as the handshake compares them; `None`: it does not.
    pub fn protocol(&self) -> Option<Protocol> {
        (!self.unchecked).then(|| self.types())
    }

    /// See [`allow_other_ghost_messages`](super::GhostAppExt::allow_other_ghost_messages).
    pub(super) fn allow_others(app: &mut App) {
        app.world_mut().get_resource_or_init::<Self>().unchecked = true;
    }

    /// Whether any type is registered.
    pub fn has_types(&self) -> bool {
        self.known_types.iter().any(|it| it.rust_type != TypeId::of::<Raw>())
    }

    fn types(&self) -> Protocol {
        let mut protocol = Protocol::default();
        for it in self.known_types.iter().filter(|it| it.rust_type != TypeId::of::<Raw>()) {
            let direction = self.directions.of(it.message_type);
            protocol.add(&it.name, it.shape, direction);
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
        let known = &self.known_types[*self.by_type.get(&message_type)?];
        (known.rust_type == TypeId::of::<T>()).then(|| T::decode(message_type, payload).ok())?
    }

    /// What is wrong with how this app is set up, as the log says it: types that systems read
    /// or write and nobody has registered.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    pub(super) fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// Whether the Rust type of that full name is registered.
    pub(super) fn has_rust_type(&self, rust_name: &str) -> bool {
        self.known_types.iter().any(|it| it.rust_name == rust_name)
    }

    /// The number of a type.
    pub(super) fn number_of(&self, rust_type: TypeId) -> Option<MessageType> {
        let known = self.known_types.iter().find(|it| it.rust_type == rust_type)?;
        Some(known.message_type)
    }

    /// Whether that side may say payloads of that number, as the type was registered.
    pub fn allows(&self, message_type: MessageType, side: Side) -> bool {
        self.directions.allow(message_type, side)
    }

    /// Payloads that came from a side that may not say them and were left out, since the app
    /// began.
    pub fn misdirected(&self) -> u64 {
        self.directions.misdirected()
    }

    /// Counts a payload from a side that may not say it.
    pub fn count_misdirected(&mut self, message_type: MessageType) {
        self.directions.count(message_type);
    }

    /// Whether this app may say it as that side; if not, the log says so, once for each type.
    pub fn may_say(&mut self, message_type: MessageType, side: Side) -> bool {
        let allowed = self.allows(message_type, side);
        if !allowed {
            self.directions.blame(message_type);
        }
        allowed
    }

    /// Only that side says it.
    pub(super) fn direct(&mut self, message_type: MessageType, direction: Direction) {
        if let Some(&at) = self.by_type.get(&message_type) {
            self.directions.set(message_type, &self.known_types[at].name, direction);
        }
    }

    /// Payloads that came but were not what their type says, since the app began.
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// Makes one side's envelopes of all types, present and future, known to the app.
    pub(super) fn add_side(app: &mut App, side: Side) {
        let mut registry = app.world_mut().get_resource_or_init::<Self>();
        let known = match side {
            Side::Client => &mut registry.client,
            Side::Server => &mut registry.server,
        };
        if std::mem::replace(known, true) {
            return;
        }
        Self::add_raw(app);
        for type_fns in Self::all_type_fns(app.world()) {
            match side {
                Side::Client => (type_fns.add_client)(app),
                Side::Server => (type_fns.add_server)(app),
            }
        }
    }

    /// Everything that the systems of a client have written, in the order in which they did.
    pub fn take_client(world: &mut World, out: &mut Vec<ClientPayload>) {
        let mut buffer = std::mem::take(&mut world.resource_mut::<Self>().buffer);
        for (message_type, type_fns) in Self::all_types(world) {
            (type_fns.take_client)(world, message_type, &mut buffer, out);
        }
        out.sort_by(|a, b| a.stamp.cmp(&b.stamp));
        world.resource_mut::<Self>().buffer = buffer;
    }

    /// Everything that the systems of a server have written, in the order in which they did.
    pub fn take_server(world: &mut World, out: &mut Vec<ServerPayload>) {
        let mut buffer = std::mem::take(&mut world.resource_mut::<Self>().buffer);
        for (message_type, type_fns) in Self::all_types(world) {
            (type_fns.take_server)(world, message_type, &mut buffer, out);
        }
        out.sort_by(|a, b| a.stamp.cmp(&b.stamp));
        world.resource_mut::<Self>().buffer = buffer;
    }

    /// Decodes payloads for a client and writes them as Bevy messages: typed where the
    /// type is registered, else [`Raw`]. Each type is written at once; its messages keep
    /// their order.
    ///
    /// Returns those that are none of the registered type that they claim to be. They are
    /// counted and left out: that is their senders' fault. The log has the first of them,
    /// the second, the fourth and so on, so that no sender can flood it.
    pub fn give_client(world: &mut World, arrivals: &[Arrival<ClientOrigin>]) -> Vec<Unreadable> {
        Self::give(world, arrivals, |it| it.give_client)
    }

    /// Decodes payloads for a server, like [`give_client`](Self::give_client).
    pub fn give_server(world: &mut World, arrivals: &[Arrival<ServerOrigin>]) -> Vec<Unreadable> {
        Self::give(world, arrivals, |it| it.give_server)
    }

    fn give<O: Debug>(
        world: &mut World,
        arrivals: &[Arrival<O>],
        give: fn(&TypeFns) -> Give<O>,
    ) -> Vec<Unreadable> {
        let mut registry = world.resource_mut::<Self>();
        let mut sorted = std::mem::take(&mut registry.sorted);
        registry.sort(arrivals, &mut sorted);
        let numbered = Arrivals { first: registry.arrived, all: arrivals };
        registry.arrived += arrivals.len() as u64;
        let (mut failed, mut unreadable) = (Failures::new(), Vec::new());
        for (known_type, places) in sorted.iter_mut().enumerate().filter(|(_, it)| !it.is_empty()) {
            let give = give(&world.resource::<Self>().known_types[known_type].type_fns);
            give(world, &numbered, places, &mut failed);
            places.clear();
            for (at, error) in failed.drain(..) {
                let type_name =
                    world.resource_mut::<Self>().report(known_type, &arrivals[at], &error);
                unreadable.push(Unreadable { at, type_name });
            }
        }
        world.resource_mut::<Self>().sorted = sorted;
        unreadable.sort_by_key(|it| it.at);
        unreadable
    }

    pub(super) fn add<T: GhostMessage>(app: &mut App, name: &str) -> MessageType {
        let shape = match <T as SchemaWrite<DefaultConfig>>::TYPE_META {
            TypeMeta::Static { size, .. } => 1 + size as u64,
            TypeMeta::Dynamic => 0,
        };
        let message_type = MessageType::of(name);
        Self::insert::<T>(app, name, message_type, shape);
        message_type
    }

    fn add_raw(app: &mut App) {
        Self::insert::<Raw>(app, "Raw", MessageType::RAW, 0);
    }

    fn insert<T: Codec>(app: &mut App, name: &str, message_type: MessageType, shape: u64) {
        let mut registry = app.world_mut().get_resource_or_init::<Self>();
        let rust_name = type_name::<T>();
        if let Some(&at) = registry.by_type.get(&message_type) {
            let known = &registry.known_types[at];
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
        let type_fns = TypeFns::of::<T>();
        let at = registry.known_types.len();
        let name = name.to_owned();
        registry.known_types.push(KnownType {
            name,
            message_type,
            shape,
            rust_type,
            rust_name,
            type_fns,
        });
        registry.by_type.insert(message_type, at);
        let (client, server) = (registry.client, registry.server);
        if client {
            (type_fns.add_client)(app);
        }
        if server {
            (type_fns.add_server)(app);
        }
    }

    /// Sorts the places of arrivals by type: those of unknown types are raw bytes.
    fn sort<O>(&self, arrivals: &[Arrival<O>], sorted: &mut Vec<Vec<usize>>) {
        sorted.resize_with(self.known_types.len(), Vec::new);
        let Some(&raw) = self.by_type.get(&MessageType::RAW) else { return };
        let mut last = (MessageType::RAW, raw);
        for (at, arrival) in arrivals.iter().enumerate() {
            if arrival.message_type != last.0 {
                let known = self.by_type.get(&arrival.message_type).copied();
                last = (arrival.message_type, known.unwrap_or(raw));
            }
            sorted[last.1].push(at);
        }
    }

    /// Counts an arrival that its type does not read, and returns the type's name.
    fn report<O: Debug>(
        &mut self,
        known_type: usize,
        arrival: &Arrival<O>,
        error: &ReadError,
    ) -> String {
        self.undecodable += 1;
        let (name, count) = (self.known_types[known_type].name.clone(), self.undecodable);
        if count.is_power_of_two() {
            let origin = &arrival.origin;
            warn!("left out a payload that is no {name}, {count} by now: {error} ({origin:?})");
        }
        name
    }

    fn all_type_fns(world: &World) -> Vec<TypeFns> {
        world.resource::<Self>().known_types.iter().map(|it| it.type_fns).collect()
    }

    fn all_types(world: &World) -> Vec<(MessageType, TypeFns)> {
        let known_types = &world.resource::<Self>().known_types;
        known_types.iter().map(|it| (it.message_type, it.type_fns)).collect()
    }
}

impl Debug for MessageRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.known_types.iter().map(|it| &it.name)).finish()
    }
}
