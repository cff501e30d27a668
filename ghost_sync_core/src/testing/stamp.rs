//! What simulated payloads say: who made them, which one it is, for which room.

use crate::wire::RoomId;

/// The contents of a payload.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Stamp {
    /// The number of the simulated client; [`HOST`](Self::HOST) is the server program.
    pub(super) author: u32,
    /// Counted per author, from 0.
    pub(super) counter: u32,
    /// The room that it was meant for.
    pub(super) room: RoomId,
}

impl Stamp {
    /// The author that is the server program.
    pub(super) const HOST: u32 = u32::MAX;

    /// The payload, at least `len` bytes long.
    pub(super) fn payload(self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len.max(LEN));
        bytes.extend_from_slice(&self.author.to_le_bytes());
        bytes.extend_from_slice(&self.counter.to_le_bytes());
        bytes.extend_from_slice(&self.room.0.to_le_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "any filler will do")]
        let filler = self.counter as u8;
        bytes.resize(len.max(LEN) - SUM, filler);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// What a payload says; `None` if it is not as it was made.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (body, sum) = payload.split_last_chunk::<SUM>()?;
        if checksum(body).to_le_bytes() != *sum || body.len() < LEN - SUM {
            return None;
        }
        let number = |at: usize| {
            let bytes = body.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        Some(Self { author: number(0)?, counter: number(4)?, room: RoomId(number(8)?) })
    }
}

/// Mixes 64 bits into a hash.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Mixes bytes into a hash.
pub(super) fn mix_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

fn checksum(bytes: &[u8]) -> u32 {
    let hash = mix_bytes(0, bytes);
    #[expect(clippy::cast_possible_truncation, reason = "folding is the point")]
    let folded = (hash ^ (hash >> 32)) as u32;
    folded
}

const SUM: usize = 4;
const LEN: usize = 12 + SUM;
