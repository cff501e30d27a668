//! One link at work: reads, writes and notices when the other side is gone.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};

use crate::{link, wire::DisconnectReason};

use super::{
    session::Session,
    state::{Course, State},
};

/// How long the last bytes may take to leave.
const LINGER: Duration = Duration::from_secs(1);

/// Later than any connection lasts.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads in a row before others get their turn.
const READS: usize = 16;

/// Drives one stream until that or the connection is over.
#[derive(Debug)]
pub(super) struct Drive<'a, S> {
    state: &'a State,
    stream: S,
    writing: BytesMut,
    /// How long a live server may be silent.
    silence: Option<Duration>,
    heard: Instant,
    /// When to look at the clock again.
    alarm: Pin<Box<Sleep>>,
    stage: Stage,
    /// Why nothing more can be written.
    broken: Option<DisconnectReason>,
    shut_down: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Running,
    /// Writes what is left, then waits for the other side to close too: a
    /// socket that is dropped with unread bytes takes back what it sent last.
    Ending,
    Over,
}

impl<'a, S> Drive<'a, S> {
    pub(super) fn new(state: &'a State, stream: S) -> Self {
        let silence = state.look(Session::greeted).and_then(|greeted| greeted.silence);
        Self {
            state,
            stream,
            writing: BytesMut::new(),
            silence,
            heard: Instant::now(),
            alarm: Box::pin(tokio::time::sleep(silence.unwrap_or(FAR))),
            stage: Stage::Running,
            broken: None,
            shut_down: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Drive<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.read(cx);
        this.watch(cx);
        match this.state.course(cx.waker()) {
            Course::Away => this.stage = Stage::Over,
            Course::End if this.stage == Stage::Running => this.end(cx),
            Course::On | Course::End => {}
        }
        this.write(cx);
        if this.stage == Stage::Over { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drive<'_, S> {
    fn read(&mut self, cx: &mut Context<'_>) {
        for _ in 0..READS {
            if self.state.is_pressed(cx.waker()) {
                // Unread is not unheard.
                self.heard = Instant::now();
                return;
            }
            match link::poll_read(&mut self.stream, cx, usize::MAX, Bytes::copy_from_slice) {
                Poll::Pending => return,
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
                    self.heard = Instant::now();
                    self.state.received(bytes);
                }
                Poll::Ready(Ok(_)) => return self.over(DisconnectReason::ConnectionClosed),
                Poll::Ready(Err(error)) => return self.over(DisconnectReason::from_io(&error)),
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Looks at the clock, after what arrived meanwhile was read: a process that
    /// was asleep itself must not call the other one silent.
    fn watch(&mut self, cx: &mut Context<'_>) {
        while self.stage != Stage::Over && self.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let next = match (self.stage, self.silence) {
                (Stage::Ending | Stage::Over, _) => {
                    return self.over(DisconnectReason::ConnectionClosed);
                }
                (Stage::Running, None) => now + FAR,
                (Stage::Running, Some(silence)) if now < self.heard + silence => {
                    self.heard + silence
                }
                (Stage::Running, Some(silence)) => return self.state.timed_out(silence),
            };
            self.alarm.as_mut().reset(next);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        while self.stage != Stage::Over && self.broken.is_none() {
            if self.writing.is_empty() {
                self.writing = self.state.take_outbox();
            }
            if self.writing.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.writing) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.cannot_write(&io::ErrorKind::WriteZero.into(), cx),
                Poll::Ready(Ok(written)) => self.writing.advance(written),
                Poll::Ready(Err(error)) => self.cannot_write(&error, cx),
            }
        }
        if self.stage == Stage::Running {
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        } else if self.stage == Stage::Ending && !self.shut_down {
            self.shut_down = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
        }
    }

    /// The other side's last words may still be there to read.
    fn cannot_write(&mut self, why: &io::Error, cx: &mut Context<'_>) {
        self.broken = Some(DisconnectReason::from_io(why));
        if self.stage == Stage::Running {
            self.end(cx);
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        self.stage = Stage::Ending;
        self.alarm.as_mut().reset(Instant::now() + LINGER);
        self.watch(cx);
    }

    fn over(&mut self, reason: DisconnectReason) {
        self.state.lost(self.broken.take().unwrap_or(reason));
        self.stage = Stage::Over;
    }
}
