//! A bad line, for tests.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::local::BUFFER;

/// Controls a line that it lies on: delays it, stalls it, cuts it.
///
/// It works on Tokio's clock, so tests may stop time. The line goes on when the
/// conditioner is dropped.
#[derive(Debug)]
pub struct Conditioner {
    weather: watch::Sender<Weather>,
    directions: [AbortHandle; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    delay: Duration,
    stalled: bool,
}

impl Conditioner {
    /// Lays a line on `stream`; what is written to and read from the stream that
    /// is returned goes over it. At first it is perfect.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new<S>(stream: S) -> (DuplexStream, Self)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (near, line) = tokio::io::duplex(BUFFER);
        let (line_reader, line_writer) = tokio::io::split(line);
        let (reader, writer) = tokio::io::split(stream);
        let (weather, forecast) = watch::channel(Weather::default());
        let there = tokio::spawn(carry(line_reader, writer, forecast.clone())).abort_handle();
        let back = tokio::spawn(carry(reader, line_writer, forecast)).abort_handle();
        (near, Self { weather, directions: [there, back] })
    }

    /// From now on bytes take this long, in either direction. They stay in order.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Nothing arrives any more, until [`resume`](Self::resume).
    pub fn stall(&self) {
        self.weather.send_modify(|weather| weather.stalled = true);
    }

    /// What was stalled arrives.
    pub fn resume(&self) {
        self.weather.send_modify(|weather| weather.stalled = false);
    }

    /// Ends the line in both directions, and loses what is on it.
    pub fn cut(&self) {
        self.directions.iter().for_each(AbortHandle::abort);
    }
}

/// Carries bytes in one direction until the end of the stream.
async fn carry(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut forecast: watch::Receiver<Weather>,
) {
    let mut on_the_line: VecDeque<(Instant, Bytes)> = VecDeque::new();
    let mut bytes = 0;
    let mut ended = false;
    while !(ended && on_the_line.is_empty()) {
        let Weather { delay, stalled } = *forecast.borrow_and_update();
        let due = on_the_line.front().map(|(due, _)| *due);
        let mut buffer = BytesMut::new();
        tokio::select! {
            Ok(()) = forecast.changed() => {}
            read = reader.read_buf(&mut buffer), if !ended && bytes < BUFFER => {
                ended = read.unwrap_or(0) == 0;
                if !ended {
                    bytes += buffer.len();
                    on_the_line.push_back((Instant::now() + delay, buffer.freeze()));
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && !stalled => {
                let Some((_, arrived)) = on_the_line.pop_front() else { continue };
                bytes -= arrived.len();
                if writer.write_all(&arrived).await.is_err() {
                    return;
                }
            }
            // Whoever controlled it is gone, in the middle of a stall.
            else => return,
        }
    }
    let _ = writer.shutdown().await;
}
