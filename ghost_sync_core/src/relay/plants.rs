//! Bugs that can be planted, to see that the simulator finds them: see `testing::plants`.
//!
//! Each is a word in the line where it would be made: a function that says what is right, unless
//! its bug is planted. Without the feature `testing` none can be, and nothing is left of them.

use std::{ops::Range, time::Duration};

use super::log::Class;
use crate::wire::{Delivery, ResumeFailure, Seat, Secret};

/// Predicates that hold unless the bug is planted, or only if it is.
macro_rules! plants {
    ($($name:ident $is:tt $plant:literal;)*) => {
        $(#[inline]
        pub(super) fn $name() -> bool {
            plants!($is $plant)
        })*
    };
    (if $plant:literal) => { planted!($plant) };
    (unless $plant:literal) => { !planted!($plant) };
}

plants! {
    any_frame_length if "any-frame-length";
    any_number_away if "any-number-away";
    aside_given_twice if "aside-given-twice";
    anybody_makes_rooms if "anybody-makes-rooms";
    away_is_told unless "away-not-told";
    back_is_told unless "back-not-told";
    banned_come_back if "banned-resumes";
    bans_spare_the_away if "ban-spares-the-away";
    ends_are_announced unless "token-expires-untold";
    event_overtakes_join if "event-overtakes-join";
    flood_evicts_others if "away-flood-evicts-others";
    grants_hold unless "grant-after-existence";
    gap_is_untold if "dropped-without-gap";
    kicked_is_heard if "kicked-still-heard";
    kicked_stay_out unless "kick-bars-nobody";
    late_answer_counts if "late-answer-counts";
    left_out_is_withheld unless "left-out-is-retained";
    left_twice if "left-twice";
    limits_begin_anew if "limit-forgotten-on-reconnect";
    locks_hold unless "locked-key-changed";
    message_lost_at_resume if "message-lost-at-resume";
    old_link_is_fenced unless "old-link-not-fenced";
    old_secret_ends unless "old-secret-stays-good";
    other_users_are_refused unless "token-of-another-user";
    refusals_count unless "refused-but-relayed";
    refuse_makes_no_room unless "refuse-makes-a-room";
    revoking_spares_the_away if "revoked-resumes";
    renewals_count unless "token-not-replaced";
    roster_is_cut if "roster-incomplete";
    seats_go_with_grants unless "seat-outlives-grant";
    shares_are_bounded unless "one-sender-fills-retained";
    shutdown_forgets_away if "shutdown-forgets-away";
    tokens_are_required unless "token-not-required";
    tokens_expire unless "token-never-expires";
    timeout_means_yes if "timeout-means-yes";
    values_go_with_leavers unless "values-of-leavers-stay";
    words_overtake if "words-overtake";
}

/// The reference that is acknowledged.
#[inline]
pub(super) fn acknowledged(reference: u64) -> u64 {
    if planted!("wrong-acknowledged") { reference.max(2) - 1 } else { reference }
}

/// The time for which an address is kept out.
#[inline]
pub(super) fn bar(left: u64) -> u64 {
    if planted!("bar-forgotten") { 0 } else { left }
}

/// The connections that one user may have.
#[inline]
pub(super) fn links_per_user(max: usize) -> usize {
    if planted!("any-number-of-links") { usize::MAX } else { max }
}

/// The requests that a client is told were carried out.
#[inline]
pub(super) fn carried_out(requests: u64) -> u64 {
    let less = u64::from(planted!("request-carried-out-twice"));
    let more = u64::from(planted!("request-skipped-at-resume"));
    requests.saturating_sub(less) + more
}

/// The numbered messages that a client has confirmed.
#[inline]
pub(super) fn confirmed(received: u64) -> u64 {
    received.saturating_sub(u64::from(planted!("confirmed-message-again")))
}

/// The rule that denies a message type to clients.
#[inline]
pub(super) fn denied<T>(rule: Option<T>) -> Option<T> {
    rule.filter(|_| !planted!("server-type-from-client"))
}

/// Whether an event is dropped that must not be.
#[inline]
pub(super) fn drops(class: Class) -> bool {
    match class {
        Class::Control => planted!("control-dropped"),
        Class::Message(Delivery::Reliable) => planted!("reliable-dropped"),
        Class::Message(Delivery::Volatile | Delivery::Latest(_)) => false,
    }
}

/// Whether a broadcast comes back to its sender.
#[inline]
pub(super) fn echo(wanted: bool) -> bool {
    wanted || planted!("own-words-come-back")
}

/// The last event of a gap.
#[inline]
pub(super) fn end_of_gap(to: u64) -> u64 {
    if planted!("gap-too-long") { to + 1 } else { to }
}

/// What is known of a session that was ended while it was away.
#[inline]
pub(super) fn ended_while_away<T>(known: Option<T>) -> Option<T> {
    known.filter(|_| !planted!("kick-while-away-forgotten"))
}

/// The epoch of a new room.
#[inline]
pub(super) fn epoch(random: u64) -> u64 {
    if planted!("epoch-used-again") { 7 } else { random }
}

/// Why a session of another start of the server does not go on.
#[inline]
pub(super) fn epoch_changed() -> ResumeFailure {
    if planted!("wrong-resume-failure") {
        ResumeFailure::Expired
    } else {
        ResumeFailure::EpochChanged
    }
}

/// The first event of a stay.
#[inline]
pub(super) fn first_of_stay(since: u64) -> u64 {
    if planted!("resume-reads-the-past") { 0 } else { since }
}

/// What a new process is told first in a room.
#[inline]
pub(super) fn first_words<T>(words: &[T]) -> &[T] {
    if planted!("new-process-not-greeted") { &[] } else { words }
}

/// How long a session is held.
#[inline]
pub(super) fn grace(grace: Duration) -> Duration {
    let grace = if planted!("grace-too-short") { grace / 2 } else { grace };
    if planted!("grace-too-long") { grace * 2 } else { grace }
}

/// The first event for a newcomer, of a room that keeps those before its join.
#[inline]
pub(super) fn history_from(from: u64, kept: Range<u64>) -> u64 {
    let is_inside = kept.start < from && from < kept.end;
    if planted!("history-without-end") && is_inside { from - 1 } else { from }
}

/// The bytes that all rooms together may keep.
#[inline]
pub(super) fn history_limit(limit: u64) -> u64 {
    if planted!("history-unbounded") { u64::MAX } else { limit }
}

/// Whether a value is the last of its key.
#[inline]
pub(super) fn is_last(said: bool) -> bool {
    said && !planted!("forgotten-value-kept")
}

/// Whether an event is not sent because a later one says it all.
#[inline]
pub(super) fn is_superseded(superseded: bool) -> bool {
    superseded && !planted!("superseded-is-sent")
}

/// Whether a member that leaves was never told of.
#[inline]
pub(super) fn is_unknown(gone: bool) -> bool {
    gone && !planted!("end-of-the-unknown-told")
}

/// Whether an event is given to a member that it leaves out.
#[inline]
pub(super) fn leaks(left_out: bool) -> bool {
    left_out && planted!("left-out-is-replayed")
}

/// Whether a room is told of a leave, of a member that goes on elsewhere or that is over.
#[inline]
pub(super) fn leave_is_told(goes_on: bool) -> bool {
    goes_on || !planted!("left-not-told-after-grace")
}

/// Asides that were given up.
#[inline]
pub(super) fn missed(count: u32) -> u32 {
    if planted!("aside-missed-uncounted") { 0 } else { count }
}

/// Bytes that are kept until they are confirmed.
#[inline]
pub(super) fn most_kept(keep: usize) -> usize {
    if planted!("kept-without-bound") { usize::MAX } else { keep }
}

/// The secret that a session goes on with.
#[inline]
pub(super) fn new_secret(new: Secret, old: impl FnOnce() -> Secret) -> Secret {
    if planted!("secret-not-new") { old() } else { new }
}

/// Whether a newcomer needs no names of those who left.
#[inline]
pub(super) fn no_former(without_history: bool) -> bool {
    planted!("former-forgotten") || without_history
}

/// Own messages among those that the log has forgotten.
#[inline]
pub(super) fn own_forgotten(own: u64) -> u64 {
    if planted!("own-forgotten-uncounted") { 0 } else { own }
}

/// Clients that there is a place for.
#[inline]
pub(super) fn places(max: usize) -> usize {
    max.saturating_add(usize::from(planted!("one-client-too-many")))
}

/// The reference that a resumed session goes on from.
#[inline]
pub(super) fn reference(reference: u64) -> u64 {
    if planted!("references-per-link") { 0 } else { reference }
}

/// The first event that a resumed session is given.
#[inline]
pub(super) fn replay_from(next: u64) -> u64 {
    let next = if planted!("replay-starts-late") { next + 1 } else { next };
    if planted!("replay-starts-early") { next.max(2) - 1 } else { next }
}

/// Bytes that are left of a frame.
#[inline]
pub(super) fn rest_of_frame(len: usize) -> usize {
    if planted!("rest-of-frame-lost") { 0 } else { len }
}

/// The room of a stay that is over, if it is still there.
#[inline]
pub(super) fn room_of_ended_stay<T>(room: Option<T>) -> Option<T> {
    room.filter(|_| !planted!("ended-stay-not-replayed"))
}

/// Seats that a room gives out.
#[inline]
pub(super) fn seats(capacity: usize) -> usize {
    capacity + usize::from(planted!("one-seat-too-many"))
}

/// Whom a broadcast is said to come from.
#[inline]
pub(super) fn sender(sender: Seat) -> Seat {
    if planted!("sender-of-another") { Seat(sender.0.min(1)) } else { sender }
}
