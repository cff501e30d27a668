//! How dedicated servers end by themselves.

use std::{net::TcpListener, process::Command};

use bevy::{log::LogPlugin, prelude::*};
use bevy_ghost_server::prelude::*;

#[derive(Default, Resource)]
struct Starts(u32);

/// A dedicated server that nobody outside reaches.
fn server() -> App {
    let mut app = App::new();
    app.add_plugins(DedicatedServerPlugins.build().disable::<LogPlugin>())
        .add_plugins(GhostServerPlugin::local());
    app
}

#[test]
fn a_program_whose_server_is_stopped_ends() {
    let mut app = server();
    app.add_observer(|_: On<ServerStarted>, mut commands: Commands| {
        commands.trigger(StopServer::default());
    });
    assert_eq!(app.run(), AppExit::Success);
}

#[test]
fn a_program_whose_server_starts_again_goes_on() {
    let mut app = server();
    app.init_resource::<Starts>();
    app.add_observer(|_: On<ServerStarted>, mut starts: ResMut<Starts>, mut commands: Commands| {
        starts.0 += 1;
        commands.trigger(StopServer::default());
        if starts.0 == 1 {
            commands.trigger(StartServer);
        }
    });
    app.add_observer(|_: On<ServerStopped>, mut starts: ResMut<Starts>, mut commands: Commands| {
        if starts.0 == 2 {
            commands.trigger(StartServer);
        } else if starts.0 == 3 {
            starts.0 = 10;
        }
    });
    app.add_systems(Last, |starts: Res<Starts>, exit: MessageReader<AppExit>| {
        assert!(exit.is_empty() || starts.0 == 10, "too early: {}", starts.0);
    });
    assert_eq!(app.run(), AppExit::Success);
}

#[test]
fn a_server_that_cannot_start_says_why_though_nobody_keeps_a_log() {
    const ADDR: &str = "GHOST_SYNC_TEST_TAKEN";
    if let Ok(taken) = std::env::var(ADDR) {
        // In the process that the test starts.
        let plugins = DedicatedServerPlugins.build().disable::<LogPlugin>();
        let exit = App::new().add_plugins((plugins, GhostServerPlugin::bind(taken))).run();
        assert_eq!(exit, AppExit::error());
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = "a_server_that_cannot_start_says_why_though_nobody_keeps_a_log";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ADDR, listener.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("the server cannot start: "), "{said}");
}
