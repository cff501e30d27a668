//! What the server program decides.

use std::time::Duration;

use ghost_sync_core::{
    Client, Question, Refusal, RelayEvent, RoomConfig, Server, ServerEvent, Verdict, embed::*,
};
use tokio::{runtime::Handle, task::yield_now};

use crate::world::{STEPS, World, events, join, name, poll};

#[tokio::test(start_paused = true)]
async fn the_program_decides_who_joins() {
    let mut world = World::new().await;
    let mut client = world.connect(Client::builder());
    client.send(join("lobby")).unwrap();
    client.flush();
    let mut asked = 0;
    for _ in 0..2 * STEPS {
        yield_now().await;
        let mut updates = Vec::new();
        world.server.poll(&mut updates);
        for update in updates {
            if let ServerUpdate::Ask { ask, question, expires_in } = update {
                assert!(expires_in <= Duration::from_secs(2));
                asked += 1;
                let verdict = match question {
                    Question::Join { .. } => Verdict::reject("not today"),
                    _ => Verdict::Accept,
                };
                world.server.send(ServerCommand::Answer { ask, verdict });
            }
        }
        world.server.flush();
    }
    assert_eq!(asked, 2);
    let [ServerEvent::Refused(error)] = &events(poll(&mut client))[..] else { panic!() };
    assert_eq!(error.reason, Refusal::Rejected { message: "not today".into() });
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_answers_refuses_by_silence() {
    let network = Network::from_handle(Handle::current());
    let server = ServerBridge::start(&network, Server::builder().local_only());
    let target = Target::Local(server.local());
    let once = Reconnect { enabled: false, ..Reconnect::default() };
    let mut client = ClientBridge::connect(&network, Client::builder(), target, once);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let updates = poll(&mut client);
    let [
        ClientUpdate::Connecting { attempt: 0 },
        ClientUpdate::Disconnected { reason: ClientEnd::Connect(error), retry_in: None },
    ] = &updates[..]
    else {
        panic!("{updates:?}")
    };
    assert_eq!(error.to_string(), "refused by the server: no decision within 2000 ms");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_cannot_be_made_is_refused_in_order() {
    let mut world = World::new().await;
    world.updates.clear();
    for room in ["den", "lobby", "attic"] {
        let config = RoomConfig::default();
        world.server.send(ServerCommand::CreateRoom { name: name(room), config });
    }
    world.server.flush();
    world.step().await;
    let told: Vec<_> = world
        .updates
        .iter()
        .map(|update| match update {
            ServerUpdate::Event(RelayEvent::RoomCreated { name, .. }) => format!("+{name}"),
            ServerUpdate::RoomRefused { name, .. } => format!("-{name}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["+den", "-lobby", "+attic"]);
}
