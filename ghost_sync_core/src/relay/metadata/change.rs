//! Changes of clients' metadata: those that clients ask for wait for the host's verdict
//! where it wants to give one, in the order in which they came.

use std::time::Instant;

use super::{MetadataLimit, MetadataMap, Owner, check_listed};
use crate::{
    relay::{
        Relay,
        error::{ClientNotFound, MetadataError},
        event::{AskId, ConnId, Output, Question, RelayEvent},
        log::Origin,
        questions::AskTarget,
    },
    wire::{CloseReason, MetadataEntry, Refusal, RoomId, ServerMessage},
};

/// A change of metadata as it was asked for.
#[derive(Clone, Copy)]
pub(in crate::relay) struct MetadataChange<'a> {
    pub(in crate::relay) key: &'a str,
    pub(in crate::relay) value: Option<&'a str>,
    pub(in crate::relay) if_version: Option<u64>,
}

/// A change that waits for a verdict.
#[derive(Debug)]
pub(in crate::relay) struct OwnedChange {
    key: String,
    value: Option<String>,
    if_version: Option<u64>,
}

impl Relay {
    /// The metadata that a client brings, if it may.
    pub(in crate::relay) fn metadata_of_hello(
        &self,
        meta: Vec<MetadataEntry>,
    ) -> Result<MetadataMap, CloseReason> {
        let allowed = self.config.client_metadata_keys.as_ref();
        let listed = meta.iter().try_for_each(|(key, _)| check_listed(allowed, key));
        let map = MetadataMap::with(MetadataLimit::CLIENT, meta)
            .map_err(|error| CloseReason::Protocol { what: error.to_string() })?;
        listed.map_err(|message| CloseReason::ConnectionRefused { message })?;
        Ok(map)
    }

    /// A client asks for a change of its metadata.
    pub(in crate::relay) fn client_sets_metadata(
        &mut self,
        now: Instant,
        conn: ConnId,
        change: MetadataChange<'_>,
        out: &mut Vec<Output>,
    ) {
        if !self.config.host.ask_metadata {
            return self.carry_out_metadata(now, conn, change, out);
        }
        if let Err(reason) = self.may_change_metadata(conn, change) {
            return self.refuse(conn, RoomId(0), 0, reason);
        }
        let Some(connection) = self.conns.get(conn) else { return };
        if connection.meta_asked.len() >= MAX_ASKED {
            return self.refuse(conn, RoomId(0), 0, Refusal::Busy);
        }
        let client_id = connection.client_id;
        let MetadataChange { key, value, if_version } = change;
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        let question =
            Question::SetMetadata { conn, client_id, key: key.clone(), value: value.clone() };
        let ask = self.ask(now, AskTarget::SetMetadata(conn), question, out);
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.meta_asked.push(ask, OwnedChange { key, value, if_version });
        }
    }

    /// Takes a verdict about a change; those decided are made in the order they came.
    pub(in crate::relay) fn metadata_decided(
        &mut self,
        now: Instant,
        conn: ConnId,
        ask: AskId,
        verdict: Result<(), Refusal>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.meta_asked.decide(ask, verdict);
        while let Some(connection) = self.conns.get_mut(conn)
            && let Some((change, verdict)) = connection.meta_asked.next_decided()
        {
            let OwnedChange { key, value, if_version } = change;
            let change = MetadataChange { key: &key, value: value.as_deref(), if_version };
            match verdict {
                Ok(()) => self.carry_out_metadata(now, conn, change, out),
                Err(reason) => self.refuse(conn, RoomId(0), 0, reason),
            }
        }
    }

    /// Makes a change that a client asked for, if it still may.
    fn carry_out_metadata(
        &mut self,
        now: Instant,
        conn: ConnId,
        change: MetadataChange<'_>,
        out: &mut Vec<Output>,
    ) {
        let made = self.may_change_metadata(conn, change).and_then(|()| {
            let made = self.change_client_metadata(now, conn, Owner::Client, change, out);
            made.map_err(|error| error.as_refusal())
        });
        if let Err(reason) = made {
            self.refuse(conn, RoomId(0), 0, reason);
        }
    }

    /// Whether a client may make that change now.
    fn may_change_metadata(&self, conn: ConnId, change: MetadataChange<'_>) -> Result<(), Refusal> {
        let MetadataChange { key, value, if_version } = change;
        let Some(connection) = self.conns.get(conn) else { return Ok(()) };
        let checked = connection.meta.check(Owner::Client, key, value, if_version);
        checked.map_err(|error| error.as_refusal())?;
        let allowed = self.config.client_metadata_keys.as_ref();
        check_listed(allowed, key).map_err(|what| Refusal::Forbidden { what })
    }

    /// Changes a client's metadata; its rooms are told, itself included.
    pub(in crate::relay) fn change_client_metadata(
        &mut self,
        now: Instant,
        conn: ConnId,
        owner: Owner,
        change: MetadataChange<'_>,
        out: &mut Vec<Output>,
    ) -> Result<u64, MetadataError> {
        let MetadataChange { key, value, if_version } = change;
        let connection = self.conns.get_mut(conn).ok_or(ClientNotFound)?;
        let version = connection.meta.set(owner, key, value, if_version)?;
        let client_id = connection.client_id;
        let size = key.len() + value.map_or(0, str::len) + 64;
        for at in 0..self.conns[conn].seats.len() {
            let held = self.conns[conn].seats[at];
            let (room, seat) = (held.room, held.seat);
            if let Some(found) = self.rooms.get_mut(&room) {
                found.roster.changed(seat);
            }
            if self.rooms.get(&room).is_some_and(|found| found.deleted) {
                continue;
            }
            let seq = self.append(now, room, Origin::of(seat), size, |buf, seq| {
                ServerMessage::PlayerMetadata { room, seq, seat, version, key, value }.encode(buf);
            });
            if let Some(found) = self.rooms.get_mut(&room) {
                found.changed(seat, key, seq);
            }
        }
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        let event = RelayEvent::ClientMetadataChanged { conn, client_id, version, key, value };
        out.push(Output::Event(event));
        Ok(version)
    }
}

/// Changes of one client that may wait for verdicts.
const MAX_ASKED: usize = 16;
