//! Sessions that go on with another token, or with the one they have.

use std::time::Duration;

use crate::{
    tokens::{ada, enter_room, expiring, lasting, required, resume},
    world::secs,
};

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
