//! What a session that goes on is sent: what its client may have missed, if all of that is kept.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    relay::{
        Relay,
        catch_up::{Behind, Reader},
        event::ConnId,
        outbox::{Item, ItemKind},
        plants,
        room::Room,
        session::{SeatRef, Threshold},
    },
    wire::{Progress, Resume, ResumeFailure, RoomId},
};

/// What a session that goes on is sent: its own messages and, per seat, from where on it
/// reads.
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    pub(super) seats: Vec<(SeatRef, u64, Behind)>,
}

/// A stay in a room that is over, and which of its events is next to be told.
struct Stay {
    held: SeatRef,
    joined: u64,
    next: u64,
    before: u64,
    behind: Behind,
}

impl Relay {
    /// What the session is to be sent, if nothing of it is lost.
    pub(super) fn plan(&mut self, conn: ConnId, resume: &Resume) -> Result<Plan, Refused> {
        let connection = self.conns.get_mut(conn).expect("the caller found it");
        let lost = connection.outbox.gone();
        let mut told = BTreeMap::new();
        for progress in &resume.rooms {
            if told.insert(progress.room, *progress).is_some() {
                return Err(Refused::Bogus(format!("{:?} is named twice", progress.room)));
            }
        }
        if resume.received < lost {
            let too_old = ResumeFailure::TooOld { room: RoomId(0), oldest: lost + 1 };
            return Err(Refused::Failed(too_old));
        }
        if !connection.outbox.confirm(plants::confirmed(resume.received)) {
            let received = resume.received;
            return Err(Refused::Bogus(format!("{received} messages confirmed, fewer were sent")));
        }
        let rewound = connection.outbox.rewind(Threshold::of(&self.config));
        let plan = self.plan_events(conn, &rewound, told);
        if plan.is_err()
            && let Some(connection) = self.conns.get_mut(conn)
        {
            rewound.into_iter().for_each(|item| connection.outbox.push(item.kind, item.frame));
        }
        plan
    }

    /// What the session is to be sent: `rewound`, which is for it alone, and its rooms'
    /// events from where it was `told` to be.
    fn plan_events(
        &mut self,
        conn: ConnId,
        rewound: &[Item],
        mut told: BTreeMap<RoomId, Progress>,
    ) -> Result<Plan, Refused> {
        // The stays that ended since, by room. If there was a later one there, the
        // client's word is about the first of them.
        let mut stays: BTreeMap<RoomId, VecDeque<Stay>> = BTreeMap::new();
        for item in rewound {
            if let ItemKind::Left { room, seat, joined, since, before, own } = item.kind {
                let held = SeatRef { room, seat };
                let found = self.rooms.get(&room);
                let place = Place { held, since, end: before, own };
                let (next, behind) = place.reads_on(found, told.remove(&room))?;
                let stay = Stay { held, joined, next, before, behind };
                stays.entry(room).or_default().push_back(stay);
            }
        }
        let mut items = Vec::new();
        // A stay may have brought much history; the client may have had many stays.
        let mut budget = self.config.outbox_limit.max(MIN_COPIED);
        for item in rewound {
            match item.kind {
                ItemKind::Left { room, .. } => {
                    if let Some(mut stay) = stays.get_mut(&room).and_then(VecDeque::pop_front) {
                        let room = self.rooms.get_mut(&room);
                        stay.copy_events(room, u64::MAX, &mut budget, &mut items)?;
                    }
                }
                ItemKind::After { room, seat, before } => {
                    if let Some(stay) = stays.get_mut(&room).and_then(VecDeque::front_mut)
                        && stay.held.seat == seat
                    {
                        let room = self.rooms.get_mut(&room);
                        stay.copy_events(room, before, &mut budget, &mut items)?;
                    }
                }
                ItemKind::Control
                | ItemKind::Pong
                | ItemKind::Reply
                | ItemKind::Message
                | ItemKind::Joined { .. }
                | ItemKind::Roster
                | ItemKind::Spared { .. }
                | ItemKind::Aside { .. }
                | ItemKind::Event { .. }
                | ItemKind::Gap { .. } => {}
            }
            items.push(item.clone());
        }
        let connection = self.conns.get(conn).expect("the caller found it");
        let mut seats = Vec::new();
        for held in &connection.seats {
            let Some(room) = self.rooms.get(&held.room) else { continue };
            let Some(member) = room.member(held.seat) else { continue };
            let (since, own) = (member.since, member.own);
            let place = Place { held: *held, since, end: room.log.next(), own };
            let (next, behind) = place.reads_on(Some(room), told.remove(&held.room))?;
            seats.push((*held, plants::replay_from(next), behind));
        }
        if let Some((room, _)) = told.pop_first() {
            return Err(Refused::Bogus(format!("{room:?}, which it is not in")));
        }
        Ok(Plan { items, seats })
    }
}

impl Stay {
    /// Copies the events of the stay from the next on, up to before `until`.
    fn copy_events(
        &mut self,
        room: Option<&mut Room>,
        until: u64,
        budget: &mut usize,
        items: &mut Vec<Item>,
    ) -> Result<(), Refused> {
        let Some(room) = plants::room_of_ended_stay(room) else { return Ok(()) };
        let end = until.min(self.before);
        let behind = std::mem::take(&mut self.behind);
        let (place, range) = ((self.joined, self.next), (end, self.before));
        let mut reader = Reader::new(room, self.held, place, range, behind, *budget);
        reader.run();
        if reader.cursor < end {
            let too_old = ResumeFailure::TooOld { room: self.held.room, oldest: self.before };
            return Err(Refused::Failed(too_old));
        }
        *budget = reader.budget();
        self.next = reader.cursor.min(self.before);
        items.append(&mut reader.items);
        self.behind = reader.behind;
        Ok(())
    }
}

/// A seat that a client has or had, as the relay knows it.
struct Place {
    held: SeatRef,
    /// Its first event, and the one after its last.
    since: u64,
    end: u64,
    /// Own messages in it that the client does not hear.
    own: u64,
}

impl Place {
    /// From where on a client reads that is where it says, and how.
    fn reads_on(
        &self,
        room: Option<&Room>,
        told: Option<Progress>,
    ) -> Result<(u64, Behind), Refused> {
        let Self { held: SeatRef { room: id, seat }, since, end, own } = *self;
        let last = told.map_or_else(|| since.saturating_sub(1), |told| told.last);
        let next = last.saturating_add(1);
        let known = told.map_or(0, |told| told.own);
        if next < plants::first_of_stay(since) {
            let first = since - 1;
            return Err(Refused::Bogus(format!("event {last} of a stay that began after {first}")));
        }
        if next > end {
            let most = end - 1;
            return Err(Refused::Bogus(format!("event {last} of a stay that has {most}")));
        }
        let Some(own) = own.checked_sub(known) else {
            return Err(Refused::Bogus(format!("{known} messages of its own, of {own}")));
        };
        let too_old = |oldest| Refused::Failed(ResumeFailure::TooOld { room: id, oldest });
        let Some(room) = room else {
            // All that it missed were its own words, or there is nobody to tell it.
            return if next + own >= end {
                Ok((end, Behind::default()))
            } else {
                Err(too_old(end))
            };
        };
        if next < end && room.reliable.is_lost(next, seat) {
            return Err(too_old(room.reliable.oldest_for(seat)));
        }
        let here = (next.max(room.log.first())..end).filter_map(|seq| room.log.entry(seq));
        let here = here.filter(|entry| entry.origin.withholds_message(seat));
        let Some(forgotten) = own.checked_sub(here.count() as u64) else {
            return Err(Refused::Bogus(format!("{known} messages of its own up to event {last}")));
        };
        // What was to be heard at once or not at all is not said now.
        Ok((next, Behind::since(next, end, forgotten)))
    }
}

/// Why a session does not go on.
pub(in crate::relay) enum Refused {
    Failed(ResumeFailure),
    /// The ticket is one that no client can have got.
    Bogus(String),
}

/// Bytes of ended stays that a resume may bring back, at least.
const MIN_COPIED: usize = 1 << 20;
