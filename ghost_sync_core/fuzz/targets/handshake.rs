//! Any bytes as the first of a connection.

use ghost_sync_core::{
    AuthPolicy, ClientMessage, CreateOnJoin, Delivery, DisconnectReason, JoinOptions, Limits,
    MessageType, RelayConfig, RoomConfig, SendFlags, Verdict,
};

use super::{
    dice::Dice,
    model::marked,
    world::{World, hello},
};

/// A connection that says anything is told at most one reason to go, and two
/// others talk undisturbed.
pub fn handshake(data: &[u8]) {
    let mut dice = Dice::new(data);
    let settings = dice.byte();
    let mut config = RelayConfig { limits: Limits::none(), ..RelayConfig::default() };
    config.host.ask_connect = settings & 1 != 0;
    config.host.ask_join = settings & 2 != 0;
    config.create_on_join = CreateOnJoin::Always;
    config.room_defaults = RoomConfig::default().observed();
    config.max_clients = if settings & 4 != 0 { 3 } else { 64 };
    if settings & 24 == 16 {
        config.host.auth = AuthPolicy::Optional;
    }
    config.host.seed = 7;
    let mut world = World::new(config);

    let stranger = world.connect();
    let decides = settings & 8 != 0;
    world.verdict = decides.then_some(Verdict::from(settings & 16 != 0));
    let plan = dice.bytes(8);
    let mut lens = plan.iter().map(|len| usize::from(*len)).cycle();
    let mut rest = dice.rest();
    if settings & 32 != 0 {
        world.say(stranger, &hello(b"", Vec::new()));
    }
    if settings & 64 != 0 && world.links[stranger].is_up() {
        let (body, after) = rest.split_at(rest.len().min(lens.next().unwrap_or(64)));
        world.raw_frame(stranger, body);
        rest = after;
    }
    while !rest.is_empty() && world.links[stranger].is_up() {
        let len = lens.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (piece, after) = rest.split_at(len);
        world.raw(stranger, piece);
        rest = after;
    }

    world.verdict = Some(Verdict::Accept);
    for ask in std::mem::take(&mut world.asks) {
        world.answer(ask, Verdict::from(settings & 128 != 0));
    }
    let honest = [world.connect(), world.connect()];
    for link in honest {
        world.greet(link);
        world.say(
            link,
            &ClientMessage::Join { request: 1, room: "den", options: JoinOptions::default() },
        );
    }
    let [speaker, hearer] = honest.map(|link| {
        let session = world.links[link].session.as_ref().expect("an honest client is welcome");
        let (room, stay) = session.stays.first_key_value().expect("and has a seat");
        (*room, stay.next)
    });
    assert_eq!(speaker.0, hearer.0, "both are in one room");
    let payload = marked(Delivery::Reliable, SendFlags::NONE, b"hi");
    world.say(
        honest[0],
        &ClientMessage::Broadcast {
            room: speaker.0,
            delivery: Delivery::Reliable,
            flags: SendFlags::NONE,
            message_type: MessageType::RAW,
            payload: &payload,
        },
    );
    let session = world.links[honest[1]].session.as_ref().expect("it is there still");
    assert_eq!(session.stays[&hearer.0].next, hearer.1 + 1, "what was said is heard");
    if !world.links[stranger].gone {
        world.lose(stranger, DisconnectReason::ConnectionClosed);
    }
    world.end();
}
