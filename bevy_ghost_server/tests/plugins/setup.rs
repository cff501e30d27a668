//! What an app is told that is not set up well, and in which orders it may be set up.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use bevy::{log::LogPlugin, prelude::*, state::app::StatesPlugin, time::TimeUpdateStrategy};
use bevy_ghost_client::{
    ClientState, Connect, Disconnected, FromRoom, GhostClientPlugin, GhostReader, ToServer,
};
use bevy_ghost_server::{
    prelude::*,
    testing::{TestNet, record, recorded},
    typed::MessageRegistry,
};

#[derive(SchemaRead, SchemaWrite)]
struct Chat(String);

/// What an app says that ends with a panic.
fn last_words(build: impl FnOnce(&mut App)) -> String {
    let mut app = App::new();
    app.add_plugins(MinimalPlugins);
    build(&mut app);
    // So that each frame has a step of `FixedUpdate`, and the states change.
    app.insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_millis(100)));
    let end = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..4 {
            app.update();
        }
    }));
    // Bevy's words.
    assert!(end.is_err(), "it must not run");
    app.world_mut().flush();
    app.world().resource::<MessageRegistry>().complaints().join("\n")
}

#[test]
fn a_type_that_nobody_registered_is_named_with_the_line_to_add() {
    let words = last_words(|app| {
        app.add_plugins(GhostClientPlugin::default());
        app.add_systems(Update, |_: MessageReader<FromRoom<Chat>>| {});
    });
    assert!(words.contains("FromRoom<plugins::setup::Chat>"), "{words}");
    assert!(words.contains("app.add_ghost_message::<Chat>();"), "{words}");
    let words = last_words(|app| {
        app.add_plugins(GhostClientPlugin::default());
        app.add_systems(Startup, |_: GhostReader<Chat>| {});
    });
    assert!(words.contains("app.add_ghost_message::<Chat>();"), "{words}");
    let words = last_words(|app| {
        app.add_plugins(GhostServerPlugin::local());
        app.add_systems(FixedUpdate, |_: MessageWriter<ToRoom<Chat>>| {});
        app.add_systems(OnEnter(ServerState::Starting), |_: MessageWriter<ToRoom<Chat>>| {});
    });
    assert!(words.contains("app.add_ghost_message::<Chat>();"), "{words}");
}

#[test]
fn a_host_is_told_of_a_type_once() {
    let words = last_words(|app| {
        app.add_plugins((GhostClientPlugin::default(), GhostServerPlugin::local()));
        app.add_systems(Update, |_: MessageReader<FromRoom<Chat>>| {});
    });
    assert_eq!(words.lines().count(), 1, "{words}");
}

#[test]
fn an_envelope_of_the_other_side_is_named_with_the_plugin_to_add() {
    let words = last_words(|app| {
        app.add_plugins(GhostClientPlugin::default()).add_ghost_message::<Chat>();
        app.add_systems(Update, |_: MessageWriter<ToRoom<Chat>>| {});
    });
    assert!(words.contains("app.add_plugins(GhostServerPlugin::default());"), "{words}");
    let words = last_words(|app| {
        app.add_plugins(GhostServerPlugin::local()).add_ghost_message::<Chat>();
        app.add_systems(Update, |_: MessageWriter<ToServer<Chat>>| {});
    });
    assert!(words.contains("app.add_plugins(GhostClientPlugin::default());"), "{words}");
}

#[test]
fn a_side_that_forgot_its_types_is_told_which() {
    fn typed(app: &mut App) {
        app.add_ghost_message::<Chat>();
    }
    fn untyped(_: &mut App) {}
    type Build = fn(&mut App);
    let cases: [(Build, Build, &str); 2] =
        [(typed, untyped, "this client lacks Chat"), (untyped, typed, "the server lacks Chat")];
    for (server, client, words) in cases {
        let mut net = TestNet::new(server);
        let client = net.client(|app| {
            client(app);
            record::<Disconnected>(app);
        });
        let connect = Connect::local(net.connector());
        net.clients[client].world_mut().trigger(connect);
        net.settle();
        let ends = recorded::<Disconnected>(&net.clients[client]);
        assert_eq!((ends.len(), ends[0].retry_in), (1, None));
        assert!(ends[0].reason.to_string().contains(words), "{}", ends[0].reason);
    }
    // Unless it wants to be any program's.
    let mut net = TestNet::new(|server| {
        server.allow_other_ghost_messages();
    });
    net.connect(typed);
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, States)]
enum Menu {
    #[default]
    Main,
}

#[derive(Default, Resource)]
struct Transitions(Vec<&'static str>);

#[test]
fn the_plugins_may_be_added_in_any_order() {
    let orders: [fn(&mut App); 4] = [
        |app| {
            app.add_plugins((MinimalPlugins, StatesPlugin, GhostServerPlugin::local()));
        },
        |app| {
            app.add_plugins((GhostServerPlugin::local(), MinimalPlugins, StatesPlugin));
        },
        |app| {
            app.add_plugins((GhostClientPlugin::default(), MinimalPlugins, StatesPlugin));
        },
        |app| {
            let dedicated = DedicatedServerPlugins.build().disable::<LogPlugin>();
            app.add_plugins((GhostServerPlugin::local(), dedicated));
        },
    ];
    for add in orders {
        let mut app = App::new();
        add(&mut app);
        app.init_state::<Menu>().init_resource::<Transitions>();
        app.add_systems(OnEnter(Menu::Main), |mut seen: ResMut<Transitions>| seen.0.push("menu"));
        app.add_systems(StateTransition, |mut seen: ResMut<Transitions>| seen.0.push("pass"));
        app.finish();
        app.cleanup();
        app.update();
        // Once as the app starts, once in the frame.
        let mut seen = app.world().resource::<Transitions>().0.clone();
        seen.sort_unstable();
        assert_eq!(seen, ["menu", "pass", "pass"]);
        assert!(
            app.world().get_resource::<State<ClientState>>().is_some()
                || app.world().contains_resource::<State<ServerState>>()
        );
    }
}
