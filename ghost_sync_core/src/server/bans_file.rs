//! The file that keeps bans when the server is started again: a JSON object a line.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use crate::{
    link,
    relay::{ActiveBan, Relay, Who},
    wire::UserId,
};

use super::service::Service;

/// Why the file of bans was not read; the server does not start, since nobody may come in
/// who is banned.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read the bans in {}: {what}", .path.display())]
pub struct BansFileError {
    /// The file.
    pub path: PathBuf,
    /// The line that is none, if that is what is wrong; the first is 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// A ban as a line has it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// When it ends, in seconds since 1970; without it, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(default)]
    message: String,
}

impl Line {
    fn new(ban: &ActiveBan, now: SystemTime) -> Self {
        let (mut address, mut user, mut token) = (None, None, None);
        match &ban.who {
            Who::Address(prefix) => address = Some(prefix.to_string()),
            Who::User(id) => user = Some(id.to_string()),
            Who::Token(id) => token = Some(id.to_string()),
        }
        let end = |left: Duration| {
            let end = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(left);
            // A part of a second more is better than none left.
            end.as_secs().saturating_add(1)
        };
        let (until, message) = (ban.left.map(end), ban.message.clone());
        Self { address, user, token, until, message }
    }

    fn who(&self) -> Result<Who, String> {
        match (&self.address, &self.user, &self.token) {
            (Some(prefix), None, None) => {
                prefix.parse().map(Who::Address).map_err(|error| error.to_string())
            }
            (None, Some(id), None) => {
                UserId::new(id).map(Who::User).map_err(|error| error.to_string())
            }
            (None, None, Some(id)) => Ok(Who::Token(id.as_str().into())),
            _ => Err("a ban is of one: an address, a user or a token".to_owned()),
        }
    }

    /// How long it lasts; `None`: for ever.
    fn left(&self, now: SystemTime) -> Option<Duration> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.until.map(|until| Duration::from_secs(until).saturating_sub(now))
    }
}

/// Puts the bans of a file into force. That there is no such file means that there are none yet.
pub(super) fn load(path: &Path, service: &Service) -> Result<(), BansFileError> {
    let fail = |line, what: String| BansFileError { path: path.to_owned(), line, what };
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_folder(path) => {
            tracing::info!(path = %path.display(), "no bans yet; they will be kept there");
            return Ok(());
        }
        read => read.map_err(|error| fail(None, error.to_string()))?,
    };
    let now = SystemTime::now();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: String| fail(Some(number), format!("line {number}: {what}"));
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let who = line.who().map_err(wrong)?;
        let left = line.left(now);
        if left == Some(Duration::ZERO) {
            continue;
        }
        let banned =
            service.shard.act(|relay, at, out| relay.ban(at, who, left, &line.message, out));
        banned.map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

fn has_folder(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.is_none_or(Path::is_dir)
}

/// Writes all bans to a file, in place of what is there: whenever the process dies, either is
/// there as a whole.
fn save(path: &Path, bans: &[ActiveBan]) -> io::Result<()> {
    let mut text = Vec::new();
    let now = SystemTime::now();
    for ban in bans {
        serde_json::to_writer(&mut text, &Line::new(ban, now))?;
        text.push(b'\n');
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// How often bans have changed, and how many of these changes are in the file.
#[derive(Debug, Default)]
pub(super) struct Changes {
    made: watch::Sender<u64>,
    saved: watch::Sender<u64>,
}

impl Changes {
    pub(super) fn made(&self) {
        self.made.send_modify(|made| *made += 1);
    }

    /// Waits until all that were made are in the file, if they go to one.
    pub(super) async fn saved(&self) {
        let made = *self.made.borrow();
        if self.made.receiver_count() > 0 {
            let _ = self.saved.subscribe().wait_for(|saved| *saved >= made).await;
        }
    }
}

/// Keeps the file as the bans are, for as long as the runtime lives. To be called before
/// anything changes.
pub(super) fn keep(path: PathBuf, service: Arc<Service>) -> impl Future<Output = ()> + Send {
    let mut made = service.bans.made.subscribe();
    async move {
        let mut failed = false;
        loop {
            let again = if failed { AGAIN } else { FOR_EVER };
            if let Ok(Err(_)) = timeout(again, made.changed()).await {
                return;
            }
            let change = *made.borrow_and_update();
            let bans: Vec<_> =
                service.shard.look(|relay: &Relay| relay.bans(link::now()).collect());
            let to = path.clone();
            match spawn_blocking(move || save(&to, &bans)).await {
                Ok(Ok(())) => {
                    failed = false;
                    service.bans.saved.send_replace(change);
                }
                Ok(Err(error)) if !std::mem::replace(&mut failed, true) => {
                    tracing::error!(path = %path.display(), %error, "bans are not kept");
                }
                Ok(Err(_)) => {}
                // The runtime ends.
                Err(_) => return,
            }
        }
    }
}

/// When a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);

const FOR_EVER: Duration = Duration::from_secs(1 << 30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_read_as_it_was_written() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        for (who, text) in [
            (Who::Address("10.0.0.0/8".parse().unwrap()), r#""address":"10.0.0.0/8""#),
            (Who::User(UserId::new("a\"b").unwrap()), r#""user":"a\"b""#),
            (Who::Token("t".into()), r#""token":"t""#),
        ] {
            for left in [None, Some(Duration::from_secs(60))] {
                let ban = ActiveBan { who: who.clone(), left, message: "line\nbreak".to_owned() };
                let written = serde_json::to_string(&Line::new(&ban, now)).unwrap();
                assert!(written.contains(text) && !written.contains('\n'), "{written}");
                let read: Line = serde_json::from_str(&written).unwrap();
                assert_eq!(read.who(), Ok(who.clone()));
                assert_eq!(read.left(now), left.map(|left| left + Duration::from_secs(1)));
                assert_eq!(read.message, ban.message);
            }
        }
    }

    #[test]
    fn what_is_no_ban_is_refused() {
        for text in [
            "",
            "{",
            r#"{"usr":"mallory"}"#,
            r#"{"message":"nobody"}"#,
            r#"{"user":"a","token":"b"}"#,
            r#"{"user":""}"#,
            r#"{"address":"lobby"}"#,
            r#"{"user":"a","until":-1}"#,
            r#"{"user":"a","until":"tomorrow"}"#,
        ] {
            let read = serde_json::from_str::<Line>(text).map_err(|error| error.to_string());
            assert!(read.and_then(|line| line.who()).is_err(), "{text}");
        }
    }
}
