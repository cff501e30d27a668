//! What of a relay's events goes to the log.

use crate::relay::RelayEvent;

/// Whether the log is told of the event.
pub(super) fn is_told(event: &RelayEvent) -> bool {
    match event {
        RelayEvent::ConnectionOpened { .. }
        | RelayEvent::ConnectionClosed { .. }
        | RelayEvent::ConnectionLost { .. }
        | RelayEvent::ConnectionResumed { .. }
        | RelayEvent::HandshakeFailed { .. }
        | RelayEvent::RoomCreated { .. }
        | RelayEvent::RoomDeleted { .. }
        | RelayEvent::PlayerJoined { .. }
        | RelayEvent::PlayerLeft { .. }
        | RelayEvent::Lagged { .. } => true,
        RelayEvent::TokenReplaced { .. }
        | RelayEvent::RoomFilled { .. }
        | RelayEvent::RoomHasSpace { .. }
        | RelayEvent::RoomEmptied { .. }
        | RelayEvent::PlayerAway { .. }
        | RelayEvent::PlayerBack { .. }
        | RelayEvent::JoinAbandoned { .. }
        | RelayEvent::Broadcast { .. }
        | RelayEvent::Message { .. }
        | RelayEvent::RoomMetadataChanged { .. }
        | RelayEvent::ClientMetadataChanged { .. }
        | RelayEvent::Rtt { .. } => false,
    }
}

/// Writes the event to the log, within a span of its room.
pub(super) fn tell(event: &RelayEvent) {
    match event {
        RelayEvent::ConnectionOpened { client_id, addr, identity, .. } => {
            let user = identity.as_ref().map(|identity| identity.user.as_str());
            tracing::debug!(%client_id, %addr, user, "connected");
        }
        RelayEvent::ConnectionClosed { client_id, reason, .. } => {
            tracing::debug!(%client_id, %reason, "disconnected");
        }
        RelayEvent::ConnectionLost { client_id, reason, .. } => {
            tracing::debug!(%client_id, %reason, "connection lost; seats are held");
        }
        RelayEvent::ConnectionResumed { client_id, addr, .. } => {
            tracing::debug!(%client_id, %addr, "resumed");
        }
        RelayEvent::HandshakeFailed { addr, reason } => {
            tracing::debug!(%addr, %reason, "no handshake");
        }
        RelayEvent::RoomCreated { name, .. } => {
            tracing::debug_span!("room", %name).in_scope(|| tracing::debug!("created"));
        }
        RelayEvent::RoomDeleted { name, message, .. } => {
            tracing::debug_span!("room", %name).in_scope(|| tracing::debug!(message, "deleted"));
        }
        RelayEvent::PlayerJoined { name, client_id, .. } => {
            tracing::debug_span!("room", %name).in_scope(|| tracing::debug!(%client_id, "joined"));
        }
        RelayEvent::PlayerLeft { name, client_id, reason, .. } => {
            tracing::debug_span!("room", %name)
                .in_scope(|| tracing::debug!(%client_id, %reason, "left"));
        }
        RelayEvent::Lagged { name, client_id, dropped, .. } => {
            tracing::debug_span!("room", %name)
                .in_scope(|| tracing::debug!(%client_id, dropped, "lagged"));
        }
        RelayEvent::TokenReplaced { .. }
        | RelayEvent::RoomFilled { .. }
        | RelayEvent::RoomHasSpace { .. }
        | RelayEvent::RoomEmptied { .. }
        | RelayEvent::PlayerAway { .. }
        | RelayEvent::PlayerBack { .. }
        | RelayEvent::JoinAbandoned { .. }
        | RelayEvent::Broadcast { .. }
        | RelayEvent::Message { .. }
        | RelayEvent::RoomMetadataChanged { .. }
        | RelayEvent::ClientMetadataChanged { .. }
        | RelayEvent::Rtt { .. } => {}
    }
}
