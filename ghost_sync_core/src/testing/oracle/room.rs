//! A room's log, as the host's events tell it.

use std::{collections::BTreeMap, time::Instant};

use crate::{
    relay::{ConnId, RelayMode, RoomConfig},
    wire::{ClientId, Delivery, LeaveReason, MessageType, RoomName, Seat},
};

#[derive(Debug)]
pub(super) struct RoomLog {
    pub(super) name: RoomName,
    pub(super) epoch: Option<u64>,
    pub(super) entries: Vec<Entry>,
    pub(super) members: BTreeMap<Seat, Member>,
    /// Everybody who ever had a seat.
    pub(super) owners: BTreeMap<Seat, ClientId>,
    pub(super) deleted: Option<Instant>,
    pub(super) capacity: u32,
    /// Whether the host was told last that it is full.
    pub(super) told_full: bool,
    pub(super) retain: usize,
    pub(super) mode: RelayMode,
    pub(super) meta_version: u64,
    pub(super) meta: BTreeMap<String, String>,
    /// The newest values that newcomers are given, of each sender: event and bytes by key.
    pub(super) latest: BTreeMap<Seat, BTreeMap<u32, (u64, usize)>>,
    /// What each newcomer is to be told, by the event of its join.
    pub(super) arrivals: BTreeMap<u64, Arrival>,
    pub(super) last_seat: Seat,
    /// The last message of each author.
    pub(super) last_said: BTreeMap<u32, u32>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) what: What,
    pub(super) at: Instant,
    /// Bytes of its frame, at most.
    pub(super) size: usize,
}

#[derive(Debug)]
pub(super) enum What {
    Joined { seat: Seat },
    Left { seat: Seat, reason: LeaveReason },
    Away { seat: Seat },
    Back { seat: Seat },
    Said(Said),
    RoomMetadata { version: u64, key: String, value: Option<String> },
    PlayerMetadata { seat: Seat, version: u64, key: String, value: Option<String> },
    Deleted { message: String },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) sender: Seat,
    pub(super) author: u32,
    pub(super) counter: u32,
    pub(super) delivery: Delivery,
    pub(super) last: bool,
    pub(super) echo: bool,
    pub(super) message_type: MessageType,
    /// Who is left out of it; no seat is that of the server.
    pub(super) except: [Seat; 4],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) conn: ConnId,
    pub(super) client_id: ClientId,
    pub(super) away: bool,
}

/// A member, as a newcomer sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Present {
    pub(super) seat: Seat,
    pub(super) client_id: ClientId,
    /// Its user, if it has one that is shown.
    pub(super) user: Option<String>,
    pub(super) away: bool,
    pub(super) meta_version: u64,
    pub(super) meta: Vec<(String, String)>,
}

/// What a newcomer is to be told.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) roster: Vec<Present>,
    pub(super) retained: Vec<u64>,
    pub(super) meta_version: u64,
    pub(super) meta: Vec<(String, String)>,
}

impl RoomLog {
    pub(super) fn new(name: RoomName, config: &RoomConfig, mode: RelayMode) -> Self {
        Self {
            name,
            epoch: None,
            entries: Vec::new(),
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            deleted: None,
            capacity: config.capacity.map_or(0, std::num::NonZeroU32::get),
            told_full: false,
            retain: config.retain,
            mode,
            meta_version: 0,
            meta: BTreeMap::new(),
            latest: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            last_seat: Seat(0),
            last_said: BTreeMap::new(),
        }
    }

    /// The last event's number.
    pub(super) fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    pub(super) fn append(&mut self, what: What, size: usize, at: Instant) -> u64 {
        self.entries.push(Entry { what, at, size });
        self.head()
    }

    pub(super) fn say(&mut self, said: Said, len: usize, at: Instant) -> u64 {
        let seq = self.append(What::Said(said), len + 64, at);
        if let Delivery::Latest(key) = said.delivery {
            self.remember(said, key, seq, len + 34);
        }
        seq
    }

    /// Nobody simulated says so much that a room's own limit, of 1 MiB, would count.
    fn remember(&mut self, said: Said, key: u32, seq: u64, len: usize) {
        let server = said.sender == Seat::SERVER;
        let (most, bytes) = if server { (1024, 256 << 10) } else { (self.retain, 16 << 10) };
        let values = self.latest.entry(said.sender).or_default();
        values.remove(&key);
        if said.last || most == 0 {
            return;
        }
        values.insert(key, (seq, len));
        while values.len() > most || values.values().map(|(_, len)| len).sum::<usize>() > bytes {
            let oldest = values.iter().min_by_key(|(_, (seq, _))| *seq).map(|(key, _)| *key);
            values.remove(&oldest.unwrap_or(key));
        }
    }

    /// Whether the server left the member in `seat` out of event `seq`.
    pub(super) fn leaves_out(&self, seq: u64, seat: Seat) -> bool {
        let what = self.entry(seq).map(|entry| &entry.what);
        matches!(what, Some(What::Said(said)) if said.except.contains(&seat))
    }

    /// Whether the member in `seat` is spared event `seq`, because it is its own or the server
    /// left it out.
    pub(super) fn is_own(&self, seq: u64, seat: Seat) -> bool {
        match self.entry(seq).map(|entry| &entry.what) {
            Some(What::Said(said)) => {
                said.sender == seat && !said.echo || said.except.contains(&seat)
            }
            Some(What::Joined { seat: own } | What::Left { seat: own, .. }) => *own == seat,
            _ => false,
        }
    }

    /// Whether event `seq` may be kept from a member that knows of those in `roster`: it is
    /// volatile, or a later event says all that it says, or it is about somebody who came
    /// and went meanwhile without saying anything that must be heard. What is `forgotten`
    /// is kept only as long as it is told to newcomers.
    pub(super) fn may_drop(
        &self,
        seq: u64,
        roster: &BTreeMap<Seat, bool>,
        forgotten: bool,
    ) -> bool {
        let Some(what) = self.entry(seq).map(|entry| &entry.what) else { return false };
        let mut later = self.entries.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX));
        match what {
            What::Said(said) => match said.delivery {
                Delivery::Reliable => false,
                Delivery::Volatile => true,
                Delivery::Latest(key) => {
                    let kept = self.latest.get(&said.sender).and_then(|kept| kept.get(&key));
                    let retained = kept.is_some_and(|(kept, _)| *kept == seq);
                    let newer = later.map(|entry| &entry.what).any(|what| {
                        matches!(what, What::Said(newer)
                            if newer.sender == said.sender && newer.delivery == said.delivery)
                    });
                    newer || forgotten && !retained || self.has_passed(said.sender, roster)
                }
            },
            What::PlayerMetadata { seat, key, .. } => {
                self.has_passed(*seat, roster)
                    || later.any(|entry| matches!(&entry.what, What::PlayerMetadata { seat: s, key: k, .. } if s == seat && k == key))
            }
            What::RoomMetadata { key, .. } => {
                later.any(|entry| matches!(&entry.what, What::RoomMetadata { key: k, .. } if k == key))
            }
            What::Joined { seat }
            | What::Left { seat, .. }
            | What::Away { seat }
            | What::Back { seat } => self.has_passed(*seat, roster),
            What::Deleted { .. } => false,
        }
    }

    /// The event of the join of whoever is in `seat`.
    pub(super) fn joined(&self, seat: Seat) -> Option<u64> {
        let joined = |entry: &Entry| matches!(entry.what, What::Joined { seat: s } if s == seat);
        self.entries.iter().rposition(joined).map(|at| at as u64 + 1)
    }

    /// Whether event `seq` is of no interest any more after event `head`: an effect, or a
    /// value that was replaced by then.
    pub(super) fn is_stale(&self, seq: u64, head: u64) -> bool {
        let Some(What::Said(said)) = self.entry(seq).map(|entry| &entry.what) else { return false };
        match said.delivery {
            Delivery::Reliable => false,
            Delivery::Volatile => true,
            Delivery::Latest(_) => (seq + 1..=head).any(|later| {
                matches!(self.entry(later).map(|entry| &entry.what), Some(What::Said(newer))
                    if newer.sender == said.sender && newer.delivery == said.delivery)
            }),
        }
    }

    /// Whether somebody came and went, said nothing that must be heard, and is not known to
    /// somebody who knows of those in `roster`.
    fn has_passed(&self, seat: Seat, roster: &BTreeMap<Seat, bool>) -> bool {
        let left = |entry: &Entry| matches!(entry.what, What::Left { seat: s, .. } if s == seat);
        let spoke = |entry: &Entry| matches!(&entry.what, What::Said(said) if said.sender == seat && said.delivery == Delivery::Reliable);
        !roster.contains_key(&seat)
            && self.entries.iter().any(left)
            && !self.entries.iter().any(spoke)
    }

    /// Whether event `seq` is a message that the member in `seat` said, or was left out of, and
    /// does not hear.
    pub(super) fn is_own_message(&self, seq: u64, seat: Seat) -> bool {
        let what = self.entry(seq).map(|entry| &entry.what);
        matches!(what, Some(What::Said(_))) && self.is_own(seq, seat)
    }

    /// Whether everything from `next` on that the member in `seat` must not miss is within
    /// what a history of these limits keeps.
    pub(super) fn must_keep(
        &self,
        next: u64,
        seat: Seat,
        config: &RoomConfig,
        now: Instant,
    ) -> bool {
        let firm = |seq: u64| {
            let entry = self.entry(seq)?;
            let lossy =
                matches!(&entry.what, What::Said(said) if said.delivery != Delivery::Reliable);
            (!lossy).then_some(entry)
        };
        let due = (next..=self.head()).filter(|seq| !self.is_own(*seq, seat));
        let Some(missed) = due.into_iter().find_map(firm) else { return true };
        let slack = std::time::Duration::from_millis(1);
        let age = now.saturating_duration_since(missed.at) + slack;
        let kept = (next..=self.head()).filter_map(firm);
        // What it costs to find an event again counts too.
        let cost = kept.map(|entry| entry.size + 64).sum::<usize>();
        let (reliable, bytes) = (config.history.reliable, config.history.bytes);
        let events = usize::try_from(self.head() + 1 - next).unwrap_or(usize::MAX);
        let all = (next..=self.head()).filter_map(|seq| self.entry(seq));
        let recent =
            events <= config.history.events && all.map(|entry| entry.size).sum::<usize>() <= bytes;
        age < config.history.age && (cost <= reliable || recent)
    }

    /// Who left at event `since` or later and before `joined`.
    pub(super) fn former(&self, since: u64, joined: u64) -> Vec<(Seat, ClientId)> {
        let mut former = Vec::new();
        for seq in since..joined {
            if let Some(What::Left { seat, .. }) = self.entry(seq).map(|entry| &entry.what) {
                former.push((*seat, self.owners.get(seat).copied().unwrap_or_default()));
            }
        }
        former
    }
}
