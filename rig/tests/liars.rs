//! Agents whose dates are wrong, or stay as they are whatever is replaced.

use std::thread;
use std::time::Duration;

use rig::{CLUSTER, Etcd, Rig, Spans, in_days, rfc3339};
use serde_json::json;
use testkit::wait_up_to;

use crate::OPT_IN;

/// What the replacement of six machines may take.
const ROLLED: Duration = Duration::from_mins(5);

/// Twelve periods of KCP's.
const QUIET: Duration = Duration::from_mins(1);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn machines_that_are_due_whatever_is_replaced_are_replaced_once() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    // A file that no rollout renews, as every machine gets it.
    let _agents = rig.stacked(vec![in_days(7, 120); 100]);
    let _controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    wait_up_to(ROLLED, "the first rollout", || {
        (rig.timeline.control_plane_machines() >= 6 && rig.machines(false).len() == 3).then_some(())
    });
    thread::sleep(QUIET);
    assert_eq!(rig.timeline.control_plane_machines(), 6);
    let cluster = rig.management().get("Cluster", CLUSTER);
    let conditions = cluster["status"]["conditions"].as_array().unwrap();
    let told = conditions.iter().find(|condition| condition["type"] == "CertificatesRenewed");
    assert_eq!(told.unwrap()["status"], "False", "{told:?}");
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn the_hazard_is_real_with_the_bare_date_a_control_plane_is_rolled_for_ever() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    let _agents = rig.stacked(Vec::new());
    rig.set_days(7);
    let date = rfc3339(in_days(1, 0));
    let key = "machine.cluster.x-k8s.io/certificates-expiry";
    let patch = json!({ "metadata": { "annotations": { key: date } } });
    wait_up_to(ROLLED, "the ninth machine", || {
        for machine in rig.machines(false) {
            if rig.management().annotations(&machine)[key].is_null() {
                rig.management().try_patch("Machine", &machine, &patch);
            }
        }
        (rig.timeline.control_plane_machines() >= 9).then_some(())
    });
}
