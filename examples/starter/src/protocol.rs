//! What travels. Server and clients call the same function.

use bevy::prelude::*;
use bevy_ghost_client::{prelude::*, schema};

pub const SIZE: f32 = 40.0;

pub fn protocol(app: &mut App) {
    app.add_ghost_message::<At>().from_clients();
    app.add_ghost_message::<It>().from_server();
}

/// Where a player says it is.
#[derive(Clone, Component, Copy, SchemaRead, SchemaWrite)]
pub struct At(#[wincode(with = "schema::Vec2")] pub Vec2);

/// Who is it now.
#[derive(Clone, Copy, Resource, SchemaRead, SchemaWrite)]
pub struct It(pub Seat);
