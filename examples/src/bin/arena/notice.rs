//! What is said about the connection: what is tried, why it failed, and what comes next.

use bevy::prelude::*;
use bevy_ghost_client::{ClientEnd, prelude::*};

use crate::{board::Board, haunts::HAUNTS, stage::View};

/// Notes how the connection does.
pub(crate) fn notices(app: &mut App) {
    app.init_resource::<Line>();
    app.add_observer(up).add_observer(away).add_observer(back).add_observer(down);
    app.add_observer(refused).add_observer(lost);
}

/// The way to the server. Times are in seconds of the app.
#[derive(Debug, Default, Resource)]
pub(crate) struct Line {
    /// The server, as it was given; `None` is that of this process.
    pub(crate) server: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// There is no connection.
    Down {
        /// Attempts that failed in a row.
        failed: u32,
        /// Why the last one failed, or the connection ended.
        why: Option<String>,
        /// When the next one begins.
        next: f64,
    },
    Up,
    /// The link is lost, and the server holds the place.
    Away {
        why: String,
        until: Option<f64>,
    },
    /// There will be no other attempt.
    Over {
        why: String,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Down { failed: 0, why: None, next: 0.0 }
    }
}

/// A title, and what is to be said below it.
#[derive(Debug, PartialEq)]
pub(crate) struct Notice {
    pub(crate) title: &'static str,
    pub(crate) lines: [String; 2],
}

impl Line {
    /// Dials that server; `None` for that of this process.
    pub(crate) fn dial(&mut self, server: Option<String>) {
        *self = Self { server, ..Self::default() };
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Whether nothing more is tried.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }

    /// What has to be said; nothing while all is well.
    pub(crate) fn notice(&self, now: f64) -> Option<Notice> {
        let server = self.server.as_deref().unwrap_or("the server in this process");
        let left = |until: f64| (until - now).max(0.0).ceil() as u32;
        let (title, lines) = match &self.state {
            State::Up => return None,
            State::Down { failed: 0, why: None, .. } => {
                ("CONNECTING", [format!("connecting to {server}"), String::new()])
            }
            State::Down { failed, why, next } => {
                let why = why.as_deref().unwrap_or_default();
                let attempt = failed + 1;
                let then = match left(*next) {
                    0 => format!("attempt {attempt} is under way"),
                    seconds => format!("attempt {attempt} in {seconds} s"),
                };
                ("NOT CONNECTED", [format!("{server}: {why}"), then])
            }
            State::Away { why, until } => {
                let place = match until.map(left) {
                    Some(0) => "your place may be gone by now".to_owned(),
                    Some(seconds) => format!("your place is kept for {seconds} s"),
                    None => "your place is kept for a while".to_owned(),
                };
                ("RECONNECTING", [format!("{server}: {why}"), format!("reconnecting, {place}")])
            }
            // An address that cannot work is in the reason.
            State::Over { why } if why.contains(server) => {
                ("GAVE UP", [format!("gave up: {why}"), String::new()])
            }
            State::Over { why } => ("GAVE UP", [format!("gave up: {why}"), server.to_owned()]),
        };
        Some(Notice { title, lines })
    }

    /// The notice in one line.
    pub(crate) fn words(&self, now: f64) -> Option<String> {
        let [first, second] = self.notice(now)?.lines;
        Some(if second.is_empty() { first } else { format!("{first}; {second}") })
    }

    /// Notes an end, and returns whether it says something new.
    fn end(&mut self, reason: &ClientEnd, retry_at: Option<f64>) -> bool {
        let why = reason.to_string();
        let known = matches!(&self.state, State::Down { why: Some(before), .. } if *before == why);
        let before = match self.state {
            State::Down { failed, .. } => failed,
            State::Up | State::Away { .. } | State::Over { .. } => 0,
        };
        let failed = before + u32::from(matches!(reason, ClientEnd::Connect(_)));
        self.state = match retry_at {
            Some(next) => State::Down { failed, why: Some(why), next },
            None => State::Over { why },
        };
        !known || retry_at.is_none()
    }
}

fn up(_: On<Connected>, mut line: ResMut<Line>) {
    if !line.is_up() {
        println!("         connected");
    }
    line.state = State::Up;
}

fn away(lost: On<Reconnecting>, time: Res<Time<Real>>, board: Res<Board>, mut line: ResMut<Line>) {
    let now = time.elapsed_secs_f64();
    let until = board.kept.map(|kept| now + kept.as_secs_f64());
    line.state = State::Away { why: lost.reason.to_string(), until };
    say(&line, now);
}

fn lost(failed: On<ResumeFailed>, mut board: ResMut<Board>) {
    println!("         the place is lost: {}", failed.reason);
    board.forget();
}

fn back(_: On<Resumed>, mut line: ResMut<Line>) {
    println!("         back in the same place");
    line.state = State::Up;
}

fn down(
    ended: On<Disconnected>,
    time: Res<Time<Real>>,
    view: Res<View>,
    mut line: ResMut<Line>,
    mut board: ResMut<Board>,
    mut exit: MessageWriter<AppExit>,
) {
    let now = time.elapsed_secs_f64();
    let new = line.end(&ended.reason, ended.retry_in.map(|wait| now + wait.as_secs_f64()));
    board.forget();
    if !matches!(ended.reason, ClientEnd::Requested) {
        if new {
            say(&line, now);
        }
        // Nobody is there to read a notice.
        if line.is_over() && view.unwatched() {
            exit.write(AppExit::error());
        }
    }
}

/// A room that cannot be joined; there is a connection all the same.
fn refused(refused: On<JoinRefused>) {
    // The door of the other room says so where it is seen; the first has to let us in.
    if refused.room_name == HAUNTS[0].name {
        println!("         not let into {}: {}", refused.room_name, refused.reason);
    }
}

fn say(line: &Line, now: f64) {
    if let Some(words) = line.words(now) {
        println!("         {words}");
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc, time::Duration};

    use bevy_ghost_client::{ConnectError, DisconnectReason};

    use super::*;

    fn refused() -> ClientEnd {
        let error = Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        ConnectError::ConnectionRefused(error).into()
    }

    fn line() -> Line {
        let mut line = Line::default();
        line.dial(Some("10.0.0.1:7777".to_owned()));
        line
    }

    fn said(line: &Line, now: f64) -> (&'static str, String) {
        (line.notice(now).unwrap().title, line.words(now).unwrap())
    }

    #[test]
    fn before_the_first_attempt_has_failed_it_connects() {
        assert_eq!(said(&line(), 0.0), ("CONNECTING", "connecting to 10.0.0.1:7777".to_owned()));
    }

    #[test]
    fn a_failed_attempt_is_told_with_its_reason_and_the_next() {
        let mut line = line();
        assert!(line.end(&refused(), Some(2.0)));
        assert!(!line.end(&refused(), Some(14.0)), "the same again is no news");
        let why = "10.0.0.1:7777: connection refused: nobody listens there; attempt 3";
        assert_eq!(said(&line, 10.5), ("NOT CONNECTED", format!("{why} in 4 s")));
        assert_eq!(said(&line, 14.0), ("NOT CONNECTED", format!("{why} is under way")));
    }

    #[test]
    fn while_the_place_is_kept_the_seconds_are_counted() {
        let why = "it broke".to_owned();
        let line = Line { state: State::Away { why, until: Some(40.0) }, ..line() };
        let told = "10.0.0.1:7777: it broke; reconnecting, your place";
        assert_eq!(said(&line, 10.0), ("RECONNECTING", format!("{told} is kept for 30 s")));
        assert_eq!(said(&line, 39.5).1, format!("{told} is kept for 1 s"));
        assert_eq!(said(&line, 41.0).1, format!("{told} may be gone by now"));
    }

    #[test]
    fn a_connection_that_was_lost_is_no_failed_attempt() {
        let mut line = Line { state: State::Up, ..line() };
        assert_eq!(line.notice(0.0), None);
        assert!(line.end(&DisconnectReason::ConnectionReset.into(), Some(3.0)));
        let told = "10.0.0.1:7777: the connection was reset; attempt 1 in 3 s";
        assert_eq!(said(&line, 0.0), ("NOT CONNECTED", told.to_owned()));
    }

    #[test]
    fn the_end_says_why() {
        let mut line = line();
        let after = Duration::from_secs(5);
        assert!(line.end(&ConnectError::TimedOut { after }.into(), None));
        let told = "gave up: no connection within 5s; 10.0.0.1:7777";
        assert_eq!(said(&line, 0.0), ("GAVE UP", told.to_owned()));
    }
}
