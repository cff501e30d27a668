//! MQTT 5 with QoS 0: topics as rooms, at most once, and not to the sender (No Local).

use super::{Entered, Entry, Session, cut::Rest};
use crate::{
    dial::{DialError, Line},
    hear::Heard,
    speech::{Speech, payload},
};

/// Types of packets with their flags, as their first byte.
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;
const DISCONNECT: u8 = 0xe0;

/// Options of a subscription: QoS 0, and nothing that was retained.
const NOTHING_RETAINED: u8 = 0x20;

/// The same: not what one publishes oneself.
const NO_LOCAL: u8 = 0x04;

/// Codes of refusal begin here.
const REFUSED: u8 = 0x80;

#[derive(Debug, Default)]
struct Mqtt {
    rest: Rest,
}

pub(super) fn enter(line: &mut Line, entry: &Entry<'_>) -> Result<Entered, DialError> {
    // Version 5, clean start, no keep-alive, no properties, and the server picks our name.
    line.say(&packet(CONNECT, &[&text("MQTT"), &[5, 0x02, 0, 0, 0], &text("")]))?;
    let body = answer(line, "CONNECT", CONNACK)?;
    if body.get(1).is_none_or(|&code| code >= REFUSED) {
        return Err(DialError::answer("CONNECT", &body));
    }
    let Some(room) = entry.room else {
        let speech = Some(Speech::ping([PINGREQ, 0]));
        return Ok(Entered { session: Box::<Mqtt>::default(), speech });
    };
    let options = NOTHING_RETAINED | if entry.echo { 0 } else { NO_LOCAL };
    line.say(&packet(SUBSCRIBE, &[&[0, 1, 0], &text(room), &[options]]))?;
    let body = answer(line, "SUBSCRIBE", SUBACK)?;
    if body.last().is_none_or(|&code| code >= REFUSED) {
        return Err(DialError::answer("SUBSCRIBE", &body));
    }
    let frame = packet(PUBLISH, &[&text(room), &[0], &payload(entry.payload)]);
    let at = frame.len() - entry.payload;
    let speech = Some(Speech::new(frame, at, entry.index));
    Ok(Entered { session: Box::<Mqtt>::default(), speech })
}

/// The body of the next packet, which must be of this type.
fn answer(line: &mut Line, to: &'static str, kind: u8) -> Result<Vec<u8>, DialError> {
    let (found, body) = line.listen(|bytes| match cut(bytes) {
        Ok(packet) => Ok(packet.map(|(len, body)| (len, (bytes[0], body.to_vec())))),
        Err(answer) => Err(DialError::Answer { to, answer }),
    })?;
    if found == kind { Ok(body) } else { Err(DialError::answer(to, &[found])) }
}

impl Session for Mqtt {
    fn hear(&mut self, input: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
        self.rest.each(input, |bytes| {
            let Some((len, body)) = cut(bytes)? else { return Ok(None) };
            match bytes[0] {
                PUBLISH => heard.broadcast(published(body).ok_or("half a message came")?),
                DISCONNECT => {
                    let code = body.first().copied().unwrap_or(0);
                    return Err(format!("the server disconnected with code {code:#04x}"));
                }
                PINGRESP | SUBACK => {}
                kind => return Err(format!("a packet of type {kind:#04x} came")),
            }
            Ok(Some(len))
        })
    }
}

/// The length and the body of the packet at the start of `bytes`, if all of it is there.
fn cut(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, String> {
    let Some((body, at)) = varint(bytes.get(1..).unwrap_or_default())? else { return Ok(None) };
    let end = 1 + at + body;
    Ok(bytes.get(1 + at..end).map(|body| (end, body)))
}

/// A number of up to four bytes, and how many it has.
fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut value = 0;
    for (at, &byte) in (0..4).zip(bytes) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err("a length has no end".to_owned()) }
}

/// The payload of a message.
fn published(body: &[u8]) -> Option<&[u8]> {
    let topic = usize::from(u16::from_be_bytes(*body.first_chunk()?));
    let behind = body.get(2 + topic..)?;
    let (properties, at) = varint(behind).ok()??;
    behind.get(at + properties..)
}

fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut packet = vec![kind];
    let mut len = body.len();
    loop {
        let more = if len > 0x7f { 0x80 } else { 0 };
        packet.push(u8::try_from(len & 0x7f).expect("7 bits") | more);
        len >>= 7;
        if len == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

fn text(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).expect("names of rooms are short");
    [&len.to_be_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{Mqtt, PINGRESP, PUBLISH, packet, text};
    use crate::{
        dialect::cut::tests::hear,
        speech::{Speech, payload},
    };

    #[test]
    fn messages_are_found_wherever_a_read_ends() {
        let mut input = vec![PINGRESP, 0];
        // One and two bytes of length; without properties and with one.
        for (size, properties, index) in [(16, &[0][..], 7), (300, &[2, 1, 1], 8)] {
            let frame = packet(PUBLISH, &[&text("room"), properties, &payload(size)]);
            let at = frame.len() - size;
            input.extend(Speech::new(frame, at, index).at(5));
        }
        for len in 1..=input.len() {
            let (tally, reply, result) = hear(Mqtt::default(), &input, len);
            assert_eq!((tally.received, tally.answers, result), (2, 1, Ok(())), "{len}");
            assert!(reply.is_empty());
        }
    }

    #[test]
    fn a_disconnect_ends_the_connection_and_so_does_nonsense() {
        for (said, why) in [
            (&[0xe0, 1, 0x97][..], "code 0x97"),
            (&[0x30, 0xff, 0xff, 0xff, 0xff, 1], "no end"),
            (&[0x30, 3, 0, 9, b'a'], "half a message"),
            (&[0x48, 1, 0], "0x48"),
        ] {
            let (_, _, result) = hear(Mqtt::default(), said, 3);
            let error = result.unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
