//! WebSocket frames (RFC 6455), and a relay that needs nothing else: a path is a room.

use super::{Entered, Entry, Session, cut::Rest};
use crate::{
    dial::{DialError, Line},
    hear::Heard,
    speech::{Speech, payload},
};

/// First bytes of frames that are not continued.
pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What a client's frame is masked with: zeros, which change nothing.
const MASK: [u8; 4] = [0; 4];

/// Lengths that are written in two bytes and in eight.
const SHORT: u8 = 126;
const LONG: u8 = 127;

#[derive(Debug, Default)]
struct Relay {
    rest: Rest,
}

pub(super) fn enter(line: &mut Line, entry: &Entry<'_>) -> Result<Entered, DialError> {
    let session = Box::<Relay>::default();
    let Some(room) = entry.room else {
        upgrade(line, "/")?;
        return Ok(Entered { session, speech: Some(Speech::ping(frame(PING, b""))) });
    };
    upgrade(line, &format!("/{room}{}", if entry.echo { "?echo" } else { "" }))?;
    let (kind, said) = next(line)?;
    if kind != TEXT {
        return Err(DialError::answer("joining", &said));
    }
    let frame = frame(BINARY, &payload(entry.payload));
    let at = frame.len() - entry.payload;
    Ok(Entered { session, speech: Some(Speech::new(frame, at, entry.index)) })
}

impl Session for Relay {
    fn hear(&mut self, input: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
        self.rest.each(input, |bytes| {
            let Some((len, body)) = cut(bytes)? else { return Ok(None) };
            match bytes[0] {
                BINARY => heard.broadcast(body),
                kind => control(kind, body, heard)?,
            }
            Ok(Some(len))
        })
    }
}

/// Turns a connection into one for frames.
pub(super) fn upgrade(line: &mut Line, path: &str) -> Result<(), DialError> {
    // The key is the example of the RFC: nobody is between who could mistake it.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    line.say(request.as_bytes())?;
    let head = line.listen(|bytes| {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        Ok(end.map(|end| (end + 4, bytes[..end].to_vec())))
    })?;
    let switched = head.starts_with(b"HTTP/1.1 101 ");
    if switched { Ok(()) } else { Err(DialError::answer("the upgrade", &head)) }
}

/// The next frame: its first byte and what is in it.
pub(super) fn next(line: &mut Line) -> Result<(u8, Vec<u8>), DialError> {
    line.listen(|bytes| match cut(bytes) {
        Ok(frame) => Ok(frame.map(|(len, body)| (len, (bytes[0], body.to_vec())))),
        Err(answer) => Err(DialError::Answer { to: "the upgrade", answer }),
    })
}

/// A client's frame.
pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    match (u8::try_from(body.len()), u16::try_from(body.len())) {
        (Ok(len), _) if len < SHORT => frame.push(0x80 | len),
        (_, Ok(len)) => {
            frame.push(0x80 | SHORT);
            frame.extend(len.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | LONG);
            frame.extend((body.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend_from_slice(body);
    frame
}

/// The length and the body of a server's frame, if all of it is there.
pub(super) fn cut(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, String> {
    let Some(&[kind, len, ..]) = bytes.first_chunk::<2>() else { return Ok(None) };
    if len & 0x80 != 0 || kind & 0x80 == 0 {
        return Err(format!("a frame begins with {kind:#04x} {len:#04x}"));
    }
    let behind = &bytes[2..];
    let (head, len) = match len {
        SHORT => {
            let Some(len) = behind.first_chunk() else { return Ok(None) };
            (4, u64::from(u16::from_be_bytes(*len)))
        }
        LONG => {
            let Some(len) = behind.first_chunk() else { return Ok(None) };
            (10, u64::from_be_bytes(*len))
        }
        len => (2, u64::from(len)),
    };
    let end = usize::try_from(len).ok().and_then(|len| len.checked_add(head));
    let end = end.ok_or_else(|| format!("a frame of {len} bytes"))?;
    Ok(bytes.get(head..end).map(|body| (end, body)))
}

/// Takes a frame without a message.
pub(super) fn control(kind: u8, body: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
    match kind {
        PING => heard.reply(&frame(PONG, body)),
        CLOSE => {
            let code = body.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
            return Err(format!("the server closed with code {code}"));
        }
        TEXT | PONG => {}
        kind => return Err(format!("a frame of kind {kind:#04x} came")),
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::{BINARY, CLOSE, PING, Relay, TEXT, frame};
    use crate::{
        dialect::cut::tests::hear,
        speech::{Speech, payload},
    };

    /// The same frame as a server sends it: not masked.
    pub(in crate::dialect) fn unmasked(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = frame(kind, body);
        let mask = frame.len() - body.len() - 4;
        frame.drain(mask..mask + 4);
        frame[1] &= 0x7f;
        frame
    }

    #[test]
    fn messages_are_found_wherever_a_read_ends() {
        let mut input = unmasked(PING, b"now");
        for (size, index) in [(16, 7), (300, 8), (70_000, 7)] {
            let frame = unmasked(BINARY, &payload(size));
            let at = frame.len() - size;
            input.extend(Speech::new(frame, at, index).at(5));
            input.extend(unmasked(TEXT, b"other"));
        }
        for len in (1..700).chain([input.len()]) {
            let (tally, reply, result) = hear(Relay::default(), &input, len);
            assert_eq!((tally.received, tally.answers, result), (3, 2, Ok(())), "{len}");
            assert_eq!(reply, [0x8a, 0x83, 0, 0, 0, 0, b'n', b'o', b'w']);
        }
    }

    #[test]
    fn a_close_ends_the_connection_and_so_does_nonsense() {
        for (said, why) in [
            (unmasked(CLOSE, &[3, 233]), "code 1001"),
            (frame(BINARY, b"masked"), "begins with 0x82"),
            (b"HTTP/1.1 400".to_vec(), "begins with 0x48"),
            (unmasked(0x80, b""), "kind 0x80"),
        ] {
            let (_, _, result) = hear(Relay::default(), &said, 2);
            let error = result.unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
