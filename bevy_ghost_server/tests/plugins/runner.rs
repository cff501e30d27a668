//! The runner and the server's own start and end, over real sockets.

use std::{net::SocketAddr, sync::mpsc, thread, time::Duration};

use bevy::prelude::*;
use bevy_ghost_client::{
    Connect, Connected, FromServer, GhostClientPlugin, GhostNetwork, ToServer,
};
use bevy_ghost_server::{
    Network, ServerFailed, ServerStarted, Tick, WakeRunnerPlugin, WakeSources,
    prelude::*,
    testing::{record, recorded},
};
use ghost_sync_core::{Client, ServerEvent};

fn an_hour() -> Duration {
    Duration::from_secs(3600)
}

/// Echoes what clients send, and exits on `exit`.
fn echo(
    mut said: MessageReader<FromConnection<Raw>>,
    mut answers: MessageWriter<ToConnection<Raw>>,
    mut exit: MessageWriter<AppExit>,
) {
    for said in said.read() {
        if said.message.data.as_ref() == b"exit" {
            exit.write(AppExit::Success);
        }
        answers.write(ToConnection::new(said.connection, said.message.clone()));
    }
}

#[test]
fn what_arrives_wakes_a_sleeping_server() {
    let (started, addr) = mpsc::channel::<SocketAddr>();
    let server = thread::spawn(move || {
        let an_hour = Tick::Every(an_hour());
        let runner = WakeRunnerPlugin { tick: an_hour, ..WakeRunnerPlugin::default() };
        App::new()
            .add_plugins((
                MinimalPlugins.build().disable::<bevy::app::ScheduleRunnerPlugin>(),
                runner,
            ))
            .add_plugins(GhostServerPlugin::bind("127.0.0.1:0"))
            .add_systems(Update, echo)
            .add_observer(move |it: On<ServerStarted>| started.send(it.addr.unwrap()).unwrap())
            .run()
    });
    let addr = addr.recv_timeout(Duration::from_secs(30)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let talk = async {
            let mut client = Client::connect(addr).await.unwrap();
            for word in ["one", "two", "exit"] {
                client.send_to_server(word).await.unwrap();
                if word == "exit" {
                    break;
                }
                let Some(ServerEvent::Direct { data, .. }) = client.recv().await.unwrap() else {
                    panic!("not an answer")
                };
                assert_eq!(data.as_ref(), word.as_bytes());
            }
            while let Ok(Some(_)) = client.recv().await {}
        };
        tokio::time::timeout(Duration::from_secs(60), talk).await.unwrap();
    });
    assert_eq!(server.join().unwrap(), AppExit::Success);
}

/// Counts up with the server, up to three.
fn count(
    mut answers: MessageReader<FromServer<Raw>>,
    mut questions: MessageWriter<ToServer<Raw>>,
    mut exit: MessageWriter<AppExit>,
) {
    for answer in answers.read() {
        match answer.message.data[0] {
            3 => _ = exit.write(AppExit::Success),
            n => _ = questions.write(ToServer::new(Raw::new(vec![n + 1]))),
        }
    }
}

#[test]
fn what_arrives_wakes_a_sleeping_client_too() {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let mut app = App::new();
        let an_hour = Tick::Every(an_hour());
        let runner = WakeRunnerPlugin { tick: an_hour, ..WakeRunnerPlugin::default() };
        app.add_plugins(MinimalPlugins.build().disable::<bevy::app::ScheduleRunnerPlugin>())
            .add_plugins((runner, GhostServerPlugin::local(), GhostClientPlugin::default()))
            .add_systems(Update, (echo, count))
            .add_observer(
                |_: On<ServerStarted>, server: Res<GhostServer>, mut commands: Commands| {
                    commands.trigger(Connect::local(server.connector()));
                },
            )
            .add_observer(|_: On<Connected>, mut questions: MessageWriter<ToServer<Raw>>| {
                questions.write(ToServer::new(Raw::new(vec![1])));
            });
        ended.send(app.run())
    });
    assert_eq!(end.recv_timeout(Duration::from_secs(60)), Ok(AppExit::Success));
}

#[test]
fn what_arrives_after_a_silence_is_taken_at_once() {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let (wake, woken) = crossbeam_channel::bounded(1);
        let (tick, min_interval) = (Tick::Every(Duration::from_millis(1)), an_hour());
        let mut ticks = 0;
        let mut app = App::new();
        app.add_plugins(MinimalPlugins.build().disable::<bevy::app::ScheduleRunnerPlugin>())
            .add_plugins(WakeRunnerPlugin { tick, min_interval })
            .insert_resource(WakeSources(vec![woken.clone()]))
            .add_systems(Update, move |mut exit: MessageWriter<AppExit>| {
                ticks += 1;
                if woken.try_recv().is_ok() {
                    exit.write(AppExit::Success);
                } else if ticks == 3 {
                    wake.send(()).unwrap();
                }
            });
        ended.send(app.run())
    });
    assert_eq!(end.recv_timeout(Duration::from_secs(60)), Ok(AppExit::Success));
}

#[test]
fn a_server_that_cannot_listen_says_why_and_can_be_started_elsewhere() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut app = App::new();
    app.add_plugins(MinimalPlugins)
        .insert_resource(GhostNetwork(Network::from_handle(runtime.handle().clone())))
        .add_plugins(GhostServerPlugin::bind(taken.local_addr().unwrap().to_string()));
    record::<ServerFailed>(&mut app);
    record::<ServerStarted>(&mut app);
    app.world_mut().spawn(Room::new("lobby"));
    let run = |app: &mut App| {
        for _ in 0..16 {
            app.update();
            runtime.block_on(async {
                for _ in 0..16 {
                    tokio::task::yield_now().await;
                }
            });
        }
    };
    run(&mut app);
    assert_eq!(recorded::<ServerFailed>(&app).len(), 1);
    assert_eq!(*app.world().resource::<State<ServerState>>().get(), ServerState::Stopped);

    app.world_mut().resource_mut::<ServerConfig>().bind = Some("127.0.0.1:0".to_owned());
    app.world_mut().trigger(StartServer);
    run(&mut app);
    assert_eq!(recorded::<ServerStarted>(&app).len(), 1);
    let mut rooms = app.world_mut().query::<&RoomStats>();
    assert!(rooms.single(app.world()).unwrap().open);
    assert_ne!(app.world().resource::<GhostServer>().addr, None);
}

#[test]
fn a_server_whose_port_is_taken_ends_the_app_with_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let exit = App::new()
        .add_plugins(DedicatedServerPlugins.build().disable::<bevy::log::LogPlugin>())
        .add_plugins(GhostServerPlugin::bind(addr))
        .run();
    assert!(exit.is_error());
}
