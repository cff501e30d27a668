//! What players feel and what a core has to do, by virtual time.

use super::*;

/// Rooms in which somebody speaks at even intervals.
#[derive(Clone, Copy)]
struct Load {
    rooms: u32,
    /// From one message to the next in each room.
    interval: Duration,
}

/// A room as the relay has it.
struct Slot {
    pending: Pending,
    company: Company,
    /// When each message that waits was said.
    waiting: Vec<Instant>,
}

/// A relay and its core.
struct Core {
    pace: Pace,
    slots: Vec<Slot>,
    members: usize,
    /// What the system takes for a write.
    write: Duration,
    now: Instant,
    /// Until when it is known who talks.
    planned: Instant,
    busy: Duration,
    waits: Vec<Duration>,
}

/// What a second was like.
#[derive(Debug)]
struct Second {
    share: f64,
    median: Duration,
    p99: Duration,
    said: usize,
}

const WRITE: Duration = Duration::from_nanos(2900);
const READ: Duration = Duration::from_nanos(3300);

const MS: Duration = Duration::from_millis(1);

impl Core {
    fn new(rooms: u32, members: usize) -> Self {
        let slot = |_| Slot {
            pending: Pending::Nothing,
            company: Company::default(),
            waiting: Vec::new(),
        };
        let now = Instant::now();
        Self {
            pace: Pace::new(),
            slots: (0..rooms).map(slot).collect(),
            members,
            write: WRITE,
            now,
            planned: now,
            busy: Duration::ZERO,
            waits: Vec::new(),
        }
    }

    /// Reads what was said in a room at `at`.
    fn say(&mut self, room: u32, at: Instant) {
        self.now += READ;
        self.busy += READ;
        let slot = &mut self.slots[room as usize];
        self.pace.read();
        self.pace.said(self.now, &mut slot.company, self.members);
        match slot.pending {
            Pending::Nothing => {
                slot.pending = self.pace.in_company(self.now, &slot.company);
                self.pace.list(self.now, RoomId(room), slot.pending, false);
            }
            Pending::Until(_) => self.pace.grew(self.now),
            Pending::Due => {}
        }
        slot.waiting.push(at);
    }

    /// Writes what is due; returns which messages to which rooms that was.
    fn flush(&mut self) -> Vec<(u32, usize)> {
        let (began, mut left) = (self.now, Vec::new());
        for (room, listed) in self.pace.take(began) {
            let slot = &mut self.slots[room.0 as usize];
            assert_eq!(std::mem::take(&mut slot.pending), listed);
            self.pace.flushed(&mut slot.company, self.members);
            let writes = self.members - usize::from(slot.waiting.len() == 1);
            for _ in 0..writes {
                self.pace.sent();
                self.now += self.write;
            }
            left.push((room.0, slot.waiting.len()));
            self.waits.extend(slot.waiting.drain(..).map(|said| self.now - said));
        }
        self.pace.wrote(began, self.now);
        self.busy += self.now - began;
        left
    }

    /// What it was like since `start`, which then is forgotten.
    fn look_back(&mut self, start: Instant) -> Second {
        let passed = self.now - start;
        let share = std::mem::take(&mut self.busy).as_secs_f64() / passed.as_secs_f64();
        let mut waits = std::mem::take(&mut self.waits);
        waits.sort_unstable();
        let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
        Second { share, median: at(50), p99: at(99), said: waits.len() }
    }

    /// Has people talk for so long.
    fn talk(&mut self, load: Load, time: Duration) {
        let start = self.planned;
        self.planned += time;
        let due = |said: u32| start + load.interval / load.rooms * said;
        let mut said = 0;
        while self.now < self.planned {
            let began = self.now;
            while due(said) <= began.min(self.planned) {
                self.say(said % load.rooms, due(said));
                said += 1;
            }
            self.flush();
            if self.now == began {
                let next = due(said);
                self.now = self.pace.next().map_or(next, |due| due.min(next)).max(began);
            }
        }
    }

    /// The second of two seconds in which people talk.
    fn serve(&mut self, load: Load) -> Second {
        let start = self.now;
        self.talk(load, MS * 1000);
        let second = self.now;
        self.look_back(start);
        self.talk(load, MS * 1000);
        self.look_back(second)
    }

    /// Has everybody speak again when they have heard `under_way` own messages each, as
    /// one program answers for all of them; three seconds, of which the last one counts.
    fn answer(&mut self, under_way: usize, may_wait: bool) -> Second {
        const HEAR: Duration = Duration::from_micros(4);
        let start = self.now;
        let mut answers = VecDeque::new();
        for _ in 0..under_way * self.members {
            answers.extend((0..self.slots.len() as u32).map(|room| (start, room)));
        }
        let (mut free, mut second) = (start, None);
        while self.now < start + Duration::from_secs(3) {
            let began = self.now;
            while let Some((at, room)) = answers.pop_front_if(|(at, _)| *at <= began) {
                self.say(room, at);
            }
            let left = self.flush();
            if !may_wait {
                self.pace.control = Control::new();
            }
            for (room, messages) in left {
                for _ in 0..messages {
                    free = free.max(self.now) + HEAR;
                    answers.push_back((free, room));
                }
            }
            if self.now == began {
                let next = answers.front().map(|(at, _)| *at).into_iter().chain(self.pace.next());
                self.now = next.min().expect("somebody speaks or waits").max(began);
            }
            if second.is_none() && self.now > start + Duration::from_secs(2) {
                second = Some(self.now);
                self.look_back(start);
            }
        }
        self.look_back(second.expect("two seconds have passed"))
    }
}

/// Somebody speaks as often as in a room of 16 at 60 Hz.
const OFTEN: Duration = Duration::from_micros(1042);

fn rooms_of_16(rooms: u32) -> (Second, Duration) {
    let mut core = Core::new(rooms, 16);
    let second = core.serve(Load { rooms, interval: OFTEN });
    (second, core.pace.delay())
}

#[test]
fn nothing_waits_as_long_as_the_core_has_time() {
    for rooms in [4, 8, 12, 16] {
        let (second, delay) = rooms_of_16(rooms);
        assert_eq!(delay, Duration::ZERO, "{rooms} rooms: {second:?}");
        assert!(second.p99 < MS, "{rooms} rooms: {second:?}");
    }
}

#[test]
fn a_core_that_would_be_full_is_kept_from_it_by_waits_no_longer_than_that_takes() {
    for (rooms, most) in [(20, MS), (32, MS * 5 / 2), (48, MS * 3), (64, MS * 5)] {
        let (second, _) = rooms_of_16(rooms);
        assert!((0.5..0.88).contains(&second.share), "{rooms} rooms: {second:?}");
        assert!(second.median < most, "{rooms} rooms: {second:?}");
        assert!(second.p99 < most * 5 / 2, "{rooms} rooms: {second:?}");
    }
}

#[test]
fn a_slow_core_has_longer_waits_rather_than_a_queue() {
    let mut core = Core::new(64, 16);
    core.write = WRITE * 2;
    let second = core.serve(Load { rooms: 64, interval: OFTEN });
    assert!(second.share < 0.9, "{second:?}");
    assert!(second.median < MS * 9, "{second:?}");
    assert!(second.p99 < MS * 20, "{second:?}");
}

#[test]
fn a_crowd_in_one_room_waits_for_each_other_too() {
    let (rooms, members) = (1, 128);
    let mut core = Core::new(rooms, members);
    let interval = Duration::from_micros(130);
    let second = core.serve(Load { rooms, interval });
    assert!(second.share < 0.88, "{second:?}");
    assert!(second.p99 < MS * 3, "{second:?}");
}

#[test]
fn a_batch_is_large_enough_at_once_when_the_core_is_full() {
    let mut core = Core::new(64, 16);
    core.serve(Load { rooms: 4, interval: OFTEN });
    assert_eq!(core.pace.delay(), Duration::ZERO);
    core.talk(Load { rooms: 64, interval: OFTEN }, MS * 100);
    assert!(core.pace.delay() > MS * 2, "{:?}", core.pace.delay());
}

#[test]
fn waits_end_when_there_is_less_to_do() {
    let mut core = Core::new(64, 16);
    core.serve(Load { rooms: 64, interval: OFTEN });
    assert!(core.pace.delay() > MS);
    let second = core.serve(Load { rooms: 8, interval: OFTEN });
    assert_eq!(core.pace.delay(), Duration::ZERO);
    assert!(second.p99 < MS, "{second:?}");
}

#[test]
fn rooms_where_few_speak_do_not_wait_for_nobody() {
    let (rooms, members) = (2000, 4);
    let mut core = Core::new(rooms, members);
    let interval = MS * 24;
    let second = core.serve(Load { rooms, interval });
    assert!(second.share > 0.88, "{second:?}");
    assert_eq!(core.pace.delay(), Duration::ZERO);
}

#[test]
fn nobody_waits_in_vain_for_those_who_wait_for_an_answer() {
    for (rooms, members, under_way) in [(16, 16, 1), (16, 16, 4), (1, 64, 4), (64, 2, 1)] {
        let case = format!("{rooms} x {members}, {under_way} under way");
        let at_once = Core::new(rooms, members).answer(under_way, false);
        let mut core = Core::new(rooms, members);
        let second = core.answer(under_way, true);
        assert!(second.said * 100 >= at_once.said * 92, "{case}: {second:?}, {at_once:?}");
    }
}

#[test]
fn a_quiet_room_does_not_wait_with_those_that_are_busy() {
    let mut core = Core::new(33, 16);
    let load = Load { rooms: 32, interval: OFTEN };
    core.serve(load);
    for _ in 0..50 {
        core.talk(load, MS * 10);
        assert!(core.pace.delay() > MS);
        core.say(32, core.now);
        assert_eq!(core.slots[32].pending, Pending::Due);
    }
}
