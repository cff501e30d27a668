//! SIGTERM ends a dedicated server in good order. In a process of its own, since
//! the signal goes to the whole process.
#![cfg(unix)]

use std::{process::Command, sync::mpsc, thread, time::Duration};

use bevy::prelude::*;
use bevy_ghost_server::{ServerStarted, ShutdownPlugin, prelude::*};
use ghost_sync_core::{Client, CloseReason, DisconnectReason};

#[test]
fn sigterm_tells_the_clients_and_exits_with_success() {
    let (told, reason) = mpsc::channel();
    let stop = StopServer { message: "maintenance".to_owned(), ..StopServer::default() };
    let exit = App::new()
        .add_plugins(DedicatedServerPlugins.set(ShutdownPlugin { stop }))
        .add_plugins(GhostServerPlugin::bind("127.0.0.1:0"))
        .add_observer(move |started: On<ServerStarted>| {
            let (addr, told) = (started.addr.unwrap(), told.clone());
            thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                told.send(runtime.block_on(async {
                    let mut client = Client::connect(addr).await.unwrap();
                    let pid = std::process::id().to_string();
                    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
                    loop {
                        match client.recv().await {
                            Ok(Some(_)) => {}
                            Ok(None) => panic!("the server said nothing"),
                            Err(reason) => return reason,
                        }
                    }
                }))
            });
        })
        .run();
    assert_eq!(exit, AppExit::Success);
    let reason = reason.recv_timeout(Duration::from_secs(10)).unwrap();
    let message = "maintenance".to_owned();
    assert_eq!(
        reason,
        DisconnectReason::Closed(CloseReason::ServerShutdown { message, retry_after_ms: 1000 })
    );
}
