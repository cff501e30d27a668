//! Shows a recording to clients that watch it like a room.

use std::{future::ready, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    link::{LocalStream, local, tcp},
    server::accept_all,
};

use super::{Recording, RoomState, viewer::Viewer};

/// How a recording is shown; the default is from its beginning, as fast as it happened.
#[derive(Clone, Copy, Debug)]
pub struct PlaybackOptions {
    /// How fast.
    pub speed: Speed,
    /// The first event, by its place in the room's order; the room is as it was
    /// before. Less than the first is the first.
    pub from: u64,
    /// Viewers at once; 256 by default.
    pub max_viewers: usize,
}

/// How fast recorded time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

/// A server with nothing but a recording: whoever joins its room sees what
/// happened there, from the moment of the join on. Clones are the same server.
///
/// It speaks the wire protocol. A viewer has a seat of its own that nobody else
/// sees, and cannot speak: broadcasts are refused. At the end it is put out of
/// the room, and may join again to see it once more.
#[derive(Clone, Debug)]
pub struct Playback {
    show: Arc<Show>,
}

/// What all viewers share.
#[derive(Debug)]
pub(super) struct Show {
    pub(super) recording: Recording,
    pub(super) speed: Speed,
    /// The room as viewers find it.
    pub(super) start: RoomState,
    /// The first entry that they are shown.
    pub(super) next: usize,
    pub(super) max_viewers: usize,
    pub(super) places: Semaphore,
}

impl Recording {
    /// Shows the recording to whoever connects.
    pub fn serve(&self, options: PlaybackOptions) -> Playback {
        let PlaybackOptions { speed, from, max_viewers } = options;
        let (start, next) = self.seek(from);
        let max_viewers = max_viewers.min(Semaphore::MAX_PERMITS);
        let places = Semaphore::new(max_viewers);
        let recording = self.clone();
        Playback { show: Arc::new(Show { recording, speed, start, next, max_viewers, places }) }
    }
}

impl Playback {
    /// Connects inside this process; give the stream to
    /// [`ClientBuilder::connect_over`](crate::client::ClientBuilder::connect_over).
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn connect_local(&self) -> LocalStream {
        let (ours, theirs) = local::pair();
        let playback = self.clone();
        tokio::spawn(async move { playback.attend(ours).await });
        theirs
    }

    /// Serves one viewer over any byte stream, until one side ends it.
    pub async fn attend(&self, stream: impl AsyncRead + AsyncWrite) {
        let place = self.show.places.try_acquire().ok();
        Viewer::new(&self.show, std::pin::pin!(stream)).run(place.is_some()).await;
    }

    /// Serves everybody who connects, until the future is dropped; their tasks
    /// go on until they leave.
    pub async fn listen(&self, listener: TcpListener) {
        let serve = |stream: TcpStream, addr| {
            tracing::debug!(%addr, "a viewer");
            let playback = self.clone();
            tokio::spawn(async move {
                if let Ok(()) = tcp::tune(&stream) {
                    playback.attend(stream).await;
                }
            });
        };
        accept_all(listener, serve, || ready(false)).await;
    }
}

impl Speed {
    /// As fast as it happened.
    pub const NORMAL: Self = Self(1.0);

    /// As fast as it can be taken.
    pub const FASTEST: Self = Self(f64::INFINITY);

    /// So many times as fast as it happened; `None` unless that is more than 0.
    /// Infinity is [`FASTEST`](Self::FASTEST).
    pub fn new(times: f64) -> Option<Self> {
        (times > 0.0).then_some(Self(times))
    }

    /// How long it takes for `ms` recorded milliseconds to pass.
    pub(super) fn span(self, ms: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a recording is not that long")]
        let seconds = ms as f64 / 1000.0 / self.0;
        Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)
    }
}

impl Default for PlaybackOptions {
    fn default() -> Self {
        Self { speed: Speed::default(), from: 0, max_viewers: 256 }
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// Longer than anybody watches; clocks can count it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
