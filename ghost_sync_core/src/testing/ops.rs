//! What happens in a simulation: a list, made up front from the seed.
//!
//! An operation's numbers are read modulo what there is when its turn comes,
//! so that the others still mean something after some were taken out.

use fastrand::Rng;

use super::swarm::is_guarded;

/// One thing that happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Op {
    /// What.
    pub kind: OpKind,
    /// To whom, or to what.
    pub who: u32,
    /// The rest is drawn from this.
    pub draw: u64,
}

macro_rules! kinds {
    ($($kind:ident $weight:literal $name:literal,)*) => {
        /// What kind of thing happens.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        #[expect(missing_docs, reason = "their names say it")]
        pub enum OpKind {
            $($kind,)*
        }

        /// Every kind, how often it is drawn, and what it is called in lists.
        const KINDS: &[(OpKind, u32, &str)] = &[$((OpKind::$kind, $weight, $name),)*];
    };
}

kinds! {
    Deliver 60 "deliver",
    Flow 50 "flow",
    Broadcast 90 "broadcast",
    ToServer 12 "to-server",
    Join 40 "join",
    Leave 10 "leave",
    SetMetadata 8 "set-metadata",
    ListRooms 4 "list-rooms",
    Ping 4 "ping",
    Connect 24 "connect",
    Goodbye 2 "goodbye",
    NewProcess 6 "new-process",
    Cut 18 "cut",
    Abandon 8 "abandon",
    HalfClose 4 "half-close",
    Blackhole 5 "blackhole",
    Stall 10 "stall",
    Unstall 10 "unstall",
    Wait 30 "wait",
    Pass 14 "pass",
    Sleep 2 "sleep",
    Answer 30 "answer",
    HostBroadcast 20 "host-broadcast",
    HostDirect 14 "host-direct",
    HostAll 3 "host-all",
    HostRoomMetadata 6 "host-room-metadata",
    HostClientMetadata 5 "host-client-metadata",
    CreateRoom 10 "create-room",
    DeleteRoom 3 "delete-room",
    CloseRoom 3 "close-room",
    ConfigureRoom 4 "configure-room",
    Disconnect 2 "disconnect",
    Kick 4 "kick",
    Restart 1 "restart",
    Hostile 8 "hostile",
    Thief 4 "thief",
    Liar 3 "liar",
    AtGrace 3 "at-grace",
    Burst 4 "burst",
    Storm 2 "storm",
    Renew 20 "renew",
    Verify 24 "verify",
    Ban 4 "ban",
    Unban 5 "unban",
    Revoke 2 "revoke",
    Impostor 10 "impostor",
    Forger 8 "forger",
}

/// The first kind of those that are about users.
const FIRST_OF_USERS: OpKind = OpKind::Renew;

impl OpKind {
    /// Its name in lists.
    pub fn name(self) -> &'static str {
        KINDS[self as usize].2
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|(.., known)| *known == name).map(|(kind, ..)| *kind)
    }

    /// Whether a swarm may do without it.
    fn may_miss(self) -> bool {
        !matches!(self, Self::Deliver | Self::Flow | Self::Broadcast | Self::Join | Self::Connect)
    }
}

impl Op {
    /// So many operations of the seed.
    pub fn list(seed: u64, steps: usize) -> Vec<Self> {
        let mut rng = Rng::with_seed(seed ^ 0x0105);
        let kinds = if is_guarded(seed) { KINDS } else { &KINDS[..FIRST_OF_USERS as usize] };
        // Each kind's weight is its own in each seed, and some kinds are left out.
        let weights: Vec<u32> = kinds
            .iter()
            .map(|(kind, weight, _)| match rng.u32(..8) {
                0 | 1 if kind.may_miss() => 0,
                2 => weight * 3,
                3 => weight.div_ceil(3),
                _ => *weight,
            })
            .collect();
        let sum: u32 = weights.iter().sum();
        (0..steps)
            .map(|_| {
                let mut at = rng.u32(..sum);
                let found = weights.iter().position(|weight| {
                    let here = at < *weight;
                    at = at.saturating_sub(*weight);
                    here
                });
                let kind = kinds[found.unwrap_or(0)].0;
                Self { kind, who: rng.u32(..), draw: rng.u64(..) }
            })
            .collect()
    }

    /// One line that [`parse`](Self::parse) reads.
    pub fn line(&self) -> String {
        format!("{} {} {:#x}", self.kind.name(), self.who, self.draw)
    }

    /// Reads a [`line`](Self::line).
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let kind = OpKind::named(words.next()?)?;
        let who = words.next()?.parse().ok()?;
        let draw = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        Some(Self { kind, who, draw })
    }
}
