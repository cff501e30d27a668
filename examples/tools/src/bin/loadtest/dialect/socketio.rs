//! Socket.IO 4 over WebSockets, with bytes as the argument of an event.
//!
//! That is two frames: the event with a place for the bytes, then these.

use super::{
    Entered, Entry, Session,
    cut::Rest,
    websocket::{BINARY, TEXT, control, cut, frame, next, upgrade},
};
use crate::{
    dial::{DialError, Line},
    hear::Heard,
    speech::{Speech, payload},
};

/// Packets of the layer below, whole and as beginnings.
const PING: &[u8] = b"2";
const PONG: &[u8] = b"3";
const CLOSE: &[u8] = b"1";
const OPENED: &[u8] = b"0";
const CONNECT: &[u8] = b"40";
const LEFT: &[u8] = b"41";
const JOINED: &[u8] = b"430";

/// The event, whose argument follows.
const SAY: &[u8] = br#"451-["say",{"_placeholder":true,"num":0}]"#;

#[derive(Debug, Default)]
struct SocketIo {
    rest: Rest,
}

pub(super) fn enter(line: &mut Line, entry: &Entry<'_>) -> Result<Entered, DialError> {
    upgrade(line, "/socket.io/?EIO=4&transport=websocket")?;
    wait(line, "the upgrade", OPENED)?;
    line.say(&frame(TEXT, CONNECT))?;
    wait(line, "connecting", CONNECT)?;
    let session = Box::<SocketIo>::default();
    // The server pings by itself.
    let Some(room) = entry.room else { return Ok(Entered { session, speech: None }) };
    let join = format!("420[\"join\",\"{room}\",{}]", entry.echo);
    line.say(&frame(TEXT, join.as_bytes()))?;
    wait(line, "joining", JOINED)?;
    let frames = [frame(TEXT, SAY), frame(BINARY, &payload(entry.payload))].concat();
    let at = frames.len() - entry.payload;
    Ok(Entered { session, speech: Some(Speech::new(frames, at, entry.index)) })
}

/// Waits for a packet that begins so.
fn wait(line: &mut Line, to: &'static str, start: &[u8]) -> Result<(), DialError> {
    loop {
        let (_, said) = next(line)?;
        match &said[..] {
            PING => line.say(&frame(TEXT, PONG))?,
            said if said.starts_with(start) => return Ok(()),
            // Messages of the room may come first; they were not for us yet.
            said if said.starts_with(SAY) || start == JOINED && !said.starts_with(b"4") => {}
            said => return Err(DialError::answer(to, said)),
        }
    }
}

impl Session for SocketIo {
    fn hear(&mut self, input: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
        self.rest.each(input, |bytes| {
            let Some((len, body)) = cut(bytes)? else { return Ok(None) };
            match (bytes[0], body) {
                // Only one event has bytes.
                (BINARY, _) => heard.broadcast(body),
                (TEXT, PING) => heard.reply(&frame(TEXT, PONG)),
                (TEXT, CLOSE | LEFT) => return Err("the server disconnected".to_owned()),
                (kind, _) => control(kind, body, heard)?,
            }
            Ok(Some(len))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BINARY, SAY, SocketIo, TEXT};
    use crate::{
        dialect::{cut::tests::hear, websocket::tests::unmasked},
        speech::{Speech, payload},
    };

    #[test]
    fn messages_are_found_wherever_a_read_ends() {
        let mut input = unmasked(TEXT, b"2");
        for index in [7, 8] {
            input.extend(unmasked(TEXT, SAY));
            let frame = unmasked(BINARY, &payload(200));
            let at = frame.len() - 200;
            input.extend(Speech::new(frame, at, index).at(5));
        }
        for len in 1..=input.len() {
            let (tally, reply, result) = hear(SocketIo::default(), &input, len);
            assert_eq!((tally.received, tally.answers, result), (2, 1, Ok(())), "{len}");
            assert_eq!(reply, [0x81, 0x81, 0, 0, 0, 0, b'3']);
        }
    }

    #[test]
    fn a_disconnect_ends_the_connection() {
        let (_, _, result) = hear(SocketIo::default(), &unmasked(TEXT, b"41"), 9);
        assert_eq!(result, Err("the server disconnected".to_owned()));
    }
}
