//! Who a client is, what that lets it do, and for how long.

use std::time::{Duration, Instant, SystemTime};

use ghost_sync_core::{
    AuthError, AuthPolicy, ClientMessage, CloseReason, CreateOnJoin, Hello, Identity, Input,
    JoinOptions, LeaveReason, LockedMeta, ManyLinks, Refusal, RelayConfig, RelayEvent, Revoke,
    RoomPatterns, ServerMessage, SessionTicket, Token, UserId,
};

use crate::world::{PeerId, Ticket, World, secs};

pub(crate) fn required() -> World {
    with(|_| {})
}

pub(crate) fn with(change: impl FnOnce(&mut RelayConfig)) -> World {
    World::with(|config| {
        config.host.auth = AuthPolicy::Required;
        config.resume_grace = secs(30);
        change(config);
    })
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn ada() -> Identity {
    Identity::new(user("ada"))
}

pub(crate) fn lasting(identity: Identity, now: Instant, seconds: u64) -> Identity {
    Identity { expires: Some(now + secs(seconds)), ..identity }
}

/// Says hello with a token that is not verified yet.
pub(crate) fn show(world: &mut World, token: &[u8]) -> PeerId {
    let peer = world.socket();
    world.say(peer, &ClientMessage::Hello(Hello { token: Token(token), ..Hello::default() }));
    peer
}

pub(crate) fn verdict(world: &mut World, identity: Result<Identity, AuthError>) {
    let (ask, _) = world.tokens.pop().expect("a token waits");
    let identity = identity.map(Box::new);
    world.act(|relay, now, out| relay.handle(now, Input::Identity { ask, identity }, out));
    world.pump();
}

/// A client that is that user.
pub(crate) fn enter(world: &mut World, identity: Identity) -> PeerId {
    let peer = show(world, b"token");
    verdict(world, Ok(identity));
    peer
}

pub(crate) fn enter_room(world: &mut World, identity: Identity, room: &str) -> PeerId {
    let peer = enter(world, identity);
    world.join(peer, room);
    assert!(world.peers[peer].rooms.contains_key(room), "the join was refused");
    world.take(peer);
    peer
}

pub(crate) fn authenticate(world: &mut World, peer: PeerId, identity: Result<Identity, AuthError>) {
    world.say(peer, &ClientMessage::Authenticate { request: 5, token: Token(b"fresh") });
    verdict(world, identity);
}

/// A link that takes a session up again, with a token if that says whose it is.
pub(crate) fn resume(world: &mut World, ticket: &Ticket, identity: Option<Identity>) -> PeerId {
    let Some(identity) = identity else { return world.resume(ticket) };
    let peer = world.resume_with(ticket, b"fresh");
    verdict(world, Ok(identity));
    peer
}

/// Whether the client has heard, since it was last looked at, that its token expires.
pub(crate) fn expiring(world: &mut World, peer: PeerId) -> bool {
    let frames = world.take(peer);
    let mut messages = frames.iter().map(|frame| ServerMessage::decode(frame).unwrap());
    messages.any(|message| matches!(message, ServerMessage::TokenExpiring { .. }))
}

pub(crate) fn unauthenticated(why: AuthError) -> Option<CloseReason> {
    Some(CloseReason::Unauthenticated { why })
}

#[test]
fn nobody_comes_in_without_a_token_where_one_is_required() {
    let mut world = required();
    let peer = world.client();
    assert_eq!(world.closed(peer), unauthenticated(AuthError::Missing));
    let peer = show(&mut world, b"some token");
    assert_eq!(world.tokens[0].1.0, &b"some token"[..]);
    assert!(world.take(peer).is_empty(), "it is not welcome before its token was verified");
    verdict(&mut world, Ok(ada()));
    let welcome = world.take(peer).remove(0);
    let ServerMessage::Welcome(welcome) = ServerMessage::decode(&welcome).unwrap() else {
        panic!("{welcome:?}")
    };
    assert_eq!((welcome.user.as_str(), welcome.expires_ms), ("ada", 0));
    let opened = world.events.iter().find_map(|event| match event {
        RelayEvent::ConnectionOpened { identity, .. } => identity.clone(),
        _ => None,
    });
    assert_eq!(opened.map(|identity| identity.user.clone()), Some(user("ada")));
}

#[test]
fn a_token_that_is_not_good_keeps_out_and_says_in_a_word_why() {
    for policy in [AuthPolicy::Required, AuthPolicy::Optional] {
        let mut world = with(|config| config.host.auth = policy);
        for why in AuthError::ALL {
            let peer = show(&mut world, b"bad");
            verdict(&mut world, Err(why));
            assert_eq!(world.closed(peer), unauthenticated(why));
        }
        assert_eq!(world.relay.client_count(), 0);
    }
}

#[test]
fn where_tokens_are_optional_who_has_none_is_nobody_in_particular() {
    let mut world = with(|config| config.host.auth = AuthPolicy::Optional);
    world.room("a");
    let peer = world.member("a");
    assert_eq!(world.relay.identity_of(world.peers[peer].conn), None);
    let ada = enter_room(&mut world, ada(), "a");
    assert!(world.relay.identity_of(world.peers[ada].conn).is_some());
}

#[test]
fn where_nobody_is_asked_a_token_is_not_looked_at() {
    let mut world = World::new();
    world.room("a");
    let peer = show(&mut world, b"whatever");
    world.join(peer, "a");
    assert!(world.peers[peer].rooms.contains_key("a") && world.tokens.is_empty());
}

#[test]
fn too_long_a_token_is_refused_before_anybody_looks_at_it() {
    let mut world = required();
    let peer = world.socket();
    let token = vec![b'x'; ghost_sync_core::MAX_TOKEN + 1];
    world.say(peer, &ClientMessage::Hello(Hello { token: Token(&token), ..Hello::default() }));
    assert_eq!(world.closed(peer), unauthenticated(AuthError::Malformed));
    assert!(world.tokens.is_empty());
}

#[test]
fn who_cannot_be_verified_in_time_is_asked_to_come_back() {
    let mut world = required();
    let peer = show(&mut world, b"slow");
    world.wait(secs(2));
    let closed = world.closed(peer).expect("its time is up");
    assert!(closed.may_reconnect(), "{closed:?}");
    let (ask, _) = world.tokens.pop().unwrap();
    let identity = Ok(Box::new(ada()));
    world.act(|relay, now, out| relay.handle(now, Input::Identity { ask, identity }, out));
    assert_eq!(world.relay.client_count(), 0, "it comes too late");
}

#[test]
fn bad_tokens_bar_the_address_that_shows_too_many() {
    let mut world = required();
    world.from = ([9, 9, 9, 9], 7).into();
    for _ in 0..11 {
        let peer = show(&mut world, b"guess");
        verdict(&mut world, Err(AuthError::BadSignature));
        assert_eq!(world.closed(peer), unauthenticated(AuthError::BadSignature));
    }
    let peer = show(&mut world, b"guess");
    assert!(matches!(world.closed(peer), Some(CloseReason::RateLimited { .. })));
    assert!(world.tokens.is_empty(), "nobody looks at it any more");
    world.from = ([9, 9, 9, 8], 7).into();
    enter(&mut world, ada());
    assert_eq!(world.relay.client_count(), 1, "another address is not concerned");
}

#[test]
fn a_room_that_a_token_does_not_cover_is_forbidden_whether_or_not_it_exists() {
    let mut world = with(|config| config.create_on_join = CreateOnJoin::Always);
    world.room("secret");
    world.room("match-1");
    let rooms = RoomPatterns::new(["match-*"]).unwrap();
    let peer = enter(&mut world, Identity { rooms, ..ada() });
    for room in ["secret", "nowhere"] {
        world.join(peer, room);
        let what = format!("this token is not for room {room:?}");
        assert_eq!(world.refused(peer), [Refusal::Forbidden { what }]);
    }
    world.join(peer, "match-1");
    assert!(world.peers[peer].rooms.contains_key("match-1"));
    world.take(peer);
    world.say(peer, &ClientMessage::ListRooms { request: 1 });
    let frame = world.take(peer).remove(0);
    let ServerMessage::RoomList { count, rooms, .. } = ServerMessage::decode(&frame).unwrap()
    else {
        panic!("{frame:?}")
    };
    assert_eq!((count, rooms.len(), rooms[0].name.as_str()), (1, 1, "match-1"));
}

#[test]
fn joins_make_rooms_only_with_a_token_that_says_so() {
    let mut world = with(|config| config.create_on_join = CreateOnJoin::Always);
    let peer = enter(&mut world, ada());
    world.join(peer, "new");
    assert!(matches!(world.refused(peer)[..], [Refusal::Forbidden { .. }]));
    let maker = enter(&mut world, Identity { create: true, ..Identity::new(user("bob")) });
    world.join(maker, "new");
    assert!(world.peers[maker].rooms.contains_key("new"));
    world.join(peer, "new");
    assert!(world.peers[peer].rooms.contains_key("new"), "to join is another matter");
}

#[test]
fn metadata_that_a_token_vouches_for_is_not_the_clients() {
    let mut world = required();
    world.room("a");
    let meta = LockedMeta::new([("name", "Ada")]).unwrap();
    let peer = world.socket();
    let own = vec![("hat".to_owned(), "red".to_owned()), ("name".to_owned(), "Root".to_owned())];
    let hello = Hello { token: Token(b"token"), meta: own, ..Hello::default() };
    world.say(peer, &ClientMessage::Hello(hello));
    verdict(&mut world, Ok(Identity { meta, ..ada() }));
    let meta = |world: &World| world.relay.client_metadata(world.peers[peer].conn).unwrap().1;
    let expected =
        |hat: &str| vec![("hat".to_owned(), hat.to_owned()), ("name".to_owned(), "Ada".to_owned())];
    assert_eq!(meta(&world), expected("red"));
    world.take(peer);
    for (key, value) in [("name", Some("Root")), ("name", None), ("hat", Some("blue"))] {
        world.say(peer, &ClientMessage::SetMetadata { key, value, if_version: None });
    }
    assert_eq!(world.refused(peer).len(), 2);
    assert_eq!(meta(&world), expected("blue"));
}

#[test]
fn members_see_each_others_users_unless_the_server_hides_them() {
    for (shown, seen) in [(true, "ada"), (false, "")] {
        let mut world = with(|config| config.show_users = shown);
        world.room("a");
        let bob = enter_room(&mut world, Identity::new(user("bob")), "a");
        enter_room(&mut world, ada(), "a");
        let frame = world.take(bob).remove(0);
        let ServerMessage::PlayerJoined { member, .. } = ServerMessage::decode(&frame).unwrap()
        else {
            panic!("{frame:?}")
        };
        assert_eq!(member.user, seen);
    }
}

#[test]
fn a_client_hears_in_time_that_its_token_expires_and_a_fresh_one_extends_it() {
    let mut world = required();
    world.room("a");
    let identity = lasting(ada(), world.now, 100);
    let peer = enter_room(&mut world, identity, "a");
    world.wait(Duration::from_millis(79_900));
    assert!(!expiring(&mut world, peer));
    world.wait(Duration::from_millis(200));
    assert!(expiring(&mut world, peer), "a fifth of its life before");
    let fresh = lasting(ada(), world.now, 3600);
    authenticate(&mut world, peer, Ok(fresh));
    let frame = world.take(peer).remove(0);
    assert!(matches!(
        ServerMessage::decode(&frame).unwrap(),
        ServerMessage::Authenticated { request: 5, expires_ms: 3_600_000 }
    ));
    world.wait(secs(3569));
    assert!(!expiring(&mut world, peer));
    world.wait(secs(2));
    assert!(expiring(&mut world, peer), "half a minute before");
}

#[test]
fn an_expired_token_ends_the_link_and_a_fresh_one_takes_the_seat_up_again() {
    let mut world = required();
    world.room("a");
    let identity = lasting(ada(), world.now, 10);
    let peer = enter_room(&mut world, identity, "a");
    let bob = enter_room(&mut world, Identity::new(user("bob")), "a");
    let ticket = world.ticket(peer);
    world.wait(secs(10));
    assert_eq!(world.closed(peer), Some(CloseReason::TokenExpired));
    world.broadcast(bob, "a", "missed");
    let without = resume(&mut world, &ticket, None);
    assert_eq!(world.closed(without), Some(CloseReason::TokenExpired));
    let (now, other) = (world.now, Identity::new(user("eve")));
    let stolen = resume(&mut world, &ticket, Some(other));
    assert_eq!(world.closed(stolen), unauthenticated(AuthError::WrongUser));
    let back = resume(&mut world, &ticket, Some(lasting(ada(), now, 100)));
    assert_eq!(world.heard(back), ["missed"]);
    world.wait(secs(79));
    assert!(!expiring(&mut world, back));
    world.wait(secs(2));
    assert!(expiring(&mut world, back));
}

#[test]
fn a_session_whose_token_is_good_is_taken_up_again_without_one() {
    let mut world = required();
    world.room("a");
    let identity = lasting(ada(), world.now, 100);
    let peer = enter_room(&mut world, identity, "a");
    let ticket = world.ticket(peer);
    world.hang_up(peer);
    let back = resume(&mut world, &ticket, None);
    assert_eq!(world.closed(back), None);
    assert!(world.relay.identity_of(world.peers[back].conn).is_some());
}

#[test]
fn nobody_in_particular_does_not_become_somebody_on_the_way() {
    let mut world = with(|config| config.host.auth = AuthPolicy::Optional);
    world.room("a");
    let peer = world.member("a");
    let ticket = world.ticket(peer);
    world.hang_up(peer);
    let back = resume(&mut world, &ticket, Some(ada()));
    assert_eq!(world.closed(back), unauthenticated(AuthError::WrongUser));
    world.say(peer, &ClientMessage::Authenticate { request: 1, token: Token(b"x") });
    let back = resume(&mut world, &ticket, None);
    world.take(back);
    world.say(back, &ClientMessage::Authenticate { request: 1, token: Token(b"x") });
    assert!(matches!(world.refused(back)[..], [Refusal::Forbidden { .. }]));
}

#[test]
fn another_process_of_the_user_goes_on_and_one_of_another_user_does_not() {
    let mut world = required();
    world.room("a");
    let peer = enter_room(&mut world, ada(), "a");
    let Ticket { client_id, .. } = world.ticket(peer);
    let secret = world.ticket(peer).secret;
    world.hang_up(peer);
    let begin = |world: &mut World, identity| {
        let again = world.socket();
        let session = Some(SessionTicket { client_id, secret });
        let hello = Hello { token: Token(b"token"), session, ..Hello::default() };
        world.say(again, &ClientMessage::Hello(hello));
        verdict(world, Ok(identity));
        again
    };
    let eve = begin(&mut world, Identity::new(user("eve")));
    assert_eq!(world.closed(eve), unauthenticated(AuthError::WrongUser));
    begin(&mut world, ada());
    assert_eq!(world.relay.conns_of_user(&user("ada")).len(), 1);
    assert_eq!(world.relay.away_count(), 0, "it has its session again");
}

#[test]
fn a_fresh_token_for_fewer_rooms_leaves_the_others() {
    let mut world = with(|config| config.rooms_per_client = 2);
    world.room("a");
    world.room("b");
    let peer = enter_room(&mut world, ada(), "a");
    world.join(peer, "b");
    world.take(peer);
    let rooms = RoomPatterns::new(["b"]).unwrap();
    authenticate(&mut world, peer, Ok(Identity { rooms, ..ada() }));
    let frames = world.take(peer);
    let left = frames.iter().find_map(|frame| match ServerMessage::decode(frame).unwrap() {
        ServerMessage::Left { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(left, Some(LeaveReason::NotAllowed));
    let rooms: Vec<_> = world.relay.rooms_of(world.peers[peer].conn).map(|(_, it)| it).collect();
    assert_eq!(rooms, ["b"]);
}

#[test]
fn what_a_fresh_token_changes_at_a_resume_follows_what_was_missed() {
    let mut world = with(|config| config.rooms_per_client = 2);
    world.room("a");
    world.room("b");
    let peer = enter_room(&mut world, ada(), "a");
    world.join(peer, "b");
    let bob = enter_room(&mut world, Identity::new(user("bob")), "a");
    world.take(peer);
    let ticket = world.ticket(peer);
    world.hang_up(peer);
    world.broadcast(bob, "a", "missed");
    let rooms = RoomPatterns::new(["b"]).unwrap();
    let meta = LockedMeta::new([("name", "Ada")]).unwrap();
    let back = resume(&mut world, &ticket, Some(Identity { rooms, meta, ..ada() }));
    let frames = world.take(back);
    let messages: Vec<_> =
        frames.iter().map(|frame| ServerMessage::decode(frame).unwrap()).collect();
    assert!(matches!(messages[0], ServerMessage::Resumed { .. }), "{messages:?}");
    let place = |found: fn(&ServerMessage<'_>) -> bool| messages.iter().position(found);
    let missed = place(|it| matches!(it, ServerMessage::Broadcast { .. }));
    let left =
        place(|it| matches!(it, ServerMessage::Left { reason: LeaveReason::NotAllowed, .. }));
    assert!(missed.is_some() && missed < left, "{messages:?}");
    assert!(place(|it| matches!(it, ServerMessage::PlayerMetadata { .. })).is_some());
}

#[test]
fn half_a_frame_of_a_link_does_not_outlive_it_though_the_next_has_to_wait() {
    let mut world = required();
    world.room("a");
    let peer = enter_room(&mut world, ada(), "a");
    let ticket = world.ticket(peer);
    world.bytes(peer, &[9, 0, 0, 0, 1]);
    let back = resume(&mut world, &ticket, Some(ada()));
    world.take(back);
    world.say(back, &ClientMessage::Ping { nonce: 7 });
    let frames = world.take(back);
    let pong = ServerMessage::decode(&frames[0]).unwrap();
    assert_eq!(pong, ServerMessage::Pong { nonce: 7 });
}

#[test]
fn what_came_due_while_a_session_was_away_does_not_look_like_a_relay_that_slept() {
    for (lasts, fresh) in [(40, None), (10, Some(ada()))] {
        let mut world = required();
        world.room("a");
        let identity = lasting(ada(), world.now, lasts);
        let peer = enter_room(&mut world, identity, "a");
        let ticket = world.ticket(peer);
        world.hang_up(peer);
        world.wait(secs(20));
        let back = resume(&mut world, &ticket, fresh);
        assert!(world.relay.next_deadline().is_none_or(|due| due >= world.now));
        world.wait(Duration::ZERO);
        assert_eq!(world.closed(back), None);
    }
}

#[test]
fn a_token_that_expires_while_the_rules_decide_lets_nobody_in() {
    for (lasts, closed) in [(4, Some(CloseReason::TokenExpired)), (6, None)] {
        let mut world = with(|config| {
            (config.host.ask_connect, config.ask_timeout) = (true, secs(10));
        });
        let identity = lasting(ada(), world.now, lasts);
        let peer = enter(&mut world, identity);
        world.wait(secs(5));
        let (ask, _) = world.asked.pop().unwrap();
        world.answer(ask, ghost_sync_core::Verdict::Accept);
        assert_eq!(world.closed(peer), closed);
        assert!(world.relay.next_deadline().is_none_or(|due| due >= world.now));
    }
}

#[test]
fn a_fresh_token_of_another_user_or_a_bad_one_ends_the_connection() {
    for (verdict, why) in [
        (Ok(Identity::new(user("eve"))), AuthError::WrongUser),
        (Err(AuthError::Expired), AuthError::Expired),
    ] {
        let mut world = required();
        let peer = enter(&mut world, ada());
        authenticate(&mut world, peer, verdict);
        assert_eq!(world.closed(peer), unauthenticated(why));
    }
}

#[test]
fn one_fresh_token_is_looked_at_at_a_time() {
    let mut world = required();
    let peer = enter(&mut world, ada());
    world.take(peer);
    for request in 0..2 {
        world.say(peer, &ClientMessage::Authenticate { request, token: Token(b"x") });
    }
    assert_eq!(world.refused(peer), [Refusal::Busy]);
    assert_eq!(world.tokens.len(), 1);
    world.wait(secs(2));
    assert_eq!(world.refused(peer), [Refusal::TimedOut { after_ms: 2000 }]);
    assert_eq!(world.closed(peer), None, "the old token is good still");
}

fn revoke(world: &mut World, revoke: &Revoke) {
    world.act(|relay, now, out| relay.revoke(now, revoke, out)).unwrap();
    world.pump();
}

#[test]
fn what_is_revoked_ends_live_and_away_sessions_and_keeps_out() {
    let identity = || Identity {
        session: Some("login".into()),
        token_id: Some("token".into()),
        key_id: Some("key".into()),
        issued: Some(SystemTime::UNIX_EPOCH),
        ..ada()
    };
    for what in [
        Revoke::token("token"),
        Revoke::session("login"),
        Revoke::key("key"),
        Revoke::user(user("ada"), SystemTime::UNIX_EPOCH),
    ] {
        let mut world = required();
        world.room("a");
        let live = enter_room(&mut world, identity(), "a");
        let away = enter_room(&mut world, identity(), "a");
        let other = enter_room(&mut world, Identity::new(user("bob")), "a");
        let ticket = world.ticket(away);
        world.hang_up(away);
        revoke(&mut world, &what);
        let revoked = unauthenticated(AuthError::Revoked);
        assert_eq!(world.closed(live), revoked, "{what:?}");
        assert_eq!(world.closed(other), None);
        assert_eq!((world.relay.client_count(), world.relay.away_count()), (1, 0));
        let back = world.resume(&ticket);
        assert_eq!(world.closed(back), revoked, "{what:?}");
        let again = enter(&mut world, identity());
        assert_eq!(world.closed(again), revoked, "{what:?}");
    }
}

#[test]
fn a_user_has_so_many_connections_and_those_away_make_room() {
    let mut world = with(|config| config.links_per_user = 2);
    world.room("a");
    let first = enter_room(&mut world, ada(), "a");
    enter(&mut world, ada());
    let third = enter(&mut world, ada());
    assert_eq!(world.closed(third), Some(CloseReason::TooManyLinks { max: 2 }));
    enter(&mut world, Identity::new(user("bob")));
    world.hang_up(first);
    assert_eq!(world.relay.conns_of_user(&user("ada")).len(), 2, "one is away");
    let third = enter(&mut world, ada());
    assert_eq!(world.closed(third), None);
    assert_eq!(world.relay.conns_of_user(&user("ada")).len(), 2);
    assert_eq!(world.relay.away_count(), 0);
}

#[test]
fn where_the_oldest_gives_way_it_is_told_so() {
    let mut world = with(|config| {
        (config.links_per_user, config.many_links) = (1, ManyLinks::CloseOldest);
    });
    let first = enter(&mut world, ada());
    let second = enter(&mut world, ada());
    assert_eq!(world.closed(first), Some(CloseReason::TakenOver));
    assert_eq!(world.closed(second), None);
    let conns = world.relay.conns_of_user(&user("ada"));
    assert_eq!(conns, [world.peers[second].conn]);
}

#[test]
fn a_user_that_was_put_out_stays_out_from_another_address_and_others_do_not() {
    let mut world = with(|config| config.gate.loopback = true);
    world.room("a");
    let peer = enter_room(&mut world, ada(), "a");
    while world.closed(peer).is_none() {
        for _ in 0..100 {
            world.say(peer, &ClientMessage::ListRooms { request: 1 });
        }
        world.wait(Duration::from_millis(100));
    }
    world.from = ([9, 9, 9, 9], 7).into();
    let again = enter(&mut world, ada());
    assert!(matches!(world.closed(again), Some(CloseReason::RateLimited { .. })));
    world.from = ([127, 0, 0, 1], 1000).into();
    let bob = enter(&mut world, Identity::new(user("bob")));
    assert_eq!(world.closed(bob), None, "who shares the address is another user");
}

#[test]
fn messages_of_a_user_are_counted_over_all_its_connections() {
    let rate = ghost_sync_core::Rate::per_second(1).burst(10);
    let mut world = with(|config| {
        config.limits = config.limits.clone().user_messages(rate);
    });
    world.room("a");
    let peers = [0, 1].map(|_| enter_room(&mut world, ada(), "a"));
    let bob = enter_room(&mut world, Identity::new(user("bob")), "a");
    for peer in peers {
        for _ in 0..6 {
            world.broadcast(peer, "a", "hi");
        }
    }
    assert_eq!(world.refused(peers[0]), []);
    assert_eq!(world.refused(peers[1]).len(), 2);
    world.broadcast(bob, "a", "hi");
    assert_eq!(world.refused(bob), []);
}

#[test]
fn who_may_enter_is_asked_again_when_the_rules_have_decided() {
    let mut world = with(|config| config.host.ask_join = true);
    world.room("a");
    let peer = enter(&mut world, ada());
    world
        .say(peer, &ClientMessage::Join { request: 7, room: "a", options: JoinOptions::default() });
    let (ask, _) = world.asked.pop().unwrap();
    authenticate(&mut world, peer, Ok(Identity { rooms: RoomPatterns::none(), ..ada() }));
    world.take(peer);
    world.answer(ask, ghost_sync_core::Verdict::Accept);
    assert!(matches!(world.refused(peer)[..], [Refusal::Forbidden { .. }]));
}

#[test]
fn whether_a_join_may_make_a_room_is_looked_at_again_when_the_rules_have_decided() {
    let mut world = with(|config| {
        (config.create_on_join, config.host.ask_join) = (CreateOnJoin::Ask, true);
    });
    for fresh in [ada(), Identity { rooms: RoomPatterns::none(), create: true, ..ada() }] {
        let peer = enter(&mut world, Identity { create: true, ..ada() });
        world.join(peer, "new");
        let (ask, _) = world.asked.pop().unwrap();
        authenticate(&mut world, peer, Ok(fresh));
        world.take(peer);
        world.answer(ask, ghost_sync_core::Verdict::Accept);
        assert!(matches!(world.refused(peer)[..], [Refusal::Forbidden { .. }]));
        assert_eq!(world.relay.room_count(), 0);
    }
}
