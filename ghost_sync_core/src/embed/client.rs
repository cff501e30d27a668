//! A client for programs that run in frames.

mod session;

use std::{sync::Arc, time::Duration};

use crossbeam_channel::Receiver;

use crate::client::{Client, ClientBuilder, ConnectError};

use super::{
    ClientCommand, ClientUpdate, LocalConnector, Network, OutboxFull,
    mailbox::{Commands, Updates, commands},
};
use session::Session;

/// Bytes of commands that may wait for the background.
const OUTBOX: usize = 1 << 20;

/// A client in the background.
///
/// It connects, and connects again when the connection is lost; rooms that it
/// was in it joins again. Pings are answered whatever the frames do. Events that
/// the program does not take wait as
/// [`inbox_limit`](ClientBuilder::inbox_limit) allows. Dropping it says goodbye.
#[derive(Debug)]
pub struct ClientBridge {
    commands: Commands<ClientCommand>,
    /// Bytes of commands that were not sent.
    queued: usize,
    updates: Arc<Updates<ClientUpdate>>,
    _network: Network,
}

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Target {
    /// At `host:port`, over TCP.
    Addr(String),
    /// In this process.
    Local(LocalConnector),
}

/// What a client does when it has no connection.
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// Whether it connects again by itself, where that makes sense.
    pub enabled: bool,
    /// The longest wait before the first further attempt; doubles with each
    /// attempt that fails. The wait is random up to that, so that a thousand
    /// clients of a server that restarts do not come all at once.
    pub base: Duration,
    /// The longest wait of all.
    pub max: Duration,
    /// Whether it joins the rooms again that it was in.
    pub rejoin: bool,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            enabled: true,
            base: Duration::from_millis(250),
            max: Duration::from_secs(10),
            rejoin: true,
        }
    }
}

impl Reconnect {
    /// The longest wait after `failed` attempts in a row.
    fn longest_wait(&self, failed: u32) -> Duration {
        let factor = 2_u32.checked_pow(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }

    fn wait(&self, failed: u32) -> Duration {
        self.longest_wait(failed).mul_f64(fastrand::f64())
    }
}

impl ClientBridge {
    /// Begins to connect.
    pub fn connect(
        network: &Network,
        builder: ClientBuilder,
        target: Target,
        reconnect: Reconnect,
    ) -> Self {
        let (commands, orders) = commands();
        let updates = Updates::new();
        let session = Session::new(builder, target, reconnect, orders, updates.clone());
        network.spawn_bridge(session.run());
        Self { commands, queued: 0, updates, _network: network.clone() }
    }

    /// Appends what happened since the last call to `updates`.
    pub fn poll(&mut self, updates: &mut Vec<ClientUpdate>) {
        updates.append(&mut self.updates.take());
    }

    /// Adds a command to those that [`flush`](Self::flush) sends.
    ///
    /// # Errors
    /// [`OutboxFull`] for messages, when the background has not kept up with
    /// those of earlier frames. Other commands are always taken.
    pub fn send(&mut self, command: ClientCommand) -> Result<(), OutboxFull> {
        let says = matches!(command, ClientCommand::Broadcast { .. } | ClientCommand::Send { .. });
        let cost = command.cost();
        if says && self.queued > 0 && self.queued + cost > OUTBOX {
            return Err(OutboxFull { queued: self.queued, max: OUTBOX });
        }
        self.queued += cost;
        self.commands.push(command);
        Ok(())
    }

    /// Sends the commands; all at once, so that what they say leaves together.
    pub fn flush(&mut self) {
        if self.commands.flush() {
            self.queued = 0;
        }
    }

    /// Gets a token whenever there is something to [`poll`](Self::poll): to sleep
    /// until then.
    pub fn wake(&self) -> Receiver<()> {
        self.updates.wake()
    }
}

impl Target {
    async fn connect(&self, builder: ClientBuilder) -> Result<Client, ConnectError> {
        match self {
            Self::Addr(addr) => builder.connect(addr.as_str()).await,
            Self::Local(server) => builder.connect_over(server.connect().await?).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let reconnect = Reconnect::default();
        let waits: Vec<_> = (1..=8).map(|failed| reconnect.longest_wait(failed)).collect();
        let millis = [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000];
        assert_eq!(waits, millis.map(Duration::from_millis));
        assert_eq!(reconnect.longest_wait(u32::MAX), reconnect.max);
        assert!((0..100).all(|_| reconnect.wait(3) <= Duration::from_secs(1)));
    }
}
