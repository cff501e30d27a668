//! How a session outlives its link.

use std::collections::BTreeSet;

use crate::wire::{
    ClientId, ClientMessage, CloseReason, Decoder, Delivery, DisconnectReason, LeaveReason, MAGIC,
    MAX_SERVER_FRAME, Progress, Refusal, Resume, ResumeFailure, RoomId, Secret, SendFlags,
    SessionTicket, VERSIONS,
};

use super::{
    Asked, Former, Greeted, Kind, Lane, Membership, Phase, RequestError, RequestKind, ServerEvent,
    Session, Violation,
};

impl Session {
    /// The public id; nil before the server gave one.
    pub(crate) fn client_id(&self) -> ClientId {
        self.greeted.map(|greeted| greeted.client_id).unwrap_or_default()
    }

    /// What another process would need to go on with this session.
    pub(crate) fn ticket(&self) -> Option<SessionTicket> {
        let secret = self.ticket?.secret;
        self.is_held().then(|| SessionTicket { client_id: self.client_id(), secret })
    }

    /// The link ended. Whether another one makes sense; requests wait for it then.
    pub(crate) fn link_lost(&mut self, reason: &DisconnectReason) -> bool {
        let stopping =
            matches!(reason, DisconnectReason::Closed(CloseReason::ServerShutdown { .. }));
        if self.phase == Phase::Closed || !self.is_held() || stopping || !reason.may_reconnect() {
            return false;
        }
        self.phase = Phase::Away;
        self.unsent = self.unconfirmed.len();
        self.outbox.clear();
        true
    }

    /// There is another link: asks on it for the session, or for a new one if
    /// that is over.
    pub(crate) fn reopen(&mut self) {
        if self.phase == Phase::Closed {
            return;
        }
        if !planted!("client-keeps-half-a-frame") {
            self.decoder = Decoder::new(MAX_SERVER_FRAME);
        }
        self.pings.forget();
        self.pongs = 0;
        self.outbox.clear();
        let Some(ticket) = &mut self.ticket else { return self.introduce() };
        // Past the last the server takes none for newer, and begins a new session.
        ticket.attempt = ticket.attempt.saturating_add(1);
        let ticket = *ticket;
        let less = u64::from(planted!("client-forgets-its-last-event"));
        let progress = |(id, room): (&RoomId, &Membership)| Progress {
            room: *id,
            last: room.last().saturating_sub(less),
            own: room.own(),
        };
        ClientMessage::Resume(Resume {
            magic: MAGIC,
            versions: VERSIONS,
            epoch: ticket.epoch,
            session: SessionTicket { client_id: self.client_id(), secret: ticket.secret },
            attempt: ticket.attempt,
            received: self.lane.confirm(),
            token: self.hello.token.lend(),
            rooms: self.rooms.iter().map(progress).collect(),
        })
        .encode(&mut self.outbox);
        self.phase = Phase::Resuming;
    }

    /// Whether the session outlives its link, so that requests are kept until the
    /// server has confirmed them.
    pub(super) fn is_held(&self) -> bool {
        self.reconnect.enabled && self.greeted.is_some_and(Greeted::holds)
    }

    /// The server has the first `count` requests.
    pub(super) fn confirm(&mut self, count: u64) -> Result<(), Violation> {
        if self.is_held() { self.unconfirmed.confirm(count) } else { Ok(()) }
    }

    pub(super) fn on_resumed(
        &mut self,
        secret: Secret,
        received: u64,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        if received < self.unconfirmed.confirmed() {
            return Err(format!("only {received} requests, after it confirmed more").into());
        }
        self.unconfirmed.confirm(received)?;
        self.leave_out_stale(0);
        if let Some(ticket) = &mut self.ticket {
            ticket.secret = secret;
        }
        self.phase = Phase::Open;
        if !planted!("client-asks-once-only") {
            self.outbox.extend_from_slice(self.unconfirmed.frames());
        }
        events.push(ServerEvent::Resumed);
        Ok(())
    }

    /// The session is over; another one begins on the same link. Where too much was missed
    /// the seats are still held, and the server is asked to go on from what is now.
    pub(super) fn on_resume_failed(
        &mut self,
        reason: ResumeFailure,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        let is_held = matches!(reason, ResumeFailure::TooOld { .. });
        events.push(ServerEvent::ResumeFailed { reason });
        events.extend(self.forget_messages());
        self.hello.session = self.ticket().filter(|_| is_held);
        self.introduce();
        self.ask_for_metadata();
        (self.ticket, self.lane) = (None, Lane::default());
        self.late.clear();
        self.lists.clear();
        self.tokens.clear();
        self.remember_seats();
        if !is_held {
            // Nor does that of an earlier process, if this one went on with it.
            self.resumed = None;
            self.settle(events);
        }
        Ok(())
    }

    /// The session is over: notes where the client was and what it had asked for.
    pub(super) fn remember_seats(&mut self) {
        let mut rooms = std::mem::take(&mut self.rooms);
        for id in std::mem::take(&mut self.order) {
            let Some(member) = rooms.remove(&id) else { continue };
            let state = match (member.leaving, member.is_listing()) {
                (true, _) => Former::Leaving,
                (false, true) => Former::Asked,
                (false, false) => Former::Seated,
            };
            self.former.push((member.asked, state));
        }
        for room in std::mem::take(&mut self.awaited) {
            self.former.push((Asked::former(room), Former::Asked));
        }
        for (_, asked) in std::mem::take(&mut self.joins) {
            if planted!("client-forgets-to-join") {
                continue;
            }
            self.former.push((asked, Former::Asked));
        }
    }

    /// Sees to the seats of a session that could not be resumed, now that it is known
    /// whether the server goes on with it.
    pub(super) fn settle(&mut self, events: &mut Vec<ServerEvent>) {
        for (asked, former) in std::mem::take(&mut self.former) {
            let is_held = self.awaited.contains(&asked.room);
            let goes_on = self.resumed.is_some();
            let reason = match former {
                // The server says by itself where the client is.
                Former::Seated | Former::Asked if is_held => continue,
                Former::Leaving if is_held => {
                    self.unwanted.push(asked.room);
                    continue;
                }
                Former::Asked => {
                    self.ask_to_join(asked);
                    continue;
                }
                Former::Seated if self.reconnect.rejoin && !goes_on => {
                    self.ask_to_join(asked.again());
                    continue;
                }
                Former::Seated => LeaveReason::Disconnected,
                Former::Leaving => LeaveReason::Left,
            };
            events.push(ServerEvent::Left { room: asked.room, reason });
        }
    }

    fn introduce(&mut self) {
        self.phase = Phase::Greeting;
        self.outbox = self.hello.to_frame().unwrap_or_else(|_| {
            // Without a ticket it was short enough when it was said first.
            self.hello.session = None;
            self.hello.to_frame().unwrap_or_default()
        });
    }

    /// Leaves out what nobody needs any more when it is said late: of the requests from
    /// `first` on, which the server has not got, `Volatile` broadcasts, and `Latest` ones
    /// that a newer one replaces. What is to be acknowledged stays.
    pub(super) fn leave_out_stale(&mut self, first: usize) {
        let mut messages = Vec::new();
        let mut count = 0;
        for (at, request) in self.unconfirmed.messages().enumerate() {
            if let ClientMessage::Broadcast { room, delivery, flags, .. } = request {
                count += 1;
                if at >= first {
                    messages.push((at, count, room, delivery, flags));
                }
            } else if let ClientMessage::ToServer { .. } = request {
                count += 1;
            }
        }
        let before = self.sent.count().saturating_sub(count);
        let (mut newest, mut places, mut references) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (at, count, room, delivery, flags) in messages.into_iter().rev() {
            let stale = match delivery {
                Delivery::Reliable => false,
                Delivery::Volatile => true,
                Delivery::Latest(key) => !newest.insert((room, key)),
            };
            if !stale || flags.contains(SendFlags::ACK) {
                continue;
            }
            places.push(at);
            references.push(before + count);
            if !flags.contains(SendFlags::ECHO)
                && let Some(member) = self.rooms.get_mut(&room)
            {
                member.never_spoke();
            }
        }
        if places.is_empty() || planted!("client-says-stale-positions") {
            return;
        }
        places.reverse();
        references.reverse();
        self.unconfirmed.leave_out(|at| places.binary_search(&at).is_ok());
        if !planted!("client-misnumbers-after-leaving-out") {
            self.sent.leave_out(&references);
        }
    }

    /// Makes room for requests that wait for a link.
    pub(crate) fn make_room(&mut self) {
        // Not again while it can bring nothing.
        if !self.is_open() && self.unconfirmed.len() != self.tidied {
            self.leave_out_stale(self.unsent);
            self.tidied = self.unconfirmed.len();
        }
    }

    /// Forgets the requests of a session that is over; says so where they cannot
    /// be made again and somebody may miss them.
    pub(super) fn forget_messages(&mut self) -> Vec<ServerEvent> {
        let requests = std::mem::take(&mut self.unconfirmed);
        self.unsent = 0;
        let lost: Vec<_> = requests
            .messages()
            .filter_map(|request| {
                if let ClientMessage::Broadcast { room, delivery, flags, .. } = request {
                    let missed = delivery == Delivery::Reliable
                        || flags.contains(SendFlags::ACK)
                        || planted!("client-tells-of-lost-positions");
                    Some((room, Kind::Broadcast, missed))
                } else if let ClientMessage::ToServer { room, .. } = request {
                    Some((room, Kind::ToServer, true))
                } else {
                    None
                }
            })
            .collect();
        let count = u64::try_from(lost.len()).unwrap_or(u64::MAX);
        let references = self.sent.count().saturating_sub(count) + 1..;
        let errors = lost
            .into_iter()
            .zip(references)
            .filter(|((_, _, missed), reference)| {
                *missed && !matches!(self.sent.kind(*reference), Ok(Some(Kind::Answered)))
            })
            .map(|((room, kind, _), reference)| {
                let room = self.rooms.get(&room).map(|room| room.name().clone());
                let reference = Some(self.sent.number(reference));
                let request = match kind {
                    Kind::Broadcast | Kind::Echo | Kind::Answered => RequestKind::Broadcast,
                    Kind::ToServer => RequestKind::ToServer,
                };
                let reason = Refusal::Unconfirmed;
                ServerEvent::Refused(RequestError { request, room, reference, reason })
            })
            .collect();
        self.sent.start_anew();
        errors
    }
}
