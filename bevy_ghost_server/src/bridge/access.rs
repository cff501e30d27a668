//! Who is kept out: asks the network thread for it, and keeps it while no server runs.

use std::time::Instant;

use bevy::prelude::*;
use ghost_sync_core::{
    embed::ServerCommand,
    identity,
    relay::{ActiveBan, BanClientError, ConnId, TooManyBans, Who},
    wire::{ClientId, UserId},
};

use super::{index::Index, outbox::Outbox, thread::NetworkThread};
use crate::{
    Ban, BanRefusal, BanTarget, GhostServer, Revoke, RevokeRefusal, SeatOf, ServerHandle, Unban,
    User,
    events::{BanRefused, RevokeRefused, publish},
};

/// Bans that hold when a server has started; while one runs, it has them.
#[derive(Default, Resource)]
pub(crate) struct KeptBans(Vec<KeptBan>);

struct KeptBan {
    who: Who,
    until: Option<Instant>,
    message: String,
}

impl KeptBans {
    /// Takes over what was in force when a server ended.
    pub(super) fn keep(&mut self, bans: impl IntoIterator<Item = ActiveBan>) {
        let now = Instant::now();
        let kept = bans.into_iter().map(|ban| {
            let until = ban.left.and_then(|left| now.checked_add(left));
            KeptBan { who: ban.who, until, message: ban.message }
        });
        self.0 = kept.collect();
    }

    /// What asks a server that has just started for them.
    pub(super) fn commands(&self) -> impl Iterator<Item = ServerCommand> {
        let now = Instant::now();
        let in_force = self.0.iter().filter(move |ban| ban.until.is_none_or(|until| until > now));
        in_force.map(move |KeptBan { who, until, message }| {
            let lasts = until.map(|until| until.saturating_duration_since(now));
            ServerCommand::Ban { who: who.clone(), lasts, message: message.clone() }
        })
    }

    fn add(&mut self, who: Who, ban: &Ban) {
        self.remove(&who);
        let until = ban.lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        self.0.push(KeptBan { who, until, message: ban.message.clone() });
    }

    fn remove(&mut self, who: &Who) -> bool {
        let before = self.0.len();
        self.0.retain(|ban| ban.who != *who);
        self.0.len() < before
    }
}

pub(crate) fn on_ban(ban: On<Ban>, mut commands: Commands) {
    let ban = ban.clone();
    commands.queue(move |world: &mut World| {
        let entity = match &ban.target {
            BanTarget::Who(who) => return ban_who(world, who.clone(), ban),
            BanTarget::Client(entity) => *entity,
        };
        match find_client(world, entity) {
            Some(Client::User(user)) => ban_who(world, Who::User(user), ban),
            Some(Client::Nobody(client)) => ban_client(world, client, entity, ban),
            None => refuse(world, ban.target, BanRefusal::Gone),
        }
    });
}

pub(crate) fn on_unban(unban: On<Unban>, mut commands: Commands) {
    let who = unban.who.clone();
    commands.queue(move |world: &mut World| {
        let was = match stage(world) {
            Stage::Stopped => world.resource_mut::<KeptBans>().remove(&who),
            Stage::Starting | Stage::Running => {
                world.resource_mut::<KeptBans>().remove(&who);
                let who = who.clone();
                world.resource_mut::<Outbox>().push(ServerCommand::Unban { who });
                true
            }
            Stage::Stopping(server) => server.unban(&who),
        };
        if !was {
            refuse(world, BanTarget::Who(who), BanRefusal::NotBanned);
        }
    });
}

pub(crate) fn on_revoke(revoke: On<Revoke>, mut commands: Commands) {
    let revoke = revoke.clone();
    commands.queue(move |world: &mut World| match stage(world) {
        Stage::Starting | Stage::Running => {
            let revoke = revoke.tokens;
            world.resource_mut::<Outbox>().push(ServerCommand::Revoke { revoke });
        }
        Stage::Stopped | Stage::Stopping(_) => {
            publish(world, RevokeRefused { revoke, reason: RevokeRefusal::NotRunning });
        }
    });
}

/// How far the server is, as bans see it.
enum Stage {
    Stopped,
    /// It takes commands, but may not come about.
    Starting,
    Running,
    /// It takes no commands any more.
    Stopping(ServerHandle),
}

fn stage(world: &World) -> Stage {
    let thread = world.resource::<NetworkThread>();
    match world.resource::<GhostServer>().handle() {
        Some(server) if thread.stopping.is_some() => Stage::Stopping(server),
        Some(_) if thread.started => Stage::Running,
        Some(_) => Stage::Starting,
        None => Stage::Stopped,
    }
}

fn ban_who(world: &mut World, who: Who, ban: Ban) {
    let stage = stage(world);
    if let Stage::Stopped | Stage::Starting = stage {
        world.resource_mut::<KeptBans>().add(who.clone(), &ban);
    }
    let Ban { target, lasts, message } = ban;
    match stage {
        Stage::Stopped => {}
        Stage::Starting | Stage::Running => {
            world.resource_mut::<Outbox>().push(ServerCommand::Ban { who, lasts, message });
        }
        Stage::Stopping(server) => {
            if let Err(error) = server.ban(who, lasts, message) {
                refuse(world, target, error.into());
            }
        }
    }
}

fn ban_client(world: &mut World, (conn, client_id): (ConnId, ClientId), of: Entity, ban: Ban) {
    let Ban { target, lasts, message } = ban;
    if let Stage::Stopping(server) = stage(world) {
        if let Err(error) = server.ban_client(client_id, lasts, message) {
            refuse(world, target, error.into());
        }
        return;
    }
    let tag = of.to_bits();
    world.resource_mut::<Outbox>().push(ServerCommand::BanClient { conn, lasts, message, tag });
}

/// As what a client is kept out.
enum Client {
    User(UserId),
    /// As its address, which the network thread finds out.
    Nobody((ConnId, ClientId)),
}

/// The client that the entity of a player or a connection is, or was until this frame.
fn find_client(world: &World, entity: Entity) -> Option<Client> {
    let index = world.resource::<Index>();
    let seat = index.seat_records.get(&entity).map(|seat| seat.connection);
    let seat = seat.or_else(|| world.get::<SeatOf>(entity).map(|of| of.0));
    let connection = seat.unwrap_or(entity);
    let record = index.connection_records.get(&connection);
    let user = record.and_then(|record| record.user.as_ref());
    let user = user.or_else(|| world.get::<User>(entity).map(|user| &user.0));
    match user {
        Some(user) => Some(Client::User(user.clone())),
        None => record.map(|record| Client::Nobody((record.conn, record.client_id))),
    }
}

fn refuse(world: &mut World, target: BanTarget, reason: BanRefusal) {
    publish(world, BanRefused { target, reason });
}

/// The network thread has banned nobody.
pub(super) fn ban_refused(world: &mut World, who: Who, error: TooManyBans) {
    refuse(world, BanTarget::Who(who), error.into());
}

/// The network thread has not banned a client.
pub(super) fn ban_client_refused(world: &mut World, tag: u64, error: BanClientError) {
    if let Some(entity) = Entity::try_from_bits(tag) {
        refuse(world, BanTarget::Client(entity), error.into());
    }
}

/// The network thread knows no such ban.
pub(super) fn unban_refused(world: &mut World, who: Who) {
    refuse(world, BanTarget::Who(who), BanRefusal::NotBanned);
}

/// The network thread does not remember what was called back.
pub(super) fn revoke_refused(world: &mut World, tokens: identity::Revoke) {
    publish(world, RevokeRefused { revoke: tokens.into(), reason: RevokeRefusal::TooMany });
}
