//! A TCP proxy that does to connections what bad networks do, the same for the
//! same seed. Knows no message.

use std::{io, net::SocketAddr, ops::Range, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};

/// What is done to connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chaos {
    /// Where the random numbers of all connections start.
    pub(crate) seed: u64,
    /// From the client to the server.
    pub(crate) up: Line,
    /// From the server to the client.
    pub(crate) down: Line,
    /// Every connection is reset after this time; zero: never.
    pub(crate) cut_every: Duration,
    /// New connections are reset at once.
    pub(crate) refuse: bool,
}

/// What is done to the bytes of one direction. The default is nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// How long bytes take.
    pub(crate) delay: Duration,
    /// How much longer they take, at most. They stay in order.
    pub(crate) jitter: Duration,
    /// The longest piece that is written at once, in bytes; 0: as they come.
    pub(crate) pieces: usize,
    /// How long bytes are gathered before they go on together.
    pub(crate) gather: Duration,
    /// How fast they go on; 0: as fast as they come.
    pub(crate) bytes_per_second: u32,
    /// Of so many bytes one has a wrong bit, on average; 0: none.
    pub(crate) corrupt: u32,
    /// The byte from which on nothing goes on, while the connection stays.
    pub(crate) stall_at: Option<u64>,
    /// How the connection ends, and the bytes at one of which it does.
    pub(crate) end: Option<(End, Range<u64>)>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Both sides get a reset.
    Reset,
    /// Both sides get the end of the stream.
    Close,
    /// The receiver gets the end of the stream; the other direction goes on.
    HalfClose,
}

/// A running proxy; it ends with this value, and its connections with it.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    chaos: watch::Sender<Chaos>,
    cuts: watch::Sender<u64>,
    task: AbortHandle,
}

impl Proxy {
    /// Listens on `listen` and carries what comes to `target`.
    pub(crate) async fn start(listen: &str, target: SocketAddr, chaos: Chaos) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let (chaos, current) = watch::channel(chaos);
        let (cuts, cut) = watch::channel(0);
        let task = tokio::spawn(accept(listener, target, current, cut)).abort_handle();
        Ok(Self { addr, chaos, cuts, task })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Does this to connections from now on; those that are there keep their weather.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Chaos)) {
        self.chaos.send_modify(change);
    }

    /// Resets every connection that is there.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    chaos: watch::Receiver<Chaos>,
    cut: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    number += 1;
                    let chaos = chaos.borrow().clone();
                    connections.spawn(connect(client, target, chaos, number, cut.clone()));
                }
                // No descriptors, most likely; others are about to close some.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(
    mut client: TcpStream,
    target: SocketAddr,
    chaos: Chaos,
    number: u64,
    mut cut: watch::Receiver<u64>,
) {
    let _ = client.set_zero_linger();
    if chaos.refuse {
        return;
    }
    let Ok(socket) = (if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })
    else {
        return;
    };
    if chaos.down.bytes_per_second > 0 {
        let _ = socket.set_recv_buffer_size(THIN);
    }
    let Ok(mut server) = socket.connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true), server.set_zero_linger());
    let mut random = Random::new(chaos.seed ^ number.wrapping_mul(GOLDEN));
    let (up, down) = (random.fork(), random.fork());
    let lifetime = async {
        if chaos.cut_every.is_zero() {
            std::future::pending().await
        } else {
            sleep(chaos.cut_every).await
        }
    };
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::try_join!(
                carry(from_client, to_server, chaos.up, up),
                carry(from_server, to_client, chaos.down, down),
            )
        };
        tokio::select! {
            ended = both => ended.err().unwrap_or(End::Close),
            _ = cut.changed() => End::Reset,
            () = lifetime => End::Reset,
        }
    };
    if end != End::Reset {
        // Dropped with this, a socket says goodbye and does not reset.
        for stream in [client, server] {
            let _ = socket2::SockRef::from(&stream).set_linger(None);
        }
    }
}

/// Carries bytes until the end of the stream, which is carried on too.
async fn carry(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    line: Line,
    mut random: Random,
) -> Result<(), End> {
    let end = line.end.clone().map(|(end, range)| (end, random.within(range)));
    let mut draw = random.fork();
    // A thin line holds little, so that whoever fills it notices.
    let depth = if line.bytes_per_second > 0 { 1 } else { QUEUE };
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(depth);
    let read = async {
        let mut due = Instant::now();
        loop {
            let mut bytes = Vec::with_capacity(READ);
            if reader.read_buf(&mut bytes).await.map_err(|_| End::Reset)? == 0 {
                drop(queue);
                return Ok(());
            }
            due = due.max(Instant::now() + line.delay + random.part_of(line.jitter));
            random.corrupt(&mut bytes, line.corrupt);
            if queue.send((due, bytes)).await.is_err() {
                // The way on is closed already.
                return Ok(());
            }
        }
    };
    let write = async {
        let mut passed = 0_u64;
        while let Some((due, mut bytes)) = queued.recv().await {
            sleep_until(due).await;
            if !line.gather.is_zero() {
                sleep(line.gather).await;
                while let Ok((_, more)) = queued.try_recv() {
                    bytes.extend(more);
                }
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let mut len = draw.piece(rest.len(), line.pieces);
                if let Some(stop) = end.map(|(_, at)| at).into_iter().chain(line.stall_at).min() {
                    len = len.min(usize::try_from(stop.saturating_sub(passed)).unwrap_or(len));
                }
                writer.write_all(&rest[..len]).await.map_err(|_| End::Reset)?;
                passed += len as u64;
                rest = &rest[len..];
                if line.bytes_per_second > 0 {
                    let len = u32::try_from(len).unwrap_or(u32::MAX);
                    sleep(Duration::from_secs(len.into()) / line.bytes_per_second).await;
                }
                if line.pieces > 0 {
                    // The next piece is to be a segment of its own.
                    tokio::task::yield_now().await;
                }
                match end {
                    Some((End::HalfClose, at)) if passed == at => {
                        queued.close();
                        let _ = writer.shutdown().await;
                        return Ok(());
                    }
                    Some((end, at)) if passed == at => return Err(end),
                    _ => {}
                }
                if line.stall_at == Some(passed) {
                    std::future::pending::<()>().await;
                }
            }
        }
        let _ = writer.shutdown().await;
        Ok(())
    };
    tokio::try_join!(read, write).map(|_| ())
}

/// Random numbers that are the same everywhere for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `range`, which is not empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start).max(1)
    }

    fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn part_of(&mut self, whole: Duration) -> Duration {
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.within(0..nanos.saturating_add(1)))
    }

    fn piece(&mut self, len: usize, longest: usize) -> usize {
        if longest == 0 {
            return len;
        }
        let drawn = self.within(1..longest as u64 + 1);
        len.min(usize::try_from(drawn).unwrap_or(len))
    }

    fn corrupt(&mut self, bytes: &mut [u8], one_in: u32) {
        if one_in == 0 {
            return;
        }
        for byte in bytes {
            let drawn = self.next();
            if drawn.is_multiple_of(one_in.into()) {
                *byte ^= 1 << (drawn >> 61);
            }
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes read at once, and how many such reads may be under way.
const READ: usize = 16 << 10;
const QUEUE: usize = 64;

/// Bytes that wait in the kernel before a thin line.
const THIN: u32 = 16 << 10;
