//! Layer 3: rooms on disk. Records what happens in a room, and plays it: to
//! whoever watches, or to a server that shall see it again.
//!
//! [`ServerHandle::record`](crate::server::ServerHandle::record) makes a
//! recording. [`Recording`] reads it: [`events`](Recording::events) for analysis,
//! [`serve`](Recording::serve) for clients that watch,
//! [`perform`](Recording::perform) for a server that gets the same inputs again.
//!
//! ```
//! use ghost_sync_core::{
//!     Client, Server, ServerEvent,
//!     recording::{PlaybackOptions, Recording, Speed},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let path = std::env::temp_dir().join(format!("match-{}.ghostrec", std::process::id()));
//! let server = Server::builder().local_only().room("arena").build().run().await?;
//! let recorder = server.record("arena", std::fs::File::create(&path)?)?;
//! server.broadcast("arena", "go!")?;
//! recorder.stop().await?;
//!
//! // Anybody can watch it later, at any speed.
//! let recording = Recording::open(&path)?;
//! let options = PlaybackOptions { speed: Speed::FASTEST, ..PlaybackOptions::default() };
//! let playback = recording.serve(options);
//! let mut viewer = Client::builder().connect_over(playback.connect_local()).await?;
//! viewer.join("arena").await?;
//! let Some(ServerEvent::Joined { .. }) = viewer.recv().await? else { panic!("not let in") };
//! let Some(ServerEvent::Broadcast { data, .. }) = viewer.recv().await? else { panic!() };
//! assert_eq!(data, "go!");
//! # std::fs::remove_file(path)?;
//! # Ok(())
//! # }
//! ```

mod error;
mod format;
mod perform;
mod record;
mod recorder;
mod serve;
mod state;
mod viewer;

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};

use crate::wire::{GapReason, RoomId, RoomName, ServerMessage};

pub use error::RecordingError;
pub use perform::{NotPerformed, PerformOptions, Performance, WhyNot};
pub use recorder::{Recorder, RecordingSummary};
pub use serve::{Playback, PlaybackOptions, Speed};
pub use state::RoomState;

use format::{Record, Records};
use state::event;

/// What happened in a room for some time, in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Recording {
    contents: Arc<Contents>,
}

#[derive(Debug)]
struct Contents {
    start: RoomState,
    started_at: SystemTime,
    entries: Vec<Entry>,
    duration: u64,
    ending: Ending,
}

/// What takes some numbers of the room's order.
#[derive(Debug)]
struct Entry {
    /// Milliseconds since the recording began.
    at: u64,
    first: u64,
    last: u64,
    kind: EntryKind,
}

#[derive(Debug)]
enum EntryKind {
    /// A whole frame.
    Event(Bytes),
    Gap(Box<Gap>),
}

#[derive(Debug)]
struct Gap {
    /// What became of the roster and the metadata meanwhile, as whole frames.
    bridge: Vec<Bytes>,
    /// The room after it.
    state: RoomState,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// The recorder was stopped, or its server was.
    Stopped,
    /// The room was deleted.
    RoomGone,
    /// In the middle: whoever wrote it did not come to the end. Everything that
    /// was written whole is there.
    CutOff,
}

/// One entry of a recording.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecordedEvent<'a> {
    /// When, from the beginning of the recording.
    pub at: Duration,
    /// Its place in the room's order; of a gap, the last place that it takes.
    pub seq: u64,
    /// What happened: an event of a room, or a
    /// [`Gap`](ServerMessage::Gap) where events were not recorded.
    pub message: ServerMessage<'a>,
}

impl Recording {
    /// The version of the file format.
    pub const VERSION: u16 = 1;

    /// The longest recording that can be read, in bytes (1 GiB). All of it is
    /// held in memory.
    pub const MAX_LEN: u64 = 1 << 30;

    /// Reads a file.
    ///
    /// A file that was cut off, by a crash say, is read up to its last whole
    /// record; [`ending`](Self::ending) tells.
    ///
    /// # Errors
    /// [`RecordingError`] says what is wrong, and where.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        Self::read(BufReader::new(File::open(path)?))
    }

    /// Reads a recording from anywhere.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(reader: impl Read) -> Result<Self, RecordingError> {
        let mut records = Records::new(reader, Self::MAX_LEN)?;
        let offset = records.offset();
        let (unix_ms, state) = match records.next()? {
            Some(Record::Start { unix_ms, state }) => (unix_ms, state),
            Some(_) => return Err(RecordingError::corrupt(offset, "no start")),
            None => return Err(RecordingError::NoStart { offset }),
        };
        let start =
            RoomState::parse(state).map_err(|what| RecordingError::corrupt(offset, what))?;
        let started_at = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(unix_ms))
            .ok_or_else(|| RecordingError::corrupt(offset, "a time that is no time"))?;
        let mut reading = Reading { state: start.clone(), entries: Vec::new(), duration: 0 };
        let ending = loop {
            let offset = records.offset();
            let Some(record) = records.next()? else { break Ending::CutOff };
            if let Some(ending) =
                reading.take(record).map_err(|what| RecordingError::corrupt(offset, what))?
            {
                let end = records.offset();
                match records.next() {
                    Ok(None) if records.is_at_end() => break ending,
                    _ => return Err(RecordingError::corrupt(end, "bytes after the end")),
                }
            }
        };
        let Reading { entries, duration, .. } = reading;
        let contents = Contents { start, started_at, entries, duration, ending };
        Ok(Self { contents: Arc::new(contents) })
    }

    /// The room's name.
    pub fn room(&self) -> &RoomName {
        &self.contents.start.name
    }

    /// The room's epoch: random, new for each incarnation of a room.
    pub fn epoch(&self) -> u64 {
        self.contents.start.epoch
    }

    /// The number of the room, as its members knew it.
    pub fn room_id(&self) -> RoomId {
        self.contents.start.room
    }

    /// When the recording began, by the clock of the machine that made it.
    pub fn started_at(&self) -> SystemTime {
        self.contents.started_at
    }

    /// How long it is.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.contents.duration)
    }

    /// How it ends.
    pub fn ending(&self) -> Ending {
        self.contents.ending
    }

    /// The room as it was in the beginning.
    pub fn start(&self) -> &RoomState {
        &self.contents.start
    }

    /// The place of the first event in the room's order (if there is none, that
    /// of the next one).
    pub fn first_seq(&self) -> u64 {
        self.contents.start.seq + 1
    }

    /// The place of the last event in the room's order; one less than
    /// [`first_seq`](Self::first_seq) if there is none.
    pub fn last_seq(&self) -> u64 {
        self.contents.entries.last().map_or(self.contents.start.seq, |entry| entry.last)
    }

    /// Everything that was recorded, in order.
    pub fn events(&self) -> impl Iterator<Item = RecordedEvent<'_>> {
        self.contents.entries.iter().filter_map(|entry| {
            let message = match &entry.kind {
                EntryKind::Event(frame) => event(frame)?,
                EntryKind::Gap(_) => entry.gap(self.room_id(), entry.first),
            };
            Some(RecordedEvent { at: Duration::from_millis(entry.at), seq: entry.last, message })
        })
    }

    /// The room as it was before event `seq`. Before the first event it is as in
    /// the beginning; within a gap, as after that; past the last event, as in the end.
    pub fn state_before(&self, seq: u64) -> RoomState {
        self.seek(seq).0
    }

    /// The room before event `seq`, and where the entries go on.
    fn seek(&self, seq: u64) -> (RoomState, usize) {
        let Contents { start, entries, .. } = &*self.contents;
        let next = entries.partition_point(|entry| entry.first < seq);
        // Nothing before the last gap matters.
        let gap = entries[..next].iter().rposition(|entry| matches!(entry.kind, EntryKind::Gap(_)));
        let mut state = match gap.map(|at| &entries[at].kind) {
            Some(EntryKind::Gap(gap)) => gap.state.clone(),
            _ => start.clone(),
        };
        for entry in &entries[gap.map_or(0, |at| at + 1)..next] {
            if let EntryKind::Event(frame) = &entry.kind {
                state.apply(frame).expect("it was checked when it was read");
            }
        }
        (state, next)
    }
}

/// A recording that is not read to its end.
struct Reading {
    state: RoomState,
    entries: Vec<Entry>,
    duration: u64,
}

impl Reading {
    /// Takes the next record; with the last one, how the recording ends.
    fn take(&mut self, record: Record) -> Result<Option<Ending>, &'static str> {
        match record {
            Record::Start { .. } => return Err("a second start"),
            Record::Event { at, frame } => {
                self.pass(at)?;
                self.state.apply(&frame)?;
                let seq = self.state.seq;
                self.entries.push(Entry {
                    at,
                    first: seq,
                    last: seq,
                    kind: EntryKind::Event(frame),
                });
            }
            Record::Gap { at, from, to, state } => {
                self.pass(at)?;
                let state = RoomState::parse(state)?;
                if self.state.seq.checked_add(1) != Some(from) || to < from || state.seq != to {
                    return Err("a gap that does not fit");
                }
                if (state.room, state.epoch) != (self.state.room, self.state.epoch) {
                    return Err("a gap in another room");
                }
                let mut bridge = self.state.bridge(&state);
                // Only those who leave a room that is deleted take no numbers.
                bridge.truncate(usize::try_from(to - from + 1).unwrap_or(usize::MAX));
                self.state = state.clone();
                let kind = EntryKind::Gap(Box::new(Gap { bridge, state }));
                self.entries.push(Entry { at, first: from, last: to, kind });
            }
            Record::End { at, gone } => {
                self.pass(at)?;
                return Ok(Some(if gone { Ending::RoomGone } else { Ending::Stopped }));
            }
        }
        Ok(None)
    }

    fn pass(&mut self, at: u64) -> Result<(), &'static str> {
        if at < self.duration {
            return Err("time that goes back");
        }
        self.duration = at;
        Ok(())
    }
}

impl Entry {
    /// The entry, or what is left of it from `from` on, as a gap.
    fn gap(&self, room: RoomId, from: u64) -> ServerMessage<'static> {
        ServerMessage::Gap { room, from, to: self.last, own: 0, reason: GapReason::Lagged }
    }

    /// The whole frames that a viewer is given.
    fn frames(&self, room: RoomId, out: &mut BytesMut) {
        match &self.kind {
            EntryKind::Event(frame) => out.extend_from_slice(frame),
            EntryKind::Gap(gap) => {
                gap.bridge.iter().for_each(|frame| out.extend_from_slice(frame));
                let from = self.first + gap.bridge.len() as u64;
                if from <= self.last {
                    self.gap(room, from).encode(out);
                }
            }
        }
    }
}
