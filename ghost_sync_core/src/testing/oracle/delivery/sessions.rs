//! What a client is told of its session: welcomes, resumes and ends.

use crate::{
    testing::oracle::{Expected, Mark, Oracle, Stay},
    wire::{CloseReason, ResumeFailure, RoomId, ServerMessage, Welcome},
};

impl Oracle {
    pub(super) fn on_welcome(&mut self, author: usize, era: u32, message: &ServerMessage<'_>) {
        let ServerMessage::Welcome(Welcome { client_id, secret, ref rooms, ref user, .. }) =
            *message
        else {
            return;
        };
        let session = self.sessions.values().find(|session| session.client_id == client_id);
        if let Some(session) = session {
            let known = session.user().map(ToString::to_string).unwrap_or_default();
            if era == self.era && known != *user {
                self.fail("I35", format!("{author} is welcomed as {user:?}, and is {known:?}"));
            }
        }
        let state = &mut self.authors[author];
        state.secret = secret;
        state.old_secret = None;
        state.received = 0;
        let before = std::mem::replace(&mut state.client_id, client_id);
        state.era = era;
        state.turned_away = false;
        state.resumed_at.clear();
        if !before.is_nil() {
            self.expect(Expected::renewed(client_id));
        }
        let inherited = self.authors[author].inherited.contains(&client_id);
        if inherited {
            self.authors[author].went_on |= before == client_id;
            self.told_seats(author, era, rooms);
        } else if self.owners.get(&client_id) != Some(&author) || !rooms.is_empty() {
            self.fail("I15", format!("{author} is welcomed as {client_id}"));
        }
    }

    pub(super) fn on_close(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::Close { ref reason } = *message else { return };
        self.authors[author].barred = false;
        match reason {
            CloseReason::MaxClientsReached { .. } | CloseReason::ConnectionRefused { .. } => {
                self.authors[author].turned_away = true;
            }
            CloseReason::TooManyRequests { .. }
            | CloseReason::SlowConsumer { .. }
            | CloseReason::RateLimited { .. } => {
                if matches!(reason, CloseReason::RateLimited { .. }) {
                    self.mark(Mark::Barred);
                }
                self.authors[author].throttled = true;
            }
            CloseReason::Protocol { what } => {
                self.fail("I27", format!("an honest client is told: {what}"));
            }
            _ => {}
        }
    }

    pub(super) fn on_resumed(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::Resumed { secret, .. } = *message else { return };
        let state = &mut self.authors[author];
        let known = std::mem::replace(&mut state.secret, secret);
        state.old_secret = Some(known);
        if known.is_same(&secret) {
            self.fail("I15", format!("{author} gets the same secret again"));
        }
        let state = &mut self.authors[author];
        state.resumed_unseen = false;
        let behind = |stay: &Stay| {
            self.rooms.get(&stay.key).is_some_and(|log| {
                let left = !log.members.contains_key(&stay.seat);
                stay.next + 1 < log.head() && !left
            })
        };
        let left = |stay: &Stay| {
            self.rooms
                .get(&stay.key)
                .is_some_and(|log| !log.members.contains_key(&stay.seat) && stay.next < log.head())
        };
        if state.stays.values().any(behind) {
            self.marks.reach(Mark::ResumedWithEvents);
        }
        if state.stays.values().any(left) {
            self.marks.reach(Mark::StayReplayed);
        }
        if self.directs.get(&state.client_id).is_some_and(|due| !due.is_empty()) {
            self.marks.reach(Mark::ResumedWithLane);
        }
        self.expect(Expected::of(Expected::RESUMED));
    }

    pub(super) fn on_failed(&mut self, author: usize, era: u32, reason: &ResumeFailure) {
        let grace = self.swarm.relay.resume_grace;
        let state = &self.authors[author];
        let client_id = state.client_id;
        let here = era == self.era;
        let alive = here && self.sessions.values().any(|known| known.client_id == client_id);
        let barred = state.barred && here;
        let seen = match *reason {
            ResumeFailure::EpochChanged => {
                self.marks.reach(Mark::ResumeEpochChanged);
                (era == state.era).then(|| "it is the same server".to_owned())
            }
            ResumeFailure::Expired => {
                self.marks.reach(Mark::ResumeExpired);
                (alive || era != state.era).then(|| format!("the session is alive: {alive}"))
            }
            ResumeFailure::Denied => Some("its client has shown its secret".to_owned()),
            ResumeFailure::TooOld { room: RoomId(0), oldest } => {
                self.marks.reach(Mark::ResumeTooOld);
                let kept = self.swarm.relay.outbox_limit >= 1 << 20;
                (kept || oldest < 2).then(|| "few messages were not confirmed".to_owned())
            }
            ResumeFailure::TooOld { room, oldest } => {
                self.marks.reach(Mark::ResumeTooOld);
                let key = (era, room);
                match (state.stays.get(&room), self.rooms.get(&key)) {
                    (_, None) => Some(format!("{room:?} never was")),
                    (Some(stay), Some(log)) => {
                        let long_gone = log.deleted.is_some_and(|at| self.now >= at + grace);
                        let bounded = self.swarm.relay.history_limit < 1 << 20;
                        // History that another stay was promised may be gone too.
                        let later = log.owners.range(stay.seat..).skip(1);
                        let was_back = later.into_iter().any(|(_, owner)| *owner == client_id);
                        let must = log.must_keep(stay.next, stay.seat, &self.swarm.room, self.now);
                        if was_back {
                            None
                        } else if stay.next >= oldest {
                            Some(format!("{} of {room:?} is next, not before {oldest}", stay.next))
                        } else if must && !long_gone && !bounded {
                            Some(format!("{room:?} has to keep what came from {} on", stay.next))
                        } else {
                            None
                        }
                    }
                    (None, Some(_)) => None,
                }
            }
        };
        // Who missed too much keeps its seats.
        let too_old = matches!(reason, ResumeFailure::TooOld { .. });
        let alive = alive && !too_old && !matches!(reason, ResumeFailure::Denied);
        if alive {
            self.fail("I14", format!("{client_id} goes on after {reason}"));
        }
        if barred && *reason == ResumeFailure::Expired {
            self.fail("I16", format!("{client_id} was kicked and is told: {reason}"));
        }
        if let Some(seen) = seen {
            self.fail("I14", format!("{client_id} is told {reason:?}, but {seen}"));
        }
        self.expect(Expected::of(Expected::RESUME_FAILED));
        let state = &mut self.authors[author];
        state.leaves_due = state.stays.values().filter(|stay| stay.listing == 0).count();
        state.stays.clear();
        self.directs.remove(&client_id);
        let state = &mut self.authors[author];
        state.reckoning = true;
        state.going_on = too_old;
        state.next_base = state.messages.len();
        (state.lists_owed, state.tokens_owed) = (0, 0);
        state.barred = false;
    }
}
