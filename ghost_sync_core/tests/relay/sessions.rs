//! Sessions that outlive their links: away, back, taken over, ended.

mod anew;
mod ends;
mod history;
mod resume;
mod stays;
mod takeover;

use ghost_sync_core::{RelayConfig, ServerMessage};

use crate::world::{PeerId, World, secs};

fn held(config: &mut RelayConfig) {
    config.resume_grace = secs(30);
}

fn world() -> World {
    let mut world = World::with(held);
    world.room("a");
    world
}

/// What happened, by the names of the messages.
fn story(world: &mut World, peer: PeerId) -> Vec<String> {
    let frames = world.take(peer);
    let name = |frame: &bytes::Bytes| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Broadcast { payload, .. } => String::from_utf8_lossy(payload).into_owned(),
        ServerMessage::Direct { payload, .. } => {
            format!("direct {}", String::from_utf8_lossy(payload))
        }
        ServerMessage::Retained { payload, key, .. } => {
            format!("retained {key} {}", String::from_utf8_lossy(payload))
        }
        ServerMessage::Gap { from, to, .. } => format!("gap {from}..={to}"),
        ServerMessage::PlayerAway { seat, .. } => format!("away {}", seat.0),
        ServerMessage::PlayerBack { seat, .. } => format!("back {}", seat.0),
        ServerMessage::PlayerJoined { member, .. } => format!("joined {}", member.seat.0),
        ServerMessage::PlayerLeft { seat, reason, .. } => format!("left {}: {reason}", seat.0),
        ServerMessage::Left { reason, .. } => format!("out: {reason}"),
        ServerMessage::Resumed { .. } => "resumed".to_owned(),
        ServerMessage::ResumeFailed { reason } => format!("failed: {reason:?}"),
        ServerMessage::Close { reason } => format!("closed: {reason}"),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    frames.iter().map(name).collect()
}
