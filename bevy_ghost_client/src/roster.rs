//! Keeps the entities of rooms and members as the server says they are.

use bevy::{platform::collections::HashMap, prelude::*};
use bytes::Bytes;
use ghost_sync_core::wire::{ClientId, LeaveReason, MessageType, Meta, Refusal, RoomName, Seat};

use crate::{
    Ended, GhostClient, GhostClientEvent, JoinedRoom, JoinedRooms, LocalPlayer, Member, MemberOf,
    Members, Metadata,
    bridge::{Request, RequestError, ServerEvent},
    events::{
        Acked, Gap, JoinRefused, Joined, Left, MetadataChanged, PayloadReceived, Pinged,
        PlayerJoined, PlayerLeft, Refused, RoomDeleted, RoomList, Undecodable, Unsent,
        UnsentReason, publish,
    },
    typed::{MessageRegistry, Origin},
};

/// The members of a room by seat.
#[derive(Component, Default)]
struct SeatIndex(HashMap<Seat, Entity>);

/// Takes over one event.
pub(crate) fn apply(world: &mut World, event: ServerEvent) {
    match event {
        ServerEvent::Joined { client_id, room, epoch, seat, capacity, members, meta, .. } => {
            let room_entity = open(world, room.clone(), epoch, capacity, meta);
            let mut player = Entity::PLACEHOLDER;
            for member in members {
                let entity =
                    seat_member(world, room_entity, member.client_id, member.seat, member.meta);
                if member.seat == seat && member.client_id == client_id {
                    world.entity_mut(entity).insert(LocalPlayer);
                    player = entity;
                }
            }
            publish(world, Joined { room: room_entity, room_name: room, player, seat });
        }
        ServerEvent::Error(RequestError { request: Request::Join { room }, reason }) => {
            publish(world, JoinRefused { room_name: room.to_string(), reason });
        }
        // The network thread counts from 1 what it sends; this it did not.
        ServerEvent::Error(RequestError {
            request: Request::Broadcast { reference: 0, .. } | Request::Send { reference: 0, .. },
            reason,
        }) => publish(world, Unsent { message: None, reason: unsent_reason(&reason) }),
        ServerEvent::Error(RequestError { request, reason }) => {
            let room = request.room().and_then(|room| find_room(world, room));
            let reference = if let Request::Broadcast { reference, .. }
            | Request::Send { reference, .. } = request
            {
                Some(reference)
            } else {
                None
            };
            publish(world, Refused { request: request.to_string(), room, reference, reason });
        }
        ServerEvent::Left { room, reason } => close(world, &room, reason),
        ServerEvent::PlayerJoined { client_id, room: room_name, seat, seq, meta, .. } => {
            let Some(room) = find_room(world, &room_name) else { return };
            let player = seat_member(world, room, client_id, seat, meta);
            publish(world, PlayerJoined { room, room_name, player, client_id, seat, seq });
        }
        ServerEvent::PlayerLeft { client_id, room: room_name, seat, seq, reason } => {
            let Some(room) = find_room(world, &room_name) else { return };
            let Some(player) = unseat_member(world, room, seat) else { return };
            publish(world, PlayerLeft { room, room_name, player, client_id, seat, seq, reason });
            Ended::mark(world, player);
        }
        ServerEvent::Broadcast { sender_id, room, seat, seq, message_type, data, .. } => {
            let Some(room) = find_room(world, &room) else { return };
            let player = find_member(world, room, seat);
            world.resource_mut::<GhostClient>().received.count(&data);
            stream(
                world,
                PayloadReceived {
                    room: Some(room),
                    player,
                    seq: Some(seq),
                    message_type,
                    payload: data.clone(),
                },
            );
            let origin = Origin::Room { room, player, sender_id, seq };
            give(world, origin, message_type, data);
        }
        ServerEvent::Direct { room, message_type, data } => {
            let room = room.and_then(|name| find_room(world, &name));
            world.resource_mut::<GhostClient>().received.count(&data);
            stream(
                world,
                PayloadReceived {
                    room,
                    player: None,
                    seq: None,
                    message_type,
                    payload: data.clone(),
                },
            );
            give(world, Origin::Server { room }, message_type, data);
        }
        ServerEvent::RoomMeta { room, version, key, value, .. } => {
            let Some(entity) = find_room(world, &room) else { return };
            change_metadata(world, MetadataChanged { entity, key, value, version });
        }
        ServerEvent::PlayerMeta { room, seat, version, key, value, .. } => {
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
            publish(world, Acked { room, reference, seq });
        }
        ServerEvent::Pong { rtt } => {
            world.resource_mut::<GhostClient>().rtt = Some(rtt);
            publish(world, Pinged { rtt });
        }
        ServerEvent::Rooms { count, rooms } => publish(world, RoomList { count, rooms }),
        other => debug!("an event that this version does not know: {other:?}"),
    }
}

fn unsent_reason(refusal: &Refusal) -> UnsentReason {
    if let &Refusal::PayloadTooLarge { len, max } = refusal {
        UnsentReason::TooLarge { len, max }
    } else if let Refusal::NotInRoom = refusal {
        UnsentReason::NotInRoom
    } else {
        UnsentReason::NotConnected
    }
}

/// Gives up all rooms: the connection is gone.
pub(crate) fn close_all(world: &mut World) {
    while let Some(name) =
        world.resource::<JoinedRooms>().rooms.last().map(|(name, _)| name.clone())
    {
        close(world, &name, LeaveReason::Disconnected);
    }
    world.resource_mut::<JoinedRooms>().leaving.clear();
}

fn open(
    world: &mut World,
    name: RoomName,
    epoch: u64,
    capacity: Option<u32>,
    meta: Vec<Meta>,
) -> Entity {
    if find_room(world, &name).is_some() {
        close(world, &name, LeaveReason::Moved);
    }
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
    meta: Vec<Meta>,
) -> Entity {
    let member =
        world.spawn((MemberOf(room), Metadata::from(meta), Member { client_id, seat })).id();
    if let Some(mut seats) = world.get_mut::<SeatIndex>(room) {
        seats.0.insert(seat, member);
    }
    member
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

fn give(world: &mut World, origin: Origin, message_type: MessageType, payload: Bytes) {
    if let Err(type_name) = MessageRegistry::give(world, origin, message_type, &payload) {
        let (room, player) = match origin {
            Origin::Room { room, player, .. } => (Some(room), player),
            Origin::Server { room } => (room, None),
            Origin::Player { .. } | Origin::Connection { .. } => (None, None),
        };
        publish(world, Undecodable { type_name, room, player, payload });
    }
}

fn stream(world: &mut World, payload: PayloadReceived) {
    world.write_message(GhostClientEvent::PayloadReceived(payload));
}

fn find_room(world: &World, name: &RoomName) -> Option<Entity> {
    world.resource::<JoinedRooms>().get(name.as_str())
}

/// The entity of a seat, unless the game has despawned it.
fn find_member(world: &World, room: Entity, seat: Seat) -> Option<Entity> {
    let member = *world.get::<SeatIndex>(room)?.0.get(&seat)?;
    world.get_entity(member).is_ok().then_some(member)
}
