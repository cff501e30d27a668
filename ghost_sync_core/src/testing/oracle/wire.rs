//! Whole frames, as they come to the server and leave it.

use std::collections::VecDeque;

use super::Oracle;
use crate::{
    relay::LinkId,
    testing::stamp,
    wire::{ClientMessage, Delivery, Refusal, ServerMessage},
};

impl Oracle {
    /// The server gets a whole frame.
    pub(in crate::testing) fn fed(&mut self, link: LinkId, body: &[u8]) {
        let linked = self.feeding.is_some_and(|author| self.is_linked(author, link));
        let (ClientMessage::Broadcast { payload, .. } | ClientMessage::ToServer { payload, .. }) =
            (match ClientMessage::decode(body) {
                Ok(message) => message,
                Err(error) => return self.fail("I26", error.to_string()),
            })
        else {
            return;
        };
        // Nobody looks at what comes over a link that is over.
        if linked
            && let Some(stamp) = stamp::Stamp::read(payload)
            && let Some(author) = self.authors.get_mut(stamp.author as usize)
            && let Some(message) = author.messages.get_mut(stamp.counter as usize)
        {
            (message.fed, message.fed_at) = (true, self.acts);
            let limits = &self.swarm.relay.limits;
            message.modest &= author.offered.add_strictly(self.now, limits, payload.len());
            // What a user says over other links is not reckoned here.
            message.modest &= limits.user_messages.is_none_or(|rate| rate.parts().1 >= 1000.0);
            self.check_stale(stamp.author as usize, stamp.counter as usize);
        }
    }

    /// A whole frame was written to a link.
    pub(in crate::testing) fn wrote(&mut self, link: LinkId, body: &[u8]) {
        let Ok(message) = ServerMessage::decode(body) else {
            return self.fail("I26", "a frame that means nothing is written");
        };
        match message {
            ServerMessage::Aside { missed, payload, .. } => {
                return self.wrote_aside(link, missed, payload);
            }
            ServerMessage::TokenExpiring { in_ms } => return self.wrote_expiring(link, in_ms),
            ServerMessage::JoinRefused {
                reason: Refusal::RateLimited { retry_after_ms }, ..
            } => self.wrote_too_early(link, retry_after_ms),
            _ => {}
        }
        if !message.is_numbered() {
            return;
        }
        let mut sessions = self.sessions.values();
        let Some(session) = sessions.find(|session| session.link == Some(link)) else { return };
        let lane = self.lanes.entry(session.client_id).or_insert((1, VecDeque::new()));
        lane.1.push_back(body.len() + 4);
    }

    /// A frame was chosen for a link whose socket was full, and written to it.
    pub(in crate::testing) fn wrote_behind(&mut self, link: LinkId, body: &[u8]) {
        let (room, seq) = match ServerMessage::decode(body) {
            Ok(ServerMessage::Broadcast { room, seq, delivery: Delivery::Latest(_), .. }) => {
                (room, seq)
            }
            Ok(ServerMessage::Aside { payload, .. }) => {
                return self.wrote_aside_behind(link, payload);
            }
            _ => return,
        };
        let mut sessions = self.sessions.values();
        let session = sessions.find(|session| session.link == Some(link));
        let Some(seat) = session.and_then(|session| session.seats.get(&room)) else { return };
        // What is left of an earlier stay is told as it was.
        if let Some(log) = self.rooms.get(&(self.era, room))
            && log.joined(*seat).is_some_and(|joined| joined < seq)
            && log.is_stale(seq, log.head())
        {
            self.fail("I32", format!("event {seq} of {room:?} is sent late, and was replaced"));
        }
    }
}
