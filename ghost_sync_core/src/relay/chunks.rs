//! Bytes that are appended at one end and forgotten at the other, in pieces that never move.

use std::collections::VecDeque;

use bytes::BytesMut;

/// A ring of bytes, each with a position that counts from the first ever appended.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: VecDeque<Chunk>,
    end: u64,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: BytesMut,
}

impl Chunks {
    /// Position after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Appends what `write` writes, about `size` bytes, as one piece.
    pub(super) fn append(&mut self, size: usize, write: impl FnOnce(&mut BytesMut)) {
        let bytes = self.room_for(size);
        let before = bytes.len();
        write(bytes);
        let len = bytes.len() - before;
        self.end += len as u64;
    }

    /// The bytes from `start` to before `end`, in pieces of contiguous memory, each with
    /// its position.
    pub(super) fn slices(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let from = self.chunks.partition_point(|chunk| chunk.end() <= start);
        self.chunks.range(from..).take_while(move |chunk| chunk.start < end).map(move |chunk| {
            let start = start.max(chunk.start);
            let end = end.min(chunk.end());
            (start, &chunk.bytes[offset(start - chunk.start)..offset(end - chunk.start)])
        })
    }

    /// The bytes from `start` to before `end`, which were appended as one piece.
    pub(super) fn piece(&self, start: u64, end: u64) -> &[u8] {
        self.slices(start, end).next().map_or(&[], |(_, bytes)| bytes)
    }

    /// Forgets the bytes before `start`.
    pub(super) fn trim(&mut self, start: u64) {
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= start) {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            if self.chunks.is_empty() && chunk.bytes.capacity() <= KEPT {
                chunk.bytes.clear();
                chunk.start = self.end;
                self.chunks.push_back(chunk);
                break;
            }
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum()
    }

    fn room_for(&mut self, size: usize) -> &mut BytesMut {
        let fits = self
            .chunks
            .back()
            .is_some_and(|chunk| chunk.bytes.capacity() - chunk.bytes.len() >= size);
        if !fits {
            let last = self.chunks.back().map_or(0, |chunk| chunk.bytes.capacity());
            let capacity = (last * 2).clamp(SMALLEST, LARGEST).max(size);
            let bytes = BytesMut::with_capacity(capacity);
            self.chunks.push_back(Chunk { start: self.end, bytes });
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last].bytes
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// A distance as an index.
pub(super) fn offset(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

const SMALLEST: usize = 2 * 1024;
const LARGEST: usize = 64 * 1024;

/// A ring at rest keeps a chunk of up to this size for what comes next.
pub(super) const KEPT: usize = 16 * 1024;
