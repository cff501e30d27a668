//! What the server sent to this client alone, counted.

/// Numbered messages of the session.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    received: u64,
    /// How many of them the server was told about.
    confirmed: u64,
    /// Bytes of the others.
    bytes: usize,
}

impl Lane {
    /// Confirmed by themselves after so many messages, or bytes: the server
    /// keeps what it does not know to have arrived.
    const MESSAGES: u64 = 64;
    const BYTES: usize = 32 * 1024;

    /// Counts a message.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.received += 1;
        self.bytes += bytes;
    }

    /// How many arrived; the server is about to be told.
    pub(crate) fn confirm(&mut self) -> u64 {
        self.confirmed = self.received;
        self.bytes = 0;
        self.received
    }

    /// Whether the server should be told now.
    pub(crate) fn is_due(&self) -> bool {
        self.received - self.confirmed >= Self::MESSAGES || self.bytes >= Self::BYTES
    }
}
