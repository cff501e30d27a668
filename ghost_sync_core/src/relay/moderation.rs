//! Broadcasts that wait for the host's verdict, in the order of each sender.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    config::{RelayMode, Validator},
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
        let validator = found.config.validator.clone();
        let most = if validator.is_some() { MAX_VALIDATED } else { MAX_MODERATED };
        if connection.moderated.len() >= most {
            return self.refuse(conn, room, reference, Refusal::Busy);
        }
        let payload = Bytes::copy_from_slice(payload);
        let is_valid = validator.is_none();
        let broadcast = OwnedBroadcast {
            room,
            seat,
            reference,
            delivery,
            flags,
            message_type,
            payload,
            is_valid,
        };
        let ask = self.ask_to_relay(now, conn, &broadcast, validator, out);
        if let (Some(connection), Some(ask)) = (self.conns.get_mut(conn), ask) {
            connection.moderated.push(ask, broadcast);
        }
    }

    fn ask_to_relay(
        &mut self,
        now: Instant,
        conn: ConnId,
        broadcast: &OwnedBroadcast,
        validator: Option<Validator>,
        out: &mut Vec<Output>,
    ) -> Option<AskId> {
        let OwnedBroadcast { room, seat, message_type, ref payload, .. } = *broadcast;
        let connection = self.conns.get(conn)?;
        let question = Question::Relay {
            conn,
            client_id: connection.client_id,
            room,
            name: self.rooms.get(&room)?.name.clone(),
            seat,
            message_type,
            payload: payload.clone(),
            identity: connection.identity().cloned(),
            validator,
        };
        Some(self.ask(now, AskTarget::Relay(conn), question, out))
    }

    /// Takes a verdict about a broadcast, which may have another payload by it; those decided
    /// leave in the order they came.
    pub(super) fn moderated(
        &mut self,
        now: Instant,
        conn: ConnId,
        ask: AskId,
        verdict: Result<Option<Bytes>, Refusal>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(request) = connection.moderated.find(ask) else { return };
        let was_valid = std::mem::replace(&mut request.what.is_valid, true);
        let verdict = verdict.map(|payload| {
            if let Some(payload) = payload {
                request.what.payload = payload;
            }
        });
        let room = self.rooms.get(&request.what.room);
        let is_moderated = room.is_some_and(|room| room.config.mode == RelayMode::Moderated);
        if verdict.is_ok() && !was_valid && is_moderated {
            // It is the host's turn.
            let broadcast = request.what.clone();
            let again = self.ask_to_relay(now, conn, &broadcast, None, out);
            let request = self.conns.get_mut(conn).and_then(|it| it.moderated.find(ask));
            if let (Some(request), Some(again)) = (request, again) {
                request.ask = again;
            }
            return;
        }
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
                    if self.rooms[&room].config.mode == RelayMode::ServerOnly {
                        self.report(conn, room, message_type, payload, out);
                    } else {
                        self.relay(now, conn, reference, seat, broadcast, out);
                    }
                }
                Err(reason) => self.refuse(conn, room, reference, reason),
            }
        }
    }
}

/// Broadcasts of one client that may wait for verdicts: of the host, and of a validator, which
/// takes no time.
const MAX_MODERATED: usize = 64;
const MAX_VALIDATED: usize = 1024;
