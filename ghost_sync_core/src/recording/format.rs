//! Records as bytes: lengths and checksums, not meanings.
//!
//! The format is described in `ARCHITECTURE.md`, section "Recordings".

use std::io::{self, Read};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Recording, RecordingError};

/// The first bytes of every recording.
pub(super) const MAGIC: [u8; 8] = *b"GHOSTREC";

/// Bytes of the file before its first record.
pub(super) const PREFACE: usize = MAGIC.len() + 2;

/// Bytes of a record before its body: its length and its checksum.
const HEADER: usize = 8;

/// The longest body of a record.
pub(super) const MAX_BODY: usize = 64 << 20;

/// What one record says.
#[derive(Debug)]
pub(super) enum Record {
    /// The room as it was when the recording began: always the first record.
    Start {
        /// Milliseconds since 1970.
        unix_ms: u64,
        state: Bytes,
    },
    /// An event, as members got it.
    Event { at: u64, frame: Bytes },
    /// Events that were not recorded, and the room as it was after them.
    Gap { at: u64, from: u64, to: u64, state: Bytes },
    /// Nothing follows.
    End { at: u64, gone: bool },
}

impl Record {
    /// Appends the record.
    ///
    /// # Errors
    /// When it would be too long to be read again.
    pub(super) fn encode(&self, buf: &mut BytesMut) -> io::Result<()> {
        let start = buf.len();
        buf.put_bytes(0, HEADER);
        match self {
            Self::Start { unix_ms, state } => {
                buf.put_u8(0);
                buf.put_u64_le(*unix_ms);
                buf.put_slice(state);
            }
            Self::Event { at, frame } => {
                buf.put_u8(1);
                buf.put_u64_le(*at);
                buf.put_slice(frame);
            }
            Self::Gap { at, from, to, state } => {
                buf.put_u8(2);
                buf.put_u64_le(*at);
                buf.put_u64_le(*from);
                buf.put_u64_le(*to);
                buf.put_slice(state);
            }
            Self::End { at, gone } => {
                buf.put_u8(3);
                buf.put_u64_le(*at);
                buf.put_u8(u8::from(*gone));
            }
        }
        let len = buf.len() - start - HEADER;
        let header = u32::try_from(len).ok().filter(|len| *len as usize <= MAX_BODY);
        let Some(len) = header else {
            buf.truncate(start);
            return Err(io::Error::other("the room is too large to be recorded"));
        };
        let len = len.to_le_bytes();
        let sum = checksum(&len, &buf[start + HEADER..]);
        buf[start..start + 4].copy_from_slice(&len);
        buf[start + 4..start + HEADER].copy_from_slice(&sum.to_le_bytes());
        Ok(())
    }

    fn decode(mut body: Bytes) -> Result<Self, &'static str> {
        let kind = take::<1>(&mut body)?[0];
        let first = u64::from_le_bytes(take(&mut body)?);
        Ok(match kind {
            0 => Self::Start { unix_ms: first, state: body },
            1 => Self::Event { at: first, frame: body },
            2 => {
                let from = u64::from_le_bytes(take(&mut body)?);
                let to = u64::from_le_bytes(take(&mut body)?);
                Self::Gap { at: first, from, to, state: body }
            }
            3 => match (take(&mut body)?, body.is_empty()) {
                ([gone @ 0..=1], true) => Self::End { at: first, gone: gone == 1 },
                _ => return Err("an end that goes on"),
            },
            _ => return Err("an unknown kind of record"),
        })
    }
}

/// Appends what stands before the first record.
pub(super) fn preface(buf: &mut BytesMut) {
    buf.put_slice(&MAGIC);
    buf.put_u16_le(Recording::VERSION);
}

/// Cuts records out of a reader.
#[derive(Debug)]
pub(super) struct Records<R> {
    reader: R,
    offset: u64,
    max_len: u64,
    /// Bytes of a record that was not whole.
    partial: usize,
}

impl<R: Read> Records<R> {
    /// Takes what stands before the first record.
    pub(super) fn new(mut reader: R, max_len: u64) -> Result<Self, RecordingError> {
        let preface = read_up_to(&mut reader, PREFACE)?;
        let Some((magic, version)) = preface.split_first_chunk() else {
            return Err(RecordingError::NotARecording);
        };
        let Ok(version) = <[u8; 2]>::try_from(version) else {
            return Err(RecordingError::NotARecording);
        };
        if *magic != MAGIC {
            return Err(RecordingError::NotARecording);
        }
        match u16::from_le_bytes(version) {
            Recording::VERSION => Ok(Self { reader, offset: PREFACE as u64, max_len, partial: 0 }),
            found => Err(RecordingError::UnknownVersion { found }),
        }
    }

    /// Where the next record begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the last record, if it was whole, was followed by nothing.
    pub(super) fn is_at_end(&self) -> bool {
        self.partial == 0
    }

    /// The next record; `None` if no whole one is left.
    ///
    /// Memory is taken only for bytes that are there.
    pub(super) fn next(&mut self) -> Result<Option<Record>, RecordingError> {
        let header = read_up_to(&mut self.reader, HEADER)?;
        self.partial = header.len();
        let Some((len_bytes, sum)) = header.split_first_chunk::<4>() else { return Ok(None) };
        let Ok(sum) = <[u8; 4]>::try_from(sum) else { return Ok(None) };
        let len = u32::from_le_bytes(*len_bytes) as usize;
        if len > MAX_BODY {
            return Err(RecordingError::corrupt(self.offset, "a record that is too long"));
        }
        let end = self.offset + (HEADER + len) as u64;
        if end > self.max_len {
            return Err(RecordingError::TooLong);
        }
        let body = read_up_to(&mut self.reader, len)?;
        if body.len() < len {
            return Ok(None);
        }
        self.partial = 0;
        if checksum(len_bytes, &body) != u32::from_le_bytes(sum) {
            return Err(RecordingError::corrupt(self.offset, "the checksum is wrong"));
        }
        let record = Record::decode(body.into())
            .map_err(|what| RecordingError::corrupt(self.offset, what))?;
        self.offset = end;
        Ok(Some(record))
    }
}

/// Up to `len` bytes; fewer only at the end.
fn read_up_to(reader: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len.min(FIRST_READ));
    reader.by_ref().take(len as u64).read_to_end(&mut bytes)?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

fn take<const N: usize>(body: &mut Bytes) -> Result<[u8; N], &'static str> {
    let Some(bytes) = body.first_chunk::<N>().copied() else {
        return Err("a record that is too short");
    };
    let _ = body.split_to(N);
    Ok(bytes)
}

/// CRC-32 as zip files have it, over the length and the body.
fn checksum(len: &[u8; 4], body: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| TABLE[(sum as u8 ^ byte) as usize] ^ (sum >> 8);
    !len.iter().chain(body).fold(u32::MAX, step)
}

static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
};

/// Memory taken for a record before any of it was read.
const FIRST_READ: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(checksum(b"1234", b"56789"), 0xcbf4_3926, "published check value");
    }
}
