//! How much one client and one address may ask for. The settings are the defaults but
//! where a test says otherwise.

use std::{net::SocketAddr, time::Duration};

use ghost_sync_core::{
    ClientMessage, CloseReason, CreateOnJoin, Delivery, DisconnectReason, GateConfig, JoinOptions,
    Limits, MessageType, Rate, Refusal, RelayConfig, RelayEvent, RoomConfig, RoomId, SendFlags,
    ServerMessage,
};

use crate::world::{PeerId, World, encode, secs};

/// A server with a room "a" and default settings, and clients from 1.1.1.1.
fn world() -> World {
    world_with(|_| {})
}

fn world_with(change: impl FnOnce(&mut RelayConfig)) -> World {
    let mut world = World::with(|config| {
        *config = RelayConfig::default();
        change(config);
    });
    world.room("a");
    world.from = addr("1.1.1.1");
    world
}

fn addr(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), 1000)
}

fn said(room: RoomId, delivery: Delivery, payload: &[u8]) -> ClientMessage<'_> {
    let (flags, message_type) = (SendFlags::NONE, MessageType::RAW);
    ClientMessage::Broadcast { room, delivery, flags, message_type, payload }
}

/// What a player says in a sixtieth of a second.
fn say_four_things(world: &mut World, peer: PeerId, room: RoomId) {
    for delivery in [Delivery::Latest(1), Delivery::Latest(2), Delivery::Volatile] {
        world.bytes(peer, &encode(&said(room, delivery, &[7; 32])));
    }
    let (room, message_type, payload) = (RoomId(0), MessageType::RAW, &[7; 32][..]);
    world.bytes(peer, &encode(&ClientMessage::ToServer { room, message_type, payload }));
}

/// Whether the client is still served and was refused nothing.
fn is_unlimited(world: &World, peer: PeerId) -> bool {
    !world.peers[peer].dropped && world.closed(peer).is_none() && world.refusals(peer).is_empty()
}

fn count(world: &mut World, peer: PeerId, what: impl Fn(&ServerMessage<'_>) -> bool) -> usize {
    let frames = world.take(peer);
    frames.iter().filter(|frame| what(&ServerMessage::decode(frame).unwrap())).count()
}

fn is_rate(reason: &Refusal) -> bool {
    matches!(reason, Refusal::RateLimited { .. })
}

#[test]
fn what_a_sender_said_while_it_was_held_is_within_its_limits() {
    let mut world = world();
    let [talker, slow, one, other] = [(); 4].map(|()| world.member("a"));
    let room = world.peers[talker].rooms["a"].0;
    world.take(slow);
    world.peers[slow].takes = Some(0);
    let message = said(room, Delivery::Reliable, &[7; 15_000]);
    for _ in 0..20 {
        world.say(one, &message);
        world.say(other, &message);
    }
    for _ in 0..50 {
        assert!(world.relay.is_congested(world.now, world.peers[talker].link));
        world.wait(Duration::from_millis(100));
        world.read_on(slow, 1);
    }
    world.peers[slow].takes = None;
    world.read_on(slow, 1 << 20);
    assert!(!world.relay.is_congested(world.now, world.peers[talker].link));
    // Half a megabyte at once, and a quarter for each second.
    for _ in 0..119 {
        world.say(talker, &message);
    }
    assert!(is_unlimited(&world, talker));
    for _ in 0..5 {
        world.say(talker, &message);
    }
    assert!(!is_unlimited(&world, talker), "and no more than that");
}

/// Says the same again and again until the server closes the connection; at most for the
/// given time, a thousand times a second. Returns how long that took.
fn flood(
    world: &mut World,
    peer: PeerId,
    time: Duration,
    messages: &[ClientMessage<'_>],
) -> Duration {
    let start = world.now;
    while world.now < start + time && !world.peers[peer].dropped {
        for message in messages {
            world.say(peer, message);
        }
        world.wait(Duration::from_millis(1));
        if world.closed(peer).is_some() {
            break;
        }
    }
    world.now - start
}

#[test]
fn a_player_who_says_four_things_sixty_times_a_second_is_never_limited() {
    let mut world = world();
    let players: Vec<_> = (0..16).map(|_| world.member("a")).collect();
    let room = world.peers[players[0]].rooms["a"].0;
    for _ in 0..60 * 20 {
        for player in &players {
            say_four_things(&mut world, *player, room);
        }
        world.pump();
        world.wait(Duration::from_nanos(1_000_000_000 / 60));
        for player in &players {
            assert!(is_unlimited(&world, *player));
            world.take(*player);
        }
    }
}

#[test]
fn what_piled_up_behind_a_line_that_stood_still_for_half_a_minute_is_taken() {
    let mut world = world();
    let player = world.member("a");
    let room = world.peers[player].rooms["a"].0;
    world.wait(secs(30));
    for _ in 0..60 * 30 {
        say_four_things(&mut world, player, room);
    }
    world.pump();
    assert!(is_unlimited(&world, player));
}

#[test]
fn what_is_refused_for_its_rate_is_heard_by_nobody_and_counts_on() {
    let mut world = world_with(|config| {
        config.limits = Limits::none().messages(Rate::per_second(1).burst(2));
    });
    let (alice, bob) = (world.member("a"), world.member("a"));
    for text in ["one", "two", "three"] {
        world.broadcast(alice, "a", text);
    }
    assert_eq!(world.heard(bob), ["one", "two"]);
    let refused = world.take(alice);
    let refused: Vec<_> = refused.iter().map(|frame| ServerMessage::decode(frame)).collect();
    let Some(Ok(ServerMessage::Refused { reference: 3, reason, .. })) = refused.last() else {
        panic!("{refused:?}");
    };
    assert_eq!(*reason, Refusal::RateLimited { retry_after_ms: 1000 });
    world.wait(Duration::from_millis(1000));
    world.broadcast(alice, "a", "four");
    assert_eq!(world.heard(bob), ["four"], "it may speak when it was told that it may");
}

/// How many large messages are taken at once in a room of so many.
fn large_messages_taken(world: &mut World, members: usize, payload: &[u8]) -> usize {
    let talker = world.member("a");
    for _ in 1..members {
        world.member("a");
    }
    let room = world.peers[talker].rooms["a"].0;
    let taken = (0..1000).take_while(|_| {
        world.say(talker, &said(room, Delivery::Volatile, payload));
        world.refusals(talker).is_empty()
    });
    taken.count()
}

#[test]
fn bytes_are_limited_and_so_is_what_they_become_for_all_members() {
    let payload = vec![7; 60_000];
    assert_eq!(large_messages_taken(&mut world(), 2, &payload), (512 << 10) / 60_000);
    let mut world = world_with(|config| config.limits = Limits::default().bytes(None));
    assert_eq!(large_messages_taken(&mut world, 60, &payload), (32 << 20) / (60_034 * 60));
}

#[test]
fn one_large_message_to_a_large_room_is_taken_and_another_soon_after_is_only_refused() {
    let mut world = world();
    let payload = vec![7; 64 << 10];
    assert_eq!(large_messages_taken(&mut world, 1000, &payload), 1);
    assert_eq!(world.closed(0), None, "it is not put out for that");
    // What goes to the server alone was not limited by it.
    world.take(0);
    let (room, message_type) = (RoomId(0), MessageType::RAW);
    world.say(0, &ClientMessage::ToServer { room, message_type, payload: b"hi" });
    assert!(is_unlimited(&world, 0));
    world.wait(secs(4));
    world.broadcast(0, "a", "again");
    assert_eq!(world.heard(1).last().map(String::as_str), Some("again"));
}

#[test]
fn a_flood_of_joins_and_leaves_reaches_others_at_the_rate_of_requests_only() {
    let mut world = world();
    let (flooder, other) = (world.member("a"), world.member("a"));
    let room = world.peers[flooder].rooms["a"].0;
    let join = ClientMessage::Join { request: 1, room: "a", options: JoinOptions::default() };
    let took = flood(&mut world, flooder, secs(2), &[ClientMessage::Leave { room }, join]);
    assert!(took < secs(1), "it goes on for {took:?}");
    let joins =
        count(&mut world, other, |message| matches!(message, ServerMessage::PlayerJoined { .. }));
    // One join was made before.
    assert!((15..=19 + 5).contains(&joins), "{joins} joins");
}

#[test]
fn a_flood_of_metadata_reaches_others_at_the_rate_of_requests_only() {
    let mut world = world();
    let (flooder, other) = (world.member("a"), world.member("a"));
    let value = "v".repeat(1500);
    let set = ClientMessage::SetMetadata { key: "k", value: Some(&value), if_version: None };
    flood(&mut world, flooder, secs(2), &[set]);
    let told =
        count(&mut world, other, |message| matches!(message, ServerMessage::PlayerMetadata { .. }));
    assert_eq!(told, 19 / 7, "each costs 7 of 20");
}

#[test]
fn lists_of_rooms_are_answered_at_the_rate_of_requests_and_refused_by_their_number() {
    let mut world = world();
    let client = world.client();
    world.take(client);
    for request in 1..=6 {
        world.say(client, &ClientMessage::ListRooms { request });
    }
    let frames = world.take(client);
    let answers: Vec<_> =
        frames.iter().map(|frame| ServerMessage::decode(frame).unwrap()).collect();
    let listed = answers.iter().filter(|answer| matches!(answer, ServerMessage::RoomList { .. }));
    assert_eq!(listed.count(), 5);
    let refused =
        matches!(&answers[5], ServerMessage::JoinRefused { request: 6, reason } if is_rate(reason));
    assert!(refused, "{answers:?}");
}

#[test]
fn pings_past_their_rate_are_left_unanswered_and_nothing_else_is() {
    let mut world = world();
    let client = world.member("a");
    for nonce in 0..30 {
        world.say(client, &ClientMessage::Ping { nonce });
    }
    let pongs = count(&mut world, client, |message| matches!(message, ServerMessage::Pong { .. }));
    assert_eq!(pongs, 20);
    world.say(client, &ClientMessage::ListRooms { request: 1 });
    let lists =
        count(&mut world, client, |message| matches!(message, ServerMessage::RoomList { .. }));
    assert_eq!(lists, 1);
}

#[test]
fn a_leave_costs_nothing_unless_it_is_refused() {
    let mut world = world();
    let client = world.member("a");
    world.take(client);
    let leave = ClientMessage::Leave { room: RoomId(77) };
    for _ in 0..25 {
        world.say(client, &leave);
    }
    let refusals = world.refusals(client);
    assert_eq!(refusals.iter().filter(|reason| **reason == Refusal::NotInRoom).count(), 19);
    assert_eq!(refusals.iter().filter(|reason| is_rate(reason)).count(), 6);
    let room = world.peers[client].rooms["a"].0;
    world.take(client);
    world.say(client, &ClientMessage::Leave { room });
    assert!(world.refusals(client).is_empty(), "it can always leave");
}

#[test]
fn a_client_may_join_again_all_the_rooms_that_it_may_be_in() {
    let mut world = world_with(|config| {
        config.rooms_per_client = 100;
        config.create_on_join = CreateOnJoin::Always;
        config.limits.rooms = None;
    });
    let client = world.client();
    for number in 0..100 {
        world.join(client, &format!("room-{number}"));
    }
    assert_eq!(world.peers[client].rooms.len(), 100);
    world.join(client, "another");
    assert!(world.refusals(client).iter().all(is_rate), "and no more at once");
}

#[test]
fn who_goes_on_after_it_was_refused_is_put_out_and_its_address_barred_for_a_while() {
    let mut world = world();
    let flooder = world.member("a");
    flood(&mut world, flooder, secs(5), &[ClientMessage::ListRooms { request: 1 }]);
    assert_eq!(world.closed(flooder), Some(CloseReason::RateLimited { retry_after_ms: 60_000 }));
    // Another address does not care.
    world.from = addr("1.1.1.2");
    let other = world.client();
    assert_eq!(world.closed(other), None);
    world.from = addr("1.1.1.1");
    world.wait(secs(59));
    let early = world.client();
    let Some(CloseReason::RateLimited { retry_after_ms }) = world.closed(early) else {
        panic!("{:?}", world.closed(early));
    };
    assert!(retry_after_ms <= 1000, "{retry_after_ms}");
    world.wait(Duration::from_millis(retry_after_ms.into()));
    let late = world.client();
    assert_eq!(world.closed(late), None);
    assert_eq!(world.relay.client_count(), 2);
}

#[test]
fn what_was_on_its_way_before_the_first_refusal_could_be_read_bars_nobody() {
    let mut world = world();
    let member = world.member("a");
    let keys: Vec<_> = (0..32).map(|number| format!("key {number}")).collect();
    for key in &keys {
        // All at one moment.
        let (value, if_version) = (Some("x"), None);
        world.say(member, &ClientMessage::SetMetadata { key, value, if_version });
    }
    assert_eq!(world.closed(member), None);
    let refused = world.refusals(member);
    assert!(!refused.is_empty() && refused.iter().all(is_rate), "{refused:?}");
    // Who does the same a second later has been told.
    world.wait(secs(2));
    for key in keys.iter().cycle().take(64) {
        let (value, if_version) = (Some("y"), None);
        world.say(member, &ClientMessage::SetMetadata { key, value, if_version });
    }
    assert_eq!(world.closed(member), Some(CloseReason::RateLimited { retry_after_ms: 60_000 }));
}

#[test]
fn sessions_from_outside_of_the_gate_end_no_others() {
    let mut world = world();
    world.from = addr("2.2.2.2");
    let honest = world.member("a");
    let ticket = world.ticket(honest);
    world.hang_up(honest);
    world.from = addr("127.0.0.1");
    for _ in 0..300 {
        let member = world.member("a");
        world.hang_up(member);
    }
    assert_eq!(world.relay.away_count(), 256);
    world.from = addr("2.2.2.2");
    let again = world.resume(&ticket);
    let resumed =
        count(&mut world, again, |message| matches!(message, ServerMessage::Resumed { .. }));
    assert_eq!(resumed, 1);
}

#[test]
fn the_second_bar_is_twice_as_long() {
    let mut world = world();
    for seconds in [60, 120, 240] {
        let flooder = world.client();
        flood(&mut world, flooder, secs(5), &[ClientMessage::ListRooms { request: 1 }]);
        let retry_after_ms = seconds * 1000;
        assert_eq!(world.closed(flooder), Some(CloseReason::RateLimited { retry_after_ms }));
        world.wait(secs(seconds.into()));
    }
}

#[test]
fn who_is_put_out_keeps_its_seat_and_may_come_back_where_nobody_is_barred() {
    let mut world = world_with(|config| config.gate = GateConfig::default().bar(Duration::ZERO));
    let (flooder, other) = (world.member("a"), world.member("a"));
    flood(&mut world, flooder, secs(5), &[ClientMessage::ListRooms { request: 1 }]);
    assert_eq!(world.closed(flooder), Some(CloseReason::RateLimited { retry_after_ms: 1000 }));
    assert_eq!(world.relay.player_count("a"), Some(2));
    let ticket = world.ticket(flooder);
    world.wait(secs(1));
    let again = world.resume(&ticket);
    world.broadcast(other, "a", "still there");
    assert_eq!(world.heard(again), ["still there"]);
    assert!(!world.events.iter().any(|event| matches!(event, RelayEvent::PlayerLeft { .. })));
}

#[test]
fn who_comes_back_has_no_more_to_spend_than_before() {
    let mut world = world();
    let client = world.member("a");
    world.take(client);
    for request in 0..4 {
        world.say(client, &ClientMessage::ListRooms { request });
    }
    assert!(world.refusals(client).is_empty());
    let ticket = world.ticket(client);
    world.hang_up(client);
    let again = world.resume(&ticket);
    world.say(again, &ClientMessage::ListRooms { request: 9 });
    assert!(world.refusals(again).iter().any(is_rate), "a cut is no way to a full bucket");
}

#[test]
fn a_server_that_stood_still_limits_nobody_for_it() {
    let mut world = world();
    let player = world.member("a");
    let room = world.peers[player].rooms["a"].0;
    world.take(player);
    // It has spent nearly everything.
    for request in 0..4 {
        world.say(player, &ClientMessage::ListRooms { request });
    }
    for _ in 0..2000 {
        say_four_things(&mut world, player, room);
    }
    world.pump();
    assert!(is_unlimited(&world, player));
    // A deadline is five seconds overdue when the process goes on.
    let due = world.relay.next_deadline().unwrap();
    world.now = due + secs(5);
    world.act(|relay, now, out| relay.handle(now, ghost_sync_core::Input::Tick, out));
    // More than five seconds bring by themselves.
    for _ in 0..2000 {
        say_four_things(&mut world, player, room);
    }
    for request in 0..5 {
        world.say(player, &ClientMessage::ListRooms { request });
    }
    assert!(is_unlimited(&world, player), "{:?}", world.refusals(player));
}

#[test]
fn a_session_that_is_taken_up_for_its_history_again_and_again_has_to_wait() {
    let mut world = world();
    let (client, other) = (world.member("a"), world.member("a"));
    let mut ticket = world.ticket(client);
    let payload = "x".repeat(1000);
    (0..200).for_each(|_| world.broadcast(other, "a", &payload));
    world.hang_up(client);
    let mut resumed = 0;
    let told = loop {
        let again = world.resume(&ticket);
        if let Some(reason) = world.closed(again) {
            break reason;
        }
        resumed += 1;
        assert!(resumed < 50, "it never ends");
        // It pretends to have heard nothing.
        ticket.secret = world.ticket(again).secret;
        world.hang_up(again);
    };
    assert_eq!(resumed, 10);
    let CloseReason::RateLimited { retry_after_ms } = told else { panic!("{told:?}") };
    world.wait(Duration::from_millis(retry_after_ms.into()));
    let again = world.resume(&ticket);
    assert_eq!(world.closed(again), None, "its session was kept meanwhile");
    // Who has missed little comes back as often as it likes.
    let mut ticket = world.ticket(again);
    for _ in 0..30 {
        world.hang_up(world.peers.len() - 1);
        let again = world.resume(&ticket);
        assert_eq!(world.closed(again), None);
        ticket = world.ticket(again);
    }
}

#[test]
fn joins_from_one_address_make_six_rooms_and_six_more_a_minute() {
    let mut world = world_with(|config| {
        config.create_on_join = CreateOnJoin::Always;
        config.rooms_per_client = 100;
    });
    let make = |world: &mut World, name: &str| {
        let client = world.client();
        world.take(client);
        (0..10).for_each(|number| world.join(client, &format!("{name}-{number}")));
        assert!(world.refusals(client).iter().all(is_rate));
        world.peers[client].rooms.len()
    };
    assert_eq!(make(&mut world, "first"), 6);
    assert_eq!(make(&mut world, "other client"), 0);
    world.wait(secs(60));
    assert_eq!(make(&mut world, "later"), 6);
    world.from = addr("1.1.1.2");
    assert_eq!(make(&mut world, "elsewhere"), 6);
    world.from = addr("127.0.0.1");
    assert_eq!(make(&mut world, "here"), 10);
}

#[test]
fn an_address_loses_its_own_sessions_when_too_many_of_them_are_away() {
    let mut world = world();
    world.from = addr("2.2.2.2");
    let honest = world.member("a");
    let ticket = world.ticket(honest);
    world.hang_up(honest);
    for flooder in 0..1000 {
        // Many addresses, each with as many as it may have.
        world.from = SocketAddr::from(([3, 3, (flooder / 20) as u8, 3], 7));
        let member = world.member("a");
        world.hang_up(member);
    }
    assert_eq!(world.relay.away_count(), 256);
    world.from = addr("2.2.2.2");
    let again = world.resume(&ticket);
    let resumed =
        count(&mut world, again, |message| matches!(message, ServerMessage::Resumed { .. }));
    assert_eq!(resumed, 1, "a flood puts out its own");
}

#[test]
fn one_address_has_eight_sessions_away_and_the_oldest_goes() {
    let mut world = world();
    let mut tickets = Vec::new();
    for _ in 0..9 {
        let member = world.member("a");
        tickets.push(world.ticket(member));
        world.hang_up(member);
    }
    assert_eq!(world.relay.away_count(), 8);
    let first = world.resume(&tickets[0]);
    assert_eq!(count(&mut world, first, |m| matches!(m, ServerMessage::Resumed { .. })), 0);
    let second = world.resume(&tickets[1]);
    assert_eq!(count(&mut world, second, |m| matches!(m, ServerMessage::Resumed { .. })), 1);
    assert_eq!(world.relay.away_count(), 7);
}

#[test]
fn places_of_an_address_are_free_again_however_its_connections_end() {
    let mut world = world();
    for round in 0..6 {
        let mut peers = Vec::new();
        for number in 0..64 {
            assert!(world.relay.admits(world.now, world.from), "{number} in round {round}");
            let peer = if number % 2 == 0 { world.member("a") } else { world.client() };
            peers.push((peer, world.ticket(peer)));
        }
        assert!(!world.relay.admits(world.now, world.from));
        world.wait(secs(10));
        assert!(!world.relay.admits(world.now, world.from), "time alone gives none back");
        for (peer, ticket) in peers {
            match round {
                0 => world.hang_up(peer),
                1 => world.say(peer, &ClientMessage::Close { reason: CloseReason::Requested }),
                2 => world.say(peer, &ClientMessage::Received { count: u64::MAX }),
                3 => {
                    // Taken over by a link from elsewhere.
                    let from = std::mem::replace(&mut world.from, addr("5.5.5.5"));
                    let again = world.resume(&ticket);
                    world.from = from;
                    world.hang_up(peer);
                    world.hang_up(again);
                }
                4 => {
                    let conn = world.peers[peer].conn;
                    world.act(|relay, now, out| relay.disconnect(now, conn, "out", out)).unwrap();
                    world.pump();
                }
                _ => world.peers[peer].answers_pings = false,
            }
        }
        world.wait(secs(90));
    }
    assert!(world.relay.connection_count() == 0, "{}", world.relay.connection_count());
    assert!(world.relay.admits(world.now, world.from));
}

#[test]
fn who_says_nothing_takes_few_places_and_gives_them_back() {
    let mut world = world();
    for _ in 0..16 {
        assert!(world.relay.admits(world.now, world.from));
        world.socket();
    }
    assert!(!world.relay.admits(world.now, world.from));
    world.from = addr("1.1.1.2");
    assert!(world.relay.admits(world.now, world.from));
    world.from = addr("1.1.1.1");
    world.wait(secs(7));
    assert!(world.relay.admits(world.now, world.from), "after the handshake's time");
}

#[test]
fn without_limits_nothing_is_refused() {
    let mut world = world_with(|config| config.limits = Limits::none());
    let client = world.member("a");
    let room = world.peers[client].rooms["a"].0;
    world.take(client);
    for request in 0..900 {
        world.say(client, &ClientMessage::ListRooms { request });
        world.say(client, &ClientMessage::SetMetadata { key: "k", value: None, if_version: None });
        (0..20).for_each(|_| world.say(client, &said(room, Delivery::Reliable, &[7; 1000])));
    }
    assert!(is_unlimited(&world, client));
}

#[test]
fn lists_show_what_the_rooms_settings_say_now() {
    let mut world = world();
    world.room_with("b", RoomConfig::default().unlisted());
    world.room("c");
    let client = world.client();
    let listed = |world: &mut World| {
        world.wait(secs(60));
        world.take(client);
        world.say(client, &ClientMessage::ListRooms { request: 1 });
        let frames = world.take(client);
        let Some(ServerMessage::RoomList { count, rooms, .. }) =
            frames.last().map(|frame| ServerMessage::decode(frame).unwrap())
        else {
            panic!("no list");
        };
        assert_eq!(count as usize, rooms.len());
        rooms.into_iter().map(|room| room.name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed(&mut world), "a c");
    let act = |world: &mut World, name: &'static str, config: RoomConfig| {
        world.act(|relay, now, out| relay.configure_room(now, name, config, out)).unwrap();
    };
    act(&mut world, "b", RoomConfig::default());
    act(&mut world, "c", RoomConfig::default().unlisted());
    assert_eq!(listed(&mut world), "a b");
    world.act(|relay, now, out| relay.delete_room(now, "a", "over", out)).unwrap();
    assert_eq!(listed(&mut world), "b");
    world.room("a");
    world.act(|relay, now, out| relay.close_room(now, "b", "over", out)).unwrap();
    assert_eq!(listed(&mut world), "a");
}

#[test]
fn who_is_put_out_is_told_to_the_host_as_that() {
    let mut world = world();
    let client = world.client();
    flood(&mut world, client, secs(5), &[ClientMessage::ListRooms { request: 1 }]);
    let told = world.events.iter().any(|event| {
        matches!(event, RelayEvent::ConnectionClosed { reason, .. }
            if matches!(reason, DisconnectReason::Closed(CloseReason::RateLimited { .. })))
    });
    assert!(told);
}
