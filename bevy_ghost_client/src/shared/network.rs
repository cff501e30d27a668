//! The network threads of an app, and the order of what its server and its client ask of them.

use bevy::prelude::*;
use ghost_sync_core::embed::{Fence, Network};

/// The network threads of this app, shared by its client and its server.
#[derive(Clone, Debug, Resource)]
pub struct GhostNetwork(pub Network);

impl GhostNetwork {
    /// The network of this app, started if there is none yet.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn of(world: &mut World) -> std::io::Result<Network> {
        if let Some(network) = world.get_resource::<Self>() {
            return Ok(network.0.clone());
        }
        let network = Network::new()?;
        world.insert_resource(Self(network.clone()));
        Ok(network)
    }
}

/// What the server of this app was told up to now: what its client asks comes after.
/// Kept by the server's plugin.
#[derive(Clone, Debug, Resource)]
pub struct HostFence(pub Fence);
