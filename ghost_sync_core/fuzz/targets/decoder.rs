//! Any bytes as a stream of frames, and as a body.

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    ClientMessage, Decoder, FrameTooLong, HEADER_LEN, MAX_HELLO, MAX_SERVER_FRAME, ServerMessage,
};

use super::dice::Dice;

/// The frames of a stream are the same whatever the pieces it comes in, no more
/// is held than was given, and what is accepted has one encoding.
pub fn decoder(data: &[u8]) {
    let mut dice = Dice::new(data);
    let max = dice.one_of(&[MAX_HELLO, MAX_SERVER_FRAME, 0, 1, 5, 32, 300, 66_048]);
    let plan = dice.bytes(16);
    let stream = dice.rest();

    let whole = frames(max, stream, &[]);
    assert_eq!(whole, frames(max, stream, plan), "the pieces matter");
    assert_eq!(whole, frames(max, stream, &[1]), "single bytes matter");
    assert_eq!(whole, shared(max, stream, plan), "shared frames differ");
    for body in &whole.0 {
        bodies(body);
    }
    bodies(stream);
}

type Cut = (Vec<Vec<u8>>, Option<FrameTooLong>);

fn frames(max: usize, stream: &[u8], plan: &[u8]) -> Cut {
    let mut decoder = Decoder::new(max);
    let mut found = Vec::new();
    let mut given = 0;
    for piece in pieces(stream, plan) {
        let mut rest = piece;
        loop {
            match decoder.next_frame(&mut rest) {
                Ok(Some(body)) => {
                    assert!(body.len() <= max);
                    found.push(body.to_vec());
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(error.len > max && error.max == max);
                    assert!(decoder.partial_len() <= HEADER_LEN, "a body was kept");
                    return (found, Some(error));
                }
            }
        }
        assert!(rest.is_empty(), "bytes were left behind");
        given += piece.len();
        assert!(decoder.partial_len() <= given.min(HEADER_LEN + max), "more is held than came");
    }
    (found, None)
}

fn shared(max: usize, stream: &[u8], plan: &[u8]) -> Cut {
    let mut decoder = Decoder::new(max);
    let mut found = Vec::new();
    for piece in pieces(stream, plan) {
        let mut rest = Bytes::copy_from_slice(piece);
        loop {
            match decoder.next_frame_shared(&mut rest) {
                Ok(Some(body)) => found.push(body.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// The stream in pieces of the planned lengths, over and over; in one without a plan.
fn pieces<'a>(stream: &'a [u8], plan: &[u8]) -> Vec<&'a [u8]> {
    let mut lens = plan.iter().map(|len| usize::from(*len).max(1)).cycle();
    let mut rest = stream;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = lens.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, after) = rest.split_at(len);
        found.push(piece);
        rest = after;
    }
    found
}

fn bodies(body: &[u8]) {
    if let Ok(message) = ClientMessage::decode(body) {
        let mut again = BytesMut::new();
        message.encode(&mut again);
        assert_eq!(&again[HEADER_LEN..], body, "{message:?} has two encodings");
    }
    if let Ok(message) = ServerMessage::decode(body) {
        let again = message.to_frame();
        assert_eq!(&again[HEADER_LEN..], body, "{message:?} has two encodings");
    }
}
