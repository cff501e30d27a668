//! Core NATS: subjects as rooms, at most once.

use super::{
    Entered, Entry, Session,
    cut::{Rest, line, number},
};
use crate::{
    dial::{DialError, Line},
    hear::Heard,
    speech::{Speech, payload},
};

#[derive(Debug, Default)]
struct Nats {
    rest: Rest,
}

pub(super) fn enter(wire: &mut Line, entry: &Entry<'_>) -> Result<Entered, DialError> {
    let next = |bytes: &[u8]| Ok(line(bytes).map(|line| (line.len() + 2, line.to_vec())));
    let info = wire.listen(next)?;
    if !info.starts_with(b"INFO ") {
        return Err(DialError::answer("connection", &info));
    }
    let echo = entry.echo;
    wire.say(
        format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"echo\":{echo},\"protocol\":1,\
             \"lang\":\"rust\",\"version\":\"0\",\"name\":\"loadtest\"}}\r\n"
        )
        .as_bytes(),
    )?;
    if let Some(room) = entry.room {
        wire.say(format!("SUB {room} 1\r\n").as_bytes())?;
    }
    wire.say(b"PING\r\n")?;
    // Messages of the room may come first; they were not for us yet.
    loop {
        match &wire.listen(next)?[..] {
            b"PONG" => break,
            b"PING" => wire.say(b"PONG\r\n")?,
            error if error.starts_with(b"-ERR") => return Err(DialError::answer("SUB", error)),
            _ => {}
        }
    }
    // The server pings by itself.
    let speech = entry.room.map(|room| {
        let head = format!("PUB {room} {}\r\n", entry.payload);
        let frame = [head.as_bytes(), &payload(entry.payload), b"\r\n"].concat();
        Speech::new(frame, head.len(), entry.index)
    });
    Ok(Entered { session: Box::<Nats>::default(), speech })
}

impl Session for Nats {
    fn hear(&mut self, input: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
        self.rest.each(input, |bytes| {
            let Some(head) = line(bytes) else { return Ok(None) };
            let start = head.len() + 2;
            match head.split(|&byte| byte == b' ').next().unwrap_or_default() {
                b"MSG" => {
                    let len = head.rsplit(|&byte| byte == b' ').next().and_then(number);
                    let len = len.ok_or_else(|| said(head))?;
                    let Some(body) = bytes.get(start..start + len + 2) else { return Ok(None) };
                    heard.broadcast(&body[..len]);
                    return Ok(Some(start + len + 2));
                }
                b"PING" => heard.reply(b"PONG\r\n"),
                b"PONG" | b"+OK" | b"INFO" => {}
                _ => return Err(said(head)),
            }
            Ok(Some(start))
        })
    }
}

/// Why a connection ends at such a line.
fn said(line: &[u8]) -> String {
    format!("the server said {}", String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    use super::Nats;
    use crate::{dialect::cut::tests::hear, speech::Speech};

    #[test]
    fn messages_are_found_wherever_a_read_ends() {
        let mut input = b"PING\r\n".to_vec();
        for (head, index) in [(&b"MSG room 1 16\r\n"[..], 7), (b"MSG room 1 reply 16\r\n", 8)] {
            let frame = [head, b"xxxxxxxx\r\nMSG a ", b"\r\nPONG\r\n"].concat();
            input.extend(Speech::new(frame, head.len(), index).at(5));
        }
        for len in 1..=input.len() {
            let (tally, reply, result) = hear(Nats::default(), &input, len);
            assert_eq!((tally.received, tally.answers, result), (2, 1, Ok(())), "{len}");
            assert_eq!(reply, b"PONG\r\n");
        }
    }

    #[test]
    fn an_error_ends_the_connection_and_so_does_nonsense() {
        for said in ["-ERR 'Slow Consumer'\r\n", "MSG room 1 many\r\n", "HTTP/1.1 400 Bad\r\n"] {
            let (_, _, result) = hear(Nats::default(), said.as_bytes(), 4);
            assert!(result.unwrap_err().starts_with("the server said "));
        }
    }
}
