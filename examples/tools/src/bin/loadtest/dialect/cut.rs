//! Cuts what was read into frames, wherever the reads end.

/// A frame that has not come to its end.
#[derive(Debug, Default)]
pub(super) struct Rest(Vec<u8>);

/// Bytes of a read that are copied at once to complete a frame.
const PIECE: usize = 4096;

impl Rest {
    /// Gives `cut` the bytes from each frame's start on. It answers how long that frame
    /// is, or `None` if not all of it is there; frames are copied only where a read ends inside.
    pub(super) fn each<E>(
        &mut self,
        mut input: &[u8],
        mut cut: impl FnMut(&[u8]) -> Result<Option<usize>, E>,
    ) -> Result<(), E> {
        while !self.0.is_empty() && !input.is_empty() {
            let old = self.0.len();
            let piece = &input[..input.len().min(PIECE)];
            self.0.extend_from_slice(piece);
            let mut at = 0;
            while at < old
                && let Some(len) = cut(&self.0[at..])?
            {
                at += len;
            }
            if at < old {
                self.0.drain(..at);
                input = &input[piece.len()..];
            } else {
                self.0.clear();
                input = &input[at - old..];
            }
        }
        while !input.is_empty() {
            let Some(len) = cut(input)? else { break };
            input = &input[len..];
        }
        self.0.extend_from_slice(input);
        Ok(())
    }
}

/// The line at the start of `bytes`, without its end; `None` until that is there.
pub(super) fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    Some(bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]))
}

/// A number in decimal digits.
pub(super) fn number(digits: &[u8]) -> Option<usize> {
    let value = |sum: usize, &digit: &u8| {
        digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0'))
    };
    let plausible = (1..=9).contains(&digits.len());
    plausible.then(|| digits.iter().try_fold(0, value))?
}

#[cfg(test)]
pub(super) mod tests {
    use super::{PIECE, Rest, number};
    use crate::{dialect::Session, hear::Heard, member::Tally};

    /// What `session` counted after `input` in pieces of `len` bytes.
    pub(in crate::dialect) fn hear(
        mut session: impl Session,
        input: &[u8],
        len: usize,
    ) -> (Tally, Vec<u8>, Result<(), String>) {
        let mut tally = Tally::default();
        let mut meter = crate::member::Meter::new();
        let mut reply = Vec::new();
        let mut result = Ok(());
        for piece in input.chunks(len) {
            let mut heard = Heard::new(&mut tally, &mut meter, 7, false);
            result = session.hear(piece, &mut heard);
            let own = heard.own();
            reply.extend(heard.into_reply());
            tally.answers += own;
            if result.is_err() {
                break;
            }
        }
        (tally, reply, result)
    }

    #[test]
    fn frames_are_whole_wherever_a_read_ends() {
        // Each is as long as its first two bytes say.
        let mut input = Vec::new();
        for len in [2u16, 300, 2, 9000, 5, 4096, 4095, 2, 2] {
            input.extend(len.to_le_bytes());
            input.resize(input.len() + usize::from(len) - 2, 0);
        }
        for piece in (1..50).chain(PIECE - 3..PIECE + 3).chain([input.len()]) {
            let (mut rest, mut frames) = (Rest::default(), Vec::new());
            for piece in input.chunks(piece) {
                let cut = |bytes: &[u8]| {
                    let Some(len) = bytes.first_chunk() else { return Ok(None) };
                    let len = usize::from(u16::from_le_bytes(*len));
                    let whole = bytes.len() >= len;
                    frames.extend(whole.then_some(len));
                    Ok::<_, ()>(whole.then_some(len))
                };
                rest.each(piece, cut).unwrap();
            }
            assert_eq!(frames, [2, 300, 2, 9000, 5, 4096, 4095, 2, 2], "{piece}");
        }
    }

    #[test]
    fn numbers_have_only_digits() {
        assert_eq!(number(b"1024"), Some(1024));
        for wrong in [&b""[..], b"-1", b"1a", b"12345678901234567890"] {
            assert_eq!(number(wrong), None);
        }
    }
}
