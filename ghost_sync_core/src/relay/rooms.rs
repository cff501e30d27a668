//! The life of a room: made, changed, deleted, and forgotten once nobody can come back to it.

use std::time::Instant;

use super::{
    Relay,
    config::RoomConfig,
    deadlines::{Due, FOR_EVER},
    error::{CreateRoomError, RoomNotFound},
    event::{Output, RelayEvent},
    log::Origin,
    room::Room,
};
use crate::wire::{LeaveReason, RoomId, RoomName, Seat, ServerMessage};

impl Relay {
    /// Makes a room; `epoch` must be random.
    ///
    /// # Errors
    /// When the name is taken or the server is out of rooms.
    pub fn create_room(
        &mut self,
        now: Instant,
        name: RoomName,
        epoch: u64,
        config: RoomConfig,
        out: &mut Vec<Output>,
    ) -> Result<RoomId, CreateRoomError> {
        if self.refusing.is_some() {
            return Err(CreateRoomError::Stopped);
        }
        if self.names.contains_key(&name) {
            return Err(CreateRoomError::RoomAlreadyExists(name));
        }
        if self.names.len() >= self.config.max_rooms {
            return Err(CreateRoomError::TooManyRooms { max: self.config.max_rooms });
        }
        // A number is never used again: who comes back would be in another room.
        let Some(number) = self.last_room.checked_add(1) else {
            return Err(CreateRoomError::TooManyRooms { max: self.last_room as usize });
        };
        self.last_room = number;
        let room = RoomId(number);
        let bounds = (self.config.resume_grace, self.config.outbox_limit);
        self.rooms.insert(room, Room::new(now, name.clone(), epoch, config, bounds));
        self.names.insert(name.clone(), room);
        self.show_in_lists(room);
        out.push(Output::Event(RelayEvent::RoomCreated { room, name }));
        self.expire_when_empty(now, room);
        Ok(room)
    }

    /// Changes a room's settings; players above a new capacity stay.
    ///
    /// # Errors
    /// When there is no such room.
    pub fn configure_room(
        &mut self,
        now: Instant,
        name: &str,
        config: RoomConfig,
        out: &mut Vec<Output>,
    ) -> Result<(), RoomNotFound> {
        let room = self.find(name)?;
        if let Some(found) = self.rooms.get_mut(&room) {
            found.config = config;
        }
        self.show_in_lists(room);
        self.expire_when_empty(now, room);
        self.tell_fullness(room, out);
        Ok(())
    }

    /// Deletes a room softly: its members are told and keep their seats, but
    /// their next broadcast or join there fails with `RoomNotFound`.
    ///
    /// # Errors
    /// When there is no such room.
    pub fn delete_room(
        &mut self,
        now: Instant,
        name: &str,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), RoomNotFound> {
        let room = self.find(name)?;
        let name = self.delete(now, room, message);
        if self.rooms.get(&room).is_some_and(|found| found.members().is_empty()) {
            self.expire_deleted(now, room);
        }
        let message = message.to_owned();
        out.push(Output::Event(RelayEvent::RoomDeleted { room, name, message }));
        Ok(())
    }

    /// Deletes a room and puts everybody out of it.
    ///
    /// # Errors
    /// When there is no such room.
    pub fn close_room(
        &mut self,
        now: Instant,
        name: &str,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), RoomNotFound> {
        let room = self.find(name)?;
        let name = self.delete(now, room, message);
        let message = message.to_owned();
        if self.rooms.get(&room).is_some_and(|found| found.members().is_empty()) {
            self.expire_deleted(now, room);
        }
        while let Some(member) = self.rooms.get(&room).and_then(|found| found.members().first()) {
            let reason = LeaveReason::RoomDeleted { message: message.clone() };
            self.leave(now, member.conn, room, reason, out);
        }
        out.push(Output::Event(RelayEvent::RoomDeleted { room, name, message }));
        Ok(())
    }

    /// Shows a room in lists, or not, as its settings say.
    fn show_in_lists(&mut self, room: RoomId) {
        let Some(found) = self.rooms.get(&room) else { return };
        if found.config.listed {
            self.listed.insert(found.name.clone(), room);
        } else {
            self.listed.remove(&found.name);
        }
    }

    /// Takes a room's name away and tells its members, as its last event.
    pub(super) fn delete(&mut self, now: Instant, room: RoomId, message: &str) -> RoomName {
        self.append(now, room, Origin::of(Seat::SERVER), message.len() + 64, |buf, seq| {
            ServerMessage::RoomDeleted { room, seq, message }.encode(buf);
        });
        let found = self.rooms.get_mut(&room).expect("the caller found it");
        found.deleted = true;
        self.names.remove(&found.name);
        self.listed.remove(&found.name);
        found.name.clone()
    }

    pub(super) fn expire_when_empty(&mut self, now: Instant, room: RoomId) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        if let Some(old) = found.expires.take() {
            self.deadlines.remove(old, Due::Room(room));
        }
        found.expires = found
            .config
            .remove_when_empty
            .filter(|_| found.members().is_empty() && !found.deleted)
            .map(|after| now + after.min(FOR_EVER));
        if let Some(at) = found.expires {
            self.deadlines.add(at, Due::Room(room));
        }
    }

    /// Removes a deleted room that nobody is in, once nobody can come back who
    /// was.
    pub(super) fn expire_deleted(&mut self, now: Instant, room: RoomId) {
        if self.config.resume_grace.is_zero() || self.refusing.is_some() {
            return self.remove_room(room);
        }
        let Some(found) = self.rooms.get_mut(&room) else { return };
        found.deleted = true;
        let at = now + self.config.resume_grace;
        if let Some(old) = found.expires.replace(at) {
            self.deadlines.remove(old, Due::Room(room));
        }
        self.deadlines.add(at, Due::Room(room));
        self.deleted.push_back(room);
        self.trim_later(room);
        if self.deleted.len() > MAX_DELETED
            && let Some(oldest) = self.deleted.pop_front()
        {
            self.remove_room(oldest);
        }
    }

    /// Removes a room for good.
    fn remove_room(&mut self, room: RoomId) {
        let Some(found) = self.rooms.remove(&room) else { return };
        self.history_bytes -= found.kept_bytes();
        if let Some(due) = found.history_due {
            self.histories.remove(&(due, room));
        }
        if let Some(at) = found.expires {
            self.deadlines.remove(at, Due::Room(room));
        }
    }

    pub(super) fn room_due(&mut self, now: Instant, room: RoomId, out: &mut Vec<Output>) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        if found.deleted {
            found.expires = None;
            self.deleted.retain(|deleted| *deleted != room);
            return self.remove_room(room);
        }
        if found.members().is_empty() && found.expires.is_some_and(|at| at <= now) {
            let name = found.name.clone();
            let _ = self.close_room(now, name.as_str(), "nobody was in it", out);
        }
    }
}

/// Deleted rooms that are kept for those who may come back.
const MAX_DELETED: usize = 1024;
