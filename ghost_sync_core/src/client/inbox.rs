//! Events that the program has not taken yet, bounded in bytes. Knows neither
//! socket nor task.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::wire::{Delivery, GapReason, RoomName, Seat};

use super::ServerEvent;

/// A bounded queue of events.
///
/// Past its limit it gives up superseded [`Delivery::Latest`] first, then
/// [`Delivery::Volatile`] and what the server said to this client alone and might be lost,
/// the oldest first. It says so with a gap at the same place, or with the next of the kind.
/// It never gives up anything else.
#[derive(Debug)]
pub(crate) struct Inbox {
    events: VecDeque<ServerEvent>,
    bytes: usize,
    /// Those of events that must not be dropped.
    firm: usize,
    limit: usize,
    /// Of what the server said to this client alone and might be lost, how many were given
    /// up since the last one that is kept.
    missed: u32,
}

/// What must not be dropped takes more than the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InboxFull {
    /// Bytes that would have to be kept.
    pub(crate) bytes: usize,
    /// Bytes that may be kept.
    pub(crate) limit: usize,
}

impl Inbox {
    /// A queue of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, firm: 0, limit, missed: 0 }
    }

    /// Appends an event, and makes room if need be.
    ///
    /// # Errors
    /// [`InboxFull`] when there is no room to make. A lone event always fits.
    pub(crate) fn push(&mut self, mut event: ServerEvent) -> Result<(), InboxFull> {
        if let ServerEvent::Direct { missed: Some(missed), .. } = &mut event {
            *missed = missed.saturating_add(std::mem::take(&mut self.missed));
        }
        self.bytes += event.cost();
        if !may_be_dropped(&event) {
            self.firm += event.cost();
        }
        self.events.push_back(event);
        if self.bytes <= self.limit || self.events.len() == 1 {
            return Ok(());
        }
        self.make_room();
        let (bytes, limit) = (self.bytes, self.limit);
        if bytes <= limit { Ok(()) } else { Err(InboxFull { bytes, limit }) }
    }

    /// The oldest event.
    pub(crate) fn pop(&mut self) -> Option<ServerEvent> {
        let event = self.events.pop_front()?;
        self.bytes -= event.cost();
        if !may_be_dropped(&event) {
            self.firm -= event.cost();
        }
        if self.events.is_empty() {
            // A burst must not be paid for in memory for the rest of the connection.
            self.events = VecDeque::new();
        }
        Some(event)
    }

    /// Moves events into `into`, the oldest first, until they cost `at_most` bytes or more.
    pub(crate) fn drain(&mut self, into: &mut Vec<ServerEvent>, at_most: usize) {
        let goal = self.bytes.saturating_sub(at_most);
        while self.bytes > goal {
            let Some(event) = self.pop() else { return };
            into.push(event);
        }
    }

    /// Whether so much waits that must not be dropped that no more should be
    /// read: then the other side's own limits decide what becomes of the rest.
    pub(crate) fn is_pressed(&self) -> bool {
        self.firm > self.limit / 2
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Down to half the limit where that is possible, so that a program which
    /// stands still does not cost a pass over the queue with every event.
    fn make_room(&mut self) {
        let goal = self.limit / 2;
        let superseded = self.superseded();
        if !superseded.is_empty() {
            self.give_up(goal, |at, _| superseded.contains(&at));
        }
        if self.bytes > goal {
            self.give_up(goal, |_, event| is_volatile(event));
        }
    }

    /// Positions of `Latest` broadcasts that a newer one replaces.
    fn superseded(&self) -> HashSet<usize> {
        let mut newest: HashSet<(&RoomName, Seat, u32)> = HashSet::new();
        let mut superseded = HashSet::new();
        for (at, event) in self.events.iter().enumerate().rev() {
            if let ServerEvent::Broadcast {
                room,
                sender,
                delivery: Delivery::Latest(key),
                replay: false,
                ..
            } = event
                && !newest.insert((room, sender.seat(), *key))
            {
                superseded.insert(at);
            } else if let ServerEvent::Joined { room, .. } = event {
                // Keys before a rejoin belong to another membership: never mix them.
                newest.retain(|(name, ..)| *name != room);
            }
        }
        superseded
    }

    /// Replaces the oldest droppable events by gaps until `goal` bytes are left.
    fn give_up(&mut self, goal: usize, droppable: impl Fn(usize, &ServerEvent) -> bool) {
        let mut kept: VecDeque<ServerEvent> = VecDeque::with_capacity(self.events.len());
        // Where each room's newest event is in `kept`.
        let mut newest: HashMap<RoomName, usize> = HashMap::new();
        // What was said to this client alone and is given up since the last that stays.
        let mut lost = 0_u32;
        for (at, mut event) in std::mem::take(&mut self.events).into_iter().enumerate() {
            let gives_way = self.bytes > goal && droppable(at, &event);
            let cost = event.cost();
            if let ServerEvent::Direct { missed: Some(missed), .. } = &mut event {
                *missed = missed.saturating_add(std::mem::take(&mut lost));
                if gives_way {
                    self.bytes -= cost;
                    lost = missed.saturating_add(1);
                    continue;
                }
            }
            if gives_way {
                self.bytes -= cost;
                event = gap_for(event);
                self.bytes += event.cost();
                self.firm += event.cost();
            }
            let Some((room, _)) = event.place() else {
                kept.push_back(event);
                continue;
            };
            let before = newest.get(room).and_then(|at| kept.get_mut(*at));
            if before.is_some_and(|before| merge(before, &event)) {
                self.bytes -= event.cost();
                self.firm -= event.cost();
                continue;
            }
            newest.insert(room.clone(), kept.len());
            kept.push_back(event);
        }
        self.events = kept;
        self.missed = lost;
    }
}

/// The gap where `event` was.
fn gap_for(event: ServerEvent) -> ServerEvent {
    let ServerEvent::Broadcast { room, seq, .. } = event else { return event };
    ServerEvent::Gap { room, from: seq, to: seq, own: 0, reason: GapReason::InboxFull }
}

/// Extends `before` by `after` if both are gaps of a room with nothing of that
/// room between them: what lies between was never due here, own broadcasts.
fn merge(before: &mut ServerEvent, after: &ServerEvent) -> bool {
    let (
        ServerEvent::Gap { to, own, reason, .. },
        ServerEvent::Gap { from: next, to: last, own: more, reason: other, .. },
    ) = (before, after)
    else {
        return false;
    };
    *own += next.saturating_sub(*to + 1) + more;
    *to = *last;
    if *other == GapReason::InboxFull {
        *reason = GapReason::InboxFull;
    }
    true
}

/// Whether an event may go, or may once a newer one has come. What was asked for
/// to be said again stays: it has no place in the order that a gap could take.
fn may_be_dropped(event: &ServerEvent) -> bool {
    matches!(
        event,
        ServerEvent::Broadcast {
            delivery: Delivery::Volatile | Delivery::Latest(_),
            replay: false,
            ..
        } | ServerEvent::Direct { missed: Some(_), .. }
    )
}

fn is_volatile(event: &ServerEvent) -> bool {
    matches!(
        event,
        ServerEvent::Broadcast { delivery: Delivery::Volatile, replay: false, .. }
            | ServerEvent::Direct { missed: Some(_), .. }
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{client::Sender, wire::MessageType};

    fn room() -> RoomName {
        RoomName::new("lobby").unwrap()
    }

    fn said(seq: u64, delivery: Delivery) -> ServerEvent {
        ServerEvent::Broadcast {
            sender: Sender::Player { seat: Seat(7), client_id: None },
            room: room(),
            seq,
            replay: false,
            delivery,
            message_type: MessageType::RAW,
            data: Bytes::from(vec![0; 1000]),
        }
    }

    fn gap(from: u64, to: u64, own: u64) -> ServerEvent {
        ServerEvent::Gap { room: room(), from, to, own, reason: GapReason::InboxFull }
    }

    fn take_all(inbox: &mut Inbox) -> Vec<ServerEvent> {
        let all = std::iter::from_fn(|| inbox.pop()).collect();
        assert_eq!(inbox.bytes, 0);
        all
    }

    #[test]
    fn volatile_broadcasts_give_way_to_one_gap_and_reliable_ones_stay() {
        let mut inbox = Inbox::new(8000);
        inbox.push(said(1, Delivery::Reliable)).unwrap();
        for seq in 2..20 {
            inbox.push(said(seq, Delivery::Volatile)).unwrap();
        }
        inbox.push(said(20, Delivery::Reliable)).unwrap();
        let kept = take_all(&mut inbox);
        assert_eq!(kept[0], said(1, Delivery::Reliable));
        let ServerEvent::Gap { from: 2, to, own: 0, .. } = kept[1] else { panic!("{kept:?}") };
        let rest: Vec<_> = (to + 1..20).map(|seq| said(seq, Delivery::Volatile)).collect();
        assert!(!rest.is_empty());
        assert_eq!(kept[2..kept.len() - 1], rest);
        assert_eq!(kept[kept.len() - 1], said(20, Delivery::Reliable));
    }

    #[test]
    fn own_broadcasts_between_dropped_ones_are_counted_in_the_gap() {
        let mut inbox = Inbox::new(4000);
        for seq in [1, 2, 5, 6] {
            inbox.push(said(seq, Delivery::Volatile)).unwrap();
        }
        assert_eq!(take_all(&mut inbox)[0], gap(1, 5, 2));
    }

    #[test]
    fn the_latest_value_of_a_key_stays_and_replaced_ones_go_first() {
        let mut inbox = Inbox::new(7000);
        inbox.push(said(1, Delivery::Volatile)).unwrap();
        for seq in 2..9 {
            inbox.push(said(seq, Delivery::Latest(3))).unwrap();
        }
        let kept = take_all(&mut inbox);
        assert_eq!(kept[0], said(1, Delivery::Volatile));
        assert!(matches!(kept[1], ServerEvent::Gap { from: 2, .. }), "{kept:?}");
        assert_eq!(kept[kept.len() - 1], said(8, Delivery::Latest(3)));
    }

    #[test]
    fn what_must_not_be_dropped_fills_the_inbox_up() {
        let mut inbox = Inbox::new(3000);
        inbox.push(said(1, Delivery::Reliable)).unwrap();
        inbox.push(said(2, Delivery::Reliable)).unwrap();
        let full = inbox.push(said(3, Delivery::Reliable)).unwrap_err();
        assert!(full.bytes > full.limit);
    }

    #[test]
    fn what_the_server_said_to_this_client_and_might_be_lost_gives_way_and_is_counted() {
        let aside = |missed| ServerEvent::Direct {
            room: None,
            missed: Some(missed),
            message_type: MessageType::RAW,
            data: Bytes::from(vec![0; 1000]),
        };
        let mut inbox = Inbox::new(4000);
        let mut said = 0;
        for count in [0, 5, 0, 0, 2, 0, 0, 0] {
            inbox.push(aside(count)).unwrap();
            said += count + 1;
        }
        let missed = |event: &ServerEvent| {
            let ServerEvent::Direct { missed: Some(missed), .. } = event else {
                panic!("{event:?}")
            };
            *missed
        };
        let kept = take_all(&mut inbox);
        let told = kept.iter().map(|event| missed(event) + 1).sum::<u32>();
        assert!(kept.len() < 4 && told == said, "{kept:?}");
    }

    #[test]
    fn when_all_of_it_gave_way_the_next_one_says_so() {
        let aside = |missed| ServerEvent::Direct {
            room: None,
            missed: Some(missed),
            message_type: MessageType::RAW,
            data: Bytes::from(vec![0; 1000]),
        };
        let mut inbox = Inbox::new(2900);
        inbox.push(aside(1)).unwrap();
        inbox.push(said(1, Delivery::Reliable)).unwrap();
        inbox.push(said(2, Delivery::Reliable)).unwrap();
        assert_eq!(take_all(&mut inbox).len(), 2);
        inbox.push(aside(3)).unwrap();
        assert_eq!(take_all(&mut inbox), [aside(5)]);
    }

    #[test]
    fn a_lone_event_fits_whatever_its_size() {
        let mut inbox = Inbox::new(10);
        assert_eq!(inbox.push(said(1, Delivery::Reliable)), Ok(()));
        assert!(inbox.push(said(2, Delivery::Reliable)).is_err());
    }
}
