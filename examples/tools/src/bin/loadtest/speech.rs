//! A frame that only needs the time.

/// Bytes of a payload that tell when it was due, and who says it.
pub(crate) const STAMP: usize = 8;

/// Bits of the stamp that hold the time: three days of nanoseconds.
const TIME_BITS: u32 = 48;

/// What fills a payload behind the stamp.
const FILLER: u8 = b'Z';

/// When a message was due, and which member of its room says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds of the run's clock.
    pub(crate) due: u64,
    /// Index in the room.
    pub(crate) index: u16,
}

/// What one member says again and again.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    frame: Vec<u8>,
    /// Where the stamp is, and whose it is; a ping has none.
    stamp: Option<(usize, u16)>,
}

impl Stamp {
    /// Reads what is at the start of `payload`, if it is long enough.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        let stamp = u64::from_le_bytes(*payload.first_chunk::<STAMP>()?);
        let index = u16::try_from(stamp >> TIME_BITS).expect("16 bits are left");
        Some(Self { due: stamp & ((1 << TIME_BITS) - 1), index })
    }

    fn bytes(self) -> [u8; STAMP] {
        (u64::from(self.index) << TIME_BITS | self.due & ((1 << TIME_BITS) - 1)).to_le_bytes()
    }
}

impl Speech {
    /// A message of the member `index`, whose payload begins at `payload_at` of `frame`.
    pub(crate) fn new(frame: Vec<u8>, payload_at: usize, index: u16) -> Self {
        Self { frame, stamp: Some((payload_at, index)) }
    }

    /// Always the same bytes.
    pub(crate) fn ping(frame: impl Into<Vec<u8>>) -> Self {
        Self { frame: frame.into(), stamp: None }
    }

    /// The frame of what is due at this time.
    pub(crate) fn at(&mut self, due: u64) -> &[u8] {
        if let Some((at, index)) = self.stamp {
            self.frame[at..at + STAMP].copy_from_slice(&Stamp { due, index }.bytes());
        }
        &self.frame
    }
}

/// So many bytes to say.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    vec![FILLER; len]
}

#[cfg(test)]
mod tests {
    use super::{Speech, Stamp, payload};

    #[test]
    fn what_is_stamped_is_read_again() {
        let mut speech = Speech::new(payload(20), 3, 0xfffe);
        for due in [0, 1, 0xffff_ffff_ffff] {
            assert_eq!(Stamp::of(&speech.at(due)[3..]), Some(Stamp { due, index: 0xfffe }));
        }
        assert_eq!(Stamp::of(&[0; 7]), None);
    }
}
