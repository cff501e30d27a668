//! Publishes how the connection does as Bevy diagnostics.

use bevy::{
    diagnostic::{Diagnostic, DiagnosticPath, Diagnostics, RegisterDiagnostic},
    prelude::*,
};

use crate::{Ended, GhostClient, JoinedRooms, Member};

/// Time to the server and back, in milliseconds.
pub const RTT: DiagnosticPath = DiagnosticPath::const_new("ghost/client/rtt");
/// Payloads sent in a frame.
pub const MESSAGES_SENT: DiagnosticPath = DiagnosticPath::const_new("ghost/client/messages_sent");
/// Payloads received in a frame.
pub const MESSAGES_RECEIVED: DiagnosticPath =
    DiagnosticPath::const_new("ghost/client/messages_received");
/// Bytes of payloads sent in a frame.
pub const BYTES_SENT: DiagnosticPath = DiagnosticPath::const_new("ghost/client/bytes_sent");
/// Bytes of payloads received in a frame.
pub const BYTES_RECEIVED: DiagnosticPath = DiagnosticPath::const_new("ghost/client/bytes_received");
/// Rooms that this client is in.
pub const ROOMS: DiagnosticPath = DiagnosticPath::const_new("ghost/client/rooms");
/// Members of those rooms.
pub const MEMBERS: DiagnosticPath = DiagnosticPath::const_new("ghost/client/members");

pub(crate) fn register(app: &mut App) {
    app.register_diagnostic(Diagnostic::new(RTT).with_suffix(" ms"));
    for path in [MESSAGES_SENT, MESSAGES_RECEIVED, BYTES_SENT, BYTES_RECEIVED, ROOMS, MEMBERS] {
        app.register_diagnostic(Diagnostic::new(path));
    }
}

pub(crate) fn record_diagnostics(
    mut diagnostics: Diagnostics,
    client: Res<GhostClient>,
    rooms: Res<JoinedRooms>,
    members: Query<(), (With<Member>, Without<Ended>)>,
    mut last: Local<GhostClient>,
) {
    if let Some(rtt) = client.rtt {
        diagnostics.add_measurement(&RTT, || rtt.as_secs_f64() * 1000.0);
    }
    let since = |now: u64, before: u64| (now - before) as f64;
    let (sent, received) = (client.sent, client.received);
    diagnostics.add_measurement(&MESSAGES_SENT, || since(sent.messages, last.sent.messages));
    diagnostics.add_measurement(&BYTES_SENT, || since(sent.bytes, last.sent.bytes));
    diagnostics
        .add_measurement(&MESSAGES_RECEIVED, || since(received.messages, last.received.messages));
    diagnostics.add_measurement(&BYTES_RECEIVED, || since(received.bytes, last.received.bytes));
    diagnostics.add_measurement(&ROOMS, || rooms.len() as f64);
    diagnostics.add_measurement(&MEMBERS, || members.iter().len() as f64);
    (last.sent, last.received) = (sent, received);
}
