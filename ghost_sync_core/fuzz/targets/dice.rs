//! Decisions out of a fuzzer's bytes; zeros when they are used up.

/// What is left of an input.
#[derive(Clone, Debug)]
pub(super) struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `n`, which must not be more than 256.
    pub(super) fn pick(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.pick(choices.len())]
    }

    /// Yes in one of `n` cases; no when nothing is left.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number near `near`, or one at the edges of what fits.
    pub(super) fn near(&mut self, near: u64) -> u64 {
        let edges = [0, 1, u64::MAX, u64::MAX - 1, 1 << 32, 1 << 63];
        match self.pick(12) {
            0..3 => near,
            3 => near.wrapping_add(1),
            4 => near.wrapping_sub(1),
            5 => near.wrapping_add(u64::from(self.byte())),
            6 => near.wrapping_sub(u64::from(self.byte())),
            7 => self.u64(),
            8 => near / 2,
            _ => self.one_of(&edges),
        }
    }

    /// Up to `most` bytes.
    pub(super) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let len = usize::from(self.byte()).min(most).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
