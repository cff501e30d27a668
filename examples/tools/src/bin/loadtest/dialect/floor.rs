//! The tool `floor`: it talks by itself, in the frames of a relay, and nobody listens to us.

use ghost_sync_core::{Decoder, MAX_SERVER_FRAME, ServerMessage};

use super::{Entered, Session};
use crate::hear::Heard;

#[derive(Debug)]
struct Floor {
    decoder: Decoder,
}

pub(super) fn enter() -> Entered {
    Entered { session: Box::new(Floor { decoder: Decoder::new(MAX_SERVER_FRAME) }), speech: None }
}

impl Session for Floor {
    fn hear(&mut self, mut input: &[u8], heard: &mut Heard<'_>) -> Result<(), String> {
        while let Some(frame) = self.decoder.next_frame(&mut input).map_err(|e| e.to_string())? {
            // The same numbers come again and again.
            match ServerMessage::decode(frame) {
                Ok(ServerMessage::Broadcast { payload, .. }) => heard.broadcast(payload),
                Ok(_) => return Err("that is no floor".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}
