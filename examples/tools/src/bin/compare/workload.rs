//! What is measured: series of loads that every server gets.

use clap::ValueEnum;

/// Series of loads.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    ValueEnum,
    serde::Deserialize,
    serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Saturated: everybody sends again when the own message came back
    W1,
    /// Paced: rooms of 16, everybody talks at 60 Hz
    W2,
    /// Idle: connections that are pinged and do nothing else
    W3,
    /// Stalled: some of a room never read
    W4,
    /// Shape: the same deliveries in few large rooms and many small ones
    W5,
    /// A crowd: 128 bots in one room
    W6,
    /// The system: one thread that only writes
    Floor,
}

/// One load.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    /// Unique among all.
    pub(crate) name: String,
    pub(crate) connections: u32,
    pub(crate) payload: u32,
    /// Frames in one write of the floor beside it, if there is one.
    pub(crate) floor: Option<u32>,
    /// Seconds measured.
    pub(crate) seconds: f64,
    /// What the load generator is told.
    pub(crate) load: Vec<String>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Fewer and shorter loads: a tendency.
    Quick,
    /// All of it.
    Full,
}

/// Messages of each room in flight when it is saturated.
const IN_FLIGHT: u32 = 960;

impl Workload {
    /// All loads of the series.
    pub(crate) fn cases(self, length: Length) -> Vec<Case> {
        match self {
            Self::W1 => saturated(length),
            Self::W2 => paced(length),
            Self::W3 => idle(length),
            Self::W4 => stalled(length),
            Self::W5 => shapes(length),
            Self::W6 => crowd(length),
            Self::Floor => floors(length),
        }
    }

    /// For people, with its name.
    pub(crate) fn heading(self) -> String {
        let name = if self == Self::Floor { "Floor" } else { self.prefix() };
        format!("{name}, {}", self.title())
    }

    fn title(self) -> &'static str {
        match self {
            Self::W1 => "saturated: every message is answered with the next",
            Self::W2 => "paced: rooms of 16, everybody says 64 bytes at 60 Hz",
            Self::W3 => "idle: pinged every 13 s, and nothing else",
            Self::W4 => "stalled: some of a room of 100 never read",
            Self::W5 => "shape: 4,000 clients in rooms of different sizes",
            Self::W6 => "a crowd: 128 bots in one room",
            Self::Floor => "the system: one thread that only writes",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::W1 => "W1",
            Self::W2 => "W2",
            Self::W3 => "W3",
            Self::W4 => "W4",
            Self::W5 => "W5",
            Self::W6 => "W6",
            Self::Floor => "floor",
        }
    }
}

impl Length {
    fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

impl Case {
    fn new(workload: Workload, name: &str, rooms: u32, members: u32, seconds: f64) -> Self {
        let load = ["--rooms", &rooms.to_string(), "--members", &members.to_string()];
        Self {
            workload,
            name: format!("{} {name}", workload.prefix()),
            connections: rooms * members,
            payload: 64,
            floor: None,
            seconds,
            load: load.map(str::to_owned).into(),
        }
    }

    fn with(mut self, option: &str, value: impl ToString) -> Self {
        self.load.extend([option.to_owned(), value.to_string()]);
        self
    }

    fn payload(mut self, payload: u32) -> Self {
        self.payload = payload;
        self.with("--payload", payload)
    }
}

fn saturated(length: Length) -> Vec<Case> {
    let payloads = length.pick(&[64][..], &[64, 256, 1024]);
    let mut cases = Vec::new();
    for (rooms, members) in [(1, 64), (16, 16)] {
        for &payload in payloads {
            let name = format!("{rooms} x {members}, {payload} B");
            let case = Case::new(Workload::W1, &name, rooms, members, length.pick(1.0, 3.0));
            let case = case.payload(payload).with("--saturate", IN_FLIGHT / members);
            cases.push(Case { floor: Some(60), ..case });
        }
    }
    cases
}

fn paced(length: Length) -> Vec<Case> {
    let rooms = length.pick(&[4, 32][..], &[4, 16, 32, 64]);
    let seconds = length.pick(2.0, 5.0);
    let case = |&rooms| Case::new(Workload::W2, &format!("{rooms} x 16"), rooms, 16, seconds);
    rooms.iter().map(case).collect()
}

fn idle(length: Length) -> Vec<Case> {
    let counts = length.pick(&[1000][..], &[1000, 5000, 10_000]);
    let seconds = length.pick(5.0, 20.0);
    let case = |&count: &u32| {
        let mut case = Case::new(Workload::W3, &format!("{count}"), 1, count, seconds);
        case.load.push("--idle".to_owned());
        case
    };
    counts.iter().map(case).collect()
}

fn stalled(length: Length) -> Vec<Case> {
    let counts = length.pick(&[0, 10][..], &[0, 1, 10, 50]);
    let case = |&count| {
        let name = format!("{count} of 100");
        let case = Case::new(Workload::W4, &name, 1, 100, length.pick(2.0, 5.0)).payload(256);
        case.with("--stall", count).with("--senders", 20).with("--rate", 60)
    };
    counts.iter().map(case).collect()
}

fn shapes(length: Length) -> Vec<Case> {
    let mut cases = Vec::new();
    // Some 90,000 deliveries a second each; then 64 messages in flight in each room.
    let shapes = [(1, 4000, 16, 1.4, 64), (250, 16, 16, 1.5, 16), (1000, 4, 4, 7.5, 4)];
    for (rooms, members, senders, rate, talkers) in shapes {
        let case = |how: &str| {
            let name = format!("{rooms} x {members} {how}");
            Case::new(Workload::W5, &name, rooms, members, length.pick(1.5, 4.0))
        };
        cases.push(case("paced").with("--senders", senders).with("--rate", rate));
        let saturated = case("saturated").with("--senders", talkers);
        cases.push(saturated.with("--saturate", 64 / talkers));
    }
    cases
}

fn crowd(length: Length) -> Vec<Case> {
    let seconds = length.pick(2.0, 5.0);
    let case = |rate: u32| {
        Case::new(Workload::W6, &format!("{rate} Hz"), 1, 128, seconds).with("--rate", rate)
    };
    [12, 24, 60].map(case).into()
}

fn floors(length: Length) -> Vec<Case> {
    let mut cases = Vec::new();
    for sockets in [64, 256] {
        for frames in [1, 4, 16, 60] {
            let name = format!("{sockets} sockets, {frames} per write");
            let case = Case::new(Workload::Floor, &name, 1, sockets, length.pick(0.5, 2.0));
            cases.push(Case { floor: Some(frames), ..case });
        }
    }
    cases
}
