//! A room at one place of its order: who is in it and what is known of it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::wire::{
    ClientId, Decoder, Delivery, HEADER_LEN, LeaveReason, MAX_SERVER_FRAME, MemberInfo,
    MessageType, MetadataEntry, RoomId, RoomName, Seat, ServerMessage,
};

/// A room at one place of its order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoomState {
    pub(super) room: RoomId,
    pub(super) name: RoomName,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) capacity: u32,
    pub(super) meta_version: u64,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) members: BTreeMap<Seat, MemberInfo>,
    latest: BTreeMap<(Seat, u32), Value>,
}

/// The newest value of a sender and key.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Value {
    seq: u64,
    message_type: MessageType,
    payload: Bytes,
}

/// The seat that a viewer of a recording has: in nobody's way.
pub(super) const VIEWER: Seat = Seat(u32::MAX);

impl RoomState {
    /// A room before its first event.
    pub(super) fn new(room: RoomId, name: RoomName, epoch: u64, capacity: u32) -> Self {
        Self {
            room,
            name,
            epoch,
            seq: 0,
            capacity,
            meta_version: 0,
            meta: BTreeMap::new(),
            members: BTreeMap::new(),
            latest: BTreeMap::new(),
        }
    }

    /// The last event that is included; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Who is in the room, in the order of their seats.
    pub fn members(&self) -> impl Iterator<Item = &MemberInfo> {
        self.members.values()
    }

    /// The room's metadata, sorted by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.meta.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Version of the room's metadata.
    pub fn metadata_version(&self) -> u64 {
        self.meta_version
    }

    /// Seats; `None` where only the server's own limit held.
    pub fn capacity(&self) -> Option<u32> {
        (self.capacity > 0).then_some(self.capacity)
    }

    /// What a newcomer is told: whole frames of `Joined`, `Roster` and `Retained`.
    /// Without a viewer, they are what is written to a file.
    pub(super) fn frames(&self, request: u32, viewer: Option<ClientId>) -> BytesMut {
        let room = self.room;
        let viewer = viewer.map(|client_id| MemberInfo {
            user: String::new(),
            seat: VIEWER,
            client_id,
            meta_version: 0,
            meta: Vec::new(),
            away: false,
        });
        let members = self.members.len() + usize::from(viewer.is_some());
        let mut frames = BytesMut::new();
        ServerMessage::Joined {
            request,
            room,
            name: self.name.as_str(),
            epoch: self.epoch,
            seq: self.seq,
            since: self.seq + 1,
            seat: viewer.as_ref().map_or(Seat::SERVER, |viewer| viewer.seat),
            capacity: self.capacity,
            members: u32::try_from(members).unwrap_or(u32::MAX),
            meta_version: self.meta_version,
            meta: entries(&self.meta),
            former: Vec::new(),
        }
        .encode(&mut frames);
        let mut page = Vec::new();
        let mut size = 0;
        for member in self.members.values().chain(&viewer) {
            size += 64 + member.meta.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
            page.push(member.clone());
            if size >= ROSTER_PAGE {
                let members = std::mem::take(&mut page);
                ServerMessage::Roster { room, members }.encode(&mut frames);
                size = 0;
            }
        }
        if !page.is_empty() {
            ServerMessage::Roster { room, members: page }.encode(&mut frames);
        }
        let mut values: Vec<_> = self.latest.iter().collect();
        values.sort_unstable_by_key(|(_, value)| value.seq);
        for ((sender, key), Value { seq, message_type, payload }) in values {
            let (sender, key, seq, message_type) = (*sender, *key, *seq, *message_type);
            ServerMessage::Retained { room, seq, sender, key, message_type, payload }
                .encode(&mut frames);
        }
        frames
    }

    /// Reads what [`frames`](Self::frames) wrote.
    pub(super) fn parse(mut bytes: Bytes) -> Result<Self, &'static str> {
        let mut decoder = Decoder::new(MAX_SERVER_FRAME);
        let mut next = || match decoder.next_frame_shared(&mut bytes) {
            Ok(Some(body)) => Ok(Some(body)),
            Ok(None) if decoder.partial_len() == 0 => Ok(None),
            Ok(None) | Err(_) => Err("half a frame"),
        };
        let first = next()?.ok_or("a state without a room")?;
        let Ok(ServerMessage::Joined {
            request: 0,
            room,
            name,
            epoch,
            seq,
            since,
            seat: Seat::SERVER,
            capacity,
            members,
            meta_version,
            meta,
            former,
        }) = ServerMessage::decode(&first)
        else {
            return Err("a state without a room");
        };
        if seq.checked_add(1) != Some(since) || !former.is_empty() {
            return Err("a state of two moments");
        }
        let name = RoomName::new(name).map_err(|_| "a room without a name")?;
        let mut state = Self::new(room, name, epoch, capacity);
        (state.seq, state.meta_version) = (seq, meta_version);
        state.meta = meta.into_iter().collect();
        while let Some(body) = next()? {
            match ServerMessage::decode(&body) {
                Ok(ServerMessage::Roster { room, members }) if room == state.room => {
                    members.into_iter().try_for_each(|member| state.seat(member))?;
                }
                Ok(ServerMessage::Retained { room, seq, sender, key, message_type, payload })
                    if room == state.room && seq <= state.seq =>
                {
                    let payload = body.slice_ref(payload);
                    state.latest.insert((sender, key), Value { seq, message_type, payload });
                }
                _ => return Err("a state with something else in it"),
            }
        }
        if u32::try_from(state.members.len()) != Ok(members) {
            return Err("a state with another number of members");
        }
        Ok(state)
    }

    /// Takes what a room retains for newcomers: whole `Retained` frames.
    pub(super) fn retain(&mut self, frames: &[Bytes]) {
        for frame in frames {
            let body = frame.slice(HEADER_LEN.min(frame.len())..);
            if let Ok(ServerMessage::Retained { seq, sender, key, message_type, payload, .. }) =
                ServerMessage::decode(&body)
            {
                let payload = body.slice_ref(payload);
                self.latest.insert((sender, key), Value { seq, message_type, payload });
            }
        }
    }

    /// Takes the next event: a whole frame, as members got it. Fails if that
    /// cannot have happened here.
    pub(super) fn apply(&mut self, frame: &Bytes) -> Result<(), &'static str> {
        let message = event(frame).ok_or("not an event of a room")?;
        let (room, seq) = place(&message).ok_or("not an event of a room")?;
        if room != self.room {
            return Err("an event of another room");
        }
        if self.seq.checked_add(1) != Some(seq) || seq == u64::MAX {
            return Err("an event that is not the next one");
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is no event")]
        match message {
            ServerMessage::Broadcast { sender, delivery, message_type, payload, .. } => {
                if sender != Seat::SERVER && !self.members.contains_key(&sender) {
                    return Err("words of somebody who is not there");
                }
                if let Delivery::Latest(key) = delivery {
                    let payload = frame.slice_ref(payload);
                    self.latest.insert((sender, key), Value { seq, message_type, payload });
                }
            }
            ServerMessage::PlayerJoined { member, .. } => self.seat(member)?,
            ServerMessage::PlayerLeft { seat, .. } => {
                self.members.remove(&seat).ok_or(NOBODY)?;
                let own = (seat, 0)..=(seat, u32::MAX);
                self.latest.extract_if(own, |_, _| true).for_each(drop);
            }
            ServerMessage::PlayerAway { seat, .. } => self.member(seat)?.away = true,
            ServerMessage::PlayerBack { seat, .. } => self.member(seat)?.away = false,
            ServerMessage::PlayerMetadata { seat, version, key, value, .. } => {
                let member = self.member(seat)?;
                member.meta_version = version;
                member.meta.retain(|(known, _)| known != key);
                if let Some(value) = value {
                    member.meta.push((key.to_owned(), value.to_owned()));
                    member.meta.sort();
                }
            }
            ServerMessage::RoomMetadata { version, key, value, .. } => {
                self.meta_version = version;
                match value {
                    Some(value) => self.meta.insert(key.to_owned(), value.to_owned()),
                    None => self.meta.remove(key),
                };
            }
            _ => {}
        }
        self.seq = seq;
        Ok(())
    }

    /// Events that lead from here to `after`, without what was said between: whole
    /// frames, numbered from the next one on. Never more than really happened.
    pub(super) fn bridge(&self, after: &Self) -> Vec<Bytes> {
        let room = self.room;
        let mut frames = Vec::new();
        let mut seq = self.seq;
        let mut push = |event: &dyn Fn(u64) -> Bytes| {
            seq += 1;
            frames.push(event(seq));
        };
        for old in self.members.values() {
            let seat = old.seat;
            let Some(new) = after.members.get(&seat) else {
                let reason = LeaveReason::Disconnected;
                push(&|seq| {
                    let reason = reason.clone();
                    ServerMessage::PlayerLeft { room, seq, seat, reason }.to_frame()
                });
                continue;
            };
            let version = new.meta_version;
            for (key, value) in changes(&pairs(&old.meta), &pairs(&new.meta)) {
                push(&|seq| {
                    ServerMessage::PlayerMetadata { room, seq, seat, version, key, value }
                        .to_frame()
                });
            }
            match (old.away, new.away) {
                (false, true) => {
                    push(&|seq| ServerMessage::PlayerAway { room, seq, seat }.to_frame());
                }
                (true, false) => {
                    push(&|seq| ServerMessage::PlayerBack { room, seq, seat }.to_frame());
                }
                _ => {}
            }
        }
        for member in after.members.values() {
            if !self.members.contains_key(&member.seat) {
                push(&|seq| {
                    let member = member.clone();
                    ServerMessage::PlayerJoined { room, seq, member }.to_frame()
                });
            }
        }
        let version = after.meta_version;
        for (key, value) in changes(&borrowed(&self.meta), &borrowed(&after.meta)) {
            push(&|seq| ServerMessage::RoomMetadata { room, seq, version, key, value }.to_frame());
        }
        frames
    }

    fn seat(&mut self, member: MemberInfo) -> Result<(), &'static str> {
        if matches!(member.seat, Seat::SERVER | VIEWER) {
            return Err("a seat that nobody can have");
        }
        match self.members.insert(member.seat, member) {
            Some(_) => Err("a seat that is taken already"),
            None => Ok(()),
        }
    }

    fn member(&mut self, seat: Seat) -> Result<&mut MemberInfo, &'static str> {
        self.members.get_mut(&seat).ok_or(NOBODY)
    }
}

/// What a whole frame says, if it is one.
pub(super) fn event(frame: &[u8]) -> Option<ServerMessage<'_>> {
    let (len, body) = frame.split_first_chunk::<HEADER_LEN>()?;
    if u32::from_le_bytes(*len) as usize != body.len() {
        return None;
    }
    ServerMessage::decode(body).ok()
}

/// Where an event stands; `None` if the message is none.
fn place(message: &ServerMessage<'_>) -> Option<(RoomId, u64)> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is no event")]
    match message {
        ServerMessage::Broadcast { room, seq, .. }
        | ServerMessage::PlayerJoined { room, seq, .. }
        | ServerMessage::PlayerLeft { room, seq, .. }
        | ServerMessage::PlayerAway { room, seq, .. }
        | ServerMessage::PlayerBack { room, seq, .. }
        | ServerMessage::RoomMetadata { room, seq, .. }
        | ServerMessage::PlayerMetadata { room, seq, .. }
        | ServerMessage::RoomDeleted { room, seq, .. } => Some((*room, *seq)),
        _ => None,
    }
}

fn entries(map: &BTreeMap<String, String>) -> Vec<MetadataEntry> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn pairs(meta: &[MetadataEntry]) -> BTreeMap<&str, &str> {
    meta.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn borrowed(meta: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    meta.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// What was set and removed between two maps, at least.
fn changes<'a>(
    before: &BTreeMap<&'a str, &'a str>,
    after: &BTreeMap<&'a str, &'a str>,
) -> Vec<(&'a str, Option<&'a str>)> {
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (*key, None));
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    removed.chain(set.map(|(key, value)| (*key, Some(*value)))).collect()
}

const NOBODY: &str = "something about somebody who is not there";

/// Bytes of one roster message, about.
const ROSTER_PAGE: usize = 32 * 1024;
