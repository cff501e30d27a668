//! Tokens whose bytes say whose they are: what a backend would look up, or verify.

use std::time::{Duration, Instant, SystemTime};

use ghost_sync_core::{AuthError, Identity, LockedMeta, RoomPatterns, UserId};

use super::dice::Dice;

/// A token of any kind, a good one mostly.
pub(super) fn token(dice: &mut Dice<'_>) -> Vec<u8> {
    match dice.pick(8) {
        0 => Vec::new(),
        1 => dice.bytes(8).to_vec(),
        _ => vec![0, dice.byte(), dice.byte(), dice.byte()],
    }
}

/// Whose token that is: not good, or of one of three users, with more or less that it allows.
pub(super) fn identity(now: Instant, token: &[u8]) -> Result<Identity, AuthError> {
    let at = |index| token.get(index).copied().unwrap_or_default();
    let (kind, who, grants, lasts) = (at(0), usize::from(at(1)), at(2), at(3));
    if kind % 8 == 7 {
        return Err(AuthError::ALL[who % AuthError::ALL.len()]);
    }
    let locked: &[(&str, &str)] = match grants >> 4 & 3 {
        0 | 1 => &[],
        2 => &[("name", "Ada")],
        _ => &[("name", "Ada"), ("rank", "high")],
    };
    Ok(Identity {
        rooms: match grants & 7 {
            0..5 => RoomPatterns::any(),
            5 => RoomPatterns::new(["a", "c"]).expect("good patterns"),
            6 => RoomPatterns::new(["b*"]).expect("a good pattern"),
            _ => RoomPatterns::none(),
        },
        create: grants & 8 != 0,
        meta: LockedMeta::new(locked.iter().copied()).expect("good metadata"),
        token_id: Some(lasts.to_string().into()),
        session: Some((grants >> 6).to_string().into()),
        issued: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(lasts.into())),
        // From a minute to not at all.
        expires: (lasts % 4 != 0).then(|| now + Duration::from_millis(250) * (lasts - 1).into()),
        ..Identity::new(user(who))
    })
}

pub(super) fn user(number: usize) -> UserId {
    UserId::new(["ada", "bob", "eve"][number % 3]).expect("a good id")
}
