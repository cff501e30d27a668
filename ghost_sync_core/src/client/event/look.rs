//! What an event is about, and what it costs.

use crate::wire::{MemberInfo, MetadataEntry, RoomName, RoomSummary};

use super::ServerEvent;

impl ServerEvent {
    /// The room that the event is about, if it is about one.
    pub fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Joined { room, .. }
            | Self::AlreadyJoined { room }
            | Self::Left { room, .. }
            | Self::PlayerJoined { room, .. }
            | Self::PlayerLeft { room, .. }
            | Self::Broadcast { room, .. }
            | Self::RoomMetadata { room, .. }
            | Self::PlayerMetadata { room, .. }
            | Self::PlayerAway { room, .. }
            | Self::PlayerBack { room, .. }
            | Self::RoomDeleted { room, .. }
            | Self::Gap { room, .. }
            | Self::Ack { room, .. } => Some(room),
            Self::Direct { room, .. } => room.as_ref(),
            Self::Refused(error) => error.room.as_ref(),
            Self::TokenExpiring { .. }
            | Self::Authenticated { .. }
            | Self::Pong { .. }
            | Self::RoomList { .. }
            | Self::Reconnecting { .. }
            | Self::Resumed
            | Self::ResumeFailed { .. }
            | Self::Renewed { .. }
            | Self::Disconnected { .. }
            | Self::Connecting { .. }
            | Self::Connected { .. } => None,
        }
    }

    /// Whether the session's ticket is another one from here on.
    pub(crate) fn brings_ticket(&self) -> bool {
        matches!(self, Self::Resumed | Self::Renewed { .. } | Self::Connected { .. })
    }

    /// What keeping the event costs, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let heap = match self {
            Self::Joined { members, meta, .. } => {
                members.iter().map(member_cost).sum::<usize>() + metadata_cost(meta)
            }
            Self::PlayerJoined { meta, user, .. } => metadata_cost(meta) + user.len(),
            Self::Broadcast { data, .. } | Self::Direct { data, .. } => data.len(),
            Self::RoomMetadata { key, value, .. } | Self::PlayerMetadata { key, value, .. } => {
                key.len() + value.as_ref().map_or(0, String::len)
            }
            Self::RoomDeleted { message, .. } => message.len(),
            Self::RoomList { rooms, .. } => rooms
                .iter()
                .map(|r| size_of::<RoomSummary>() + r.name.len() + metadata_cost(&r.meta))
                .sum(),
            Self::Connected { resumed, joining, .. } => {
                let resumed = resumed.as_ref().map_or(0, Vec::len);
                (resumed + joining.len()) * size_of::<RoomName>()
            }
            Self::Refused(_)
            | Self::TokenExpiring { .. }
            | Self::Authenticated { .. }
            | Self::AlreadyJoined { .. }
            | Self::Left { .. }
            | Self::PlayerLeft { .. }
            | Self::Gap { .. }
            | Self::Ack { .. }
            | Self::PlayerAway { .. }
            | Self::PlayerBack { .. }
            | Self::Pong { .. }
            | Self::Reconnecting { .. }
            | Self::Resumed
            | Self::ResumeFailed { .. }
            | Self::Renewed { .. }
            | Self::Disconnected { .. }
            | Self::Connecting { .. } => 0,
        };
        size_of::<Self>() + heap
    }

    /// The place in the order of its room, for events that have one.
    pub(crate) fn place(&self) -> Option<(&RoomName, u64)> {
        match self {
            Self::Joined { room, seq, .. }
            | Self::PlayerJoined { room, seq, .. }
            | Self::PlayerLeft { room, seq, .. }
            | Self::Broadcast { room, seq, .. }
            | Self::RoomMetadata { room, seq, .. }
            | Self::PlayerMetadata { room, seq, .. }
            | Self::PlayerAway { room, seq, .. }
            | Self::PlayerBack { room, seq, .. }
            | Self::RoomDeleted { room, seq, .. } => Some((room, *seq)),
            Self::Gap { room, to, .. } => Some((room, *to)),
            Self::Refused(_)
            | Self::TokenExpiring { .. }
            | Self::Authenticated { .. }
            | Self::AlreadyJoined { .. }
            | Self::Left { .. }
            | Self::Direct { .. }
            | Self::Ack { .. }
            | Self::Pong { .. }
            | Self::RoomList { .. }
            | Self::Reconnecting { .. }
            | Self::Resumed
            | Self::ResumeFailed { .. }
            | Self::Renewed { .. }
            | Self::Disconnected { .. }
            | Self::Connecting { .. }
            | Self::Connected { .. } => None,
        }
    }
}

/// What keeping a member of a roster costs, in bytes.
pub(in crate::client) fn member_cost(member: &MemberInfo) -> usize {
    size_of::<MemberInfo>() + member.user.len() + metadata_cost(&member.meta)
}

fn metadata_cost(meta: &[MetadataEntry]) -> usize {
    meta.iter().map(|(key, value)| size_of::<MetadataEntry>() + key.len() + value.len()).sum()
}
