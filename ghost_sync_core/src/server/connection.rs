//! A connection: begins with a stream, and reads from it as long as it lives.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::yield_now,
    time::sleep,
};
use tracing::Instrument;

use crate::{
    link::{self, poll_read},
    relay::LinkId,
    wire::{ClientId, DisconnectReason},
};

use super::{
    shard::{Live, Next, Shard},
    writer::Writer,
};

/// Serves a socket until one side ends it.
pub(super) fn open_tcp(shard: &Arc<Shard>, stream: TcpStream, addr: SocketAddr) {
    let (reader, writer) = stream.into_split();
    open(shard, reader, Writer::Tcp(writer), addr);
}

/// Serves any other stream until one side ends it.
pub(super) fn open_stream<S>(shard: &Arc<Shard>, stream: S, addr: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    open(shard, reader, Writer::stream(writer), addr);
}

fn open<R>(shard: &Arc<Shard>, reader: R, writer: Writer, addr: SocketAddr)
where
    R: AsyncRead + Send + Unpin + 'static,
{
    shard.open(writer, addr, |live, link, client_id| read(live, link, reader, addr, client_id));
}

/// Feeds what comes from `reader` to the relay until the end of the stream.
///
/// A sender of much gives way while those who hear it and read are far behind, and lets others
/// who are ready have their turn now and then.
/// After the relay has dropped the connection it goes on reading: a socket
/// that is closed with unread bytes takes back what it sent last.
fn read<R: AsyncRead + Send + Unpin + 'static>(
    live: Live,
    id: LinkId,
    mut reader: R,
    addr: SocketAddr,
    client_id: ClientId,
) -> impl Future<Output = ()> + Send {
    let span = tracing::debug_span!("connection", %addr, %client_id);
    let task = async move {
        let shard = live.shard();
        let (mut floods, mut most) = (false, FIRST);
        let (mut held, mut pause, mut is_past) = (Duration::ZERO, SHORTEST_PAUSE, false);
        let (mut last, mut reads) = (link::now(), 0);
        let reason = loop {
            let read = poll_fn(|cx| {
                if floods {
                    let is_congested = shard.is_congested(id);
                    is_past = is_congested && held >= shard.write_timeout();
                    if is_past {
                        most = FIRST;
                    } else if is_congested {
                        return Poll::Ready(Ok(None));
                    } else {
                        (held, pause) = (Duration::ZERO, SHORTEST_PAUSE);
                    }
                }
                let read = poll_read(&mut reader, cx, most, |bytes| match bytes {
                    [] => (0, Next::Read),
                    bytes => (bytes.len(), shard.feed(id, bytes)),
                });
                read.map_ok(Some)
            });
            match read.await {
                Ok(Some((0, _))) => break DisconnectReason::ConnectionClosed,
                Ok(Some((len, next))) => {
                    if std::mem::take(&mut is_past) {
                        held = held.saturating_sub(PAST);
                    }
                    let now = link::now();
                    let usual = RATE * now.saturating_duration_since(last).as_secs_f64();
                    floods = len >= MUCH && len as f64 > usual;
                    // Many small messages are as much work in a small read.
                    most = if floods && next == Next::Read { usize::MAX } else { FIRST };
                    last = now;
                    reads = if floods { reads + 1 } else { 0 };
                    match next {
                        Next::Pause => Box::pin(sleep(LATER)).await,
                        Next::Read if reads < TURN => {}
                        Next::Read | Next::Yield => {
                            reads = 0;
                            yield_now().await;
                        }
                    }
                }
                Ok(None) => {
                    let began = link::now();
                    // Boxed: few ever wait here, and all would hold the room for it.
                    Box::pin(sleep(pause)).await;
                    let waited = link::now().saturating_duration_since(began);
                    // Time in which it is not read is none in which it was silent.
                    (held, last) = (held + waited, last + waited);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => break DisconnectReason::from_io(&error),
            }
        };
        shard.lost(id, reason);
    };
    task.instrument(span)
}

/// Bytes of one read from which on a sender may be asked to give way, and bytes a second
/// that it has to exceed for that. Who speaks as players do never waits.
const MUCH: usize = 1 << 10;
const RATE: f64 = 262_144.0;

/// Bytes of one read of somebody who has not sent much before: so that many who begin to at
/// the same moment do not fill what may wait for a client.
const FIRST: usize = 4 << 10;

/// Reads of a sender of much after which it lets others have their turn: half a millisecond.
const TURN: u32 = 16;

/// How long a sender of much waits for each [`FIRST`] bytes once it has waited for the write
/// timeout: 32 KiB a second. Who takes less than that is not waited for for ever, and many
/// senders at once close nobody who reads.
const PAST: Duration = Duration::from_millis(125);

/// How long a sender of much waits at a time, longer each time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// When somebody is read again who is refused what it says.
const LATER: Duration = Duration::from_millis(10);
