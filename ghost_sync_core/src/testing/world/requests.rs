//! What honest clients ask for.

use bytes::Bytes;

use super::World;
use crate::{
    client::{Request, RequestKind},
    testing::{oracle::Message, stamp::Stamp, swarm::NOWHERE},
    wire::{CloseReason, Delivery, IfMissing, JoinOptions, Replay, RoomId, RoomName, SendFlags},
};

impl World {
    pub(super) fn broadcast(&mut self, at: usize) {
        let delivery = match self.rng.u32(..8) {
            _ if self.swarm.volatile => Delivery::Volatile,
            0..4 => Delivery::Reliable,
            4 | 5 => Delivery::Volatile,
            _ => Delivery::Latest(self.rng.u32(..self.swarm.keys)),
        };
        let last = matches!(delivery, Delivery::Latest(_)) && self.rng.u32(..5) == 0;
        let echo = self.rng.u32(..6) == 0;
        let ack = self.rng.u32(..4) == 0;
        let mut flags = SendFlags::NONE;
        if echo {
            flags = flags.with(SendFlags::ECHO);
        }
        if ack {
            flags = flags.with(SendFlags::ACK);
        }
        if last {
            flags = flags.with(SendFlags::FORGET);
        }
        let Some(name) = self.some_room(at) else { return };
        let author = self.players[at].author;
        // Of two rooms of that name, the client means the one that it joined last.
        let stays = &self.oracle.authors[author].stays;
        let key = stays.values().filter(|stay| self.oracle.is_called(stay.key, &name));
        let Some(key) = key.max_by_key(|stay| stay.order).map(|stay| stay.key) else { return };
        let counter = self.oracle.authors[author].messages.len();
        let len = self.length();
        let payload = stamp(author, counter, key.1).payload(len);
        let message_type = self.message_type();
        let session = &mut self.players[at].session;
        let said = session.broadcast(Some(name.as_str()), delivery, flags, message_type, &payload);
        if let Ok(reference) = said {
            let floor = if key.0 == self.oracle.era { self.oracle.head(key) } else { 0 };
            let mut message =
                Message::new(Some(key), Some(delivery), message_type, floor, payload.len());
            (message.echo, message.ack, message.last) = (echo, ack, last);
            message.open = self.players[at].session.is_open();
            message.losses = self.oracle.authors[author].losses;
            self.oracle.says(author, reference, message);
        }
        self.flush(at);
    }

    pub(super) fn send_to_server(&mut self, at: usize) {
        let author = self.players[at].author;
        let counter = self.oracle.authors[author].messages.len();
        let len = self.length();
        let payload = stamp(author, counter, RoomId(0)).payload(len);
        let message_type = self.message_type();
        if let Ok(reference) = self.players[at].session.send_to_server(None, message_type, &payload)
        {
            let message = Message::new(None, None, message_type, 0, payload.len());
            self.oracle.says(author, reference, message);
        }
        self.flush(at);
    }

    pub(super) fn join(&mut self, at: usize) {
        let name = self.rng.u32(..);
        let name = self.room_name(name);
        let replay = match self.rng.u32(..4) {
            0 | 1 => Replay::Nothing,
            2 => Replay::Last(self.rng.u32(..50)),
            _ => {
                let known = self.oracle.epoch_of(&name);
                let epoch = known.unwrap_or_else(|| self.rng.u64(..));
                Replay::Since { epoch, seq: self.rng.u64(..40) }
            }
        };
        let (name, if_missing) = match self.rng.u32(..16) {
            // Of these rooms there is none, and nobody asks for one.
            0 => (format!("{NOWHERE}{name}"), IfMissing::Refuse),
            1 => (name, IfMissing::Refuse),
            2 | 3 => (name, IfMissing::Create { options: Bytes::from_static(b"small") }),
            _ => (name, IfMissing::Default),
        };
        let options = JoinOptions {
            data: Bytes::from_static(b"please"),
            replay,
            if_missing,
            ..JoinOptions::default()
        };
        let room = RoomName::new(&name).expect("names are short");
        self.ask(at, Request::Join { room, options, if_nowhere: false });
        self.flush(at);
    }

    /// Makes a request, and notes what the client is owed for it.
    pub(super) fn ask(&mut self, at: usize, request: Request) {
        let player = &mut self.players[at];
        if player.session.request(self.now, &request).is_err() {
            return;
        }
        let author = &mut self.oracle.authors[player.author];
        match request.kind() {
            RequestKind::Join => author.joins_owed += 1,
            RequestKind::ListRooms => author.lists_owed += 1,
            RequestKind::Authenticate => author.tokens_owed += 1,
            _ => {}
        }
    }

    pub(super) fn goodbye(&mut self, at: usize) {
        let reason = self.players[at].session.close(CloseReason::Requested);
        self.client_loses(at, &reason);
        self.players[at].over = true;
        let author = self.players[at].author;
        self.oracle.authors[author].over = true;
    }

    /// One of the rooms that a client is in.
    pub(super) fn some_room(&mut self, at: usize) -> Option<RoomName> {
        let rooms: Vec<_> = self.players[at].session.rooms().collect();
        if rooms.is_empty() {
            return None;
        }
        Some(rooms[self.rng.usize(..rooms.len())].clone())
    }
}

fn stamp(author: usize, counter: usize, room: RoomId) -> Stamp {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX - 1);
    Stamp { author: number(author), counter: number(counter), room }
}
