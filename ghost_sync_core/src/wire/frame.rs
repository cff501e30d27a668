//! Cuts frames out of a byte stream. Knows lengths, not meanings.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a frame before its body: the body's length as `u32`, little endian.
pub const HEADER_LEN: usize = 4;

/// Appends one frame whose body `body` writes.
///
/// The length is filled in afterwards, so a body is written once and in place.
pub fn encode_frame(buf: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = buf.len();
    buf.extend_from_slice(&[0; HEADER_LEN]);
    body(buf);
    let len = u32::try_from(buf.len() - start - HEADER_LEN).unwrap_or(u32::MAX);
    buf[start..start + HEADER_LEN].copy_from_slice(&len.to_le_bytes());
}

/// An incremental frame decoder: bytes go in as they come, whole frames come out.
///
/// It holds no memory between frames, and never more than it was given: a length
/// is checked before anything is kept for it. Giving the bytes in other pieces
/// never changes the frames.
#[derive(Debug)]
pub struct Decoder {
    partial: BytesMut,
    /// The frame last completed out of `partial`; given back on the next call.
    done: BytesMut,
    max_len: usize,
}

/// A frame announced more bytes than are allowed; the stream cannot be trusted any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a frame of {len} bytes is too long: at most {max} are allowed")]
pub struct FrameTooLong {
    /// The announced length of the body in bytes.
    pub len: usize,
    /// The longest body allowed.
    pub max: usize,
}

impl Decoder {
    /// A decoder of frames with bodies of up to `max_len` bytes.
    pub fn new(max_len: usize) -> Self {
        Self { partial: BytesMut::new(), done: BytesMut::new(), max_len }
    }

    /// Allows bodies of up to `max_len` bytes from the next frame on.
    pub fn set_max_len(&mut self, max_len: usize) {
        self.max_len = max_len;
    }

    /// Bytes held of a frame that is not complete.
    pub fn partial_len(&self) -> usize {
        self.partial.len()
    }

    /// The next whole body out of what was kept and `input`, which is advanced
    /// past what was used; `None` when more bytes are needed (all of `input` is
    /// then kept).
    ///
    /// # Errors
    /// [`FrameTooLong`] as soon as the header says so, before any of the body.
    pub fn next_frame<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<&'a [u8]>, FrameTooLong> {
        self.done = BytesMut::new();
        if self.partial.is_empty() {
            if let Some(header) = input.first_chunk::<HEADER_LEN>() {
                let len = self.check(*header)?;
                if let Some(frame) = input.get(HEADER_LEN..HEADER_LEN + len) {
                    *input = &input[HEADER_LEN + len..];
                    return Ok(Some(frame));
                }
            }
            self.keep(input, input.len());
            return Ok(None);
        }
        if self.partial.len() < HEADER_LEN {
            self.keep(input, HEADER_LEN - self.partial.len());
        }
        let Some(header) = self.partial.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let len = self.check(*header)?;
        let missing = (HEADER_LEN + len).saturating_sub(self.partial.len());
        self.keep(input, missing);
        if self.partial.len() < HEADER_LEN + len {
            return Ok(None);
        }
        self.done = std::mem::take(&mut self.partial);
        Ok(self.done.get(HEADER_LEN..))
    }

    /// Like [`next_frame`](Self::next_frame), but the body is owned and shares
    /// memory with `input`.
    ///
    /// # Errors
    /// As [`next_frame`](Self::next_frame).
    pub fn next_frame_shared(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, FrameTooLong> {
        let mut rest: &[u8] = input;
        let before = rest.len();
        let was_partial = !self.partial.is_empty();
        let found = self.next_frame(&mut rest)?.map(|frame| {
            if was_partial { Bytes::copy_from_slice(frame) } else { input.slice_ref(frame) }
        });
        let used = before - rest.len();
        input.advance(used);
        Ok(found)
    }

    fn check(&self, header: [u8; HEADER_LEN]) -> Result<usize, FrameTooLong> {
        let len = u32::from_le_bytes(header) as usize;
        if len > self.max_len {
            return Err(FrameTooLong { len, max: self.max_len });
        }
        Ok(len)
    }

    fn keep(&mut self, input: &mut &[u8], at_most: usize) {
        let (kept, rest) = input.split_at(at_most.min(input.len()));
        self.partial.extend_from_slice(kept);
        *input = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Vec<u8>>, FrameTooLong> {
        let mut found = Vec::new();
        while let Some(frame) = decoder.next_frame(&mut input)? {
            found.push(frame.to_vec());
        }
        assert!(input.is_empty());
        Ok(found)
    }

    fn stream(bodies: &[&[u8]]) -> BytesMut {
        let mut buf = BytesMut::new();
        for body in bodies {
            encode_frame(&mut buf, |buf| buf.extend_from_slice(body));
        }
        buf
    }

    #[test]
    fn every_split_point_gives_the_same_frames() {
        let bodies: [&[u8]; 4] = [b"hello", b"", b"x", &[7; 300]];
        let bytes = stream(&bodies);
        for first in 0..=bytes.len() {
            for second in [first, (first + 3).min(bytes.len()), bytes.len()] {
                let mut decoder = Decoder::new(300);
                let mut found = Vec::new();
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    found.extend(frames(&mut decoder, part).unwrap());
                }
                assert_eq!(found, bodies);
                assert_eq!(decoder.partial_len(), 0);
            }
        }
    }

    #[test]
    fn one_byte_at_a_time_gives_the_same_frames() {
        let bytes = stream(&[b"hello", b"", b"world"]);
        let mut decoder = Decoder::new(5);
        let found: Vec<_> =
            bytes.iter().flat_map(|b| frames(&mut decoder, &[*b]).unwrap()).collect();
        assert_eq!(found, [&b"hello"[..], b"", b"world"]);
    }

    #[test]
    fn a_length_past_the_limit_is_refused_before_the_body_and_takes_no_memory() {
        for len in [11, 1 << 31, u32::MAX] {
            let mut decoder = Decoder::new(10);
            let header = len.to_le_bytes();
            let error = FrameTooLong { len: len as usize, max: 10 };
            assert_eq!(frames(&mut decoder, &header), Err(error));
            assert_eq!(decoder.partial_len(), 0);
            let mut split = Decoder::new(10);
            assert_eq!(frames(&mut split, &header[..3]), Ok(vec![]));
            assert_eq!(frames(&mut split, &header[3..]), Err(error));
        }
        assert_eq!(frames(&mut Decoder::new(10), &stream(&[&[1; 10]])).unwrap(), [[1; 10]]);
    }

    #[test]
    fn a_stalled_frame_holds_only_what_arrived() {
        let mut decoder = Decoder::new(64 * 1024);
        let bytes = stream(&[&[1; 64 * 1024]]);
        assert_eq!(frames(&mut decoder, &bytes[..10]), Ok(vec![]));
        assert_eq!(decoder.partial_len(), 10);
        assert!(decoder.partial.capacity() < 256);
    }

    #[test]
    fn shared_frames_equal_borrowed_frames() {
        let bytes = stream(&[b"hello", b"", b"world"]).freeze();
        for split in 0..bytes.len() {
            let mut decoder = Decoder::new(5);
            let mut found = Vec::new();
            for mut part in [bytes.slice(..split), bytes.slice(split..)] {
                while let Some(frame) = decoder.next_frame_shared(&mut part).unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, [&b"hello"[..], b"", b"world"]);
        }
    }
}
