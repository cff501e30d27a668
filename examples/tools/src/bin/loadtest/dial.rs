//! From an address to a seat in a room.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bytes::BytesMut;
use ghost_sync_core::{
    ClientMessage, CloseReason, DecodeError, Decoder, FrameTooLong, MAGIC, MAX_SERVER_FRAME,
    Refusal, Replay, RoomId, Seat, ServerMessage, VERSION,
};
use socket2::{Domain, Protocol, Socket, Type};

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that the system may keep for a member that never reads: few, so that
/// the server notices soon.
const STALLED_BUFFER: usize = 4096;

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
}

/// A connection that is where it should be.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder,
    /// Bytes that were read, but not needed yet.
    pub(crate) rest: Vec<u8>,
    /// The room's number, the own seat and the last event before it.
    pub(crate) seat: (RoomId, Seat, u64),
}

/// Connects, and joins `room` if there is one.
pub(crate) fn dial(
    addr: SocketAddr,
    room: Option<&str>,
    payload: usize,
    stalled: bool,
) -> Result<Dialed, DialError> {
    let connected = connect(addr, stalled);
    let mut stream = connected.map_err(|source| DialError::Connect { addr, source })?;
    let mut hello = BytesMut::new();
    ClientMessage::Hello {
        magic: MAGIC,
        version: VERSION,
        protocol: 0,
        data: &[],
        meta: vec![],
        session: None,
    }
    .encode(&mut hello);
    if let Some(room) = room {
        ClientMessage::Join { request: 1, room, data: &[], replay: Replay::Nothing }
            .encode(&mut hello);
    }
    stream.write_all(&hello).map_err(DialError::Lost)?;
    let mut entry = Entry { room, payload, seat: None, missing: 0 };
    let mut decoder = Decoder::new(MAX_SERVER_FRAME);
    let mut buffer = [0; 4096];
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Err(DialError::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => read,
            Err(error) => return Err(DialError::Lost(error)),
        };
        let mut input = &buffer[..read];
        while let Some(frame) = decoder.next_frame(&mut input)? {
            if let Some(seat) = entry.take(ServerMessage::decode(frame)?)? {
                let rest = input.to_vec();
                return Ok(Dialed { stream, decoder, rest, seat });
            }
        }
    }
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

/// How far the handshake has come.
#[derive(Debug)]
struct Entry<'a> {
    room: Option<&'a str>,
    payload: usize,
    seat: Option<(RoomId, Seat, u64)>,
    missing: u32,
}

impl Entry<'_> {
    /// Takes a message; the seat comes with the last one.
    fn take(
        &mut self,
        message: ServerMessage<'_>,
    ) -> Result<Option<(RoomId, Seat, u64)>, DialError> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about the seat")]
        match message {
            ServerMessage::Welcome { max_payload, .. } => {
                if self.payload > max_payload as usize {
                    return Err(DialError::Payload { max: max_payload });
                }
                if self.room.is_none() {
                    return Ok(Some((RoomId(0), Seat(0), 0)));
                }
            }
            ServerMessage::Joined { room, seat, seq, members, .. } => {
                self.seat = Some((room, seat, seq));
                self.missing = members;
            }
            ServerMessage::Roster { members, .. } => {
                let listed = u32::try_from(members.len()).unwrap_or(u32::MAX);
                self.missing = self.missing.saturating_sub(listed);
                if self.missing == 0 {
                    return Ok(self.seat);
                }
            }
            ServerMessage::JoinRefused { reason, .. } => {
                let room = self.room.unwrap_or_default().to_owned();
                return Err(DialError::Refused { room, source: reason });
            }
            ServerMessage::Close { reason } => return Err(DialError::Closed(reason)),
            _ => {}
        }
        Ok(None)
    }
}
