//! States that simulations must reach now and then, or they prove little.

/// A state worth reaching.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(super) enum Mark {
    ResumedWithEvents,
    ResumedWithLane,
    ResumeTooOld,
    ResumeEpochChanged,
    ResumeExpired,
    ResumeDenied,
    TookOver,
    TakenOverTold,
    GraceExpired,
    Gap,
    OwnInGap,
    SlowConsumer,
    HistoryReplayed,
    RetainedReplayed,
    Resubmitted,
    PartialAtCut,
    Restarted,
    ResumeAtGrace,
    DeletedWhileAway,
    RemovedWhileAway,
    KickedWhileAway,
    AwayEvicted,
    LateAnswer,
    HookTimedOut,
    JoinAbandoned,
    Moderated,
    ModeratedRejected,
    Full,
    RoomFull,
    TooManyRooms,
    IdleTimeout,
    PingTimeout,
    Silence,
    Slept,
    StaleBytes,
    StayReplayed,
    JoinedWhileAway,
    Shutdown,
    RoomMoved,
    MetadataConflict,
    SecondResume,
    OldSecret,
    Blocked,
    PartialWrite,
    Hostile,
    HistoryBounded,
    WordsFirst,
    ServerMode,
    EmptyRoomRemoved,
    Forgotten,
    NewProcess,
    NewProcessGreeted,
    RateLimited,
    PutOut,
    Barred,
    TurnedAway,
    LeftOut,
    LeftOutOfRetained,
    AsidesMissed,
}

/// What each mark is called; in the order of the marks.
pub const MARKS: &[&str] = &[
    "resumed with replayed events",
    "resumed with replayed messages of its own",
    "resume too old",
    "resume after a restart",
    "resume after the session expired",
    "resume denied",
    "took over a live link",
    "told that the session was taken over",
    "grace expired",
    "gap announced",
    "own events inside a gap",
    "slow consumer cut",
    "join history replayed",
    "retained value replayed",
    "request resubmitted",
    "partial frame at a cut",
    "server restarted with clients",
    "resume raced the grace timer (same instant)",
    "hard delete while away",
    "removed from a room while away",
    "kicked while away",
    "away session evicted",
    "late hook answer ignored",
    "hook timed out",
    "accepted join abandoned",
    "moderated broadcast accepted",
    "moderated broadcast rejected",
    "server full",
    "room full",
    "too many rooms",
    "idle timeout",
    "ping timeout",
    "client noticed silence",
    "relay slept",
    "bytes of a fenced link arrived",
    "events of a finished stay replayed",
    "joined while away",
    "shutdown with clients",
    "moved between rooms",
    "metadata conflict",
    "cut again before the answer to a resume",
    "resumed with the old secret",
    "socket full",
    "frame written in parts",
    "hostile client turned away",
    "histories cut to their common limit",
    "words before the first event",
    "broadcast in server mode",
    "empty room removed",
    "log forgot what was missed",
    "new process went on",
    "new process greeted",
    "message refused for its rate",
    "put out for asking too much",
    "barred address told so",
    "connection turned away at the gate",
    "some left out of a broadcast",
    "new process not told what it was left out of",
    "words to one client missed, and counted",
];

/// The marks that were reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks(u64);

impl Marks {
    pub(super) fn reach(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u8;
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Those reached.
    pub fn reached(self) -> impl Iterator<Item = &'static str> {
        MARKS.iter().enumerate().filter(move |(at, _)| self.0 >> at & 1 == 1).map(|(_, name)| *name)
    }

    /// Those not reached.
    pub fn missing(self) -> impl Iterator<Item = &'static str> {
        MARKS.iter().enumerate().filter(move |(at, _)| self.0 >> at & 1 == 0).map(|(_, name)| *name)
    }
}
