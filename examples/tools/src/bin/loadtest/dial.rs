//! From an address to a seat in a room.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use ghost_sync_core::{CloseReason, DecodeError, FrameTooLong, Refusal};
use socket2::{Domain, Protocol, Socket, Type};

use crate::dialect::{Dialect, Entered, Entry};

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that the system may keep for a member that never reads: few, so that
/// the server notices soon.
const STALLED_BUFFER: usize = 4096;

/// Bytes of an answer that are shown.
const SHOWN: usize = 80;

/// Why there is no connection or no seat.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Nobody listens there, or it cannot be reached.
    #[error("cannot connect to {addr}")]
    Connect {
        /// Where.
        addr: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// It ended in the middle.
    #[error("lost the connection while joining")]
    Lost(#[source] io::Error),
    /// It ended on purpose.
    #[error("the server closed the connection")]
    Closed(#[source] CloseReason),
    /// No seat.
    #[error("cannot join room {room:?}")]
    Refused {
        /// Which.
        room: String,
        /// Why.
        source: Refusal,
    },
    /// That is no Ghost Sync server.
    #[error("the answer makes no sense; is that a Ghost Sync server?")]
    Nonsense(#[from] DecodeError),
    /// That is no Ghost Sync server.
    #[error("the answer makes no sense; is that a Ghost Sync server?")]
    TooLong(#[from] FrameTooLong),
    /// Messages would be refused.
    #[error("the server takes messages of {max} bytes at most")]
    Payload {
        /// Its limit.
        max: u32,
    },
    /// Another kind of server, or one that does not want us.
    #[error("the answer to {to} was {answer}")]
    Answer {
        /// What was said.
        to: &'static str,
        /// What came back.
        answer: String,
    },
}

impl DialError {
    /// `to` was answered with something else than hoped.
    pub(crate) fn answer(to: &'static str, answer: &[u8]) -> Self {
        let shown = &answer[..answer.len().min(SHOWN)];
        Self::Answer { to, answer: format!("{:?}", String::from_utf8_lossy(shown)) }
    }
}

/// A connection that is where it should be.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) stream: TcpStream,
    pub(crate) entered: Entered,
    /// Bytes that were read, but not needed yet.
    pub(crate) rest: Vec<u8>,
}

/// A connection on which one waits for answers.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// Connects, and joins a room if there is one.
pub(crate) fn dial(
    addr: SocketAddr,
    dialect: Dialect,
    entry: &Entry<'_>,
    stalled: bool,
) -> Result<Dialed, DialError> {
    let connected = connect(addr, stalled);
    let stream = connected.map_err(|source| DialError::Connect { addr, source })?;
    let mut line = Line { stream, unread: Vec::new() };
    let entered = dialect.enter(&mut line, entry)?;
    Ok(Dialed { stream: line.stream, entered, rest: line.unread })
}

fn connect(addr: SocketAddr, stalled: bool) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if stalled {
        socket.set_recv_buffer_size(STALLED_BUFFER)?;
    }
    socket.connect_timeout(&addr.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl Line {
    /// Says it.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        self.stream.write_all(bytes).map_err(DialError::Lost)
    }

    /// What comes next, at least a byte of it.
    pub(crate) fn read(&mut self) -> Result<Vec<u8>, DialError> {
        let mut bytes = std::mem::take(&mut self.unread);
        if bytes.is_empty() {
            bytes.resize(4096, 0);
            let read = match self.stream.read(&mut bytes) {
                Ok(0) => return Err(DialError::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => read,
                Err(error) => return Err(DialError::Lost(error)),
            };
            bytes.truncate(read);
        }
        Ok(bytes)
    }

    /// Keeps what was read too far.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.unread = bytes.to_vec();
    }

    /// Reads until `find` finds something, and says how many bytes that took.
    pub(crate) fn listen<T>(
        &mut self,
        mut find: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, DialError>,
    ) -> Result<T, DialError> {
        let mut bytes = self.read()?;
        loop {
            if let Some((len, found)) = find(&bytes)? {
                self.put_back(&bytes[len..]);
                return Ok(found);
            }
            bytes.extend(self.read()?);
        }
    }
}
