//! Redis 7: RESP3, where one connection may subscribe and publish.
//!
//! A publisher that subscribes hears itself, and every `PUBLISH` is answered.

use super::{
    Entered, Entry, Session,
    cut::{Rest, line, number},
};
use crate::{
    dial::{DialError, Line},
    hear::Heard,
    speech::{Speech, payload},
};

/// How a message to a subscriber begins, up to the length of the channel's name.
const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n$";

/// Aggregates within aggregates; what a subscriber is told has one level.
const DEPTH: usize = 8;

#[derive(Debug, Default)]
struct Redis {
    rest: Rest,
}

pub(super) fn enter(wire: &mut Line, entry: &Entry<'_>) -> Result<Entered, DialError> {
    let first = |bytes: &[u8]| match value(bytes, DEPTH) {
        Ok(len) => Ok(len.map(|len| (len, line(bytes).unwrap_or_default().to_vec()))),
        Err(answer) => Err(DialError::Answer { to: "greeting", answer }),
    };
    wire.say(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")?;
    let answer = wire.listen(first)?;
    if !answer.starts_with(b"%") {
        return Err(DialError::answer("HELLO 3", &answer));
    }
    let Some(room) = entry.room else {
        let speech = Some(Speech::ping(*b"*1\r\n$4\r\nPING\r\n"));
        return Ok(Entered { session: Box::<Redis>::default(), speech });
    };
    let len = room.len();
    wire.say(format!("*2\r\n$9\r\nSUBSCRIBE\r\n${len}\r\n{room}\r\n").as_bytes())?;
    let answer = wire.listen(first)?;
    if answer != b">3" {
        return Err(DialError::answer("SUBSCRIBE", &answer));
    }
    let head = format!("*3\r\n$7\r\nPUBLISH\r\n${len}\r\n{room}\r\n${}\r\n", entry.payload);
    let frame = [head.as_bytes(), &payload(entry.payload), b"\r\n"].concat();
    let speech = Some(Speech::new(frame, head.len(), entry.index));
    Ok(Entered { session: Box::<Redis>::default(), speech })
}

impl Session for Redis {
    fn hear(&mut self, input: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
        self.rest.each(input, |bytes| {
            if let Some(behind) = bytes.strip_prefix(MESSAGE) {
                let Some((len, payload)) = message(behind)? else { return Ok(None) };
                heard.broadcast(payload);
                return Ok(Some(MESSAGE.len() + len));
            }
            value(bytes, DEPTH)
        })
    }
}

/// What follows [`MESSAGE`]: its length and the payload.
fn message(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, String> {
    let Some((head, name)) = bulk(bytes)? else { return Ok(None) };
    let start = head + name + 2;
    let Some(behind) = bytes.get(start..).filter(|behind| !behind.is_empty()) else {
        return Ok(None);
    };
    let Some(behind) = behind.strip_prefix(b"$") else { return Err(nonsense(behind)) };
    let Some((head, len)) = bulk(behind)? else { return Ok(None) };
    let payload = behind.get(head..head + len + 2).map(|payload| &payload[..len]);
    Ok(payload.map(|payload| (start + 1 + head + len + 2, payload)))
}

/// A bulk string behind its `$`: bytes of the line with its length, and that.
fn bulk(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(digits) = line(bytes) else { return Ok(None) };
    let len = number(digits).ok_or_else(|| nonsense(bytes))?;
    Ok(Some((digits.len() + 2, len)))
}

/// The length of a value, if all of it is there; errors are values that end the connection.
fn value(bytes: &[u8], depth: usize) -> Result<Option<usize>, String> {
    let Some(head) = line(bytes) else { return Ok(None) };
    let Some((&kind, rest)) = head.split_first() else { return Err(nonsense(bytes)) };
    let len = head.len() + 2;
    let values = match kind {
        b'-' | b'!' => return Err(String::from_utf8_lossy(head).into_owned()),
        b'+' | b':' | b'_' | b',' | b'#' | b'(' => return Ok(Some(len)),
        b'$' | b'=' => {
            let body = number(rest).ok_or_else(|| nonsense(bytes))?;
            return Ok((bytes.len() >= len + body + 2).then_some(len + body + 2));
        }
        b'*' | b'~' | b'>' => number(rest),
        b'%' => number(rest).map(|pairs| pairs * 2),
        _ => None,
    };
    let values = values.filter(|_| depth > 0).ok_or_else(|| nonsense(bytes))?;
    let mut at = len;
    for _ in 0..values {
        let Some(len) = value(&bytes[at..], depth - 1)? else { return Ok(None) };
        at += len;
    }
    Ok(Some(at))
}

fn nonsense(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(40)];
    format!("the server said {:?}", String::from_utf8_lossy(start))
}

#[cfg(test)]
mod tests {
    use super::Redis;
    use crate::{dialect::cut::tests::hear, speech::Speech};

    #[test]
    fn messages_are_found_wherever_a_read_ends() {
        let mut input = b":15\r\n".to_vec();
        let head = b">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$16\r\n";
        for index in [7, 8] {
            let frame = [&head[..], b"xxxxxxxx\r\n>3\r\n$7\r\n", b"\r\n"].concat();
            // The payload holds what a frame ends and begins with.
            input.extend(Speech::new(frame[..head.len() + 16].to_vec(), head.len(), index).at(5));
            input.extend(b"\r\n+PONG\r\n>2\r\n+a\r\n%1\r\n$1\r\nb\r\n:2\r\n");
        }
        for len in 1..=input.len() {
            let (tally, reply, result) = hear(Redis::default(), &input, len);
            assert_eq!((tally.received, tally.answers, result), (2, 1, Ok(())), "{len}");
            assert!(reply.is_empty());
        }
    }

    #[test]
    fn an_error_ends_the_connection_and_so_does_nonsense() {
        for (said, why) in [
            (&b"-ERR max number of clients reached\r\n"[..], "ERR max number"),
            (b"HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1"),
            (b">3\r\n$7\r\nmessage\r\n$x\r\n", "the server said"),
            (b">99999999999\r\n", "the server said"),
        ] {
            let (_, _, result) = hear(Redis::default(), said, 3);
            assert!(result.unwrap_err().contains(why));
        }
    }
}
