//! A server that does nothing but write: what the system allows at most.
//!
//! ```text
//! cargo run --release --bin floor -- --sockets 64 --frames 60
//! cargo run --release --bin loadtest -- --dialect floor --members 64 127.0.0.1:PORT
//! ```
//!
//! It waits for so many connections, and then one thread writes a batch of broadcasts to each in
//! turn, the same bytes again and again. The first line on standard output is `listening on ADDRESS`.

use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
};

use bytes::BytesMut;
use clap::Parser;
use ghost_sync_core::{Delivery, MessageType, RoomId, Seat, ServerMessage};
use ghost_sync_tools::{chain, descriptors};

/// Writes batches of broadcasts to all who connect, as fast as the system takes them.
#[derive(Clone, Debug, Parser)]
#[command(name = "floor", version)]
struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    bind: String,

    /// Connections to wait for
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    sockets: u16,

    /// Broadcasts in one write
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,

    /// Bytes of each
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..))]
    payload: u16,
}

/// Bytes of what is said, which must be no time that a run could measure.
const FILLER: u8 = 0xff;

fn main() -> ExitCode {
    let args = Args::parse();
    match serve(&args) {
        Ok(never) => match never {},
        Err(error) => {
            // Standard error may be gone; there is nobody else to tell.
            let _ = writeln!(io::stderr(), "error: cannot serve {}: {}", args.bind, chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> io::Result<std::convert::Infallible> {
    if let Err(error) = descriptors::allow(usize::from(args.sockets), usize::from(args.sockets)) {
        let _ = writeln!(io::stderr(), "{}", chain(&error));
    }
    let listener = TcpListener::bind(&args.bind)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;
    let batch = batch(args);
    loop {
        let mut sockets = Vec::new();
        while sockets.len() < usize::from(args.sockets) {
            let (socket, _) = listener.accept()?;
            socket.set_nodelay(true)?;
            sockets.push(socket);
        }
        // Who leaves makes place for the next.
        while !sockets.is_empty() {
            sockets.retain(|mut socket: &TcpStream| socket.write_all(&batch).is_ok());
        }
    }
}

fn batch(args: &Args) -> BytesMut {
    let mut batch = BytesMut::new();
    for seq in 1..=u64::from(args.frames) {
        ServerMessage::Broadcast {
            room: RoomId(1),
            seq,
            sender: Seat(1),
            delivery: Delivery::Reliable,
            message_type: MessageType::RAW,
            payload: &vec![FILLER; usize::from(args.payload)],
        }
        .encode(&mut batch);
    }
    batch
}
