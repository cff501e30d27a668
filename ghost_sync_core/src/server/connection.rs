//! The tasks of one connection: one reads, as long as it lives; one waits for a
//! full socket; one closes.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    task::JoinHandle,
    time::timeout,
};
use tracing::Instrument;

use crate::{
    link,
    relay::{ConnId, DisconnectReason},
    wire::ClientId,
};

use super::shard::{Live, Shard};

/// Feeds what comes from `reader` to the relay until the end of the stream.
///
/// After the relay has dropped the connection it goes on reading: a socket
/// that is closed with unread bytes takes back what it sent last.
pub(super) fn read<R: AsyncRead + Send + Unpin + 'static>(
    live: Live,
    conn: ConnId,
    mut reader: R,
    addr: SocketAddr,
    client_id: ClientId,
) -> impl Future<Output = ()> + Send {
    let span = tracing::debug_span!("connection", %addr, %client_id);
    let task = async move {
        let shard = live.shard();
        let reason = poll_fn(|cx| {
            loop {
                let read = link::poll_read(&mut reader, cx, |bytes| {
                    if !bytes.is_empty() {
                        shard.feed(conn, bytes);
                    }
                    bytes.len()
                });
                match read {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => return Poll::Ready(DisconnectReason::ConnectionClosed),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(DisconnectReason::from_io(&error));
                    }
                }
            }
        })
        .await;
        shard.lost(conn, reason);
    };
    task.instrument(span)
}

/// Writes to a connection whose socket was full until nothing waits any more.
pub(super) async fn drain(shard: Arc<Shard>, conn: ConnId) {
    poll_fn(|cx| shard.poll_drain(conn, cx)).await;
}

/// Ends a connection that the relay has dropped: says so, then waits for the
/// other side to do the same, for as long as a goodbye may take.
pub(super) async fn close(
    live: Live,
    mut writer: Box<dyn AsyncWrite + Send + Unpin>,
    mut reader: JoinHandle<()>,
) {
    let goodbye = async {
        let _ = writer.shutdown().await;
        let _ = (&mut reader).await;
    };
    let _ = timeout(live.shard().linger(), goodbye).await;
    reader.abort();
}
