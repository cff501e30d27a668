//! What was chosen to be sent, and is not worth it any more when the socket takes bytes again.

use std::collections::VecDeque;

use crate::{
    relay::{
        Relay,
        event::{ConnId, Output},
        log::Class,
        outbox::{Item, ItemKind},
    },
    wire::{Delivery, GapReason, RoomId, ServerMessage},
};

impl Relay {
    /// Drops what was chosen to be sent and is superseded by now.
    pub(super) fn drop_superseded(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if !connection.outbox.has_droppable() {
            return;
        }
        let rooms = &self.rooms;
        let seats = &connection.seats;
        let member = |id: RoomId| {
            let held = seats.iter().find(|held| held.room == id)?;
            rooms.get(&id)?.member(held.seat)
        };
        let is_dropped = |item: &Item| {
            let ItemKind::Event { room, seq, sender, class: Class::Message(delivery), .. } =
                item.kind
            else {
                return false;
            };
            let Some(member) = member(room) else { return false };
            match delivery {
                Delivery::Reliable => false,
                Delivery::Volatile => {
                    member.behind.as_deref().is_some_and(|behind| behind.skips(seq))
                }
                Delivery::Latest(key) => rooms[&room].is_superseded(sender, key, seq),
            }
        };
        let own_between = |room: RoomId, last: u64, from: u64| {
            let joined = member(room).map_or(0, |member| member.joined);
            from - last - 1 - u64::from((last + 1..from).contains(&joined))
        };
        let items = connection.outbox.take();
        let (kept, dropped) = announce(items, is_dropped, own_between);
        kept.into_iter().for_each(|item| connection.outbox.push(item.kind, item.frame));
        for (room, dropped) in dropped {
            self.report_lag(conn, room, dropped, out);
        }
    }
}

/// Puts gaps in the place of events that are dropped; returns also how many of which room were.
///
/// Numbers that are missing inside a gap without having been dropped are the receiver's own.
fn announce(
    items: VecDeque<Item>,
    is_dropped: impl Fn(&Item) -> bool,
    own_between: impl Fn(RoomId, u64, u64) -> u64,
) -> (Vec<Item>, Vec<(RoomId, u64)>) {
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    // Per room: the gap that nothing was kept after yet, as an index into `kept`.
    let mut open: Vec<(RoomId, usize)> = Vec::new();
    let mut dropped: Vec<(RoomId, u64)> = Vec::new();
    // What comes before one of these is of an earlier stay, and stays as it is.
    let of_stay = |item: &Item| match item.kind {
        ItemKind::Joined { room } | ItemKind::Left { room, .. } => Some(room),
        ItemKind::Control
        | ItemKind::Pong
        | ItemKind::Reply
        | ItemKind::Message
        | ItemKind::Roster
        | ItemKind::After { .. }
        | ItemKind::Spared { .. }
        | ItemKind::Aside { .. }
        | ItemKind::Event { .. }
        | ItemKind::Gap { .. } => None,
    };
    let ends: Vec<_> =
        items.iter().map(of_stay).enumerate().filter(|(_, it)| it.is_some()).collect();
    let is_past =
        |at: usize, room: RoomId| ends.iter().any(|end| *end > (at, None) && end.1 == Some(room));
    for (at, item) in items.into_iter().enumerate() {
        let (room, from, to, own) = match item.kind {
            ItemKind::Event { room, .. } | ItemKind::Gap { room, .. } if is_past(at, room) => {
                kept.push(item);
                continue;
            }
            ItemKind::Event { room, seq, forgotten, .. } if is_dropped(&item) => {
                match dropped.iter_mut().find(|(known, _)| *known == room) {
                    Some((_, count)) => *count += 1,
                    None => dropped.push((room, 1)),
                }
                if forgotten {
                    continue;
                }
                (room, seq, seq, 0)
            }
            ItemKind::Gap { room, from, to, own, forgotten: false } => (room, from, to, own),
            ItemKind::Event { room, .. }
            | ItemKind::Joined { room }
            | ItemKind::Left { room, .. }
            | ItemKind::Gap { room, .. } => {
                open.retain(|(known, _)| *known != room);
                kept.push(item);
                continue;
            }
            ItemKind::Control
            | ItemKind::Pong
            | ItemKind::Reply
            | ItemKind::Message
            | ItemKind::Roster
            | ItemKind::After { .. }
            | ItemKind::Spared { .. }
            | ItemKind::Aside { .. } => {
                kept.push(item);
                continue;
            }
        };
        let known = open.iter().find(|(known, _)| *known == room).map(|(_, at)| *at);
        let at = known.unwrap_or(kept.len());
        if known.is_none() {
            open.push((room, at));
        }
        let (first, own) = match kept.get(at).map(|gap| gap.kind) {
            Some(ItemKind::Gap { from: first, to: last, own: before, .. }) => {
                let between = own_between(room, last, from);
                let between = u32::try_from(between).unwrap_or(u32::MAX);
                (first, before.saturating_add(between).saturating_add(own))
            }
            _ => (from, own),
        };
        let (from, reason) = (first, GapReason::Lagged);
        let frame = ServerMessage::Gap { room, from, to, own, reason }.to_frame();
        let forgotten = false;
        let gap = Item { frame, kind: ItemKind::Gap { room, from, to, own, forgotten } };
        match kept.get_mut(at) {
            Some(slot) => *slot = gap,
            None => kept.push(gap),
        }
    }
    (kept, dropped)
}
