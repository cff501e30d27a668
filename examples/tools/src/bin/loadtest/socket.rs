//! A socket that several threads write to and one reads from.

use std::{
    io::{self, Read, Write},
    sync::{Mutex, PoisonError},
};

use bytes::{Buf, BytesMut};
use mio::{Interest, Registry, Token, net::TcpStream};

/// A connected socket that never blocks; what it does not take waits in memory.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    backlog: Mutex<BytesMut>,
}

impl Socket {
    /// Takes a connected socket.
    pub(crate) fn new(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: TcpStream::from_std(stream), backlog: Mutex::default() })
    }

    /// Has `registry` tell about it from now on.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Reads what is there; 0 is the end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(buffer)
    }

    /// Sends whole frames, now or as soon as the socket takes them.
    pub(crate) fn send(&self, frames: &[u8]) -> io::Result<()> {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if !backlog.is_empty() {
            backlog.extend_from_slice(frames);
            return self.write_backlog(&mut backlog);
        }
        let written = match (&self.stream).write(frames) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        backlog.extend_from_slice(&frames[written..]);
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.write_backlog(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_backlog(&self, backlog: &mut BytesMut) -> io::Result<()> {
        while !backlog.is_empty() {
            match (&self.stream).write(backlog) {
                Ok(written) => backlog.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
