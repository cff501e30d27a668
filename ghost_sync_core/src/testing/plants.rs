//! Bugs that can be planted, to see that the invariants catch them.

use std::cell::Cell;

thread_local! {
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// There is no bug of that name to plant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no bug is called {0:?}")]
pub struct UnknownPlant(pub String);

/// Plants the bug of that name, on this thread, in place of any other; `None`
/// plants nothing.
///
/// # Errors
/// When no bug has that name; see [`PLANTS`].
pub fn plant(name: Option<&str>) -> Result<(), UnknownPlant> {
    let found = match name {
        None => None,
        Some(name) => {
            let known = PLANTS.iter().find(|known| **known == name);
            Some(*known.ok_or_else(|| UnknownPlant(name.to_owned()))?)
        }
    };
    PLANTED.set(found);
    Ok(())
}

/// Whether that bug is planted.
pub(crate) fn is_planted(name: &str) -> bool {
    PLANTED.get().is_some_and(|planted| planted == name)
}

/// What can be planted.
pub const PLANTS: &[&str] = &[
    "left-twice",
    "left-not-told-after-grace",
    "replay-starts-late",
    "replay-starts-early",
    "back-not-told",
    "away-not-told",
    "old-link-not-fenced",
    "secret-not-new",
    "old-secret-stays-good",
    "message-lost-at-resume",
    "confirmed-message-again",
    "request-carried-out-twice",
    "request-skipped-at-resume",
    "gap-too-long",
    "reliable-dropped",
    "control-dropped",
    "dropped-without-gap",
    "one-seat-too-many",
    "roster-incomplete",
    "event-overtakes-join",
    "former-forgotten",
    "sender-of-another",
    "history-without-end",
    "values-of-leavers-stay",
    "epoch-used-again",
    "kicked-still-heard",
    "any-number-away",
    "history-unbounded",
    "timeout-means-yes",
    "late-answer-counts",
    "any-frame-length",
    "own-words-come-back",
    "wrong-acknowledged",
    "words-overtake",
    "kept-without-bound",
    "wrong-resume-failure",
    "grace-too-short",
    "grace-too-long",
    "references-per-link",
    "one-client-too-many",
    "ended-stay-not-replayed",
    "shutdown-forgets-away",
    "new-process-not-greeted",
    "rest-of-frame-lost",
    "kick-while-away-forgotten",
    "superseded-is-sent",
    "own-forgotten-uncounted",
    "end-of-the-unknown-told",
    "resume-reads-the-past",
    "limit-forgotten-on-reconnect",
    "refused-but-relayed",
    "bucket-refills-beyond-burst",
    "burst-forgotten",
    "bar-forgotten",
    "away-flood-evicts-others",
    "client-asks-once-only",
    "client-keeps-half-a-frame",
    "client-forgets-its-last-event",
    "client-forgets-while-away",
    "client-forgets-to-join",
    "client-keeps-gaps-to-itself",
    "client-says-stale-positions",
    "client-misnumbers-after-leaving-out",
    "client-tells-of-lost-positions",
    "locked-key-changed",
    "server-type-from-client",
    "one-sender-fills-retained",
    "forgotten-value-kept",
    "unsorted-metadata-taken",
    "refuse-makes-a-room",
    "aside-given-twice",
    "aside-missed-uncounted",
    "left-out-is-replayed",
    "left-out-is-retained",
    "grant-after-existence",
    "kick-bars-nobody",
    "revoked-resumes",
    "ban-spares-the-away",
    "banned-resumes",
    "token-not-required",
    "token-never-expires",
    "token-expires-untold",
    "token-not-replaced",
    "token-of-another-user",
    "any-number-of-links",
    "seat-outlives-grant",
    "anybody-makes-rooms",
];
