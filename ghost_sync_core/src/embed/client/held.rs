//! What a program says before somebody can hear it.

use std::collections::VecDeque;

use crate::{
    client::{Request, RequestError, RequestKind, ServerEvent},
    wire::{Delivery, Refusal, RoomName, SendFlags},
};

/// Messages and questions that wait: for the first connection, or for the answer to the join
/// that was asked before them.
#[derive(Debug, Default)]
pub(super) struct Held {
    requests: VecDeque<(Request, Option<RoomName>)>,
    bytes: usize,
    /// Rooms that were asked for, of which the program was told no answer.
    joining: Vec<RoomName>,
}

/// Bytes that may wait.
const MOST: usize = 1 << 20;

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Keeps a request, until the join of the room `after` is answered. Of values that replace
    /// each other the newest is kept; what is lost with a link is refused for the reason
    /// `lost`, and so is what is too much.
    pub(super) fn keep(
        &mut self,
        request: &Request,
        after: Option<RoomName>,
        lost: Refusal,
    ) -> Result<(), Refusal> {
        if let Request::Broadcast { delivery, flags, .. } = request
            && !flags.contains(SendFlags::ACK)
        {
            match delivery {
                Delivery::Reliable => {}
                Delivery::Volatile => return Err(lost),
                Delivery::Latest(key) => self.replace(request, after.as_ref(), *key),
            }
        }
        let cost = request.cost();
        if self.bytes + cost > MOST {
            let message = format!("{} bytes wait: at most {MOST} are allowed", self.bytes);
            return Err(Refusal::Rejected { message });
        }
        self.bytes += cost;
        self.requests.push_back((request.clone(), after));
        Ok(())
    }

    /// What waits no longer, in the order in which it was said, with the room that it waited
    /// for; what waits for an answer, or for a room that is `to_ask`, goes on to wait.
    pub(super) fn take(
        &mut self,
        to_ask: impl Fn(&RoomName) -> bool,
    ) -> Vec<(Request, Option<RoomName>)> {
        let waits = |room: &RoomName| self.joining.contains(room) || to_ask(room);
        let (rest, due): (Vec<_>, Vec<_>) = std::mem::take(&mut self.requests)
            .into_iter()
            .partition(|(_, after)| after.as_ref().is_some_and(waits));
        self.bytes = rest.iter().map(|(request, _)| request.cost()).sum();
        self.requests = rest.into();
        due
    }

    /// Everything that waits.
    pub(super) fn take_all(&mut self) -> Vec<(Request, Option<RoomName>)> {
        self.joining.clear();
        self.take(|_| false)
    }

    /// The room that a message is for, or may be, if it was asked for before and not answered.
    pub(super) fn awaited(&self, request: &Request) -> Option<RoomName> {
        if let Request::Broadcast { room, .. } | Request::ToServer { room, .. } = request {
            match room {
                Some(room) => self.joining.contains(room).then(|| room.clone()),
                None => self.joining.last().cloned(),
            }
        } else {
            None
        }
    }

    /// A request was made, or there was nothing to `ask` for.
    pub(super) fn ask(&mut self, request: &Request, asked: bool) {
        let Request::Join { room, .. } = request else { return };
        if asked {
            self.joining.push(room.clone());
        } else {
            // Where the client is already, it is heard.
            self.unbind(|after| after != room);
        }
    }

    /// Looks for answers to joins.
    pub(super) fn hear(&mut self, event: &ServerEvent) {
        let answered =
            if let ServerEvent::Joined { room, .. } | ServerEvent::AlreadyJoined { room } = event {
                room
            } else if let ServerEvent::Refused(RequestError {
                request: RequestKind::Join | RequestKind::Rejoin,
                room: Some(room),
                ..
            }) = event
            {
                room
            } else if let ServerEvent::Connected { resumed, joining, .. } = event {
                let rooms = resumed.iter().flatten().chain(joining).cloned().collect::<Vec<_>>();
                self.unbind(|after| rooms.contains(after));
                self.joining = rooms;
                return;
            } else if let ServerEvent::Disconnected { .. } = event {
                return self.joining.clear();
            } else {
                return;
            };
        if let Some(at) = self.joining.iter().position(|joining| joining == answered) {
            self.joining.remove(at);
        }
    }

    /// That room is not to be joined after all: what was to be said there is for no other.
    pub(super) fn leave(&mut self, left: &RoomName) {
        for (request, after) in &mut self.requests {
            if let Request::Broadcast { room: room @ None, .. } = request
                && after.as_ref() == Some(left)
            {
                *room = after.take();
            }
        }
    }

    /// Nothing waits for rooms but for those that are `awaited`.
    fn unbind(&mut self, awaited: impl Fn(&RoomName) -> bool) {
        for (_, after) in &mut self.requests {
            *after = after.take().filter(|after| awaited(after));
        }
    }

    fn replace(&mut self, by: &Request, after: Option<&RoomName>, key: u32) {
        let Request::Broadcast { room: to, .. } = by else { return };
        let older = self.requests.iter().position(|(request, waits_for)| {
            matches!(
                request,
                Request::Broadcast { room, delivery: Delivery::Latest(other), flags, .. }
                    if room == to && *other == key && !flags.contains(SendFlags::ACK)
            ) && waits_for.as_ref() == after
        });
        if let Some((older, _)) = older.and_then(|older| self.requests.remove(older)) {
            self.bytes -= older.cost();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::MessageType;

    fn said(delivery: Delivery, payload: &'static [u8]) -> Request {
        let (flags, message_type) = (SendFlags::NONE, MessageType::RAW);
        let payload = Bytes::from_static(payload);
        Request::Broadcast { room: None, delivery, flags, message_type, payload }
    }

    fn payloads(held: &mut Held) -> Vec<Bytes> {
        let requests = held.take(|_| false).into_iter();
        let payload = |(request, _)| {
            let Request::Broadcast { payload, .. } = request else { panic!("{request:?}") };
            payload
        };
        requests.map(payload).collect()
    }

    #[test]
    fn the_newest_of_each_key_waits_and_everything_reliable_in_its_order() {
        let mut held = Held::default();
        for (delivery, payload) in [
            (Delivery::Latest(1), &b"old"[..]),
            (Delivery::Reliable, b"a"),
            (Delivery::Latest(2), b"other"),
            (Delivery::Reliable, b"b"),
            (Delivery::Latest(1), b"new"),
        ] {
            held.keep(&said(delivery, payload), None, Refusal::NotConnected).expect("it waits");
        }
        let lost = held.keep(&said(Delivery::Volatile, b"flash"), None, Refusal::NotInRoom);
        assert_eq!(lost, Err(Refusal::NotInRoom));
        assert_eq!(payloads(&mut held), ["a", "other", "b", "new"]);
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn no_more_waits_than_the_limit() {
        static LARGE: [u8; 300 << 10] = [0; 300 << 10];
        let mut held = Held::default();
        let mut keep = |request| held.keep(&request, None, Refusal::NotConnected);
        let kept = (0..9).filter(|_| keep(said(Delivery::Reliable, &LARGE)).is_ok()).count();
        assert_eq!(kept, 3);
        for _ in 0..100 {
            keep(said(Delivery::Latest(1), &LARGE[..100 << 10])).expect("it replaces");
        }
    }
}
