//! Sessions that go on with another token, or with the one they have, and what each is for.

use std::time::Duration;

use ghost_sync_core::{
    ClientMessage, CreateOnJoin, Identity, JoinOptions, Refusal, RoomPatterns, Verdict,
};

use crate::{
    tokens::{ada, authenticate, enter, enter_room, expiring, lasting, required, resume, with},
    world::{PeerId, World, secs},
};

fn only(room: &str) -> Identity {
    Identity { rooms: RoomPatterns::new([room]).unwrap(), create: true, ..ada() }
}

fn join(world: &mut World, peer: PeerId, request: u32, room: &str) {
    world.say(peer, &ClientMessage::Join { request, room, options: JoinOptions::default() });
}

#[test]
fn who_lost_the_link_over_which_it_was_told_of_the_end_is_told_again() {
    let mut world = required();
    world.room("a");
    let identity = lasting(ada(), world.now, 100);
    let peer = enter_room(&mut world, identity, "a");
    let ticket = world.ticket(peer);
    world.wait(secs(81));
    // Perhaps it was lost with the link.
    assert!(expiring(&mut world, peer));
    world.hang_up(peer);
    let back = resume(&mut world, &ticket, None);
    world.wait(Duration::from_millis(1));
    assert!(expiring(&mut world, back));
    world.wait(secs(5));
    assert!(!expiring(&mut world, back), "once over each link");
}

#[test]
fn a_room_is_made_only_if_the_token_lets_that_when_the_host_has_decided() {
    for fresh in [Identity { create: false, ..ada() }, only("another")] {
        let mut world = with(|config| config.create_on_join = CreateOnJoin::Ask);
        let peer = enter(&mut world, Identity { create: true, ..ada() });
        join(&mut world, peer, 1, "new");
        let (ask, _) = world.asked.pop().expect("the host is asked");
        authenticate(&mut world, peer, Ok(fresh));
        world.take(peer);
        world.answer(ask, Verdict::Accept);
        assert!(matches!(world.refused(peer)[..], [Refusal::Forbidden { .. }]));
        assert_eq!(world.relay.room_count(), 0);
    }
}

#[test]
fn a_join_that_waited_makes_no_room_that_the_token_is_not_for_any_more() {
    for (creation, create) in [(CreateOnJoin::Always, true), (CreateOnJoin::Never, false)] {
        let mut world = with(|config| {
            (config.create_on_join, config.host.ask_join) = (creation, true);
        });
        world.room("a");
        let peer = enter(&mut world, Identity { create, ..ada() });
        join(&mut world, peer, 1, "a");
        join(&mut world, peer, 2, "new");
        let (ask, _) = world.asked.pop().expect("the host is asked");
        authenticate(&mut world, peer, Ok(only("a")));
        world.take(peer);
        world.answer(ask, Verdict::Accept);
        let refused = world.refused(peer);
        assert!(matches!(refused[..], [Refusal::Forbidden { .. }]), "{refused:?}");
        assert_eq!(world.relay.room_count(), 1);
    }
}
