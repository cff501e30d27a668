//! What a program says before somebody can hear it.

use std::collections::VecDeque;

use crate::{
    client::Request,
    wire::{Delivery, Refusal, RoomName, SendFlags},
};

/// Messages and questions that wait: for the first connection, or for the answer to the join
/// that was asked before them.
#[derive(Debug, Default)]
pub(super) struct Held {
    requests: VecDeque<(Request, Option<RoomName>)>,
    bytes: usize,
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
    /// for; what `waits` says goes on to wait.
    pub(super) fn take(
        &mut self,
        waits: impl Fn(Option<&RoomName>) -> bool,
    ) -> Vec<(Request, Option<RoomName>)> {
        let (rest, due): (Vec<_>, Vec<_>) = std::mem::take(&mut self.requests)
            .into_iter()
            .partition(|(_, after)| waits(after.as_ref()));
        self.bytes = rest.iter().map(|(request, _)| request.cost()).sum();
        self.requests = rest.into();
        due
    }

    /// A join of that room is not to be asked: nothing waits for it.
    pub(super) fn unbind(&mut self, room: &RoomName) {
        for (_, after) in &mut self.requests {
            *after = after.take().filter(|after| after != room);
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
