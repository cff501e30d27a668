//! Broadcasts that wait for the host's verdict, in the order of each sender.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    event::{AskId, ConnId, Output, Question},
    questions::AskTarget,
    requests::Broadcast,
    session::{OwnedBroadcast, SeatRef},
};
use crate::wire::{Refusal, Seat};

impl Relay {
    pub(super) fn moderate(
        &mut self,
        now: Instant,
        conn: ConnId,
        reference: u64,
        seat: Seat,
        broadcast: Broadcast<'_>,
        out: &mut Vec<Output>,
    ) {
        let Broadcast { room, delivery, flags, message_type, payload } = broadcast;
        let (Some(found), Some(connection)) = (self.rooms.get(&room), self.conns.get(conn)) else {
            return;
        };
        if connection.moderated.len() >= MAX_MODERATED {
            return self.refuse(conn, room, reference, Refusal::Busy);
        }
        let payload = Bytes::copy_from_slice(payload);
        let question = Question::Relay {
            conn,
            client_id: connection.client_id,
            room,
            name: found.name.clone(),
            seat,
            message_type,
            payload: payload.clone(),
        };
        let ask = self.ask(now, AskTarget::Relay(conn), question, out);
        let broadcast =
            OwnedBroadcast { room, seat, reference, delivery, flags, message_type, payload };
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.moderated.push(ask, broadcast);
        }
    }

    /// Takes a verdict about a broadcast; those decided leave in the order they came.
    pub(super) fn moderated(
        &mut self,
        now: Instant,
        conn: ConnId,
        ask: AskId,
        verdict: Result<(), Refusal>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.moderated.decide(ask, verdict);
        self.release_moderated(now, conn, out);
    }

    /// Refuses what waits for a verdict in the name of a seat that is given up.
    pub(super) fn refuse_moderated(
        &mut self,
        now: Instant,
        conn: ConnId,
        held: SeatRef,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let of_seat = |it: &OwnedBroadcast| it.room == held.room && it.seat == held.seat;
        for request in connection.moderated.take(of_seat) {
            self.withdraw(request.ask);
            let reason = match request.verdict {
                Some(Err(reason)) => reason,
                Some(Ok(())) | None => Refusal::NotInRoom,
            };
            self.refuse(conn, held.room, request.what.reference, reason);
        }
        self.release_moderated(now, conn, out);
    }

    /// Relays or refuses the oldest broadcasts that were decided.
    fn release_moderated(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        while let Some(connection) = self.conns.get_mut(conn)
            && let Some((broadcast, verdict)) = connection.moderated.next_decided()
        {
            let OwnedBroadcast { room, reference, delivery, flags, message_type, payload, .. } =
                broadcast;
            match verdict.and_then(|()| self.may_speak(conn, room, &payload)) {
                Ok(seat) => {
                    let payload = &payload[..];
                    let broadcast = Broadcast { room, delivery, flags, message_type, payload };
                    self.relay(now, conn, reference, seat, broadcast, out);
                }
                Err(reason) => self.refuse(conn, room, reference, reason),
            }
        }
    }
}

/// Broadcasts of one client that may wait for verdicts.
const MAX_MODERATED: usize = 64;
