//! One client that watches: its connection, and how far it has seen.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

use crate::wire::{
    ClientId, ClientMessage, CloseReason, DecodeError, Decoder, LeaveReason, MAX_HELLO,
    MAX_OVERHEAD, Refusal, ResumeFailure, RoomId, RoomSummary, Secret, ServerMessage, VERSIONS,
    Versions, Welcome,
};

use super::serve::Show;

/// A connection to a [`Playback`](super::Playback).
pub(super) struct Viewer<'a, S> {
    show: &'a Arc<Show>,
    stream: S,
    client_id: ClientId,
    decoder: Decoder,
    greeted: bool,
    /// Requests of the client.
    requests: u64,
    /// `Broadcast`s and `ToServer`s among them.
    references: u64,
    watching: Option<Watching>,
    out: BytesMut,
    heard: Instant,
    opened: Instant,
    tried_resume: bool,
    next_ping: Instant,
}

/// How far a viewer has seen.
#[derive(Clone, Copy)]
struct Watching {
    /// When it began.
    since: Instant,
    /// What the time was then, in the recording.
    from: u64,
    /// The entry that comes next.
    next: usize,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Viewer<'a, S> {
    pub(super) fn new(show: &'a Arc<Show>, stream: S) -> Self {
        let now = Instant::now();
        Self {
            show,
            stream,
            client_id: ClientId::new_v4(),
            decoder: Decoder::new(MAX_HELLO),
            greeted: false,
            requests: 0,
            references: 0,
            watching: None,
            out: BytesMut::new(),
            heard: now,
            opened: now,
            tried_resume: false,
            next_ping: now + PING_INTERVAL,
        }
    }

    /// Serves the client until one side ends it; without a place, it is told so.
    pub(super) async fn run(mut self, has_place: bool) {
        if let Err(Some(reason)) = self.converse(has_place).await {
            ServerMessage::Close { reason }.encode(&mut self.out);
        }
        // The last words have a second to leave, and the other side to close.
        let _ = timeout(LINGER, async {
            if self.stream.write_all(&self.out).await.is_ok() {
                let _ = self.stream.shutdown().await;
                let mut rest = BytesMut::new();
                while self.stream.read_buf(&mut rest).await.is_ok_and(|len| len > 0) {
                    rest.clear();
                }
            }
        })
        .await;
    }

    /// Ends with what the client is to be told, if anything.
    async fn converse(&mut self, has_place: bool) -> Result<(), Option<CloseReason>> {
        let mut read = BytesMut::with_capacity(READ);
        loop {
            let due = self.due();
            let silent = if self.greeted {
                self.heard + IDLE_TIMEOUT
            } else {
                self.opened + HANDSHAKE_TIMEOUT
            };
            tokio::select! {
                len = self.stream.read_buf(&mut read) => {
                    if len.unwrap_or(0) == 0 {
                        return Err(None);
                    }
                    if !has_place {
                        let max = u32::try_from(self.show.max_viewers).unwrap_or(u32::MAX);
                        let retry_after_ms = 1000;
                        return Err(Some(CloseReason::MaxClientsReached { max, retry_after_ms }));
                    }
                    self.heard = Instant::now();
                    self.take(read.split().freeze()).await?;
                    read.reserve(READ);
                }
                () = sleep_until(due.unwrap_or(silent)), if due.is_some() => self.play(),
                () = sleep_until(self.next_ping), if self.greeted => {
                    self.next_ping = Instant::now() + PING_INTERVAL;
                    ServerMessage::Ping { nonce: 0, received: self.requests }.encode(&mut self.out);
                }
                () = sleep_until(silent) => {
                    return Err(Some(if self.greeted {
                        CloseReason::IdleTimeout { after_ms: millis(IDLE_TIMEOUT) }
                    } else {
                        CloseReason::HandshakeTimeout { after_ms: millis(HANDSHAKE_TIMEOUT) }
                    }));
                }
            }
            self.flush().await?;
        }
    }

    /// Writes what waits; a viewer that takes none of it for long is gone.
    async fn flush(&mut self) -> Result<(), Option<CloseReason>> {
        if self.out.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        let start = Instant::now();
        let written = timeout(IDLE_TIMEOUT, write).await;
        self.out.clear();
        let now = Instant::now();
        if now > start {
            // It read, so it is there; what it said meanwhile was not heard.
            self.heard = now;
        }
        if matches!(written, Ok(Ok(()))) { Ok(()) } else { Err(None) }
    }

    /// When there is something to show.
    fn due(&self) -> Option<Instant> {
        let watching = self.watching.as_ref()?;
        let contents = &self.show.recording.contents;
        let at = contents.entries.get(watching.next).map_or(contents.duration, |entry| entry.at);
        Some(watching.since + self.show.speed.span(at.saturating_sub(watching.from)))
    }

    /// Shows what is due, up to some amount.
    fn play(&mut self) {
        let now = Instant::now();
        let show = self.show.clone();
        let room = show.start.room;
        while self.out.len() < WRITE && self.due().is_some_and(|due| due <= now) {
            let Some(watching) = &mut self.watching else { return };
            match show.recording.contents.entries.get(watching.next) {
                Some(entry) => {
                    entry.frames(room, &mut self.out);
                    watching.next += 1;
                }
                None => {
                    let message = "the recording is over".to_owned();
                    self.put_out(LeaveReason::RoomDeleted { message });
                }
            }
        }
    }

    fn put_out(&mut self, reason: LeaveReason) {
        self.watching = None;
        ServerMessage::Left { room: self.show.start.room, reason }.encode(&mut self.out);
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), Option<CloseReason>> {
        loop {
            let body = match self.decoder.next_frame_shared(&mut bytes) {
                Ok(Some(body)) => body,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Some(protocol(error))),
            };
            match ClientMessage::decode(&body) {
                Ok(message) if self.greeted => self.answer(message)?,
                Ok(message) => self.greet(&message)?,
                Err(DecodeError::UnknownKind(kind))
                    if self.greeted && ClientMessage::is_unknown_request(kind) =>
                {
                    self.requests += 1;
                    self.refuse(RoomId(0), 0, Refusal::Unsupported { kind });
                }
                Err(error) if self.greeted => return Err(Some(protocol(error))),
                Err(error) => return Err(Some(Versions::why_unreadable(&body, error))),
            }
            // Small questions may have large answers.
            if self.out.len() > WRITE {
                self.flush().await?;
            }
        }
    }

    fn greet(&mut self, message: &ClientMessage<'_>) -> Result<(), Option<CloseReason>> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else can come first")]
        match message {
            ClientMessage::Hello(hello) => {
                hello.versions.check(hello.magic)?;
                self.greeted = true;
                self.decoder.set_max_len(MAX_PAYLOAD as usize + MAX_OVERHEAD);
                ServerMessage::Welcome(Welcome {
                    version: VERSIONS.newest,
                    client_id: self.client_id,
                    max_payload: MAX_PAYLOAD,
                    ping_interval_ms: millis(PING_INTERVAL),
                    idle_timeout_ms: millis(IDLE_TIMEOUT),
                    resume_grace_ms: 0,
                    epoch: self.show.recording.epoch(),
                    secret: Secret::default(),
                    rooms: Vec::new(),
                    ..Welcome::default()
                })
                .encode(&mut self.out);
                Ok(())
            }
            ClientMessage::Resume(resume) if !self.tried_resume => {
                resume.versions.check(resume.magic)?;
                self.tried_resume = true;
                let reason = ResumeFailure::Expired;
                ServerMessage::ResumeFailed { reason }.encode(&mut self.out);
                Ok(())
            }
            _ => Err(Some(protocol("the first message is not a hello"))),
        }
    }

    fn answer(&mut self, message: ClientMessage<'_>) -> Result<(), Option<CloseReason>> {
        self.requests += u64::from(message.is_request());
        match message {
            ClientMessage::Join { request, room, .. } => self.join(request, room),
            ClientMessage::Leave { room } if self.is_in(room) => self.put_out(LeaveReason::Left),
            ClientMessage::Leave { room } => self.refuse(room, 0, Refusal::NotInRoom),
            ClientMessage::Broadcast { room, .. } => {
                self.references += 1;
                let reason = if self.is_in(room) { mute() } else { Refusal::NotInRoom };
                self.refuse(room, self.references, reason);
            }
            ClientMessage::ToServer { room, .. } => {
                self.references += 1;
                self.refuse(room, self.references, mute());
            }
            ClientMessage::SetMetadata { .. } => self.refuse(RoomId(0), 0, mute()),
            ClientMessage::ListRooms { request } => {
                let start = &self.show.start;
                let rooms = vec![RoomSummary {
                    name: start.name.to_string(),
                    players: u32::try_from(start.members.len()).unwrap_or(u32::MAX),
                    capacity: start.capacity,
                    meta_version: start.meta_version,
                    meta: start.meta.clone().into_iter().collect(),
                }];
                ServerMessage::RoomList { request, count: 1, rooms }.encode(&mut self.out);
            }
            ClientMessage::Authenticate { request, .. } => {
                ServerMessage::JoinRefused { request, reason: mute() }.encode(&mut self.out);
            }
            ClientMessage::Ping { nonce } => {
                ServerMessage::Pong { nonce }.encode(&mut self.out);
            }
            ClientMessage::Pong { .. } | ClientMessage::Received { .. } => {}
            ClientMessage::Close { .. } => return Err(None),
            ClientMessage::Hello(_) | ClientMessage::Resume(_) => {
                return Err(Some(protocol("a second hello")));
            }
        }
        Ok(())
    }

    fn join(&mut self, request: u32, room: &str) {
        let show = self.show;
        let reason = if show.start.name != *room {
            Refusal::RoomNotFound { room: room.chars().take(MAX_ECHO).collect() }
        } else if self.watching.is_some() {
            Refusal::AlreadyJoined { room: room.to_owned() }
        } else {
            self.out.extend_from_slice(&show.start.frames(request, Some(self.client_id)));
            let next = show.next;
            let entry = show.recording.contents.entries.get(next).filter(|_| next > 0);
            let from = entry.map_or(0, |entry| entry.at);
            self.watching = Some(Watching { since: Instant::now(), from, next });
            return;
        };
        ServerMessage::JoinRefused { request, reason }.encode(&mut self.out);
    }

    fn refuse(&mut self, room: RoomId, reference: u64, reason: Refusal) {
        ServerMessage::Refused { room, reference, reason }.encode(&mut self.out);
    }

    fn is_in(&self, room: RoomId) -> bool {
        self.watching.is_some() && room == self.show.start.room
    }
}

fn mute() -> Refusal {
    Refusal::Rejected { message: "this is a recording".to_owned() }
}

fn protocol(what: impl ToString) -> CloseReason {
    CloseReason::Protocol { what: what.to_string() }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

const PING_INTERVAL: Duration = Duration::from_secs(13);
const IDLE_TIMEOUT: Duration = Duration::from_secs(31);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_secs(1);

/// The longest payload that a viewer may have refused, in bytes.
const MAX_PAYLOAD: u32 = 64 << 10;

/// Characters of an unknown room's name that are repeated.
const MAX_ECHO: usize = 32;

/// Bytes read and, about, written at once.
const READ: usize = 4 << 10;
const WRITE: usize = 64 << 10;
