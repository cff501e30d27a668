//! Where an event comes from, how hard it is delivered, and who is not given it.

use crate::wire::{Delivery, Seat};

/// What may become of an event on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::relay) enum Class {
    /// Membership, metadata, deletion: never dropped, unless a later one says it all.
    Control,
    /// A message, delivered as hard as its sender asked for.
    Message(Delivery),
}

/// Where an event comes from, and whom it spares.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Origin {
    pub(in crate::relay) sender: Seat,
    pub(in crate::relay) class: Class,
    pub(in crate::relay) spared: Spared,
}

impl Origin {
    /// Of an event about membership or metadata, for everybody.
    pub(in crate::relay) fn of(sender: Seat) -> Self {
        Self { sender, class: Class::Control, spared: Spared::NOBODY }
    }

    /// The same, for everybody but the one whom it is about.
    pub(in crate::relay) fn unheard(sender: Seat) -> Self {
        Self { spared: Spared::one(sender), ..Self::of(sender) }
    }

    /// Whether `member` is spared the event.
    pub(in crate::relay) fn spares(&self, member: Seat) -> bool {
        self.spared.contains(member)
    }

    /// Whether it is a message which `member` is spared: one of its own, usually.
    pub(in crate::relay) fn withholds_message(&self, member: Seat) -> bool {
        matches!(self.class, Class::Message(_)) && self.spares(member)
    }

    /// Whether the server leaves `member` out, whatever becomes of it.
    pub(in crate::relay) fn leaves_out(&self, member: Seat) -> bool {
        self.sender == Seat::SERVER && self.spares(member)
    }

    /// Whether it must not be lost.
    pub(in crate::relay) fn must_arrive(&self) -> bool {
        match self.class {
            Class::Control | Class::Message(Delivery::Reliable) => true,
            Class::Message(Delivery::Volatile | Delivery::Latest(_)) => false,
        }
    }
}

/// The members who are not given an event: its sender, or a few whom the server leaves out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::relay) struct Spared([Seat; MAX_SPARED]);

impl Spared {
    /// Everybody is given the event.
    pub(in crate::relay) const NOBODY: Self = Self([NOBODY; MAX_SPARED]);

    pub(in crate::relay) fn one(seat: Seat) -> Self {
        let mut spared = Self::NOBODY;
        spared.0[0] = seat;
        spared
    }

    /// Adds a seat. `false`: there is no place for it.
    pub(in crate::relay) fn add(&mut self, seat: Seat) -> bool {
        if self.contains(seat) {
            return true;
        }
        let free = self.0.iter_mut().find(|known| **known == NOBODY);
        free.map(|free| *free = seat).is_some()
    }

    pub(in crate::relay) fn contains(&self, member: Seat) -> bool {
        // Mostly it is nobody, or one.
        let [first, others @ ..] = self.0;
        first == member || others[0] != NOBODY && others.contains(&member)
    }

    pub(in crate::relay) fn seats(self) -> impl Iterator<Item = Seat> {
        self.0.into_iter().take_while(|seat| *seat != NOBODY)
    }
}

/// Members that one event can leave out.
pub(in crate::relay) const MAX_SPARED: usize = 4;

/// The server, in a place of nobody: it is no member.
const NOBODY: Seat = Seat::SERVER;
