//! Makes commands of the typed messages that systems have written.

use bevy::prelude::*;
use ghost_sync_core::{
    Request,
    wire::{Delivery, RoomName},
};

use super::{outbox::Outbox, thread::NetworkThread, unanswered::refuse};
use crate::{
    GhostClient, JoinedRooms, Traffic,
    events::{Unsent, UnsentReason, publish},
    typed::{ClientPayload, ClientRecipient, MessageRegistry, Side, Stamp},
};

/// What the systems of a frame have said, on its way out.
pub(super) struct Outgoing {
    current: Option<Entity>,
    /// See [`Outbox::left`].
    left: Vec<(Stamp, Option<Entity>)>,
    /// The name of the room that was spoken to last: most often it is that of the next, too.
    last: Option<(Entity, RoomName)>,
    sent: Traffic,
    unsent: Vec<Unsent>,
}

impl Outgoing {
    pub(super) fn of(world: &mut World) -> Self {
        let left = std::mem::take(&mut world.resource_mut::<Outbox>().left);
        let current = world.resource::<JoinedRooms>().current();
        Self { current, left, last: None, sent: Traffic::default(), unsent: Vec::new() }
    }

    pub(super) fn send(&mut self, world: &mut World, payload: ClientPayload) {
        let message_type = payload.message_type;
        let bytes = payload.bytes.as_ref().ok().cloned();
        match self.try_send(world, payload) {
            Ok(()) => bytes.iter().for_each(|bytes| self.sent.count(bytes)),
            Err(reason) => {
                let message = bytes.map(|bytes| (message_type, bytes));
                self.unsent.push(Unsent { message, reason });
            }
        }
    }

    fn try_send(&mut self, world: &mut World, payload: ClientPayload) -> Result<(), UnsentReason> {
        let ClientPayload { stamp, room, to, message_type, bytes } = payload;
        let payload = bytes.map_err(|_| UnsentReason::Unencodable)?;
        if !world.resource_mut::<MessageRegistry>().may_say(message_type, Side::Client) {
            return Err(UnsentReason::SaidByServer);
        }
        if world.resource_mut::<NetworkThread>().bridge().is_none() {
            return Err(UnsentReason::NotConnected);
        }
        // What comes after a join is for the room that is joined, which the network thread knows.
        // What may be lost is for where the client is.
        let joining = !world.resource::<NetworkThread>().unanswered.joins.is_empty();
        let lossy = matches!(to, ClientRecipient::Room { delivery: Delivery::Volatile, .. });
        let joining = joining && !lossy;
        let current = || self.current_at(&stamp).filter(|_| !joining);
        let room = match room.or_else(current) {
            Some(room) => Some(self.name(world, room)?),
            None => None,
        };
        let request = match to {
            ClientRecipient::Room { delivery, flags } => {
                Request::Broadcast { room, delivery, flags, message_type, payload }
            }
            ClientRecipient::Server => Request::ToServer { room, message_type, payload },
        };
        world.resource_mut::<NetworkThread>().send(request)
    }

    /// The room that was joined last, as of then.
    fn current_at(&self, stamp: &Stamp) -> Option<Entity> {
        let left = self.left.iter().find(|(left, _)| left > stamp);
        left.map_or(self.current, |(_, current)| *current)
    }

    fn name(&mut self, world: &World, room: Entity) -> Result<RoomName, UnsentReason> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != room) {
            let name = world.resource::<JoinedRooms>().name(room);
            self.last = Some((room, name.ok_or(UnsentReason::NotInRoom)?.clone()));
        }
        self.last.as_ref().map(|(_, name)| name.clone()).ok_or(UnsentReason::NotInRoom)
    }

    pub(super) fn end(self, world: &mut World) {
        world.resource_mut::<GhostClient>().sent += self.sent;
        for unsent in self.unsent {
            publish(world, unsent);
        }
    }
}

/// Tells what was said, or asked, when the connection had ended for good and the game could not
/// know. Joins, pings and lists are told as unanswered.
pub(super) fn lose(world: &mut World, request: Request) {
    if let Request::Broadcast { message_type, payload, .. }
    | Request::ToServer { message_type, payload, .. } = request
    {
        let reason = UnsentReason::NotConnected;
        publish(world, Unsent { message: Some((message_type, payload)), reason });
    } else if let Request::SetMetadata { .. } = request {
        refuse(world, &request);
    }
}
