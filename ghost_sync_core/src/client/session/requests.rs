//! What a client may ask for: requests in, frames in the outbox.

use std::time::Instant;

use crate::{
    client::{Request, SendError},
    wire::{
        ClientMessage, Cost, Delivery, DisconnectReason, MAX_TOKEN, MessageType, RoomId, RoomName,
        SendFlags, Token, check_metadata_key,
    },
};

use super::{Asked, Kind, Membership, Phase, Session};

impl Session {
    /// Makes a request; returns whether there was something to ask for.
    pub(crate) fn request(&mut self, now: Instant, request: &Request) -> Result<bool, SendError> {
        if self.begins_anew && self.phase != Phase::Closed {
            return self.note(request);
        }
        match request {
            Request::Join { if_nowhere: true, .. } if !self.is_nowhere() => return Ok(false),
            Request::Join { room, options, if_nowhere } => {
                self.check_len(options.len())?;
                self.spend(Cost::JOIN)?;
                let (room, options, if_nowhere) = (room.clone(), options.clone(), *if_nowhere);
                self.ask_to_join(Asked { if_nowhere, ..Asked::new(room, options) });
            }
            Request::Leave { room } => {
                self.check_open()?;
                let (room, member) = self.find(Some(room.as_str()))?;
                member.leaving = true;
                self.ask(&ClientMessage::Leave { room });
            }
            Request::Broadcast { room, delivery, flags, message_type, payload } => {
                let room = room.as_ref().map(RoomName::as_str);
                self.broadcast(room, *delivery, *flags, *message_type, payload)?;
            }
            Request::ToServer { room, message_type, payload } => {
                let room = room.clone().or_else(|| self.current_room());
                self.send_to_server(room.as_ref().map(RoomName::as_str), *message_type, payload)?;
            }
            Request::SetMetadata { key, value } => self.set_metadata(key, value.as_deref())?,
            Request::ListRooms => {
                self.check_open()?;
                self.spend(Cost::LIST)?;
                let request = self.number_request();
                self.lists.insert(request);
                self.ask(&ClientMessage::ListRooms { request });
            }
            Request::Authenticate { token } => {
                self.check_open()?;
                self.spend(Cost::TOKEN)?;
                self.note_token(token)?;
                let (request, token) = (self.number_request(), token.lend());
                self.tokens.insert(request);
                self.ask(&ClientMessage::Authenticate { request, token });
            }
            Request::Ping => {
                self.check_open()?;
                // Not without a link: nothing could be measured.
                if self.is_open() {
                    self.spend(Cost { pings: 1, ..Cost::default() })?;
                }
                if self.is_open()
                    && let Some(nonce) = self.pings.start(now)
                {
                    ClientMessage::Ping { nonce }.encode(&mut self.outbox);
                }
            }
        }
        Ok(true)
    }

    /// Says something to a room: to `room`, or to the one joined last. [`Request::Broadcast`],
    /// with a payload that need not be kept.
    pub(crate) fn broadcast(
        &mut self,
        room: Option<&str>,
        delivery: Delivery,
        flags: SendFlags,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<u64, SendError> {
        self.check_payload(payload)?;
        self.check_direction(message_type)?;
        if flags.contains(SendFlags::FORGET) && !matches!(delivery, Delivery::Latest(_)) {
            return Err(SendError::NothingToForget);
        }
        let (_, member) = self.find(room)?;
        let cost = Cost::message(payload.len(), member.members());
        self.spend(cost)?;
        let (room, member) = self.find(room)?;
        let kind = if flags.contains(SendFlags::ECHO) {
            Kind::Echo
        } else {
            member.spoke();
            Kind::Broadcast
        };
        self.ask(&ClientMessage::Broadcast { room, delivery, flags, message_type, payload });
        Ok(self.sent.add(kind))
    }

    /// Says something to the server program, about `room` or about none. [`Request::ToServer`], with
    /// a payload that need not be kept.
    pub(crate) fn send_to_server(
        &mut self,
        room: Option<&str>,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<u64, SendError> {
        self.check_payload(payload)?;
        self.check_direction(message_type)?;
        let room = match room {
            Some(name) => self.find(Some(name))?.0,
            None => RoomId(0),
        };
        self.spend(Cost::message(payload.len(), 0))?;
        self.ask(&ClientMessage::ToServer { room, message_type, payload });
        Ok(self.sent.add(Kind::ToServer))
    }

    /// The room joined last, if this client is in one.
    pub(crate) fn current_room(&self) -> Option<RoomName> {
        let member = self.rooms.get(self.order.last()?)?;
        (!member.is_listing()).then(|| member.name().clone())
    }

    /// Notes another token: later links begin with it.
    pub(super) fn note_token(&mut self, token: &Token) -> Result<(), SendError> {
        if token.is_empty() || token.0.len() > MAX_TOKEN {
            return Err(SendError::InvalidToken { len: token.0.len() });
        }
        self.hello.token = token.clone();
        Ok(())
    }

    /// Notes a change of the own metadata for later sessions, unless no server would take it.
    pub(crate) fn note_metadata(
        &mut self,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), SendError> {
        self.hello.change(key, value).map_err(SendError::InvalidMetadata)
    }

    /// Changes the own metadata.
    fn set_metadata(&mut self, key: &str, value: Option<&str>) -> Result<(), SendError> {
        self.check_open()?;
        let max = self.max_payload();
        let len = key.len() + value.map_or(0, str::len);
        if len > max {
            return Err(SendError::PayloadTooLarge { len, max });
        }
        check_metadata_key(key)?;
        self.spend(Cost::metadata(len))?;
        // What the server will refuse for its size is not asked for again.
        let _ = self.hello.change(key, value);
        self.ask(&ClientMessage::SetMetadata { key, value, if_version: None });
        Ok(())
    }

    /// Asks another session for the metadata that the program has set since the first.
    pub(super) fn ask_for_metadata(&mut self) {
        let changes: Vec<_> = self.hello.changes();
        for (key, value) in &changes {
            self.ask(&ClientMessage::SetMetadata {
                key,
                value: value.as_deref(),
                if_version: None,
            });
        }
    }

    pub(super) fn ask_to_join(&mut self, asked: Asked) {
        let request = self.number_request();
        let (room, options) = (asked.room.as_str(), asked.options.borrowed());
        self.ask(&ClientMessage::Join { request, room, options });
        self.joins.push_back((request, asked));
    }

    /// A number that no request has which was not answered long ago.
    fn number_request(&mut self) -> u32 {
        self.next_request = self.next_request.wrapping_add(1);
        self.next_request
    }

    /// Sends a request, or keeps it until there is a link.
    pub(super) fn ask(&mut self, request: &ClientMessage<'_>) {
        let start = self.outbox.len();
        request.encode(&mut self.outbox);
        if self.is_held() && (self.is_open() || !planted!("client-forgets-while-away")) {
            self.unconfirmed.keep(&self.outbox[start..]);
        }
        if !self.is_open() {
            self.outbox.truncate(start);
        }
    }

    /// Whether this client has no seat, and has asked for none.
    pub(super) fn is_nowhere(&self) -> bool {
        let stays = self.rooms.values().any(|member| !member.leaving);
        !stays && self.awaited.is_empty() && self.joins.is_empty()
    }

    fn check_open(&self) -> Result<(), SendError> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Closed => Err(SendError::Closed),
            Phase::Greeting | Phase::Resuming | Phase::Away if self.is_held() => Ok(()),
            Phase::Greeting | Phase::Resuming | Phase::Away => {
                Err(SendError::Disconnected(DisconnectReason::ConnectionClosed))
            }
        }
    }

    fn check_payload(&self, payload: &[u8]) -> Result<(), SendError> {
        self.check_len(payload.len())
    }

    pub(super) fn check_len(&self, len: usize) -> Result<(), SendError> {
        self.check_open()?;
        let max = self.max_payload();
        if len > max { Err(SendError::PayloadTooLarge { len, max }) } else { Ok(()) }
    }

    fn check_direction(&self, message_type: MessageType) -> Result<(), SendError> {
        let known = self.hello.protocol.as_ref();
        match known.and_then(|known| known.denied_to_clients(message_type)) {
            Some(name) => Err(SendError::SaidByServer { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    fn max_payload(&self) -> usize {
        self.greeted().map_or(0, |greeted| greeted.max_payload)
    }

    fn find(&mut self, name: Option<&str>) -> Result<(RoomId, &mut Membership), SendError> {
        let found = match name {
            Some(name) => self
                .order
                .iter()
                .rev()
                .find(|id| self.rooms.get(id).is_some_and(|member| *member.name() == *name)),
            None => self.order.last(),
        };
        let id = *found.ok_or(SendError::NotInRoom)?;
        let member = self.rooms.get_mut(&id).ok_or(SendError::NotInRoom)?;
        // Nothing can be said before the program knows that it is in.
        if member.is_listing() { Err(SendError::NotInRoom) } else { Ok((id, member)) }
    }
}
