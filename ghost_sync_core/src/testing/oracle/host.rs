//! What the server program says and sets by itself.

use super::{Direct, Mark, Oracle, Saying, room};
use crate::{
    relay::ConnId,
    testing::stamp,
    wire::{Delivery, MessageType, RoomId, Seat},
};

impl Oracle {
    /// The server program said something to a room, with that place in its order.
    pub(in crate::testing) fn host_said(
        &mut self,
        room: RoomId,
        counter: u32,
        seq: u64,
        (delivery, last, message_type): (Delivery, bool, MessageType),
        except: [Seat; 4],
        len: usize,
    ) {
        let key = (self.era, room);
        if except != <[Seat; 4]>::default() {
            self.mark(Mark::LeftOut);
        }
        self.said.insert(counter, Saying { len });
        let said = room::Said {
            sender: Seat::SERVER,
            author: stamp::Stamp::HOST,
            counter,
            delivery,
            last,
            echo: true,
            message_type,
            except,
        };
        let now = self.now;
        let Some(found) = self.rooms.get_mut(&key) else { return };
        let got = found.say(said, len, now);
        if got != seq {
            self.fail("I1", format!("the host's broadcast is event {seq} instead of {got}"));
        }
    }

    /// The server program said something to some clients; `told` is how many it
    /// was told get it.
    pub(in crate::testing) fn host_told(
        &mut self,
        conns: &[ConnId],
        room: Option<RoomId>,
        counter: u32,
        told: usize,
    ) {
        let place = room.map(|room| ((self.era, room), self.head((self.era, room)) + 1));
        let mut count = 0;
        for conn in conns {
            let Some(session) = self.sessions.get(conn) else { continue };
            if room.is_some_and(|room| !session.seats.contains_key(&room)) {
                continue;
            }
            count += 1;
            let direct = Direct { counter, room: place };
            self.directs.entry(session.client_id).or_default().push_back(direct);
        }
        if count != told {
            self.fail("I10", format!("{told} clients get words that are for {count}"));
        }
    }

    /// A room's settings were changed.
    pub(in crate::testing) fn configured(&mut self, room: RoomId, capacity: u32, retain: usize) {
        if let Some(found) = self.rooms.get_mut(&(self.era, room)) {
            found.capacity = capacity;
            found.retain = retain;
        }
    }
}
