//! Values of any type that a program keeps with a room or a client, on the
//! server only.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    relay::RelayEvent,
    wire::{ClientId, RoomId},
};

/// What a value is kept with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Owner {
    Room(RoomId),
    Client(ClientId),
}

impl Owner {
    /// Who is gone with this event.
    pub(super) fn ended_by(event: &RelayEvent) -> Option<Self> {
        if let RelayEvent::RoomDeleted { room, .. } = event {
            Some(Self::Room(*room))
        } else if let RelayEvent::ConnectionClosed { client_id, .. } = event {
            Some(Self::Client(*client_id))
        } else {
            None
        }
    }
}

type Value = Arc<dyn Any + Send + Sync>;

/// One value per owner and type.
#[derive(Debug, Default)]
pub(super) struct Extensions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    values: HashMap<Owner, HashMap<TypeId, Value>>,
    /// Owners that are gone, whose values go at the next occasion.
    ended: Vec<Owner>,
}

impl Extensions {
    /// Keeps `value`; returns the one of its type that was there.
    pub(super) fn insert<T: Send + Sync + 'static>(
        &self,
        owner: Owner,
        value: Arc<T>,
    ) -> Option<Arc<T>> {
        let value: Value = value;
        let old = self.lock().values.entry(owner).or_default().insert(TypeId::of::<T>(), value);
        old?.downcast().ok()
    }

    /// The value of type `T`.
    pub(super) fn find<T: Send + Sync + 'static>(&self, owner: Owner) -> Option<Arc<T>> {
        let kept = self.lock();
        let value = kept.values.get(&owner)?.get(&TypeId::of::<T>())?.clone();
        drop(kept);
        value.downcast().ok()
    }

    /// Takes the value of type `T` away; values of other types stay.
    pub(super) fn take<T: Send + Sync + 'static>(&self, owner: Owner) -> Option<Arc<T>> {
        let value = self.lock().values.get_mut(&owner)?.remove(&TypeId::of::<T>());
        value?.downcast().ok()
    }

    /// Remembers whose values may go, now that `event` has happened.
    pub(super) fn note_end(&self, event: &RelayEvent) {
        let Some(owner) = Owner::ended_by(event) else { return };
        let mut kept = self.lock();
        if kept.values.contains_key(&owner) {
            kept.ended.push(owner);
        }
    }

    /// Drops the values of all owners that are gone.
    pub(super) fn drop_ended(&self) {
        let ended = std::mem::take(&mut self.lock().ended);
        self.drop_of(&ended);
    }

    /// Drops the values of these owners, of whose end the program was told.
    pub(super) fn drop_of(&self, owners: &[Owner]) {
        if owners.is_empty() {
            return;
        }
        let mut kept = self.lock();
        let values: Vec<_> = owners.iter().filter_map(|owner| kept.values.remove(owner)).collect();
        // Their destructors are code of the program: not under the lock.
        drop(kept);
        drop(values);
    }

    /// Does something while nobody can keep or take a value.
    #[cfg(test)]
    pub(super) fn meanwhile(&self, act: impl FnOnce()) {
        let _kept = self.lock();
        act();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
