//! The first words on a link.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{
    link,
    wire::{
        CloseReason, DisconnectReason, HEADER_LEN, MAX_SERVER_FRAME, Protocol, ServerMessage,
        VERSIONS,
    },
};

use super::{ConnectError, state::State};

/// Why a link was not opened.
#[derive(Clone, Debug)]
pub(super) enum Unopened {
    /// There was no link, or no greeting in time.
    Unreached(ConnectError),
    /// It ended; if one side said why, for that reason.
    Ended(DisconnectReason),
    /// The other side ended it without a byte.
    Silent,
    /// What came is no greeting of ours: its first bytes, readable.
    Stranger(String),
}

/// What the other side has said so far, until that is enough to know it by.
#[derive(Debug, Default)]
struct FirstBytes(Vec<u8>);

/// Says hello, or asks for the session, and waits until it is open.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    state: &State,
) -> Result<(), Unopened> {
    let mut first = FirstBytes::default();
    loop {
        // A server that closes at once may have said why: read before giving up.
        let written = stream.write_all(&state.take_outbox()).await.and(stream.flush().await);
        let read = std::future::poll_fn(|cx| {
            link::poll_read(stream, cx, usize::MAX, Bytes::copy_from_slice)
        });
        let end = match read.await {
            Ok(bytes) if bytes.is_empty() => DisconnectReason::ConnectionClosed,
            Ok(bytes) => {
                if let Some(answer) = first.stranger(&bytes) {
                    tracing::debug!(answer, "no server of ours");
                    let _ = stream.shutdown().await;
                    return Err(Unopened::Stranger(answer));
                }
                match state.opened(bytes) {
                    Ok(true) => return Ok(()),
                    Ok(false) => continue,
                    Err(reason) => {
                        let _ = stream.write_all(&state.take_outbox()).await;
                        let _ = stream.shutdown().await;
                        tracing::debug!(%reason, "no greeting");
                        return Err(Unopened::Ended(reason));
                    }
                }
            }
            Err(error) => DisconnectReason::from_io(&error),
        };
        tracing::debug!(%end, ?written, "no greeting");
        return Err(match end {
            DisconnectReason::ConnectionClosed | DisconnectReason::ConnectionReset
                if first.0.is_empty() =>
            {
                Unopened::Silent
            }
            end @ (DisconnectReason::Closed(_)
            | DisconnectReason::ConnectionClosed
            | DisconnectReason::ConnectionReset
            | DisconnectReason::ConnectionLost(_)) => Unopened::Ended(end),
        });
    }
}

impl FirstBytes {
    /// Length and kind of a message.
    const ENOUGH: usize = HEADER_LEN + 1;

    /// Bytes of a stranger's answer that are shown.
    const SHOWN: usize = 48;

    /// What the other side says, if it cannot be a server of ours; `bytes` came now.
    fn stranger(&mut self, bytes: &[u8]) -> Option<String> {
        let missing = Self::ENOUGH.saturating_sub(self.0.len());
        if missing == 0 {
            return None;
        }
        self.0.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        let header = self.0.first_chunk::<HEADER_LEN>()?;
        let len = u32::from_le_bytes(*header) as usize;
        let fits = (1..=MAX_SERVER_FRAME).contains(&len);
        let kind = self.0.get(HEADER_LEN);
        if fits && kind.is_none_or(|kind| ServerMessage::may_be_first(*kind)) {
            return None;
        }
        let rest = &bytes[bytes.len().min(missing)..];
        let shown = self.0.iter().chain(rest).take(Self::SHOWN).copied().collect::<Vec<_>>();
        Some(shown.trim_ascii_end().escape_ascii().to_string())
    }
}

impl Unopened {
    /// The words for it, where the program was told of these types.
    pub(super) fn into_error(self, protocol: Option<&Protocol>) -> ConnectError {
        let close = match self {
            Self::Unreached(error) => return error,
            Self::Silent => return ConnectError::ClosedSilently,
            Self::Stranger(answer) => return ConnectError::NotGhostSync { answer },
            Self::Ended(DisconnectReason::Closed(close)) => close,
            Self::Ended(reason) => return ConnectError::Disconnected(reason),
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest needs no words of its own")]
        match close {
            CloseReason::VersionMismatch { server, .. } => {
                ConnectError::VersionMismatch { client: VERSIONS, server }
            }
            CloseReason::ProtocolMismatch { types, .. } => {
                let differing = protocol.map(|here| here.differences(&types));
                ConnectError::ProtocolMismatch { differing: differing.unwrap_or_default() }
            }
            CloseReason::MaxClientsReached { max, retry_after_ms } => {
                ConnectError::MaxClientsReached {
                    max,
                    retry_after: Duration::from_millis(retry_after_ms.into()),
                }
            }
            CloseReason::RateLimited { retry_after_ms } => ConnectError::RateLimited {
                retry_after: Duration::from_millis(retry_after_ms.into()),
            },
            CloseReason::Unauthenticated { why } => ConnectError::Unauthenticated { why },
            CloseReason::Banned { message, for_ms } => {
                ConnectError::Banned { message, left: for_ms.map(Duration::from_millis) }
            }
            CloseReason::TooManyLinks { max } => ConnectError::TooManyLinks { max },
            CloseReason::ConnectionRefused { message } => ConnectError::Rejected { message },
            other => ConnectError::Disconnected(DisconnectReason::Closed(other)),
        }
    }
}

impl From<Unopened> for DisconnectReason {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Unreached(error) => Self::ConnectionLost(error.kind()),
            Unopened::Ended(reason) => reason,
            Unopened::Silent => Self::ConnectionClosed,
            // There was a server of ours: the line is bad, and will be better.
            Unopened::Stranger(_) => Self::ConnectionLost(std::io::ErrorKind::InvalidData),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ResumeFailure, Secret};

    fn hear(pieces: &[&[u8]]) -> Option<String> {
        let mut first = FirstBytes::default();
        pieces.iter().find_map(|piece| first.stranger(piece))
    }

    #[test]
    fn what_other_services_say_first_is_no_greeting() {
        for (said, shown) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP/1.1 400 Bad Request"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6"),
            (b"\x15\x03\x03\0\x02\x02\x0a", "\\x15\\x03\\x03\\x00\\x02\\x02"),
            (b"220 mail.example ESMTP\r\n", "220 mail.example ESMTP"),
            (b"-ERR unknown command\r\n", "-ERR unknown command"),
            (b"J\0\0\0\n8.0.36\0", "J\\x00\\x00\\x00\\n8.0.36\\x00"),
            (&[0; 5], "\\x00\\x00\\x00\\x00\\x00"),
            (&[b'x'; 1000], &"x".repeat(48)),
        ] {
            assert_eq!(hear(&[said]).as_deref(), Some(shown));
            let bytes: Vec<&[u8]> = said.chunks(1).collect();
            assert!(hear(&bytes).is_some_and(|answer| shown.starts_with(&answer)), "{shown}");
        }
    }

    #[test]
    fn every_first_message_of_a_server_is_taken_in_all_pieces() {
        let close = ServerMessage::Close { reason: CloseReason::TakenOver };
        let resumed = ServerMessage::Resumed { secret: Secret::default(), received: 1 };
        let failed = ServerMessage::ResumeFailed { reason: ResumeFailure::Expired };
        for message in [close, resumed, failed] {
            let frame = message.to_frame();
            assert_eq!(hear(&[&frame]), None);
            assert_eq!(hear(&frame.chunks(1).collect::<Vec<_>>()), None);
        }
        assert_eq!(hear(&[&[9, 0, 0, 0, 0], b"HTTP"]), None, "a welcome, to all appearances");
    }
}
