//! Publishes how the server does as Bevy diagnostics.

use bevy::{
    diagnostic::{Diagnostic, DiagnosticPath, Diagnostics, RegisterDiagnostic},
    prelude::*,
};

use crate::{ConnectionStats, GhostServer, Rooms};

/// Rooms that are there, of the server's own and of clients' making.
pub const ROOMS: DiagnosticPath = DiagnosticPath::const_new("ghost/server/rooms");
/// Seats taken, in all rooms.
pub const PLAYERS: DiagnosticPath = DiagnosticPath::const_new("ghost/server/players");
/// Seats held for players that are away, in all rooms.
pub const AWAY: DiagnosticPath = DiagnosticPath::const_new("ghost/server/away");
/// Clients connected, or away.
pub const CONNECTIONS: DiagnosticPath = DiagnosticPath::const_new("ghost/server/connections");
/// Payloads that systems sent in a frame.
pub const MESSAGES_SENT: DiagnosticPath = DiagnosticPath::const_new("ghost/server/messages_sent");
/// Payloads that systems saw in a frame.
pub const MESSAGES_RECEIVED: DiagnosticPath =
    DiagnosticPath::const_new("ghost/server/messages_received");
/// Bytes of payloads that systems sent in a frame.
pub const BYTES_SENT: DiagnosticPath = DiagnosticPath::const_new("ghost/server/bytes_sent");
/// Bytes of payloads that systems saw in a frame.
pub const BYTES_RECEIVED: DiagnosticPath = DiagnosticPath::const_new("ghost/server/bytes_received");
/// Payloads that systems missed in a frame because frames were too slow.
pub const MISSED: DiagnosticPath = DiagnosticPath::const_new("ghost/server/missed");
/// Messages that slow players did not get and were told about, in a frame.
pub const DROPPED: DiagnosticPath = DiagnosticPath::const_new("ghost/server/dropped");
/// Bytes that wait for the slowest client, looked at each second.
pub const QUEUED: DiagnosticPath = DiagnosticPath::const_new("ghost/server/queued");
/// Time to the clients and back, on average over all of them, in milliseconds.
pub const RTT: DiagnosticPath = DiagnosticPath::const_new("ghost/server/rtt");

pub(crate) fn register(app: &mut App) {
    app.register_diagnostic(Diagnostic::new(RTT).with_suffix(" ms"));
    for path in [
        ROOMS,
        PLAYERS,
        AWAY,
        CONNECTIONS,
        MESSAGES_SENT,
        MESSAGES_RECEIVED,
        BYTES_SENT,
        BYTES_RECEIVED,
        MISSED,
        DROPPED,
        QUEUED,
    ] {
        app.register_diagnostic(Diagnostic::new(path));
    }
}

pub(crate) fn record_diagnostics(
    mut diagnostics: Diagnostics,
    server: Res<GhostServer>,
    rooms: Res<Rooms>,
    connections: Query<&ConnectionStats>,
    mut last: Local<GhostServer>,
) {
    let (sent, received) = (server.sent, server.received);
    let since = |now: u64, before: u64| (now - before) as f64;
    diagnostics.add_measurement(&ROOMS, || rooms.len() as f64);
    diagnostics.add_measurement(&PLAYERS, || server.players as f64);
    diagnostics.add_measurement(&AWAY, || server.away as f64);
    diagnostics.add_measurement(&CONNECTIONS, || server.connections as f64);
    diagnostics.add_measurement(&MESSAGES_SENT, || since(sent.messages, last.sent.messages));
    diagnostics.add_measurement(&BYTES_SENT, || since(sent.bytes, last.sent.bytes));
    diagnostics
        .add_measurement(&MESSAGES_RECEIVED, || since(received.messages, last.received.messages));
    diagnostics.add_measurement(&BYTES_RECEIVED, || since(received.bytes, last.received.bytes));
    diagnostics.add_measurement(&MISSED, || since(server.missed, last.missed));
    diagnostics.add_measurement(&DROPPED, || since(server.dropped, last.dropped));
    let queued = connections.iter().map(|stats| stats.queued.bytes).max();
    diagnostics.add_measurement(&QUEUED, || queued.unwrap_or(0) as f64);
    let mut rtts = connections.iter().filter_map(|stats| stats.rtt).peekable();
    if rtts.peek().is_some() {
        let (count, sum) =
            rtts.fold((0.0, 0.0), |(n, sum), rtt| (n + 1.0, sum + rtt.as_secs_f64()));
        diagnostics.add_measurement(&RTT, || sum / count * 1000.0);
    }
    (last.sent, last.received) = (sent, received);
    (last.missed, last.dropped) = (server.missed, server.dropped);
}
