//! From one session to the next: what the program wants while there is none.

use crate::{
    client::{ConnectError, Reconnect, Request, SendError},
    wire::{ClientId, DisconnectReason, Refusal, RoomName},
};

use super::{Asked, Former, Lane, OwnHello, Phase, RequestError, ServerEvent, Session};

impl Session {
    /// As [`new`](Self::new), but its first link is yet to be found: it takes wishes until then.
    pub(crate) fn without_link(
        hello: OwnHello,
        reconnect: Reconnect,
    ) -> Result<Self, ConnectError> {
        Ok(Self { phase: Phase::Away, begins_anew: true, ..Self::new(hello, reconnect)? })
    }

    /// The session is over, and the next link begins another one: what the program wants of
    /// that is kept. What the server has not confirmed is forgotten.
    pub(crate) fn part(&mut self, events: &mut Vec<ServerEvent>) {
        self.forget_messages();
        self.remember_seats();
        for (asked, former) in std::mem::take(&mut self.former) {
            let is_wanted = !self.unwanted.contains(&asked.room) && former != Former::Leaving;
            match former {
                _ if !is_wanted => {}
                Former::Seated if self.reconnect.rejoin => self.wish(asked.again()),
                Former::Asked if self.reconnect.rejoin => self.wish(asked),
                // Whoever was somewhere need not hear of a room for those who are nowhere.
                Former::Asked if !asked.by_itself && !asked.if_nowhere => {
                    events.push(ServerEvent::Refused(asked.refused(Refusal::NotConnected)));
                }
                Former::Asked | Former::Seated | Former::Leaving => {}
            }
        }
        (self.greeted, self.ticket, self.resumed) = (None, None, None);
        (self.lane, self.phase, self.begins_anew) = (Lane::default(), Phase::Away, true);
        self.late.clear();
        self.lists.clear();
        self.tokens.clear();
        self.unwanted.clear();
    }

    /// Notes a request for the next session, if it can wait for that. Returns whether there
    /// was something to note.
    pub(super) fn note(&mut self, request: &Request) -> Result<bool, SendError> {
        match request {
            Request::Join { room, if_nowhere: true, .. } if self.wishes_for(room) => Ok(false),
            Request::Join { room, options, if_nowhere } => {
                let (room, options, if_nowhere) = (room.clone(), options.clone(), *if_nowhere);
                // If it loses the others before there is a session, it is asked for all the same.
                let asks = !if_nowhere || self.wishes.is_empty();
                self.wish(Asked { if_nowhere, ..Asked::new(room, options) });
                Ok(asks)
            }
            Request::Leave { room } => {
                let wished = self.wishes_for(room);
                self.wishes.retain(|wish| wish.room != *room);
                Ok(wished)
            }
            Request::SetMetadata { key, value } => {
                self.note_metadata(key, value.as_deref()).map(|()| true)
            }
            Request::Authenticate { token } => self.note_token(token).map(|()| true),
            Request::Broadcast { .. }
            | Request::ToServer { .. }
            | Request::ListRooms
            | Request::Ping => Err(SendError::Disconnected(DisconnectReason::ConnectionClosed)),
        }
    }

    /// The room that was wished for last.
    pub(crate) fn last_wish(&self) -> Option<&RoomName> {
        self.wishes.last().map(|wish| &wish.room)
    }

    /// Whether a server has ever greeted this client.
    pub(crate) fn has_met(&self) -> bool {
        self.met
    }

    /// Joins that the program waits to hear of, as it is told that nobody will answer them.
    pub(crate) fn take_joins(&mut self) -> Vec<RequestError> {
        let met = self.met;
        let joins = std::mem::take(&mut self.joins).into_iter().map(|(_, asked)| asked);
        std::mem::take(&mut self.wishes)
            .into_iter()
            .chain(joins)
            .filter(|asked| !(asked.by_itself || asked.if_nowhere && met))
            .map(|asked| asked.refused(Refusal::NotConnected))
            .collect()
    }

    /// Another session has begun: asks it for what the program wants.
    pub(super) fn on_begun(&mut self, client_id: ClientId, events: &mut Vec<ServerEvent>) {
        self.ask_for_metadata();
        let (mut joining, mut refused) = (Vec::new(), Vec::new());
        for wish in std::mem::take(&mut self.wishes) {
            let comes_by_itself = wish.by_itself && self.awaited.contains(&wish.room);
            if comes_by_itself || wish.if_nowhere && !self.is_nowhere() {
                continue;
            }
            if let Err(error) = self.check_len(wish.options.len()) {
                refused.push(ServerEvent::Refused(wish.refused(error.into_refusal())));
                continue;
            }
            joining.push(wish.room.clone());
            self.ask_to_join(wish);
        }
        let resumed = self.resumed.clone();
        events.push(ServerEvent::Connected { client_id, resumed, joining });
        events.append(&mut refused);
    }

    /// Wants a seat in place of an older wish for that room.
    fn wish(&mut self, mut asked: Asked) {
        if let Some(at) = self.wishes.iter().position(|wish| wish.room == asked.room) {
            asked.rejoined |= self.wishes.remove(at).rejoined;
        }
        if asked.rejoined {
            asked.options = asked.options.again();
        }
        self.wishes.push(asked);
    }

    fn wishes_for(&self, room: &RoomName) -> bool {
        self.wishes.iter().any(|wish| wish.room == *room)
    }
}
