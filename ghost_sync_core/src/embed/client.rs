//! A client for programs that run in frames.

mod command;
mod connector;
mod held;
mod pump;
mod update;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crossbeam_channel::Receiver;

use crate::client::{Client, ClientBuilder, ConnectError};

pub use crate::client::Reconnect;
pub use command::{ClientCommand, OutboxFull};
pub use connector::{Connector, LocalConnector};
pub use update::{ClientEnd, ClientUpdate};

use super::{
    Network,
    mailbox::{Commands, Fence, LastWord, Updates, commands},
};
use pump::{Frame, Pump, Stage};

/// Bytes of commands that may wait for the background.
const OUTBOX: usize = 1 << 20;

/// A client in the background.
///
/// It connects, and connects again when the connection is lost; rooms that it
/// was in it joins again. Pings are answered whatever the frames do. Events that
/// the program does not take wait as
/// [`inbox_limit`](ClientBuilder::inbox_limit) allows. Dropping it says goodbye. If the
/// network's runtime ends before it does, [`ClientEnd::NetworkEnded`] is told.
#[derive(Debug)]
pub struct ClientBridge {
    commands: Commands<ClientCommand>,
    /// Bytes of commands that were not sent.
    queued: usize,
    updates: Arc<Updates<ClientUpdate, usize>>,
    keeps_seats: Arc<AtomicBool>,
    _network: Network,
}

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Target {
    /// At `HOST:PORT`, over TCP: a [`ServerAddr`](crate::client::ServerAddr). Text that is none
    /// ends the client with [`ConnectError::InvalidAddress`].
    Addr(String),
    /// In this process.
    Local(LocalConnector),
    /// Wherever these streams lead to.
    Through(Connector),
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
        let updates = Updates::new(0);
        let keeps_seats = Arc::new(AtomicBool::new(false));
        let (told, keeps) = (updates.clone(), keeps_seats.clone());
        let frame = Frame { orders, updates: told, keeps_seats: keeps };
        let builder = builder.reconnect(reconnect).begin_anew();
        let end = |reason| ClientUpdate::Disconnected { reason, retry_in: None };
        let mut last = LastWord::new(updates.clone(), end(ClientEnd::NetworkEnded));
        network.spawn_bridge(async move { last.set(end(serve(builder, target, frame).await)) });
        Self { commands, queued: 0, updates, keeps_seats, _network: network.clone() }
    }

    /// Appends what happened since the last call to `updates`: some 2 MiB at most; more
    /// waits for the next call. A vector that was emptied and is used again
    /// saves its memory.
    pub fn poll(&mut self, updates: &mut Vec<ClientUpdate>) {
        self.updates.take_all(updates);
    }

    /// Adds a command to those that [`flush`](Self::flush) sends.
    ///
    /// # Errors
    /// [`OutboxFull`] for messages, when the background has not kept up with
    /// those of earlier frames. Other commands are always taken.
    pub fn send(&mut self, command: impl Into<ClientCommand>) -> Result<(), OutboxFull> {
        let command = command.into();
        let says = command.is_said();
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

    /// Sends the commands as [`flush`](Self::flush) does, to be carried out after what the
    /// server of this program was told up to `fence`: a room that a host opens and joins in
    /// one frame is there when it joins. A server that stands still holds them up for a
    /// second at most.
    pub fn flush_after(&mut self, fence: Fence) {
        if self.commands.flush_after(Some(fence)) {
            self.queued = 0;
        }
    }

    /// Takes the commands of the last flush, if the client had ended for good by then, which the
    /// program may not have known: nobody carries them out, or tells of them.
    pub fn take_lost(&mut self) -> Vec<ClientCommand> {
        self.commands.take_lost()
    }

    /// From now on the end of this client, by [`ClientCommand::Disconnect`] or by dropping it,
    /// is no goodbye (or is one again): the server holds the seats for its grace, as if the
    /// link had been lost, and whoever has the ticket may take them.
    pub fn keep_seats(&self, keep: bool) {
        self.keeps_seats.store(keep, Ordering::Release);
    }

    /// Gets a token whenever there is something to [`poll`](Self::poll): to sleep
    /// until then.
    pub fn wake(&self) -> Receiver<()> {
        self.updates.wake()
    }
}

/// A client's life in the background. Returns why there will be no connection any more.
async fn serve(builder: ClientBuilder, target: Target, mut frame: Frame) -> ClientEnd {
    match target.start(builder) {
        Ok(client) => Pump::new(client, frame).run().await,
        Err(error) => {
            frame.updates.push(ClientUpdate::Connecting { attempt: 0 });
            frame.refuse_rest(Stage::New);
            error.into()
        }
    }
}

impl Target {
    /// A client that finds its way there.
    fn start(self, builder: ClientBuilder) -> Result<Client, ConnectError> {
        match self {
            Self::Addr(addr) => builder.start(addr.as_str()),
            Self::Local(connector) => builder.start_through(move || connector.connect()),
            Self::Through(connector) => builder.start_through(move || connector.connect()),
        }
    }
}
