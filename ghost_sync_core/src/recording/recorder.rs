//! Writes down what happens in a room, without ever holding it up.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinError, JoinHandle},
    time::{Instant, sleep},
};

use crate::{
    relay::{HistoryPage, PastEvent, RoomSnapshot},
    wire::RoomName,
};

use super::{
    format::{self, Record},
    state::RoomState,
};

/// A recording that is being made. It goes on until the room is deleted, the
/// server has stopped, the writer fails, or this is [stopped](Self::stop) or dropped.
///
/// A task looks at the room ten times a second (a hundred times where much
/// happens), and writes what it finds from a
/// thread for blocking work. While that is slow, the room's
/// [history](crate::relay::RoomConfig::history) holds what comes next. What that
/// does not keep for so long is not recorded, and a gap says so.
#[derive(Debug)]
pub struct Recorder {
    room: RoomName,
    task: JoinHandle<io::Result<RecordingSummary>>,
    /// Dropping it is what stops.
    stop: oneshot::Sender<()>,
}

/// What was recorded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecordingSummary {
    /// Events that were written.
    pub events: u64,
    /// Events that were not, because the writer was too slow or the room keeps
    /// too little of its history.
    pub missed: u64,
    /// The last event, written or missed.
    pub last_seq: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Whether the room is gone.
    pub room_gone: bool,
}

/// The room that is recorded.
pub(super) trait Source: Send + 'static {
    /// The room's events from `from` on and, if those are not kept any more or
    /// are asked for first, the room as it is: both at the same moment.
    fn look(&self, from: Option<u64>, max_bytes: usize) -> Option<Sight>;

    /// Whether nothing will happen any more.
    fn is_over(&self) -> bool;
}

/// A room at one moment.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) history: HistoryPage,
    /// What was asked for, or needed.
    pub(super) snapshot: Option<RoomSnapshot>,
    /// Whether the room was deleted.
    pub(super) gone: bool,
}

impl Recorder {
    /// Begins with what `source` shows now.
    pub(super) fn start<W>(runtime: &Handle, source: impl Source, first: Sight, writer: W) -> Self
    where
        W: Write + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let (task, room) = Task::begin(source, first, Box::new(writer));
        Self { room, task: runtime.spawn(task.run(stopped)), stop }
    }

    /// The room's name.
    pub fn room(&self) -> &RoomName {
        &self.room
    }

    /// Whether nothing is written any more: the room is gone, the server has
    /// stopped, or the writer failed.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends the recording with what has happened up to now, and waits until that
    /// is written.
    ///
    /// # Errors
    /// What the writer said. What it took before can be read.
    pub async fn stop(self) -> io::Result<RecordingSummary> {
        let Self { task, stop, .. } = self;
        drop(stop);
        task.await.unwrap_or_else(failed)
    }

    /// Waits until there is nothing to record any more: the room is gone, or the
    /// server has stopped. Dropping the future stops the recorder.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub async fn finished(self) -> io::Result<RecordingSummary> {
        let Self { task, stop, .. } = self;
        let result = task.await.unwrap_or_else(failed);
        drop(stop);
        result
    }
}

struct Task<S> {
    source: S,
    writer: Option<Box<dyn Write + Send>>,
    /// The next event.
    cursor: u64,
    clock: Clock,
    /// How old the recording is when it begins, in milliseconds.
    lead: u64,
    /// What is to be written.
    batch: BytesMut,
    summary: RecordingSummary,
}

impl<S: Source> Task<S> {
    fn begin(source: S, first: Sight, writer: Box<dyn Write + Send>) -> (Self, RoomName) {
        let snapshot = first.snapshot.expect("it was asked for");
        let room = snapshot.name.clone();
        let mut clock = Clock { last: snapshot.at_ms, at: 0 };
        // A young room is recorded from its first event on: before that it was empty.
        let from_birth = first.history.oldest == 1;
        let state = if from_birth {
            if let Some(event) = first.history.events.first() {
                clock.last = event.at_ms;
            }
            RoomState::new(snapshot.id, room.clone(), snapshot.epoch, snapshot.capacity)
        } else {
            state_of(&snapshot)
        };
        let lead = Clock { ..clock }.advance(snapshot.at_ms);
        let began = SystemTime::now() - Duration::from_millis(lead);
        let since_1970 = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let cursor = state.seq + 1;
        let mut batch = BytesMut::new();
        format::preface(&mut batch);
        let start = Record::Start { unix_ms, state: state.frames(0, None).freeze() };
        let writer = start.encode(&mut batch).is_ok().then_some(writer);
        let summary = RecordingSummary { last_seq: state.seq, ..RecordingSummary::default() };
        (Self { source, writer, cursor, clock, lead, batch, summary }, room)
    }

    async fn run(mut self, mut stop: oneshot::Receiver<()>) -> io::Result<RecordingSummary> {
        let began = Instant::now();
        let lead = self.lead;
        let mut until = None;
        let mut rested = self.cursor;
        loop {
            let Some(sight) = self.source.look(Some(self.cursor), READ) else {
                self.summary.room_gone = true;
                break;
            };
            let next = sight.history.next;
            if until.is_none() && (is_stopped(&mut stop) || self.source.is_over()) {
                until = Some(next);
            }
            self.take(&sight)?;
            self.write().await?;
            if self.cursor >= next && sight.gone {
                self.summary.room_gone = true;
                break;
            }
            if until.is_some_and(|until| self.cursor >= until) {
                break;
            }
            if self.cursor >= next {
                // A room in which much happens forgets it the sooner.
                let rest = if self.cursor - rested < BUSY { POLL } else { POLL / 10 };
                rested = self.cursor;
                tokio::select! {
                    () = sleep(rest) => {}
                    _ = &mut stop => {}
                }
            }
        }
        let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let at = lead.saturating_add(passed).max(self.clock.at);
        Record::End { at, gone: self.summary.room_gone }.encode(&mut self.batch)?;
        self.write().await?;
        Ok(self.summary)
    }

    /// Takes what happened since the last look.
    fn take(&mut self, sight: &Sight) -> io::Result<()> {
        if let Some(snapshot) = &sight.snapshot {
            // What the room still keeps of the time between says nothing without
            // knowing who was there: go on from now.
            let at = self.clock.advance(snapshot.at_ms);
            let (from, to) = (self.cursor, snapshot.seq);
            tracing::debug!(room = %snapshot.name, from, to, "events are missing in a recording");
            let state = state_of(snapshot).frames(0, None).freeze();
            Record::Gap { at, from, to, state }.encode(&mut self.batch)?;
            self.summary.missed += to + 1 - from;
            self.cursor = to + 1;
        } else {
            for PastEvent { seq, at_ms, frame } in &sight.history.events {
                let at = self.clock.advance(*at_ms);
                Record::Event { at, frame: frame.clone() }.encode(&mut self.batch)?;
                self.summary.events += 1;
                self.cursor = seq + 1;
            }
        }
        self.summary.last_seq = self.cursor - 1;
        Ok(())
    }

    /// Writes what there is, where blocking is allowed.
    async fn write(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.take().ok_or_else(too_large)?;
        let batch: Bytes = self.batch.split().freeze();
        self.summary.bytes += batch.len() as u64;
        let write = move || {
            writer.write_all(&batch)?;
            writer.flush()?;
            Ok(writer)
        };
        let written = tokio::task::spawn_blocking(write).await;
        match written.unwrap_or_else(failed) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => {
                tracing::warn!(%error, "a recording ends: it cannot be written");
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The time in the recording, from a clock that wraps.
#[derive(Clone, Copy, Debug)]
struct Clock {
    last: u32,
    at: u64,
}

impl Clock {
    /// Milliseconds from the beginning to `at_ms` by the room's clock.
    fn advance(&mut self, at_ms: u32) -> u64 {
        let passed = at_ms.wrapping_sub(self.last);
        // A clock that was put back a little has not wrapped.
        if passed <= u32::MAX / 2 {
            self.at += u64::from(passed);
            self.last = at_ms;
        }
        self.at
    }
}

fn state_of(snapshot: &RoomSnapshot) -> RoomState {
    let RoomSnapshot { id, name, epoch, capacity, seq, meta_version, .. } = snapshot;
    let mut state = RoomState::new(*id, name.clone(), *epoch, *capacity);
    (state.seq, state.meta_version) = (*seq, *meta_version);
    state.meta = snapshot.meta.iter().cloned().collect();
    state.members = snapshot.members.iter().map(|member| (member.seat, member.clone())).collect();
    state.retain(&snapshot.retained);
    state
}

/// Whether the other half was dropped.
fn is_stopped(stop: &mut oneshot::Receiver<()>) -> bool {
    stop.try_recv() != Err(oneshot::error::TryRecvError::Empty)
}

fn too_large() -> io::Error {
    io::Error::other("the room is too large to be recorded")
}

/// The error for a writer that panicked, or whose runtime is gone.
fn failed<T>(error: JoinError) -> io::Result<T> {
    Err(io::Error::other(error))
}

/// Time between two looks at a room in which nothing happens.
const POLL: Duration = Duration::from_millis(100);

/// Events between two looks from which on the next one comes sooner.
const BUSY: u64 = 256;

/// Bytes taken out of a room's history at once, about: copied while nobody else
/// gets at the rooms.
const READ: usize = 64 << 10;
