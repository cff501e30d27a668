//! Makes the entities of rooms and members what the server says they are, and tells the facts.

use bevy::prelude::*;
use ghost_sync_core::{
    Request, RequestError, RequestKind, ServerEvent,
    wire::{ClientId, LeaveReason, MetadataEntry, Refusal, RoomName, Seat, UserId},
};

use super::outbox::Outbox;
use crate::{
    Away, Ended, GhostClient, JoinedRooms, Metadata, User,
    entities::{JoinedRoom, LocalPlayer, Member, MemberOf, Members, SeatIndex},
    events::{
        Ack, Authenticated, Gap, JoinRefused, Joined, Left, MetadataChanged, PlayerAway,
        PlayerBack, PlayerJoined, PlayerLeft, Pong, Reconnecting, Refused, RejoinRefused, Rejoined,
        ResumeFailed, Resumed, RoomDeleted, RoomList, TokenExpiring, Unsent, UnsentReason, publish,
    },
};

/// Takes over one event.
pub(super) fn apply(world: &mut World, event: ServerEvent) {
    match event {
        // The game has given the seat up while it was lost.
        ServerEvent::Joined { room, rejoined: true, .. } if is_leaving(world, &room) => {
            world.resource_mut::<Outbox>().push(Request::Leave { room });
        }
        ServerEvent::Joined {
            client_id,
            room: room_name,
            epoch,
            seat,
            capacity,
            members,
            meta,
            rejoined,
            ..
        } => {
            let former = find_room(world, &room_name);
            if former.is_some() {
                close(world, &room_name, LeaveReason::Disconnected);
            }
            let room = open(world, room_name.clone(), epoch, capacity, meta);
            let mut player = Entity::PLACEHOLDER;
            for member in members {
                let is_own = member.seat == seat && member.client_id == client_id;
                let entity = seat_member(world, room, member.client_id, member.seat, member.meta);
                // A server that hides users hides them from others.
                let own = || world.resource::<GhostClient>().user.clone();
                let user = if is_own { own() } else { UserId::new(&member.user).ok() };
                set_user(world, entity, user);
                if is_own {
                    world.entity_mut(entity).insert(LocalPlayer);
                    player = entity;
                } else if member.away {
                    world.entity_mut(entity).insert(Away);
                }
            }
            publish(world, Joined { room, room_name: room_name.clone(), player, seat });
            if rejoined {
                publish(world, Rejoined { room, room_name, player, seat, former });
            }
        }
        ServerEvent::Refused(RequestError {
            request: RequestKind::Join,
            room: Some(room),
            reason,
            ..
        }) => {
            if world.resource::<JoinedRooms>().rejoining.contains(&room) {
                close(world, &room, LeaveReason::Disconnected);
            }
            info!("not let into {room}: {reason}");
            publish(world, JoinRefused { room_name: room.to_string(), reason });
        }
        ServerEvent::Refused(RequestError {
            request: RequestKind::Rejoin,
            room: Some(room),
            reason,
            ..
        }) => {
            info!("not let into {room} again: {reason}");
            close(world, &room, LeaveReason::Disconnected);
            publish(world, RejoinRefused { room_name: room, reason });
        }
        // It stays as it is.
        ServerEvent::AlreadyJoined { .. } => {}
        // The network thread counts what it sends; this it did not.
        ServerEvent::Refused(RequestError {
            request: RequestKind::Broadcast | RequestKind::ToServer,
            reference: None,
            reason,
            ..
        }) => publish(world, Unsent { message: None, reason: unsent_reason(&reason) }),
        ServerEvent::Refused(error) => {
            let request = error.in_words();
            let RequestError { room, reference, reason, .. } = error;
            let room = room.and_then(|room| find_room(world, &room));
            publish(world, Refused { request, room, reference, reason });
        }
        ServerEvent::Left { room, reason } => close(world, &room, reason),
        ServerEvent::PlayerJoined { client_id, room: room_name, seat, seq, meta, user, .. } => {
            let Some(room) = find_room(world, &room_name) else { return };
            let player = seat_member(world, room, client_id, seat, meta);
            set_user(world, player, UserId::new(&user).ok());
            publish(world, PlayerJoined { room, room_name, player, client_id, seat, seq });
        }
        ServerEvent::PlayerLeft { client_id, room: room_name, seat, seq, reason } => {
            let Some(room) = find_room(world, &room_name) else { return };
            let Some(player) = unseat_member(world, room, seat) else { return };
            publish(world, PlayerLeft { room, room_name, player, client_id, seat, seq, reason });
            Ended::mark(world, player);
        }
        ServerEvent::PlayerAway { client_id, room: room_name, seat, seq } => {
            let Some((room, player)) = find_other(world, &room_name, seat) else { return };
            world.entity_mut(player).insert(Away);
            publish(world, PlayerAway { room, room_name, player, client_id, seat, seq });
        }
        ServerEvent::PlayerBack { client_id, room: room_name, seat, seq } => {
            let Some((room, player)) = find_other(world, &room_name, seat) else { return };
            world.entity_mut(player).remove::<Away>();
            publish(world, PlayerBack { room, room_name, player, client_id, seat, seq });
        }
        // Taken many at once, see `payloads`.
        ServerEvent::Broadcast { .. } | ServerEvent::Direct { .. } => {}
        ServerEvent::RoomMetadata { room, version, key, value, .. } => {
            let Some(entity) = find_room(world, &room) else { return };
            change_metadata(world, MetadataChanged { entity, key, value, version });
        }
        ServerEvent::PlayerMetadata { room, seat, version, key, value, .. } => {
            let Some(room) = find_room(world, &room) else { return };
            let Some(entity) = find_member(world, room, seat) else { return };
            change_metadata(world, MetadataChanged { entity, key, value, version });
        }
        ServerEvent::RoomDeleted { room: room_name, message, .. } => {
            let Some(room) = find_room(world, &room_name) else { return };
            publish(world, RoomDeleted { room, room_name, message });
        }
        ServerEvent::Gap { room: room_name, from, to, own, reason } => {
            let Some(room) = find_room(world, &room_name) else { return };
            publish(world, Gap { room, room_name, from, to, own, reason });
        }
        ServerEvent::Ack { room, reference, seq } => {
            let Some(room) = find_room(world, &room) else { return };
            publish(world, Ack { room, reference, seq });
        }
        ServerEvent::Pong { rtt } => {
            world.resource_mut::<GhostClient>().rtt = Some(rtt);
            publish(world, Pong { rtt });
        }
        ServerEvent::TokenExpiring { left } => publish(world, TokenExpiring { left }),
        ServerEvent::Authenticated { lasts } => publish(world, Authenticated { lasts }),
        ServerEvent::RoomList { count, rooms } => publish(world, RoomList { count, rooms }),
        ServerEvent::Reconnecting { reason } => {
            let mut client = world.resource_mut::<GhostClient>();
            client.away = true;
            client.last_reason = Some(reason.clone().into());
            for player in local_players(world) {
                world.entity_mut(player).insert(Away);
            }
            info!("the link is lost: {reason}; looking for another");
            publish(world, Reconnecting { reason });
        }
        ServerEvent::Resumed => {
            world.resource_mut::<GhostClient>().away = false;
            for player in local_players(world) {
                world.entity_mut(player).remove::<Away>();
            }
            info!("connected again, nothing was missed");
            publish(world, Resumed);
        }
        ServerEvent::ResumeFailed { reason } => {
            world.resource_mut::<GhostClient>().away = false;
            let mut rooms = world.resource_mut::<JoinedRooms>();
            rooms.rejoining = rooms.rooms.iter().map(|(name, _)| name.clone()).collect();
            info!("connected again, but all rooms begin anew: {reason}");
            publish(world, ResumeFailed { reason });
        }
        // The bridge tells it as a connection.
        ServerEvent::Renewed { .. }
        | ServerEvent::Connecting { .. }
        | ServerEvent::Connected { .. }
        | ServerEvent::Disconnected { .. } => {}
        other => debug!("an event that this version does not know: {other:?}"),
    }
}

fn unsent_reason(refusal: &Refusal) -> UnsentReason {
    if let &Refusal::PayloadTooLarge { len, max } = refusal {
        UnsentReason::TooLarge { len, max }
    } else if let Refusal::NotInRoom = refusal {
        UnsentReason::NotInRoom
    } else if let Refusal::Forbidden { .. } = refusal {
        UnsentReason::SaidByServer
    } else if let Refusal::Rejected { .. } = refusal {
        UnsentReason::OutboxFull
    } else {
        UnsentReason::NotConnected
    }
}

/// Gives up all rooms: the connection is gone.
pub(super) fn close_all(world: &mut World) {
    while let Some(name) =
        world.resource::<JoinedRooms>().rooms.last().map(|(name, _)| name.clone())
    {
        close(world, &name, LeaveReason::Disconnected);
    }
    let mut rooms = world.resource_mut::<JoinedRooms>();
    rooms.leaving.clear();
    rooms.rejoining.clear();
}

fn open(
    world: &mut World,
    name: RoomName,
    epoch: u64,
    capacity: Option<u32>,
    meta: Vec<MetadataEntry>,
) -> Entity {
    let room = world
        .spawn((
            Name::new(name.as_str().to_owned()),
            Metadata::from(meta),
            JoinedRoom { name: name.clone(), capacity, epoch },
            SeatIndex::default(),
        ))
        .id();
    world.resource_mut::<JoinedRooms>().rooms.push((name, room));
    room
}

fn close(world: &mut World, name: &RoomName, reason: LeaveReason) {
    let Some(room) = find_room(world, name).or_else(|| {
        let leaving = &world.resource::<JoinedRooms>().leaving;
        leaving.iter().find(|(known, _)| known == name).map(|&(_, room)| room)
    }) else {
        return;
    };
    let mut rooms = world.resource_mut::<JoinedRooms>();
    rooms.rooms.retain(|&(_, known)| known != room);
    rooms.leaving.retain(|&(_, known)| known != room);
    rooms.rejoining.retain(|known| known != name);
    publish(world, Left { room, room_name: name.clone(), reason });
    let members = world.get::<Members>(room).map(|members| members.iter().collect::<Vec<_>>());
    for ended in members.into_iter().flatten().chain([room]) {
        Ended::mark(world, ended);
    }
}

fn seat_member(
    world: &mut World,
    room: Entity,
    client_id: ClientId,
    seat: Seat,
    meta: Vec<MetadataEntry>,
) -> Entity {
    let member =
        world.spawn((MemberOf(room), Metadata::from(meta), Member { client_id, seat })).id();
    if let Some(mut seats) = world.get_mut::<SeatIndex>(room) {
        seats.0.insert(seat, member);
    }
    member
}

fn set_user(world: &mut World, member: Entity, user: Option<UserId>) {
    if let Some(user) = user {
        world.entity_mut(member).insert(User(user));
    }
}

fn unseat_member(world: &mut World, room: Entity, seat: Seat) -> Option<Entity> {
    world.get_mut::<SeatIndex>(room)?.0.remove(&seat)
}

fn change_metadata(world: &mut World, change: MetadataChanged) {
    if let Some(mut metadata) = world.get_mut::<Metadata>(change.entity) {
        metadata.apply(change.key.clone(), change.value.clone());
    }
    publish(world, change);
}

fn find_room(world: &World, name: &RoomName) -> Option<Entity> {
    world.resource::<JoinedRooms>().get(name.as_str())
}

/// Whether a room's entity is gone, but not yet the seat, and no other is there.
fn is_leaving(world: &World, name: &RoomName) -> bool {
    let rooms = world.resource::<JoinedRooms>();
    rooms.get(name.as_str()).is_none() && rooms.leaving.iter().any(|(known, _)| known == name)
}

/// The own members: one in each room.
fn local_players(world: &mut World) -> Vec<Entity> {
    world.query_filtered::<Entity, With<LocalPlayer>>().iter(world).collect()
}

/// The entities of a room and of a seat there, unless it is the own one.
fn find_other(world: &World, room: &RoomName, seat: Seat) -> Option<(Entity, Entity)> {
    let room = find_room(world, room)?;
    let member = find_member(world, room, seat)?;
    (!world.entity(member).contains::<LocalPlayer>()).then_some((room, member))
}

/// The entity of a seat, unless the game has despawned it.
fn find_member(world: &World, room: Entity, seat: Seat) -> Option<Entity> {
    let member = *world.get::<SeatIndex>(room)?.0.get(&seat)?;
    world.get_entity(member).is_ok().then_some(member)
}
