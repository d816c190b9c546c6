//! A cluster that is moved to another management cluster in the middle of a rollout: all that our controller remembers
//! is in annotations, which are moved with it.

use std::time::Duration;

use rig::{Ends, Etcd, Rig, Spans};
use testkit::wait_up_to;

use crate::external::{both_are_rolled_once, intent, made, opted_in, soon_due};

/// What a rollout may take until it has come so far.
const SO_FAR: Duration = Duration::from_mins(6);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn moved_once_a_member_was_replaced_both_are_rolled_once() {
    moved(|rig| rig.timeline.etcd_machines() == 4 && rig.machines(true).len() == 4);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn moved_once_the_control_plane_follows_both_are_rolled_once() {
    moved(|rig| rig.timeline.control_plane_machines() == 4);
}

/// Moves a cluster in which a rollout of etcd has come so far.
fn moved(far: impl Fn(&Rig) -> bool) {
    let Some(mut rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let made = made(&rig, Ends { etcd: vec![soon_due(&spans)], ..Ends::default() });
    let controller = opted_in(&rig, &spans, &[]);
    let begun =
        wait_up_to(SO_FAR, "a rollout that has come so far", || intent(&rig).filter(|_| far(&rig)));
    drop(controller);
    rig.move_to_another(&made.hosts, &made.agents);
    let _controller = rig.controller(&spans, &[]);
    let ended = both_are_rolled_once(&rig, &made);
    assert_eq!(ended["id"], begun["id"]);
}
