//! One session, and tickets for it that nobody was given.

use std::time::Duration;

use ghost_sync_core::{
    ClientMessage, CreateOnJoin, Delivery, DisconnectReason, JoinOptions, Limits, MessageType,
    RelayConfig, Replay, RoomConfig, SendFlags,
};

use super::{
    dice::Dice,
    model::marked,
    session::lie,
    world::{Ticket, World},
};

/// Whatever a ticket says: nothing panics, and nobody gets a session without its
/// secret.
pub fn resume(data: &[u8]) {
    let mut dice = Dice::new(data);
    let mut config = RelayConfig {
        limits: Limits::none(),
        create_on_join: CreateOnJoin::Always,
        room_defaults: RoomConfig::default().observed().replay(16),
        rooms_per_client: 4,
        outbox_limit: dice.one_of(&[1 << 20, 2048, 8192]),
        ..RelayConfig::default()
    };
    config.host.seed = 7;
    let mut world = World::new(config);
    let witness = member(&mut world, &["a", "b"]);
    let mut owner = member(&mut world, &["a", "b", "c"]);
    let mut older = None;
    for _ in 0..MOST_TICKETS {
        if dice.is_empty() {
            break;
        }
        live(&mut world, witness, owner, &mut dice);
        if !world.links[owner].is_up() || world.links[owner].session.is_none() {
            owner = member(&mut world, &["a", "b", "c"]);
            continue;
        }
        let session = world.links[owner].session.clone().expect("it was welcome");
        let is_lost = dice.once_in(2);
        if is_lost {
            world.lose(owner, DisconnectReason::ConnectionReset);
            talk(&mut world, witness, &mut dice);
        }
        if dice.once_in(8) {
            world.wait(Duration::from_secs(dice.pick(40) as u64));
        }
        if let Some(older) = older.replace(session.clone())
            && dice.once_in(4)
        {
            let link = world.connect();
            world.show(link, &Ticket::of(&older), older);
            if world.links[link].session.is_some() {
                owner = link;
                continue;
            }
        }
        owner = take_up(&mut world, owner, &session, &mut dice);
    }
    world.end();
}

/// Shows tickets until one is good, or none can be; the last link.
fn take_up(
    world: &mut World,
    owner: usize,
    session: &super::model::Session,
    dice: &mut Dice<'_>,
) -> usize {
    let mut last = owner;
    for _ in 0..1 + dice.pick(3) {
        let mut shown = session.clone();
        let mut ticket = Ticket::of(session);
        for _ in 0..dice.pick(4) {
            shown.blind |= lie(&mut ticket, dice);
        }
        let is_bad = ticket.secret != session.secret
            || ticket.epoch != session.epoch
            || ticket.client_id != session.client_id;
        let link = world.connect();
        let before = world.resumed;
        world.show(link, &ticket, shown);
        assert!(!is_bad || world.resumed == before, "a bad ticket was good");
        if world.links[link].session.is_some() {
            return link;
        }
        last = link;
    }
    // The true one, if the session is still there; a refused link must say hello.
    let link = world.connect();
    world.show(link, &Ticket::of(session), session.clone());
    if world.links[link].session.is_some() {
        return link;
    }
    if world.links[last].is_up() && world.links[last].session.is_none() {
        world.greet(last);
    }
    last
}

fn member(world: &mut World, rooms: &[&str]) -> usize {
    let link = world.connect();
    world.greet(link);
    for room in rooms {
        let join = ClientMessage::Join {
            request: 1,
            room,
            options: JoinOptions { replay: Replay::Last(9), ..JoinOptions::default() },
        };
        world.say(link, &join);
    }
    assert!(world.links[link].session.is_some(), "an honest client is welcome");
    link
}

/// Things to miss, and things to confirm.
fn live(world: &mut World, witness: usize, owner: usize, dice: &mut Dice<'_>) {
    talk(world, witness, dice);
    for _ in 0..dice.pick(4) {
        let what = dice.pick(5);
        let Some(session) = world.links[owner].session.clone() else { return };
        if !world.links[owner].is_up() {
            return;
        }
        let room = session.stays.keys().next().copied().unwrap_or_default();
        match what {
            0 => world.list(owner),
            1 => world.say(owner, &ClientMessage::Leave { room }),
            2 => {
                let data = b"";
                let join = ClientMessage::Join {
                    request: 1,
                    room: "a",
                    options: JoinOptions {
                        data,
                        replay: Replay::Last(5),
                        ..JoinOptions::default()
                    },
                };
                world.say(owner, &join);
            }
            3 => world.say(owner, &ClientMessage::Received { count: session.received }),
            _ => world.read_on(owner, Some(dice.pick(256))),
        }
    }
}

fn talk(world: &mut World, witness: usize, dice: &mut Dice<'_>) {
    for _ in 0..dice.pick(4) {
        let Some(session) = world.links[witness].session.as_ref() else { return };
        let Some(room) = session.stays.keys().next().copied() else { return };
        if !world.links[witness].is_up() {
            return;
        }
        let payload = marked(Delivery::Reliable, SendFlags::ACK, &vec![1; dice.pick(200)]);
        let broadcast = ClientMessage::Broadcast {
            room,
            delivery: Delivery::Reliable,
            flags: SendFlags::ACK,
            message_type: MessageType::RAW,
            payload: &payload,
        };
        world.say(witness, &broadcast);
    }
}

const MOST_TICKETS: usize = 64;
