//! A server for programs that run in frames.

mod command;
mod inbox;
mod update;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;

use crate::{
    link,
    relay::{Announcement, Input, Output, Relay},
    server::{BindError, ServerBuilder, ServerHandle},
    wire::Delivery,
};

pub use command::ServerCommand;
pub use update::{Audience, MetadataOwner, ServerUpdate};

use super::{
    Network,
    mailbox::{Commands, Fence, LastWord, Orders, commands},
};
use inbox::Inbox;

/// What clients are told when the program drops its server, and how long they get.
const DROPPED: (&str, Duration) = ("the server program has ended", Duration::from_secs(1));

/// A server in the background.
///
/// It asks about every connection, every join and every change that clients make to their
/// metadata, and shows what happens in all
/// rooms; broadcasts only of rooms that are
/// [`observed`](crate::relay::RoomConfig::observed). Dropping it stops the server, once all
/// commands are carried out. If the network's runtime ends before it does,
/// [`Stopped`](ServerUpdate::Stopped) is told, or [`Failed`](ServerUpdate::Failed) if it had not
/// started.
#[derive(Debug)]
pub struct ServerBridge {
    handle: ServerHandle,
    commands: Commands<ServerCommand>,
    inbox: Arc<Inbox>,
    /// What came before the start was told: the rooms to start with.
    early: Option<Vec<ServerUpdate>>,
    network: Network,
}

impl ServerBridge {
    /// Starts a server. Its handler, if `builder` has one, is not used.
    ///
    /// [`Started`](ServerUpdate::Started) or [`Failed`](ServerUpdate::Failed) is
    /// the first update.
    pub fn start(network: &Network, builder: ServerBuilder) -> Self {
        // The clock belongs to the runtime, which may be paused.
        let guard = network.handle().enter();
        let inbox = Arc::new(Inbox::new(link::now()));
        drop(guard);
        let server = builder.bridge(inbox.clone()).build();
        let handle = server.handle();
        let (commands, mut orders) = commands();
        let shown = inbox.clone();
        let early_end = ServerUpdate::Failed(BindError::NetworkEnded);
        let mut last = LastWord::new(inbox.updates.clone(), early_end);
        network.spawn_bridge(async move {
            match server.run().await {
                Ok(handle) => {
                    inbox.push(ServerUpdate::Started { addr: handle.local_addr() });
                    last.set(ServerUpdate::Stopped);
                    serve(&handle, &mut orders, &inbox).await;
                }
                Err(error) => last.set(ServerUpdate::Failed(error)),
            }
        });
        Self { handle, commands, inbox: shown, early: Some(Vec::new()), network: network.clone() }
    }

    /// Appends what happened since the last call to `updates`: messages of at most some
    /// 8 MiB, beside what must not be left out. Of one client's words at most 1 MiB are
    /// among them, and at least 16 KiB whatever the others say; what is past that,
    /// [`Missed`](ServerUpdate::Missed) tells. A vector that was emptied and is used again
    /// saves its memory.
    pub fn poll(&mut self, updates: &mut Vec<ServerUpdate>) {
        let known = updates.len();
        if let Some(mut early) = self.early.take() {
            self.inbox.take(&mut early);
            let Some(start) = early.iter().position(is_start) else {
                self.early = Some(early);
                return;
            };
            early[..=start].rotate_right(1);
            updates.append(&mut early);
        } else {
            self.inbox.take(updates);
        }
        let _guard = self.network.handle().enter();
        let passed = link::now().saturating_duration_since(self.inbox.start);
        let mut at = 0;
        updates.retain_mut(|update| {
            at += 1;
            if at > known
                && let ServerUpdate::Ask { expires_in, .. } = update
            {
                let left = expires_in.checked_sub(passed);
                *expires_in = left.unwrap_or_default();
                return left.is_some();
            }
            true
        });
    }

    /// Adds a command to those that [`flush`](Self::flush) sends.
    pub fn send(&mut self, command: ServerCommand) {
        self.commands.push(command);
    }

    /// Sends the commands; all at once, so that what they say leaves together.
    pub fn flush(&mut self) {
        self.commands.flush();
    }

    /// What was sent up to now, for a client of the same program that is to find it done:
    /// see [`ClientBridge::flush_after`](super::ClientBridge::flush_after).
    pub fn fence(&self) -> Fence {
        self.commands.fence()
    }

    /// The way to the server beside the commands. What is done with it takes
    /// effect at once.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Gets a token whenever there is something to [`poll`](Self::poll): to sleep
    /// until then.
    pub fn wake(&self) -> Receiver<()> {
        self.inbox.updates.wake()
    }
}

impl Drop for ServerBridge {
    fn drop(&mut self) {
        let (message, deadline) = DROPPED;
        // Behind what was sent before: the last words of a program.
        self.commands.push(ServerCommand::Shutdown { message: message.to_owned(), deadline });
        if !self.commands.finish() {
            self.handle.begin_shutdown(message, deadline);
        }
    }
}

/// Carries out commands until the server has stopped.
async fn serve(server: &ServerHandle, orders: &mut Orders<ServerCommand>, inbox: &Inbox) {
    let work = async {
        while let Some(batch) = orders.next().await {
            carry_out(server, batch, inbox);
            orders.done();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = server.stopped() => {}
        () = work => {}
    }
}

/// Carries out a batch under one lock, but for rooms that cannot be made: these, like what
/// was not said to anybody, are told after what happened before them.
fn carry_out(server: &ServerHandle, batch: Vec<ServerCommand>, inbox: &Inbox) {
    let mut batch = batch.into_iter();
    loop {
        let mut end = None;
        let (mut failed, mut bans) = (Vec::new(), false);
        let refused = server.act(|relay, now, out| {
            for command in &mut batch {
                if let ServerCommand::CreateRoom { name, config } = command {
                    let epoch = uuid::Uuid::new_v4().as_u64_pair().0;
                    let made = relay.create_room(now, name.clone(), epoch, config, out);
                    if let Err(error) = made {
                        return Some(ServerUpdate::RoomRefused { name, error });
                    }
                } else if let ServerCommand::Shutdown { message, deadline } = command {
                    end = Some((message, deadline));
                    return None;
                } else {
                    bans |= command.changes_bans();
                    failed.extend(execute(relay, now, command, out));
                }
            }
            None
        });
        if bans {
            server.bans_changed();
        }
        failed.into_iter().for_each(|update| inbox.push(update));
        match (refused, end) {
            (Some(refused), _) => inbox.push(refused),
            (None, Some((message, deadline))) => server.begin_shutdown(message, deadline),
            (None, None) => return,
        }
    }
}

/// Carries out one command; returns what the program is told if it could not be. Of most the
/// program was told already that the room or client is gone, or is.
fn execute(
    relay: &mut Relay,
    now: Instant,
    command: ServerCommand,
    out: &mut Vec<Output>,
) -> Option<ServerUpdate> {
    match command {
        ServerCommand::CreateRoom { .. } | ServerCommand::Shutdown { .. } => {}
        ServerCommand::ConfigureRoom { name, config } => {
            let _ = relay.configure_room(now, name.as_str(), config, out);
        }
        ServerCommand::DeleteRoom { name, message } => {
            let _ = relay.delete_room(now, name.as_str(), &message, out);
        }
        ServerCommand::CloseRoom { name, message } => {
            let _ = relay.close_room(now, name.as_str(), &message, out);
        }
        ServerCommand::Kick { conn, room, message, bars } => {
            let held = relay.rooms_of(conn).find(|(_, name)| **name == room).map(|(id, _)| id);
            if let Some(held) = held {
                let kick = if bars { Relay::kick } else { Relay::unseat };
                let _ = kick(relay, now, conn, held, &message, out);
            }
        }
        ServerCommand::Disconnect { conn, message, bars } => {
            let end = if bars { Relay::disconnect } else { Relay::hang_up };
            let _ = end(relay, now, conn, &message, out);
        }
        ServerCommand::Ban { who, lasts, message } => {
            let error = relay.ban(now, who.clone(), lasts, &message, out).err()?;
            return Some(ServerUpdate::BanRefused { who, error });
        }
        ServerCommand::BanClient { conn, lasts, message, tag } => {
            let error = relay.ban_client(now, conn, lasts, &message, out).err()?;
            return Some(ServerUpdate::BanClientRefused { tag, error });
        }
        ServerCommand::Unban { who } => {
            let there_was_none = !relay.unban(now, &who);
            return there_was_none.then_some(ServerUpdate::UnbanRefused { who });
        }
        ServerCommand::Revoke { revoke } => {
            let error = relay.revoke(now, &revoke, out).err()?;
            return Some(ServerUpdate::RevokeRefused { revoke, error });
        }
        ServerCommand::Broadcast { room, delivery, except, message_type, payload } => {
            let last = false;
            let (except, bytes) = (&except[..], &payload[..]);
            let words = Announcement { delivery, last, except, message_type, payload: bytes };
            let error = relay.say(now, room.as_str(), words).err()?;
            let to = Audience::Room(room);
            return Some(ServerUpdate::Unsent { to, message_type, payload, error });
        }
        ServerCommand::BroadcastLast { room, key, except, message_type, payload } => {
            let (delivery, last) = (Delivery::Latest(key), true);
            let (except, bytes) = (&except[..], &payload[..]);
            let words = Announcement { delivery, last, except, message_type, payload: bytes };
            let error = relay.say(now, room.as_str(), words).err()?;
            let to = Audience::Room(room);
            return Some(ServerUpdate::Unsent { to, message_type, payload, error });
        }
        ServerCommand::Direct { conns, room, delivery, message_type, payload } => {
            let about = room.as_ref().map(AsRef::as_ref);
            let error = relay.direct(&conns, about, delivery, message_type, &payload).err()?;
            let to = Audience::Clients { conns, room };
            return Some(ServerUpdate::Unsent { to, message_type, payload, error });
        }
        ServerCommand::BroadcastAll { message_type, payload } => {
            let error = relay.broadcast_all(message_type, &payload).err()?;
            let to = Audience::Everybody;
            return Some(ServerUpdate::Unsent { to, message_type, payload, error });
        }
        ServerCommand::SetRoomMetadata { room, key, value } => {
            let set =
                relay.set_room_metadata(now, room.as_str(), &key, value.as_deref(), None, out);
            let (error, of) = (set.err()?, MetadataOwner::Room(room));
            return Some(ServerUpdate::MetadataRefused { of, key, value, error });
        }
        ServerCommand::SetClientMetadata { conn, key, value } => {
            let set = relay.set_client_metadata(now, conn, &key, value.as_deref(), None, out);
            let (error, of) = (set.err()?, MetadataOwner::Client(conn));
            return Some(ServerUpdate::MetadataRefused { of, key, value, error });
        }
        ServerCommand::Answer { ask, verdict } => {
            relay.handle(now, Input::Answer { ask, verdict }, out);
        }
    }
    None
}

fn is_start(update: &ServerUpdate) -> bool {
    matches!(update, ServerUpdate::Started { .. } | ServerUpdate::Failed(_))
}
