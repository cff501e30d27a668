//! The first words on a link.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{link, relay::DisconnectReason};

use super::shared::Shared;

/// Says hello, or asks for the session, and waits until it is open.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    shared: &Shared,
) -> Result<(), DisconnectReason> {
    loop {
        // A server that closes at once may have said why: read before giving up.
        let written = stream.write_all(&shared.take_outbox()).await.and(stream.flush().await);
        let read = std::future::poll_fn(|cx| {
            link::poll_read(stream, cx, usize::MAX, Bytes::copy_from_slice)
        });
        let end = match read.await {
            Ok(bytes) if bytes.is_empty() => DisconnectReason::ConnectionClosed,
            Ok(bytes) => match shared.opened(bytes) {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(reason) => {
                    let _ = stream.write_all(&shared.take_outbox()).await;
                    let _ = stream.shutdown().await;
                    reason
                }
            },
            Err(error) => DisconnectReason::from_io(&error),
        };
        tracing::debug!(%end, ?written, "no greeting");
        return Err(end);
    }
}
