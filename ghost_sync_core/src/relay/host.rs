//! What the host does: rooms, messages of the server, kicks, metadata.

use std::time::{Duration, Instant};

use super::{
    Relay,
    asides::{About, Aside},
    deadlines::{FOR_EVER, millis},
    error::{ClientNotFound, MetadataError, RoomNotFound, ServerSendError},
    event::{ConnId, Output, RelayEvent},
    log::{MAX_SPARED, Origin, Spared},
    metadata::{MetadataChange, Owner},
    outbox::ItemKind,
    plants,
    requests::Broadcast,
    session::{Connection, SeatRef, Session, Threshold},
};
use crate::wire::{
    CloseReason, Delivery, LeaveReason, MessageType, RoomId, Seat, SendFlags, ServerMessage,
};

/// What the server says to a room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announcement<'a> {
    /// How hard to try.
    pub delivery: Delivery,
    /// With [`Latest`](Delivery::Latest) only: newcomers are not given a value of that key
    /// afterwards.
    pub last: bool,
    /// Who is left out of those in the room, at most 4. They are never given it in that stay,
    /// also not when they come back, and nothing is told of it. A value of
    /// [`Latest`](Delivery::Latest) replaces older ones of its key for them too: they are
    /// taken to know it. Who leaves and joins again is told what newcomers are told.
    pub except: &'a [ConnId],
    /// What the payload is.
    pub message_type: MessageType,
    /// The bytes.
    pub payload: &'a [u8],
}

impl Relay {
    /// Ends a client's connection: it is told [`CloseReason::Kicked`].
    ///
    /// # Errors
    /// When it is gone already.
    pub fn disconnect(
        &mut self,
        now: Instant,
        conn: ConnId,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), ClientNotFound> {
        self.present(conn)?;
        if plants::kicked_is_heard() && self.conns[conn].is_open() {
            let reason = CloseReason::Kicked { message: message.to_owned() };
            self.push(conn, ItemKind::Control, &ServerMessage::Close { reason });
            return Ok(());
        }
        self.bar_from_server(now, conn);
        self.hang_up(now, conn, message, out)
    }

    /// As [`disconnect`](Self::disconnect), but it may connect again at once, if somebody says so.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn hang_up(
        &mut self,
        now: Instant,
        conn: ConnId,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), ClientNotFound> {
        self.present(conn)?;
        self.close(now, conn, CloseReason::Kicked { message: message.to_owned() }, out);
        Ok(())
    }

    /// Takes a client's seat in a room, or in the softly deleted room `room`: it is told
    /// [`LeaveReason::Kicked`], and stays connected.
    ///
    /// # Errors
    /// When it is not in it.
    pub fn kick(
        &mut self,
        now: Instant,
        conn: ConnId,
        room: RoomId,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), ClientNotFound> {
        self.present(conn)?.seat_in(room).ok_or(ClientNotFound)?;
        self.bar_from_room(now, conn, room);
        self.unseat(now, conn, room, message, out)
    }

    /// As [`kick`](Self::kick), but it may join again at once: its game is over, say.
    ///
    /// # Errors
    /// When it is not in it.
    pub fn unseat(
        &mut self,
        now: Instant,
        conn: ConnId,
        room: RoomId,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), ClientNotFound> {
        self.present(conn)?.seat_in(room).ok_or(ClientNotFound)?;
        self.leave(now, conn, room, LeaveReason::Kicked { message: message.to_owned() }, out);
        Ok(())
    }

    /// Says something to everybody in a room, in the server's name; returns its
    /// place in the room's order.
    ///
    /// # Errors
    /// When there is no such room, the payload is too large, or the server may not say it.
    pub fn broadcast(
        &mut self,
        now: Instant,
        name: &str,
        delivery: Delivery,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<u64, ServerSendError> {
        self.say(
            now,
            name,
            Announcement { delivery, message_type, payload, ..Announcement::default() },
        )
    }

    /// Says the last value of a key of [`Delivery::Latest`]: newcomers are not given a
    /// value of that key afterwards.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_last(
        &mut self,
        now: Instant,
        name: &str,
        key: u32,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<u64, ServerSendError> {
        let (delivery, last) = (Delivery::Latest(key), true);
        self.say(
            now,
            name,
            Announcement { delivery, last, message_type, payload, ..Announcement::default() },
        )
    }

    /// Says something to a room, in the server's name, perhaps not to everybody there; returns
    /// its place in the room's order.
    ///
    /// # Errors
    /// When there is no such room, the payload is too large, the server may not say it, or
    /// too many are left out.
    pub fn say(
        &mut self,
        now: Instant,
        name: &str,
        words: Announcement<'_>,
    ) -> Result<u64, ServerSendError> {
        let Announcement { delivery, last, except, message_type, payload } = words;
        let room = self.find(name)?;
        self.check_words(message_type, payload)?;
        let (mut spared, mut too_many) = (Spared::NOBODY, false);
        for conn in except {
            // Who is not in the room hears nothing of it anyway.
            if let Some(seat) = self.conns.get(*conn).and_then(|found| found.seat_in(room)) {
                too_many |= !spared.add(seat);
            }
        }
        if too_many {
            return Err(ServerSendError::TooManyLeftOut { max: MAX_SPARED });
        }
        let flags = match delivery {
            Delivery::Latest(_) if last => SendFlags::FORGET,
            Delivery::Reliable | Delivery::Volatile | Delivery::Latest(_) => SendFlags::NONE,
        };
        let broadcast = Broadcast { room, delivery, flags, message_type, payload };
        let seq = self.append_broadcast(now, Seat::SERVER, spared, broadcast);
        for seat in spared.seats() {
            let member = self.rooms.get(&room).and_then(|found| found.member(seat));
            if let Some(connection) = member.and_then(|found| self.conns.get_mut(found.conn)) {
                connection.outbox.spare(SeatRef { room, seat });
            }
        }
        Ok(seq)
    }

    /// Says something to some clients alone; with a room, only to those who are
    /// in it. Returns how many are told, or would be if they read fast enough.
    ///
    /// - [`Reliable`](Delivery::Reliable): arrives once, after what was said to them and, with
    ///   a room, there before.
    /// - [`Volatile`](Delivery::Volatile): dropped where a client is behind (its socket was
    ///   full, and it has not caught up) or away.
    /// - [`Latest`](Delivery::Latest): the newest of each room and key waits, for a client
    ///   that is away too.
    ///
    /// What may be lost has no place among other messages, is said over one link at most,
    /// never ends a connection, and says how many were missed before it. Of what waits of it
    /// the oldest are dropped past [`channel_capacity`](super::RelayConfig::channel_capacity)
    /// of them, or half of [`outbox_limit`](super::RelayConfig::outbox_limit) in bytes.
    ///
    /// # Errors
    /// When there is no such room, the payload is too large, or the server may not say it.
    pub fn direct(
        &mut self,
        conns: &[ConnId],
        room: Option<&str>,
        delivery: Delivery,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<usize, ServerSendError> {
        self.check_words(message_type, payload)?;
        let room = room.map(|name| self.find(name)).transpose()?;
        let key = match delivery {
            Delivery::Reliable => return Ok(self.tell(conns, room, message_type, payload)),
            Delivery::Volatile => None,
            Delivery::Latest(key) => Some(key),
        };
        let number = room.unwrap_or_default();
        let aside = ServerMessage::Aside { room: number, missed: 0, message_type, payload };
        let frame = aside.to_frame();
        let most = Threshold::of(&self.config);
        let mut receivers = 0;
        for conn in conns {
            let Some(connection) = self.conns.get_mut(*conn).filter(|found| found.is_present())
            else {
                continue;
            };
            let seat = match room.map(|room| connection.seat_in(room)) {
                Some(None) => continue,
                seat => seat.flatten().unwrap_or_default(),
            };
            receivers += 1;
            let aside = Aside { about: About { room: number, seat, key }, frame: frame.clone() };
            let at_once = connection.is_open() && !connection.behind;
            connection.outbox.say_aside(aside, at_once, most);
            // A full socket takes the newest when it takes anything again.
            if connection.is_open() && connection.blocked.is_none() {
                self.make_ready(*conn);
            }
        }
        Ok(receivers)
    }

    fn tell(
        &mut self,
        conns: &[ConnId],
        room: Option<RoomId>,
        message_type: MessageType,
        payload: &[u8],
    ) -> usize {
        let number = room.unwrap_or_default();
        let frame = ServerMessage::Direct { room: number, message_type, payload }.to_frame();
        let before = room.and_then(|room| self.rooms.get(&room)).map_or(0, |room| room.log.next());
        let mut receivers = 0;
        for conn in conns {
            let Ok(connection) = self.present(*conn) else { continue };
            let kind = match room {
                Some(room) => match connection.seat_in(room) {
                    Some(_) if plants::words_overtake() => ItemKind::Message,
                    Some(seat) => ItemKind::After { room, seat, before },
                    None => continue,
                },
                None => ItemKind::Message,
            };
            self.push_frame(*conn, kind, frame.clone());
            receivers += 1;
        }
        receivers
    }

    /// Says something to every client, in a room or not; returns how many get it.
    ///
    /// # Errors
    /// When the payload is too large, or the server may not say it.
    pub fn broadcast_all(
        &mut self,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<usize, ServerSendError> {
        let conns: Vec<_> = self.clients().map(|(conn, _)| conn).collect();
        self.direct(&conns, None, Delivery::Reliable, message_type, payload)
    }

    /// Sets or removes an entry of a room's metadata; members are told.
    ///
    /// # Errors
    /// When there is no such room, a limit is passed, or the version is another.
    pub fn set_room_metadata(
        &mut self,
        now: Instant,
        name: &str,
        key: &str,
        value: Option<&str>,
        if_version: Option<u64>,
        out: &mut Vec<Output>,
    ) -> Result<u64, MetadataError> {
        let room = self.find(name)?;
        let Some(found) = self.rooms.get_mut(&room) else { return Err(ClientNotFound.into()) };
        let version = found.meta.set(Owner::Server, key, value, if_version)?;
        let name = found.name.clone();
        let size = key.len() + value.map_or(0, str::len) + 64;
        let seq = self.append(now, room, Origin::of(Seat::SERVER), size, |buf, seq| {
            ServerMessage::RoomMetadata { room, seq, version, key, value }.encode(buf);
        });
        if let Some(found) = self.rooms.get_mut(&room) {
            found.changed(Seat::SERVER, key, seq);
        }
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        out.push(Output::Event(RelayEvent::RoomMetadataChanged {
            room,
            name,
            version,
            key,
            value,
        }));
        Ok(version)
    }

    /// Sets or removes an entry of a client's metadata; its rooms are told, itself included.
    /// From then on the client cannot change it, nor set it again.
    ///
    /// # Errors
    /// When the client is gone, a limit is passed, or the version is another.
    pub fn set_client_metadata(
        &mut self,
        now: Instant,
        conn: ConnId,
        key: &str,
        value: Option<&str>,
        if_version: Option<u64>,
        out: &mut Vec<Output>,
    ) -> Result<u64, MetadataError> {
        self.present(conn)?;
        self.change_client_metadata(
            now,
            conn,
            Owner::Server,
            MetadataChange { key, value, if_version },
            out,
        )
    }

    /// Closes every connection and refuses new ones; clients get until `grace`
    /// from now for their last bytes.
    pub fn shutdown(
        &mut self,
        now: Instant,
        message: &str,
        grace: Duration,
        out: &mut Vec<Output>,
    ) {
        if self.refusing.is_some() {
            return;
        }
        self.config.linger = grace.min(FOR_EVER);
        let reason = CloseReason::ServerShutdown {
            message: message.to_owned(),
            retry_after_ms: millis(self.config.retry_after),
        };
        let mut conns: Vec<_> = self.conns.keys().collect();
        for conn in conns.iter().copied() {
            // Those on their way out have no more time than the others.
            if let Session::Closing { until } = &mut self.conns[conn].session {
                *until = (*until).min(now + self.config.linger);
                self.schedule(conn);
            }
        }
        if plants::shutdown_forgets_away() {
            conns.retain(|conn| !self.conns[*conn].is_away());
        }
        // What was said before still arrives; that everybody leaves need not.
        for conn in &conns {
            if self.conns[*conn].is_open() {
                self.take_out(*conn, out);
            }
        }
        self.refusing = Some(reason.clone());
        self.ended_away.clear();
        for conn in conns {
            self.close(now, conn, reason.clone(), out);
        }
    }

    pub(super) fn find(&self, name: &str) -> Result<RoomId, RoomNotFound> {
        self.room_id(name).ok_or_else(|| RoomNotFound(name.to_owned()))
    }

    pub(super) fn present(&self, conn: ConnId) -> Result<&Connection, ClientNotFound> {
        self.conns.get(conn).filter(|connection| connection.is_present()).ok_or(ClientNotFound)
    }

    fn check_words(
        &self,
        message_type: MessageType,
        payload: &[u8],
    ) -> Result<(), ServerSendError> {
        let known = self.config.host.protocol.as_ref();
        if let Some(name) = known.and_then(|known| known.denied_to_server(message_type)) {
            return Err(ServerSendError::SaidByClients { name: name.to_owned() });
        }
        let (len, max) = (payload.len(), self.config.max_payload);
        if len > max {
            return Err(ServerSendError::PayloadTooLarge { len, max });
        }
        Ok(())
    }
}
