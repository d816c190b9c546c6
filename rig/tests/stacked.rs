//! A control plane with etcd on its machines: from certificates on three disks to three new machines.

use std::thread;
use std::time::Duration;

use rig::{Etcd, Rig, Spans, in_days};
use testkit::wait_up_to;

use crate::OPT_IN;

/// What the replacement of three machines may take.
const ROLLED: Duration = Duration::from_mins(5);

/// Twenty of KCP's periods.
const QUIET: Duration = Duration::from_secs(100);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn three_machines_that_are_due_are_replaced_once() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    // Later than any of them is made, on a machine that makes two other clusters: otherwise it would be born due.
    let due = in_days(7, 240);
    let _agents = rig.stacked(vec![due; 3]);
    let old = rig.machines(false);
    let _controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &"7d".into());
    wait_up_to(ROLLED, "three other machines", || {
        let now = rig.machines(false);
        (now.len() == 3 && now.iter().all(|machine| !old.contains(machine))).then_some(())
    });
    rig.timeline.act("all three are replaced; now it has to be quiet");
    thread::sleep(QUIET);
    assert_eq!(rig.timeline.control_plane_machines(), 6);
}
