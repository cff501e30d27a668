//! One seat of this client: who else is there, and which event must come next.

use std::collections::BTreeMap;

use crate::{
    client::event::member_cost,
    wire::{ClientId, MAX_SERVER_FRAME, MemberInfo, RoomName, Seat},
};

use super::{Asked, Sender, ServerEvent, Violation};

/// A seat, and what it lets the client verify.
///
/// The server never sends a client its own broadcasts (unless it asks for
/// that), so a jump in the numbers is right exactly if as many own broadcasts
/// may have taken these numbers, or a gap was announced. Neither does it send
/// the own join, which stands between history and what happens since.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) asked: Asked,
    /// Whether the seat is being given up.
    pub(crate) leaving: bool,
    /// The own join. The roster includes it, and everything before it.
    joined: u64,
    /// The number that comes next.
    next: u64,
    /// Own broadcasts, and such that this client is left out of, that may have got a number
    /// which was not met yet.
    unseen: u64,
    /// Numbers that were met and were such.
    own: u64,
    /// Numbers before this one may be missing: a gap has accounted for them.
    loose: u64,
    /// Whether a gap was announced: somebody's join may have been in it.
    gapped: bool,
    /// Sorted by seat.
    members: Vec<(Seat, ClientId)>,
    /// Who spoke in history and had left when this client joined.
    former: BTreeMap<Seat, ClientId>,
    listing: Option<Listing>,
}

/// A join answer whose roster is not complete.
#[derive(Debug)]
struct Listing {
    missing: u32,
    /// What keeping the members costs, in bytes.
    cost: usize,
    joined: ServerEvent,
    own: (Seat, ClientId),
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// Before the own join: the roster and the metadata include it already.
    History,
    /// After it.
    Live,
}

impl Membership {
    /// A seat taken with event `joined`, whose events from `since` on follow.
    pub(crate) fn new(
        asked: Asked,
        joined: u64,
        since: u64,
        former: Vec<(Seat, ClientId)>,
    ) -> Result<Self, Violation> {
        if since == 0 || since > number_after(joined)? {
            return Err(format!("events from {since} after joining with {joined}").into());
        }
        Ok(Self {
            asked,
            leaving: false,
            joined,
            next: since,
            unseen: 0,
            own: 0,
            loose: 0,
            gapped: false,
            members: Vec::new(),
            former: former.into_iter().collect(),
            listing: None,
        })
    }

    /// A roster of `members` follows; `joined` is told after it.
    pub(crate) fn announce(
        &mut self,
        members: u32,
        own: (Seat, ClientId),
        joined: ServerEvent,
    ) -> Result<(), Violation> {
        if members == 0 {
            return Err("a roster without the own seat".into());
        }
        self.listing = Some(Listing { missing: members, cost: 0, joined, own });
        Ok(())
    }

    /// Own broadcasts that may have got a number which was not met yet.
    pub(crate) fn unseen(&self) -> u64 {
        self.unseen
    }

    /// So many own broadcasts from an earlier stay may be said in this one.
    pub(crate) fn inherit(&mut self, unseen: u64) {
        self.unseen = self.unseen.saturating_add(unseen);
    }

    /// The room.
    pub(crate) fn name(&self) -> &RoomName {
        &self.asked.room
    }

    /// How many are in it, as far as is known.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    /// Numbers up to the last event that were own broadcasts.
    pub(crate) fn own(&self) -> u64 {
        self.own
    }

    /// The last event that was met.
    pub(crate) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Takes a page of the roster; with the last one, the answer is complete.
    pub(crate) fn list(&mut self, page: Vec<MemberInfo>) -> Result<Option<ServerEvent>, Violation> {
        let Some(mut listing) = self.listing.take() else {
            return Err("a roster that was not announced".into());
        };
        let len = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let Some(missing) = listing.missing.checked_sub(len) else {
            return Err("more members than announced".into());
        };
        listing.missing = missing;
        listing.cost += page.iter().map(member_cost).sum::<usize>();
        if listing.cost > MAX_SERVER_FRAME {
            return Err("a roster that is too long".into());
        }
        for member in &page {
            self.add(member.seat, member.client_id)?;
        }
        if let ServerEvent::Joined { members, .. } = &mut listing.joined {
            members.extend(page);
        }
        if missing > 0 {
            self.listing = Some(listing);
            return Ok(None);
        }
        if !self.members.contains(&listing.own) {
            return Err("a roster without the own seat".into());
        }
        Ok(Some(listing.joined))
    }

    /// Whether the roster is not complete.
    pub(crate) fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    /// An own broadcast is on its way that will not come back.
    pub(crate) fn spoke(&mut self) {
        self.unseen = self.unseen.saturating_add(1);
    }

    /// The server has said so much that is for others only.
    pub(crate) fn spared(&mut self, count: u32) {
        self.unseen = self.unseen.saturating_add(count.into());
    }

    /// A broadcast that was on its way is not sent at all.
    pub(crate) fn never_spoke(&mut self) {
        self.unseen = self.unseen.saturating_sub(1);
    }

    /// That broadcast will get no number.
    pub(crate) fn refused(&mut self) -> Result<(), Violation> {
        let Some(unseen) = self.unseen.checked_sub(1) else {
            return Err("a broadcast was refused whose number is taken".into());
        };
        self.unseen = unseen;
        Ok(())
    }

    /// Takes the event with number `seq`.
    pub(crate) fn advance(&mut self, seq: u64) -> Result<Place, Violation> {
        self.skip_own(seq, 0)?;
        self.next = number_after(seq)?;
        if seq <= self.joined {
            return Ok(Place::History);
        }
        self.former = BTreeMap::new();
        Ok(Place::Live)
    }

    /// Takes the announcement that `from..=to` will not come, `own` of them its own
    /// broadcasts; or, if the room has `forgotten` them, that not all will come.
    pub(crate) fn skip(
        &mut self,
        from: u64,
        to: u64,
        own: u64,
        forgotten: bool,
    ) -> Result<(), Violation> {
        if to < from || own > (to - from).saturating_add(1) {
            return Err(format!("a gap from {from} to {to} with {own} of our own").into());
        }
        self.skip_own(from, own)?;
        self.gapped = true;
        let after = number_after(to)?;
        if forgotten {
            self.next = from;
            self.loose = after;
        } else {
            self.next = after;
        }
        Ok(())
    }

    /// The client in `seat`.
    pub(crate) fn id_of(&self, seat: Seat) -> Result<ClientId, Violation> {
        match self.members.binary_search_by_key(&seat, |(seat, _)| *seat) {
            Ok(at) => Ok(self.members[at].1),
            Err(_) => Err(unknown(seat)),
        }
    }

    /// Whether an event about `seat` means nothing here: its join may have been left out.
    pub(crate) fn has_not_heard_of(&self, seat: Seat) -> bool {
        self.gapped && seat != Seat::SERVER && self.id_of(seat).is_err()
    }

    /// Who speaks from `seat`.
    pub(crate) fn sender(&self, seat: Seat) -> Result<Sender, Violation> {
        if seat == Seat::SERVER {
            return Ok(Sender::Server);
        }
        Ok(Sender::Player { seat, client_id: Some(self.id_of(seat)?) })
    }

    /// Who spoke from `seat` before this client joined.
    pub(crate) fn sender_then(&self, seat: Seat) -> Sender {
        let former = || self.former.get(&seat).copied();
        let then = || Sender::Player { seat, client_id: former() };
        self.sender(seat).unwrap_or_else(|_| then())
    }

    /// Somebody took `seat` before this client joined.
    pub(crate) fn remember(&mut self, seat: Seat, client_id: ClientId) {
        self.former.insert(seat, client_id);
    }

    /// Somebody took `seat`.
    pub(crate) fn add(&mut self, seat: Seat, client_id: ClientId) -> Result<(), Violation> {
        match self.members.binary_search_by_key(&seat, |(seat, _)| *seat) {
            Err(at) if seat != Seat::SERVER => {
                self.members.insert(at, (seat, client_id));
                Ok(())
            }
            _ => Err(format!("seat {} is taken already", seat.0).into()),
        }
    }

    /// `seat` is free again; returns who had it.
    pub(crate) fn remove(&mut self, seat: Seat) -> Result<ClientId, Violation> {
        match self.members.binary_search_by_key(&seat, |(seat, _)| *seat) {
            Ok(at) => Ok(self.members.remove(at).1),
            Err(_) => Err(unknown(seat)),
        }
    }

    /// Everything from `next` up to but not including `seq`, and `more` beside it,
    /// must be own broadcasts.
    fn skip_own(&mut self, seq: u64, more: u64) -> Result<(), Violation> {
        if self.listing.is_some() {
            return Err("an event before the roster was complete".into());
        }
        let Some(jump) = seq.checked_sub(self.next) else {
            return Err(format!("event {seq} again, after {}", self.last()).into());
        };
        // Of those that a gap has accounted for nothing is known.
        let strict = self.next.max(self.loose).min(seq);
        let joining = u64::from((strict..seq).contains(&self.joined));
        let jump = jump - (strict - self.next);
        let own = jump.saturating_add(more) - joining;
        let Some(unseen) = self.unseen.checked_sub(own) else {
            let (next, unseen) = (self.next, self.unseen);
            return Err(format!(
                "event {seq} after {}, with {unseen} own broadcasts between at most",
                next - 1
            )
            .into());
        };
        self.unseen = unseen;
        self.own += own;
        Ok(())
    }
}

fn number_after(seq: u64) -> Result<u64, Violation> {
    seq.checked_add(1).ok_or_else(|| "the room is out of numbers".into())
}

fn unknown(seat: Seat) -> Violation {
    format!("nobody is in seat {}", seat.0).into()
}
