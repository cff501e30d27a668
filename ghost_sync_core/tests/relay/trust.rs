//! What a client may say and change, and what is the server's alone.

use ghost_sync_core::{
    ClientMessage, CloseReason, Delivery, Direction, Hello, Limits, MessageType, Question, Refusal,
    RelayConfig, RelayMode, RoomConfig, RoomId, SendFlags, ServerMessage, Verdict,
    relay::ServerSendError,
};

use crate::world::{PeerId, World, secs};

fn set_metadata(world: &mut World, peer: PeerId, key: &str, value: Option<&str>) -> Vec<Refusal> {
    world.take(peer);
    world.say(peer, &ClientMessage::SetMetadata { key, value, if_version: None });
    world.refusals(peer)
}

fn host_sets(world: &mut World, peer: PeerId, key: &str, value: Option<&str>) {
    let conn = world.peers[peer].conn;
    let set = |relay: &mut ghost_sync_core::Relay, now, out: &mut _| {
        relay.set_client_metadata(now, conn, key, value, None, out)
    };
    world.act(set).unwrap();
    world.pump();
}

fn metadata_of(world: &World, peer: PeerId) -> Vec<(String, String)> {
    world.relay.client_metadata(world.peers[peer].conn).unwrap().1
}

fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn denied(key: &str) -> Vec<Refusal> {
    vec![Refusal::Forbidden { what: format!("metadata {key:?} is the server's") }]
}

fn greet_with(world: &mut World, meta: &[(&str, &str)]) -> PeerId {
    let peer = world.socket();
    let hello = ClientMessage::Hello(Hello { meta: pairs(meta), ..Hello::default() });
    world.say(peer, &hello);
    peer
}

#[test]
fn a_client_cannot_change_a_key_that_the_server_has_set_or_removed() {
    let mut world = World::new();
    world.room("a");
    let alice = greet_with(&mut world, &[("name", "Alice"), ("role", "admin")]);
    world.join(alice, "a");
    host_sets(&mut world, alice, "role", Some("guest"));
    assert_eq!(set_metadata(&mut world, alice, "role", Some("admin")), denied("role"));
    assert_eq!(set_metadata(&mut world, alice, "role", None), denied("role"));
    host_sets(&mut world, alice, "role", None);
    assert_eq!(set_metadata(&mut world, alice, "role", Some("admin")), denied("role"));
    host_sets(&mut world, alice, "muted", None);
    assert_eq!(set_metadata(&mut world, alice, "muted", Some("no")), denied("muted"));
    assert_eq!(set_metadata(&mut world, alice, "name", Some("Al")), []);
    assert_eq!(metadata_of(&world, alice), pairs(&[("name", "Al")]));
}

#[test]
fn a_client_whose_metadata_is_full_keeps_the_server_from_nothing() {
    let mut world = World::with(|config| config.limits = Limits::none());
    let alice = world.client();
    for number in 0..32 {
        let key = format!("key {number}");
        assert_eq!(set_metadata(&mut world, alice, &key, Some(&"v".repeat(50))), []);
    }
    assert!(matches!(
        set_metadata(&mut world, alice, "more", Some(""))[..],
        [Refusal::MetadataTooLarge { max_bytes: 2048, max_entries: 32 }]
    ));
    host_sets(&mut world, alice, "role", Some("guest"));
    host_sets(&mut world, alice, "key 1", Some("taken over"));
    assert_eq!(set_metadata(&mut world, alice, "more", Some("")), [], "a key of its own is free");
}

#[test]
fn another_process_of_the_client_changes_what_is_the_servers_no_more_than_the_first() {
    let mut world = World::with(|config| config.resume_grace = secs(30));
    world.room("a");
    let alice = world.member("a");
    host_sets(&mut world, alice, "role", Some("guest"));
    let ticket = world.ticket(alice);
    world.hang_up(alice);
    let again = world.begin_anew(&ticket);
    assert_eq!(set_metadata(&mut world, again, "role", Some("admin")), denied("role"));
    assert_eq!(metadata_of(&world, again), pairs(&[("role", "guest")]));
}

#[test]
fn a_client_sets_keys_that_are_listed_and_no_others() {
    let listed = |config: &mut RelayConfig| {
        config.client_metadata_keys = Some(["color", "name"].map(str::to_owned).into());
    };
    let mut world = World::with(listed);
    let words = "clients may set no metadata \"role\" here, only: color, name";
    let mallory = greet_with(&mut world, &[("name", "M"), ("role", "admin")]);
    let refused = CloseReason::ConnectionRefused { message: words.to_owned() };
    assert_eq!(world.closed(mallory), Some(refused));
    let alice = greet_with(&mut world, &[("name", "Alice")]);
    let forbidden = Refusal::Forbidden { what: words.to_owned() };
    assert_eq!(set_metadata(&mut world, alice, "role", Some("admin")), vec![forbidden.clone()]);
    assert_eq!(set_metadata(&mut world, alice, "role", None), [forbidden]);
    assert_eq!(set_metadata(&mut world, alice, "color", Some("red")), []);
    host_sets(&mut world, alice, "role", Some("guest"));
    let meta = pairs(&[("color", "red"), ("name", "Alice"), ("role", "guest")]);
    assert_eq!(metadata_of(&world, alice), meta);
}

#[test]
fn where_no_key_is_listed_clients_set_nothing() {
    let mut world = World::with(|config| config.client_metadata_keys = Some(Default::default()));
    let alice = world.client();
    let what = "clients may set no metadata here, and \"name\" was set".to_owned();
    assert_eq!(
        set_metadata(&mut world, alice, "name", Some("Alice")),
        [Refusal::Forbidden { what: what.clone() }]
    );
    let bob = greet_with(&mut world, &[("name", "Bob")]);
    assert_eq!(world.closed(bob), Some(CloseReason::ConnectionRefused { message: what }));
}

#[test]
fn a_rule_decides_on_changes_of_metadata_in_the_order_in_which_they_were_asked_for() {
    let mut world = World::with(|config| config.host.ask_metadata = true);
    let alice = world.client();
    for (key, value) in [("name", Some("admin")), ("name", Some("Alice")), ("name", None)] {
        assert_eq!(set_metadata(&mut world, alice, key, value), []);
    }
    assert_eq!(metadata_of(&world, alice), []);
    let asked: Vec<_> = world.asked.drain(..).collect();
    let wishes: Vec<_> = asked
        .iter()
        .map(|(_, question)| match question {
            Question::SetMetadata { key, value, .. } => (key.as_str(), value.as_deref()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(wishes, [("name", Some("admin")), ("name", Some("Alice")), ("name", None)]);
    world.answer(asked[1].0, Verdict::Accept);
    assert_eq!(metadata_of(&world, alice), [], "the first is not decided");
    world.answer(asked[0].0, Verdict::reject("that name is taken"));
    let message = "that name is taken".to_owned();
    assert_eq!(world.refusals(alice), [Refusal::Rejected { message }]);
    assert_eq!(metadata_of(&world, alice), pairs(&[("name", "Alice")]));
    world.wait(secs(2));
    assert_eq!(world.refusals(alice)[1..], [Refusal::TimedOut { after_ms: 2000 }]);
    assert_eq!(metadata_of(&world, alice), pairs(&[("name", "Alice")]), "no verdict means no");
}

#[test]
fn what_the_server_sets_while_a_rule_decides_stays() {
    let mut world = World::with(|config| config.host.ask_metadata = true);
    let alice = world.client();
    set_metadata(&mut world, alice, "team", Some("red"));
    host_sets(&mut world, alice, "team", Some("blue"));
    let (ask, _) = world.asked.pop().unwrap();
    world.answer(ask, Verdict::Accept);
    assert_eq!(world.refusals(alice), denied("team"));
    assert_eq!(metadata_of(&world, alice), pairs(&[("team", "blue")]));
    assert_eq!(set_metadata(&mut world, alice, "team", Some("red")), denied("team"));
    assert!(world.asked.is_empty(), "there is nothing to decide about a key of the server");
}

#[test]
fn changes_that_wait_for_a_rule_are_bounded_and_end_with_their_client() {
    let mut world = World::with(|config| {
        config.host.ask_metadata = true;
        config.limits = Limits::none();
    });
    let alice = world.client();
    for number in 0..16 {
        assert_eq!(set_metadata(&mut world, alice, &format!("k{number}"), Some("v")), []);
    }
    assert_eq!(set_metadata(&mut world, alice, "more", Some("v")), [Refusal::Busy]);
    let (ask, _) = world.asked[0];
    world.hang_up(alice);
    assert!(!world.relay.is_asked(ask));
    world.answer(ask, Verdict::Accept);
}

fn typed() -> World {
    World::with(|config| {
        let known = config.host.protocol.insert(ghost_sync_core::Protocol::default());
        known.add("Score", 1, Direction::FromServer);
        known.add("Move", 2, Direction::FromClients);
        known.add("Chat", 0, Direction::Both);
    })
}

fn says(world: &mut World, peer: PeerId, name: &str) -> Vec<Refusal> {
    world.take(peer);
    let (room, _) = world.peers[peer].rooms["a"];
    let (message_type, payload) = (MessageType::of(name), &b"1"[..]);
    let (delivery, flags) = (Delivery::Reliable, SendFlags::NONE);
    world.say(peer, &ClientMessage::Broadcast { room, delivery, flags, message_type, payload });
    world.say(peer, &ClientMessage::ToServer { room, message_type, payload });
    world.say(peer, &ClientMessage::ToServer { room: RoomId(0), message_type, payload });
    world.refusals(peer)
}

#[test]
fn a_client_cannot_say_what_the_server_alone_says() {
    for mode in [RelayMode::AtOnce, RelayMode::ServerOnly, RelayMode::Moderated] {
        let mut world = typed();
        world.room_with("a", RoomConfig::default().observed().mode(mode));
        let (alice, bob) = (world.member("a"), world.member("a"));
        world.events.clear();
        let what = "Score is said by the server alone".to_owned();
        assert_eq!(says(&mut world, alice, "Score"), vec![Refusal::Forbidden { what }; 3]);
        assert_eq!(world.heard(bob), Vec::<String>::new());
        assert!(world.events.is_empty() && world.asked.is_empty(), "{mode:?}");
        assert_eq!(says(&mut world, alice, "Move"), []);
        assert_eq!(says(&mut world, alice, "Chat"), []);
    }
}

#[test]
fn the_server_cannot_say_what_clients_alone_say() {
    let mut world = typed();
    world.room("a");
    let bob = world.member("a");
    let (now, conn) = (world.now, world.peers[bob].conn);
    let wrong = ServerSendError::SaidByClients { name: "Move".to_owned() };
    let message_type = MessageType::of("Move");
    let relay = &mut world.relay;
    let said = relay.broadcast(now, "a", Delivery::Reliable, message_type, b"1");
    assert_eq!(said, Err(wrong.clone()));
    assert_eq!(
        relay.direct(&[conn], None, Delivery::Reliable, message_type, b"1"),
        Err(wrong.clone())
    );
    assert_eq!(relay.broadcast_all(message_type, b"1"), Err(wrong));
    assert!(relay.broadcast(now, "a", Delivery::Reliable, MessageType::of("Score"), b"1").is_ok());
}

/// What a newcomer is given: who said it, its key, and the text.
fn retained(world: &mut World) -> Vec<(u32, u32, String)> {
    let peer = world.client();
    world.join(peer, "a");
    let frames = world.take(peer);
    let values = frames.iter().filter_map(|frame| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Retained { sender, key, payload, .. } => {
            Some((sender.0, key, String::from_utf8_lossy(payload).into_owned()))
        }
        _ => None,
    });
    let values = values.collect();
    world.hang_up(peer);
    values
}

fn latest(world: &mut World, peer: PeerId, key: u32, text: &str) {
    let (delivery, flags) = (Delivery::Latest(key), SendFlags::NONE);
    world.broadcast_with(peer, "a", delivery, flags, text.as_bytes());
}

#[test]
fn one_member_with_many_keys_keeps_nobody_elses_values_from_newcomers() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    latest(&mut world, alice, 0, "first");
    for key in 0..1100 {
        latest(&mut world, bob, key, "flood");
    }
    latest(&mut world, alice, 1, "second");
    for key in 0..1024 {
        let (now, raw) = (world.now, MessageType::RAW);
        world.relay.broadcast(now, "a", Delivery::Latest(key), raw, b"state").unwrap();
    }
    let values = retained(&mut world);
    let keys = |of: u32| -> Vec<u32> {
        values.iter().filter(|(seat, ..)| *seat == of).map(|(_, key, _)| *key).collect()
    };
    assert_eq!(keys(1), [0, 1]);
    assert_eq!(keys(2), (1036..1100).collect::<Vec<_>>(), "the oldest of the same sender go");
    assert_eq!(keys(0), (0..1024).collect::<Vec<_>>(), "the server has a budget of its own");
}

#[test]
fn the_values_of_a_client_have_a_budget_of_bytes_too() {
    let mut world = World::new();
    world.room("a");
    let alice = world.member("a");
    for key in 0..6 {
        latest(&mut world, alice, key, &"v".repeat(5000));
    }
    let keys: Vec<_> = retained(&mut world).into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys, [3, 4, 5], "three of 5,034 bytes fit into 16 KiB");
    latest(&mut world, alice, 4, &"v".repeat(17_000));
    let keys: Vec<_> = retained(&mut world).into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys, [3, 5], "what is too large is not kept, nor what it replaced");
}

#[test]
fn past_the_rooms_budget_whoever_holds_most_loses_its_oldest() {
    let mut world = World::with(|config| config.max_clients = 200);
    world.room("a");
    let modest = world.member("a");
    latest(&mut world, modest, 7, "modest");
    for _ in 0..80 {
        let peer = world.member("a");
        for key in 0..3 {
            latest(&mut world, peer, key, &"v".repeat(5000));
        }
    }
    let values = retained(&mut world);
    let bytes: usize = values.iter().map(|(.., text)| text.len() + 34).sum();
    assert!(bytes <= 1 << 20 && bytes > 1_000_000, "{bytes}");
    assert_eq!(values[0], (1, 7, "modest".to_owned()));
    let newest: Vec<_> = values.iter().filter(|(_, key, _)| *key == 2).collect();
    assert_eq!(newest.len(), 80, "everybody's newest is there");
}

#[test]
fn a_key_that_is_forgotten_is_said_to_those_who_are_there_and_not_to_newcomers() {
    let mut world = World::new();
    world.room("a");
    let (alice, bob) = (world.member("a"), world.member("a"));
    latest(&mut world, alice, 1, "here");
    latest(&mut world, alice, 2, "there");
    world.heard(bob);
    world.broadcast_with(alice, "a", Delivery::Latest(1), SendFlags::FORGET, b"gone");
    assert_eq!(world.heard(bob), ["gone"]);
    assert_eq!(retained(&mut world), [(1, 2, "there".to_owned())]);
    latest(&mut world, alice, 1, "back");
    let now = world.now;
    world.relay.broadcast(now, "a", Delivery::Latest(5), MessageType::RAW, b"round").unwrap();
    world.relay.broadcast_last(now, "a", 5, MessageType::RAW, b"over").unwrap();
    world.pump();
    assert_eq!(world.heard(bob), ["back", "round", "over"]);
    let values = [(1, 2, "there".to_owned()), (1, 1, "back".to_owned())];
    assert_eq!(retained(&mut world), values);
}

#[test]
fn forgetting_goes_with_latest_only() {
    for delivery in [Delivery::Reliable, Delivery::Volatile] {
        let mut world = World::new();
        world.room("a");
        let alice = world.member("a");
        world.broadcast_with(alice, "a", delivery, SendFlags::FORGET, b"gone");
        assert!(matches!(world.closed(alice), Some(CloseReason::Protocol { .. })), "{delivery:?}");
    }
}

#[test]
fn metadata_in_a_hello_that_is_not_sorted_or_doubled_is_no_hello() {
    for meta in [&[("b", "1"), ("a", "2")][..], &[("a", "1"), ("a", "2")]] {
        let mut world = World::new();
        let mallory = greet_with(&mut world, meta);
        let Some(CloseReason::Protocol { what }) = world.closed(mallory) else {
            panic!("{meta:?}")
        };
        assert!(what.contains("not sorted by key"), "{what}");
    }
}

#[test]
fn keys_of_metadata_have_1_to_64_bytes_and_no_control_characters() {
    let long = "k".repeat(65);
    let bad = [
        ("", "a key of metadata needs at least one character"),
        (long.as_str(), "a key of metadata of 65 bytes is too long: at most 64 are allowed"),
        ("a\nb", "a key of metadata must not hold control characters"),
    ];
    for (key, words) in bad {
        let mut world = World::new();
        let alice = world.client();
        let refused = Refusal::InvalidMetadataKey {
            key: key.chars().take(32).collect(),
            why: words.to_owned(),
        };
        assert_eq!(set_metadata(&mut world, alice, key, Some("v")), vec![refused.clone()]);
        assert_eq!(set_metadata(&mut world, alice, key, None), [refused]);
        let mallory = greet_with(&mut world, &[(key, "v")]);
        let Some(CloseReason::Protocol { what }) = world.closed(mallory) else { panic!("{key:?}") };
        assert!(what.ends_with(words), "{what}");
        let conn = world.peers[alice].conn;
        let set = world
            .act(|relay, now, out| relay.set_client_metadata(now, conn, key, Some("v"), None, out));
        assert!(set.is_err(), "the server's own keys are held to the same");
    }
    let mut world = World::new();
    let alice = world.client();
    assert_eq!(set_metadata(&mut world, alice, &"k".repeat(64), Some("v")), []);
}
