//! One run from the first connection to the report.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ghost_sync_core::Refusal;
use mio::Poll;

use crate::{
    dial::{self, DialError},
    dialect::{Entered, Entry},
    member::{Member, Meter, Tally},
    note,
    pace::{Voice, pace, wait},
    plan::{Load, Plan, WARM_UP},
    process,
    report::{Counts, Report, Spent},
    socket::Socket,
    target::Target,
    worker::{Shared, Worker},
};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// That is not `host:port`, or nobody knows the host.
    #[error("{address:?} is no address of a server")]
    Address {
        /// What was given.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is nothing to test.
    #[error("cannot start a server to test")]
    Server(#[source] io::Error),
    /// A bot did not get to its seat.
    #[error("bot {bot} of {of} is not where it should be")]
    Dial {
        /// Which, from 1.
        bot: usize,
        /// How many there should be.
        of: usize,
        /// Why.
        source: DialError,
    },
    /// This machine lacks something.
    #[error("cannot read from sockets")]
    Worker(#[source] io::Error),
    /// The report cannot be written.
    #[error("cannot write the report")]
    Output(#[source] io::Error),
    /// Ctrl-C before anything was measured.
    #[error("interrupted before the test began")]
    Interrupted,
}

/// Time without any delivery after which what is missing will not come.
const QUIET: Duration = Duration::from_secs(2);

/// What helps against limits that are for players.
const UNLIMITED: &str =
    "start the relay with --limits none and, unless it is on this machine, --gate none";

/// Pings per second of each idle connection, where the server sends none itself.
const PING_RATE: f64 = 1.0 / 13.0;

/// Time that stalled members get to read what waits for them.
const RESUME: Duration = Duration::from_secs(1);

type Readers = Vec<JoinHandle<io::Result<(Vec<Member>, Meter)>>>;

impl RunError {
    /// What to do about it, where that is likely to help.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let Self::Dial { source, .. } = self else { return None };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
        match source {
            DialError::Refused { source: Refusal::RoomNotFound { .. }, .. } => {
                Some("start the relay with --create-on-join, or give it these rooms with --room")
            }
            DialError::Closed(ghost_sync_core::CloseReason::MaxClientsReached { .. }) => {
                Some("start the relay with a higher --max-clients")
            }
            DialError::Refused { source: Refusal::RateLimited { .. }, .. }
            | DialError::Closed(ghost_sync_core::CloseReason::RateLimited { .. }) => {
                Some(UNLIMITED)
            }
            DialError::Connect { .. } => Some("is the server running, and is that its port?"),
            _ => None,
        }
    }
}

/// Does what `plan` says to `target`; `stop` ends it early.
pub(crate) fn run(plan: &Plan, target: &Target, stop: &AtomicBool) -> Result<Report, RunError> {
    note(&format!("{}: {}", target.addr, plan.title()));
    let shared = Arc::new(Shared {
        start: Instant::now(),
        window: (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)),
        sending: AtomicBool::new(true),
        resumed: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        accounted: AtomicU64::new(0),
        received: AtomicU64::new(0),
        answers: AtomicU64::new(0),
        alive: AtomicUsize::new(0),
    });
    let before = target.pid.and_then(process::memory);
    let entered = enter(plan, target, &shared, stop);
    let (mut voices, readers) = entered.inspect_err(|_| shared.ended.store(true, Relaxed))?;
    let joining = shared.start.elapsed();

    let start = shared.now();
    let window = (start + nanos(WARM_UP), start + nanos(WARM_UP) + nanos(plan.measured));
    shared.window.0.store(window.0, Relaxed);
    shared.window.1.store(window.1, Relaxed);
    let monitor = monitor(shared.clone(), window, target.pid);
    talk(plan, &mut voices, (start, window.1), &shared, stop);
    let interrupted = stop.load(Relaxed);
    let over = shared.now().min(window.1);
    shared.window.1.store(over, Relaxed);
    shared.sending.store(false, Relaxed);
    if !interrupted {
        settle(plan, &voices, &shared, stop);
    }
    if plan.stalled > 0 {
        shared.resumed.store(true, Relaxed);
        thread::sleep(RESUME);
    }
    let cpu = monitor.join().unwrap_or_default();
    let memory = target.pid.and_then(process::memory);
    shared.ended.store(true, Relaxed);
    let (members, meters) = collect(readers)?;
    let counts = Counts { sent: sent(plan, &voices), members, meters };
    let measured = Duration::from_nanos(over.saturating_sub(window.0));
    Ok(Report::new(plan, counts, measured, joining, cpu, (before, memory), interrupted))
}

/// Has everybody connect and join, and read from then on.
fn enter(
    plan: &Plan,
    target: &Target,
    shared: &Arc<Shared>,
    stop: &AtomicBool,
) -> Result<(Vec<Voice>, Readers), RunError> {
    let (seated, seats) = mpsc::channel();
    let mut readers = Vec::new();
    let mut entrances = Vec::new();
    for _ in 0..plan.threads {
        let (entrance, incoming) = mpsc::channel();
        let poll = Poll::new().map_err(RunError::Worker)?;
        let (seated, shared) = (seated.clone(), shared.clone());
        let worker = Worker { poll, incoming, seated, shared };
        entrances.push(entrance);
        readers.push(thread::spawn(move || worker.run()));
    }
    let of = plan.connections();
    let mut speeches = HashMap::new();
    // Neighbours in time are in different rooms, so that every room is evenly busy.
    let all = (0..plan.members).flat_map(|index| (0..plan.rooms).map(move |room| (room, index)));
    for (bot, (room, index)) in (1..).zip(all) {
        if stop.load(Relaxed) {
            return Err(RunError::Interrupted);
        }
        let failed = |source| RunError::Dial { bot, of, source };
        let stalled = index >= plan.members - plan.stalled;
        let name = plan.room(room);
        let entry = Entry {
            room: name.as_deref(),
            index,
            payload: plan.payload,
            delivery: plan.delivery,
            echo: plan.closed_loop(),
        };
        let dialed = dial::dial(target.addr, plan.dialect, &entry, stalled).map_err(failed)?;
        let Entered { session, speech } = dialed.entered;
        let speech = speech.filter(|_| index < plan.senders || name.is_none());
        let echo = speech.clone().filter(|_| plan.closed_loop());
        speeches.extend(speech.map(|speech| ((room, index), speech)));
        let member = Member {
            socket: Arc::new(Socket::new(dialed.stream).map_err(RunError::Worker)?),
            session,
            rest: dialed.rest,
            room,
            index,
            stalled,
            echo,
            tally: Tally::default(),
            end: None,
        };
        // A thread that is gone says why when it is joined.
        let _ = entrances[bot % plan.threads].send(member);
    }
    drop(seated);
    let mut voices = Vec::new();
    for _ in 0..of {
        let Ok((room, index, socket)) = seats.recv_timeout(Duration::from_secs(10)) else { break };
        if let Some(speech) = speeches.remove(&(room, index)) {
            voices.push(Voice { room, index, socket, speech, sent: 0, broken: false });
        }
    }
    voices.sort_by_key(|voice| (voice.index, voice.room));
    Ok((voices, readers))
}

/// Has everybody talk until the end.
fn talk(
    plan: &Plan,
    voices: &mut [Voice],
    (start, end): (u64, u64),
    shared: &Shared,
    stop: &AtomicBool,
) {
    match plan.load {
        Load::Paced { rate, burst } => {
            pace(voices, (rate, burst), (start, end), shared, stop);
        }
        Load::Saturated { window } => {
            for voice in &mut *voices {
                (0..window).for_each(|_| voice.say(shared.now()));
            }
        }
        // Whoever asks, a connection hears a ping as often as from our own server.
        Load::Idle => pace(voices, (PING_RATE, false), (start, end), shared, stop),
        Load::Listen => {}
    }
    wait(end, shared, stop);
}

/// Messages that left, per room and index; pings are none.
fn sent(plan: &Plan, voices: &[Voice]) -> HashMap<(u32, u16), u64> {
    let talked = voices.iter().filter(|_| !matches!(plan.load, Load::Idle));
    talked.map(|voice| ((voice.room, voice.index), voice.sent)).collect()
}

/// Waits until everything that was sent came, was announced, or stays away.
fn settle(plan: &Plan, voices: &[Voice], shared: &Shared, stop: &AtomicBool) {
    if matches!(plan.load, Load::Listen) {
        return;
    }
    let sent = sent(plan, voices).values().sum::<u64>();
    let mut last = (u64::MAX, Instant::now());
    loop {
        let accounted = shared.accounted.load(Relaxed);
        let answers = shared.answers.load(Relaxed);
        let settled = accounted >= (sent + answers) * plan.listeners();
        // An answer may still be on its way into the count.
        let certain = !plan.closed_loop() || last.1.elapsed() > Duration::from_millis(100);
        if accounted != last.0 {
            last = (accounted, Instant::now());
        } else if settled && certain || last.1.elapsed() > QUIET {
            return;
        }
        if stop.load(Relaxed) || shared.alive.load(Relaxed) == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Says once a second how it goes; gives the CPU time that the window took.
fn monitor(shared: Arc<Shared>, window: (u64, u64), pid: Option<u32>) -> JoinHandle<Spent> {
    thread::spawn(move || {
        let never = AtomicBool::new(false);
        let mut at = window.0;
        let mut received = 0;
        let clocks = || Spent {
            server: pid.and_then(process::cpu),
            generator: process::cpu(std::process::id()),
        };
        let mut used = Spent::default();
        while shared.sending.load(Relaxed) && wait(at, &shared, &never) {
            let now = shared.received.load(Relaxed);
            if at == window.0 {
                used = clocks();
            } else {
                let second = (at - window.0).div_ceil(1_000_000_000);
                let (new, alive) = (now - received, shared.alive.load(Relaxed));
                note(&format!("{second:3} s  {new:>10} deliveries  {alive} connected"));
            }
            received = now;
            if at >= window.1 {
                break;
            }
            at = window.1.min(at + 1_000_000_000);
        }
        let since = |now: Option<Duration>, then| Some(now?.saturating_sub(then?));
        let now = clocks();
        Spent {
            server: since(now.server, used.server),
            generator: since(now.generator, used.generator),
        }
    })
}

fn collect(readers: Readers) -> Result<(Vec<Member>, Vec<Meter>), RunError> {
    let mut members = Vec::new();
    let mut meters = Vec::new();
    for reader in readers {
        let done = reader.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        let (more, meter) = done.map_err(RunError::Worker)?;
        members.extend(more);
        meters.push(meter);
    }
    Ok((members, meters))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
