//! Ghost Sync's own protocol: `PROTOCOL.md`.
//!
//! Its events are numbered, so what is missing shows in the numbers too.

use bytes::BytesMut;
use ghost_sync_core::{
    ClientMessage, CloseReason, Decoder, Hello, JoinOptions, MAX_SERVER_FRAME, MessageType, RoomId,
    SendFlags, ServerMessage, Welcome,
};

use super::{Entered, Entry, Session};
use crate::{
    dial::{DialError, Line},
    hear::Heard,
    member::Tally,
    speech::{Speech, payload},
};

/// A member of a room, or a connection without one.
#[derive(Debug)]
struct Ghost {
    decoder: Decoder,
    /// The number that the room's next event has.
    next: u64,
}

pub(super) fn enter(line: &mut Line, entry: &Entry<'_>) -> Result<Entered, DialError> {
    let mut hello = BytesMut::new();
    ClientMessage::Hello(Hello::default()).encode(&mut hello);
    if let Some(room) = entry.room {
        ClientMessage::Join { request: 1, room, options: JoinOptions::default() }
            .encode(&mut hello);
    }
    line.say(&hello)?;
    let mut arrival = Arrival { entry, room: None, missing: 0 };
    let mut decoder = Decoder::new(MAX_SERVER_FRAME);
    loop {
        let bytes = line.read()?;
        let mut input = &bytes[..];
        while let Some(frame) = decoder.next_frame(&mut input)? {
            if let Some((room, seq)) = arrival.take(ServerMessage::decode(frame)?)? {
                line.put_back(input);
                let session = Box::new(Ghost { decoder, next: seq + 1 });
                return Ok(Entered { session, speech: entry.room.map(|_| speech(room, entry)) });
            }
        }
    }
}

fn speech(room: RoomId, entry: &Entry<'_>) -> Speech {
    let mut frame = BytesMut::new();
    let flags = if entry.echo { SendFlags::ECHO } else { SendFlags::NONE };
    let payload = &payload(entry.payload);
    ClientMessage::Broadcast {
        room,
        delivery: entry.delivery,
        flags,
        message_type: MessageType::RAW,
        payload,
    }
    .encode(&mut frame);
    // The payload is last.
    Speech::new(frame.to_vec(), frame.len() - payload.len(), entry.index)
}

/// How far the handshake has come.
#[derive(Debug)]
struct Arrival<'a> {
    entry: &'a Entry<'a>,
    /// The room's number and the last event before the own seat.
    room: Option<(RoomId, u64)>,
    missing: u32,
}

impl Arrival<'_> {
    /// Takes a message; the room comes with the last one.
    fn take(&mut self, message: ServerMessage<'_>) -> Result<Option<(RoomId, u64)>, DialError> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about the seat")]
        match message {
            ServerMessage::Welcome(Welcome { max_payload, .. }) => {
                if self.entry.payload > max_payload as usize {
                    return Err(DialError::Payload { max: max_payload });
                }
                if self.entry.room.is_none() {
                    return Ok(Some((RoomId(0), 0)));
                }
            }
            ServerMessage::Joined { room, seq, members, .. } => {
                self.room = Some((room, seq));
                self.missing = members;
            }
            ServerMessage::Roster { members, .. } => {
                let listed = u32::try_from(members.len()).unwrap_or(u32::MAX);
                self.missing = self.missing.saturating_sub(listed);
                if self.missing == 0 {
                    return Ok(self.room);
                }
            }
            ServerMessage::JoinRefused { reason, .. } => {
                let room = self.entry.room.unwrap_or_default().to_owned();
                return Err(DialError::Refused { room, source: reason });
            }
            ServerMessage::Close { reason } => return Err(DialError::Closed(reason)),
            _ => {}
        }
        Ok(None)
    }
}

impl Session for Ghost {
    fn hear(&mut self, mut input: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
        let wrong = |error: &dyn std::error::Error| error.to_string();
        while let Some(frame) = self.decoder.next_frame(&mut input).map_err(|e| wrong(&e))? {
            match ServerMessage::decode(frame) {
                Ok(ServerMessage::Broadcast { seq, payload, .. }) => {
                    heard.broadcast(payload);
                    advance(&mut self.next, heard.tally, seq, seq);
                }
                Ok(message) => other(&message, &mut self.next, heard)?,
                Err(error) => return Err(wrong(&error)),
            }
        }
        Ok(())
    }
}

/// Counts events `from..=to`, which come next if nothing is missing.
fn advance(next: &mut u64, tally: &mut Tally, from: u64, to: u64) {
    match from.checked_sub(*next) {
        Some(jump) => {
            tally.jumped += jump;
            *next = to + 1;
        }
        None => tally.disordered += 1,
    }
}

/// Takes what is no broadcast; the error is why the connection ends.
fn other(message: &ServerMessage<'_>, next: &mut u64, heard: &mut Heard<'_>) -> Result<(), String> {
    match message {
        ServerMessage::Gap { from, to, own, .. } => {
            advance(next, heard.tally, *from, *to);
            heard.tally.announced += to + 1 - from - u64::from(*own);
            heard.tally.jumped += u64::from(*own);
        }
        ServerMessage::PlayerJoined { seq, .. }
        | ServerMessage::PlayerLeft { seq, .. }
        | ServerMessage::RoomMetadata { seq, .. }
        | ServerMessage::PlayerMetadata { seq, .. }
        | ServerMessage::PlayerAway { seq, .. }
        | ServerMessage::PlayerBack { seq, .. }
        | ServerMessage::RoomDeleted { seq, .. } => advance(next, heard.tally, *seq, *seq),
        ServerMessage::Ping { nonce, .. } => {
            let mut pong = BytesMut::new();
            ClientMessage::Pong { nonce: *nonce, received: 0 }.encode(&mut pong);
            heard.reply(&pong);
        }
        ServerMessage::Refused { .. } => heard.tally.refused += 1,
        // Without the number that differs from one to the next, so that they can be counted.
        ServerMessage::Close { reason: CloseReason::SlowConsumer { max, .. } } => {
            return Err(format!("too slow: at most {max} bytes may wait"));
        }
        ServerMessage::Close { reason } => return Err(reason.to_string()),
        ServerMessage::Left { reason, .. } => return Err(format!("removed: {reason}")),
        ServerMessage::Broadcast { .. }
        | ServerMessage::Welcome(_)
        | ServerMessage::Joined { .. }
        | ServerMessage::Roster { .. }
        | ServerMessage::JoinRefused { .. }
        | ServerMessage::Direct { .. }
        | ServerMessage::Aside { .. }
        | ServerMessage::Spared { .. }
        | ServerMessage::TokenExpiring { .. }
        | ServerMessage::Authenticated { .. }
        | ServerMessage::Ack { .. }
        | ServerMessage::Pong { .. }
        | ServerMessage::RoomList { .. }
        | ServerMessage::Retained { .. }
        | ServerMessage::Received { .. }
        | ServerMessage::Resumed { .. }
        | ServerMessage::ResumeFailed { .. } => {}
    }
    Ok(())
}
