//! What is known of the game: rows, clock and crown, as the server says.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::prelude::*;

use crate::{
    colors::{DIM, GOLD, INK, glow},
    haunts::HAUNTS,
    protocol::{News, Row},
};

/// How long a crowning is shown, in seconds.
const CEREMONY: f64 = 6.0;

/// A line that is shown for a moment, with the colour of whom it is about.
#[derive(Clone, Debug, Message, PartialEq)]
pub(crate) struct Toast(pub(crate) String, pub(crate) Color);

/// Who plays and how well. On a server without a player it says what was told to the rooms.
#[derive(Debug, Default, Resource)]
pub(crate) struct Board {
    pub(crate) rows: Vec<Row>,
    /// In each room.
    pub(crate) players: [u32; 2],
    /// 0 until the server has said which.
    pub(crate) round: u32,
    /// When the round ends, in seconds of the app.
    ends: f64,
    /// How long a lost place is kept, if the server has said so.
    pub(crate) kept: Option<Duration>,
    /// The last crowning, and until when it is shown.
    crowning: Option<(String, f64)>,
}

impl Board {
    /// Takes news in, and says what is new about it.
    pub(crate) fn heed(&mut self, news: &News, now: f64) -> Vec<Toast> {
        match news {
            News::Lanterns(_) | News::Appeared(_) => vec![],
            News::Caught { by, score, .. } => {
                let Some(row) = self.rows.iter_mut().find(|row| row.who == *by) else {
                    return vec![Toast(format!("somebody caught a lantern: {score}"), INK)];
                };
                let caught = match score.saturating_sub(row.score) {
                    0 | 1 => "a lantern",
                    _ => "a bright lantern",
                };
                row.score = *score;
                let toast =
                    Toast(format!("{} caught {caught}: {score}", row.name), glow(row.color));
                self.sort();
                vec![toast]
            }
            News::Board { round, left_millis, kept_millis, players, rows } => {
                let mut toasts = if self.round == 0 { vec![] } else { self.changes(rows) };
                self.ends = now + f64::from(*left_millis) / 1e3;
                self.kept = Some(Duration::from_millis((*kept_millis).into()));
                if std::mem::replace(&mut self.round, *round) != *round {
                    let clock = self.clock(now).unwrap_or_default();
                    toasts.push(Toast(format!("round {round}: {clock} to go"), INK));
                }
                self.rows.clone_from(rows);
                self.players = *players;
                self.sort();
                toasts
            }
            News::Crowned { round, winners, score } => {
                let won = self.rows.iter().filter(|row| winners.contains(&row.who));
                let names: Vec<_> = won.map(|row| row.name.as_str()).collect();
                let line = match names.as_slice() {
                    [] if winners.is_empty() => "nobody caught a lantern".to_owned(),
                    // Whoever it was has left.
                    [] => format!("the crown goes with {score} to somebody who is gone"),
                    [name] => format!("{name} wears the crown with {score}"),
                    [most @ .., last] => {
                        format!("{} and {last} share the crown with {score}", most.join(", "))
                    }
                };
                self.crowning = Some((line.clone(), now + CEREMONY));
                vec![Toast(format!("round {round}: {line}"), GOLD)]
            }
        }
    }

    /// Forgets the game: the connection to it has ended.
    pub(crate) fn forget(&mut self) {
        (self.round, self.crowning) = (0, None);
        self.rows.clear();
    }

    pub(crate) fn row(&self, who: ClientId) -> Option<&Row> {
        self.rows.iter().find(|row| row.who == who)
    }

    /// What is left of the round, as people write it.
    pub(crate) fn clock(&self, now: f64) -> Option<String> {
        let left = (self.ends - now).max(0.0).ceil() as u32;
        (self.round > 0).then(|| format!("{}:{:02}", left / 60, left % 60))
    }

    pub(crate) fn seconds_left(&self, now: f64) -> f64 {
        (self.ends - now).max(0.0)
    }

    pub(crate) fn crowning(&self, now: f64) -> Option<&str> {
        let shown = self.crowning.as_ref().filter(|(_, until)| now < *until);
        shown.map(|(line, _)| line.as_str())
    }

    /// The first rows, that of `me` among them.
    pub(crate) fn shown(&self, me: Option<ClientId>, most: usize) -> Vec<&Row> {
        let mut shown: Vec<_> = self.rows.iter().take(most).collect();
        let mine = me.and_then(|me| self.row(me));
        if let (Some(mine), Some(last)) = (mine, shown.last_mut())
            && self.rows.iter().take(most).all(|row| row.who != mine.who)
        {
            *last = mine;
        }
        shown
    }

    /// All rows in one line.
    pub(crate) fn line(&self) -> String {
        let row = |row: &Row| {
            let crown = if row.crowned { " (crown)" } else { "" };
            let away = if row.away { " (away)" } else { "" };
            format!("{}{crown}{away} {}", row.name, row.score)
        };
        self.rows.iter().map(row).collect::<Vec<_>>().join(", ")
    }

    fn sort(&mut self) {
        self.rows.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
    }

    /// Who came, went, lost the connection, or is back.
    fn changes(&self, rows: &[Row]) -> Vec<Toast> {
        let mut toasts = vec![];
        for row in rows {
            let what = match self.row(row.who) {
                None => "joined",
                Some(before) if before.away && !row.away => "is back",
                Some(before) if !before.away && row.away => "has lost the connection",
                Some(before) if before.haunt != row.haunt => {
                    let haunt = HAUNTS.get(usize::from(row.haunt)).map_or("", |haunt| haunt.name);
                    toasts.push(Toast(format!("{} went to {haunt}", row.name), glow(row.color)));
                    continue;
                }
                Some(_) => continue,
            };
            toasts.push(Toast(format!("{} {what}", row.name), glow(row.color)));
        }
        let gone = self.rows.iter().filter(|row| rows.iter().all(|other| other.who != row.who));
        toasts.extend(gone.map(|row| Toast(format!("{} left", row.name), DIM)));
        toasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: u128, name: &str, score: u32) -> Row {
        let (name, color) = (name.to_owned(), who as u32);
        let who = ClientId::from_u128(who);
        Row { who, name, color, haunt: 0, score, crowned: false, away: false }
    }

    fn board(rows: &[Row]) -> News {
        News::Board {
            round: 1,
            left_millis: 61_000,
            kept_millis: 30_000,
            players: [rows.len() as u32, 0],
            rows: rows.to_vec(),
        }
    }

    fn said(toasts: &[Toast]) -> Vec<&str> {
        toasts.iter().map(|Toast(line, _)| line.as_str()).collect()
    }

    #[test]
    fn who_comes_late_is_told_the_round_and_not_who_came_before() {
        let mut known = Board::default();
        let toasts = known.heed(&board(&[row(1, "Ada", 2), row(2, "Boo", 5)]), 10.0);
        assert_eq!(said(&toasts), ["round 1: 1:01 to go"]);
        assert_eq!(known.line(), "Boo 5, Ada 2");
        assert_eq!(known.clock(40.5).as_deref(), Some("0:31"));
        assert_eq!(known.clock(1000.0).as_deref(), Some("0:00"));
    }

    #[test]
    fn coming_and_going_is_told_once() {
        let mut known = Board::default();
        known.heed(&board(&[row(1, "Ada", 2)]), 0.0);
        let away = Row { away: true, ..row(2, "Boo", 0) };
        let both = [row(1, "Ada", 2), row(2, "Boo", 0)];
        assert_eq!(said(&known.heed(&board(&both), 0.0)), ["Boo joined"]);
        assert!(known.heed(&board(&both), 0.0).is_empty());
        let lost = [row(1, "Ada", 2), away];
        assert_eq!(said(&known.heed(&board(&lost), 0.0)), ["Boo has lost the connection"]);
        assert_eq!(known.line(), "Ada 2, Boo (away) 0");
        assert_eq!(said(&known.heed(&board(&both), 0.0)), ["Boo is back"]);
        assert_eq!(said(&known.heed(&board(&both[..1]), 0.0)), ["Boo left"]);
    }

    #[test]
    fn a_catch_moves_the_catcher_up() {
        let mut known = Board::default();
        known.heed(&board(&[row(1, "Ada", 2), row(2, "Boo", 1)]), 0.0);
        let caught = News::Caught { lantern: 7, by: ClientId::from_u128(2), score: 4 };
        assert_eq!(said(&known.heed(&caught, 0.0)), ["Boo caught a bright lantern: 4"]);
        assert_eq!(known.line(), "Boo 4, Ada 2");
    }

    #[test]
    fn those_who_share_a_crown_are_named() {
        let mut known = Board::default();
        known.heed(&board(&[row(1, "Ada", 4), row(2, "Boo", 4), row(3, "Nyx", 1)]), 0.0);
        let winners = vec![ClientId::from_u128(1), ClientId::from_u128(2)];
        known.heed(&News::Crowned { round: 1, winners, score: 4 }, 5.0);
        assert_eq!(known.crowning(6.0), Some("Ada and Boo share the crown with 4"));
        assert_eq!(known.crowning(5.1 + CEREMONY), None);
    }

    #[test]
    fn the_own_row_is_always_shown() {
        let mut known = Board::default();
        let rows: Vec<_> = (0..20).map(|n| row(n, &n.to_string(), 40 - n as u32)).collect();
        known.heed(&board(&rows), 0.0);
        let shown = known.shown(Some(ClientId::from_u128(15)), 8);
        assert_eq!((shown.len(), shown[7].name.as_str()), (8, "15"));
        let shown = known.shown(Some(ClientId::from_u128(3)), 8);
        assert_eq!((shown.len(), shown[7].name.as_str()), (8, "7"));
    }
}
