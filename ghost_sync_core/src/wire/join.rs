//! What a client says about the seat that it wants.

use bytes::Bytes;
use wincode::{SchemaRead, SchemaWrite};

use super::Replay;

/// What a join asks for beside the room: by default a seat, and nothing else.
///
/// `data` and the `options` of [`IfMissing::Create`] may be as long together as a payload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct JoinOptions<B = Bytes> {
    /// For the server's rules, such as a password. Nothing by default.
    pub data: B,
    /// How much of what was said before is wanted. Nothing by default.
    pub replay: Replay,
    /// What is to happen where there is no such room.
    pub if_missing: IfMissing<B>,
    /// As what. A player by default.
    pub role: Role,
}

/// What somebody is in a room.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, SchemaRead, SchemaWrite)]
#[non_exhaustive]
pub enum Role {
    /// One of those who play: in the roster, heard by everybody.
    #[default]
    Player,
}

/// What a join is to do where there is no room of that name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub enum IfMissing<B = Bytes> {
    /// What the server does by itself:
    /// [`CreateOnJoin`](crate::relay::CreateOnJoin).
    #[default]
    Default,
    /// Nothing: the answer is [`RoomNotFound`](super::Refusal::RoomNotFound), even where
    /// joins make rooms. For a code that somebody typed.
    Refuse,
    /// Make the room, where the server lets joins make rooms; the answer is
    /// [`RoomNotFound`](super::Refusal::RoomNotFound) where it never does. A room that is
    /// there is joined as it is. A client that joins again by itself asks for
    /// [`Refuse`](Self::Refuse) instead.
    Create {
        /// How the creator wants the room to be, in bytes that the server's rules
        /// understand; they see them with
        /// [`CreateOnJoin::Ask`](crate::relay::CreateOnJoin::Ask).
        options: B,
    },
}

impl<B: AsRef<[u8]>> JoinOptions<B> {
    /// Bytes that count towards the longest payload.
    pub(crate) fn len(&self) -> usize {
        self.data.as_ref().len() + self.if_missing.options().map_or(0, <[u8]>::len)
    }

    /// The same with borrowed bytes, as [`ClientMessage::Join`](super::ClientMessage::Join)
    /// has it.
    pub fn borrowed(&self) -> JoinOptions<&[u8]> {
        let Self { data, replay, if_missing, role } = self;
        JoinOptions {
            data: data.as_ref(),
            replay: *replay,
            role: *role,
            if_missing: match if_missing {
                IfMissing::Default => IfMissing::Default,
                IfMissing::Refuse => IfMissing::Refuse,
                IfMissing::Create { options } => IfMissing::Create { options: options.as_ref() },
            },
        }
    }
}

impl JoinOptions {
    /// What a client asks for that joins again by itself: nothing of what was said before, and
    /// no room that it would have to itself, while the others are told that theirs is gone.
    pub(crate) fn again(mut self) -> Self {
        self.replay = Replay::Nothing;
        if let IfMissing::Create { .. } = self.if_missing {
            self.if_missing = IfMissing::Refuse;
        }
        self
    }
}

impl JoinOptions<&[u8]> {
    /// The same with bytes of its own.
    pub fn copied(self) -> JoinOptions {
        JoinOptions {
            data: Bytes::copy_from_slice(self.data),
            replay: self.replay,
            role: self.role,
            if_missing: match self.if_missing {
                IfMissing::Default => IfMissing::Default,
                IfMissing::Refuse => IfMissing::Refuse,
                IfMissing::Create { options } => {
                    IfMissing::Create { options: Bytes::copy_from_slice(options) }
                }
            },
        }
    }
}

impl<B: AsRef<[u8]>> IfMissing<B> {
    /// How the creator wants the room to be; `None` for who does not ask for one.
    pub(crate) fn options(&self) -> Option<&[u8]> {
        match self {
            Self::Default | Self::Refuse => None,
            Self::Create { options } => Some(options.as_ref()),
        }
    }
}
