//! A clock that rings once at a time that may be moved.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};

use crate::link;

#[cfg(any(target_os = "linux", target_os = "android"))]
use precise::Timer;

/// Rings at the time that was set last, or earlier.
///
/// Tokio's timers count milliseconds, and a new one is a message to the thread that
/// waits for sockets. So a far time is set only if none earlier is, and a near one, on
/// Linux, with a timer of the operating system.
#[derive(Debug)]
pub(super) struct Alarm {
    far: Pin<Box<Sleep>>,
    near: Option<Timer>,
    /// Which of the two was set.
    set: Option<Kind>,
}

/// How exactly an alarm rings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Precision {
    /// As exactly as Tokio's timers, in any runtime.
    Millisecond,
    /// More exactly, where the system can: worth it where each write is a system call. Needs
    /// a runtime with I/O.
    Finer,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Near,
    Far,
}

impl Alarm {
    /// One that does not ring.
    pub(super) fn new(precision: Precision) -> Self {
        let far = Box::pin(sleep_until(link::now().into()));
        let near = match precision {
            Precision::Finer => Timer::new(),
            Precision::Millisecond => None,
        };
        Self { far, near, set: None }
    }

    /// Rings at `at`, or at an earlier time that was set before; `None`: not at all.
    pub(super) fn set(&mut self, at: Option<Instant>) {
        let Some(at) = at else { return self.set = None };
        let wait = at.saturating_duration_since(link::now());
        if wait < NEAR
            && let Some(near) = &self.near
            && near.set(wait)
        {
            self.set = Some(Kind::Near);
            return;
        }
        let armed = self.far.deadline().into_std();
        if armed > at || self.far.is_elapsed() {
            self.far.as_mut().reset(at.into());
        }
        self.set = Some(Kind::Far);
    }

    /// Waits for the next ring.
    pub(super) async fn rang(&mut self) {
        match (self.set, &self.near) {
            (Some(Kind::Near), Some(near)) => near.rang().await,
            (Some(_), _) => self.far.as_mut().await,
            (None, _) => std::future::pending().await,
        }
    }
}

/// Times nearer than this are worth a system call.
const NEAR: Duration = Duration::from_millis(4);

#[cfg(any(target_os = "linux", target_os = "android"))]
mod precise {
    use std::{os::fd::OwnedFd, time::Duration};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    /// A timer of the operating system.
    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// `None` where the system has none to give.
        pub(super) fn new() -> Option<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
            #[expect(deprecated, reason = "unsound only for types that lie about their descriptor")]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE);
            timer.ok().map(Self)
        }

        /// Rings once after `wait`; whether that can be done.
        pub(super) fn set(&self, wait: Duration) -> bool {
            // Zero would mean never.
            let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX).max(1);
            let once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value =
                Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
            let time = Itimerspec { it_interval: once, it_value };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &time).is_ok()
        }

        /// Waits for the ring.
        pub(super) async fn rang(&self) {
            if let Ok(mut rang) = self.0.readable().await {
                // Setting it again takes the ring back; there is nothing to read.
                rang.clear_ready();
            }
        }
    }
}

/// Where the system's timers are not known, Tokio's do.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
struct Timer;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Timer {
    fn new() -> Option<Self> {
        None
    }

    fn set(&self, _: Duration) -> bool {
        false
    }

    async fn rang(&self) {}
}
