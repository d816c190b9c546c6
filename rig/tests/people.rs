//! What people say goes before what is due.

use std::thread;
use std::time::Duration;

use rig::{CLUSTER, Etcd, Rig, Spans, in_days, rfc3339};
use serde_json::{Value, json};
use testkit::wait_up_to;

use crate::OPT_IN;

const EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";
const PUBLISHED: &str = "expiryd.dev/published";

/// What the replacement of three machines may take.
const ROLLED: Duration = Duration::from_mins(5);

/// Six periods of KCP's.
const QUIET: Duration = Duration::from_secs(30);

/// On KCP once EKS Anywhere is to upgrade its machines in place
/// (the fork's `controlplane/kubeadm/internal/controllers/update.go`, `updateControlPlane`).
const IN_PLACE: &str = "controlplane.clusters.x-k8s.io/in-place-upgrade-needed";

/// What the Machines of the control plane have of ours, or of Cluster API's key.
fn dates(rig: &Rig) -> Vec<Value> {
    let one = |name: &String| rig.management().annotations(name)[EXPIRY].clone();
    rig.machines(false).iter().map(one).collect()
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn a_hold_and_a_pause_stop_it_until_they_are_lifted() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    // Due while it is held, and later than any of them is made: otherwise it would be born due.
    let _agents = rig.stacked(vec![in_days(7, 120); 3]);
    rig.annotate("expiryd.dev/hold", &json!("true"));
    let _controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    thread::sleep(QUIET);
    assert_eq!(dates(&rig), [Value::Null, Value::Null, Value::Null], "held");
    let pause = |paused: bool| {
        rig.timeline.act(&format!("set paused={paused}"));
        rig.management().patch("Cluster", CLUSTER, &json!({ "spec": { "paused": paused } }));
    };
    pause(true);
    rig.annotate("expiryd.dev/hold", &Value::Null);
    thread::sleep(QUIET);
    assert_eq!(dates(&rig), [Value::Null, Value::Null, Value::Null], "paused");
    pause(false);
    wait_up_to(ROLLED, "six machines", || {
        (rig.timeline.control_plane_machines() == 6 && rig.machines(false).len() == 3).then_some(())
    });
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn the_date_of_a_person_stays() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    let _agents = rig.stacked(vec![in_days(7, 120); 3]);
    let machine = rig.machines(false).remove(0);
    let later = rfc3339(in_days(300, 0));
    rig.date_machine(&machine, &later);
    let later = json!(later);
    let _controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    wait_up_to(ROLLED, "two other machines", || {
        let left = rig.machines(false);
        (rig.timeline.control_plane_machines() == 5 && left.len() == 3).then_some(())
    });
    thread::sleep(QUIET);
    let annotations = rig.management().annotations(&machine);
    assert_eq!((&annotations[EXPIRY], &annotations[PUBLISHED]), (&later, &Value::Null));
    assert_eq!(rig.timeline.control_plane_machines(), 5);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn who_opts_out_halfway_has_everything_of_ours_taken_back_once_it_is_at_rest() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    let _agents = rig.stacked(vec![in_days(7, 120); 3]);
    let _controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    wait_up_to(ROLLED, "the first other machine", || {
        (rig.timeline.control_plane_machines() == 4).then_some(())
    });
    rig.annotate(OPT_IN, &Value::Null);
    wait_up_to(ROLLED, "nothing of ours", || {
        let control_plane = rig.control_plane();
        let none = rig.machines(false).iter().all(|machine| {
            let annotations = rig.management().annotations(machine);
            annotations[EXPIRY].is_null() && annotations[PUBLISHED].is_null()
        });
        (none && control_plane["spec"]["rollout"]["before"].is_null()).then_some(())
    });
    assert_eq!(rig.machines(false).len(), 3);
    let before = rig.timeline.control_plane_machines();
    thread::sleep(QUIET);
    assert_eq!(rig.timeline.control_plane_machines(), before);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn a_date_in_the_template_stands_in_the_place_of_ours_for_as_long_as_it_is_there() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    let _agents = rig.stacked(vec![]);
    let _controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    let ours = wait_up_to(ROLLED, "our dates", || {
        Some(dates(&rig)).filter(|dates| dates.len() == 3 && dates.iter().all(Value::is_string))
    });
    let template = |date: &Value| {
        rig.timeline.act(&format!("set the template's date to {date}"));
        let metadata = json!({ "annotations": { EXPIRY: date } });
        let patch = json!({ "spec": { "machineTemplate": { "metadata": metadata } } });
        rig.management().patch("KubeadmControlPlane", CLUSTER, &patch);
    };
    let theirs = json!(rfc3339(in_days(200, 0)));
    template(&theirs);
    let stands = || dates(&rig).iter().all(|date| *date == theirs);
    wait_up_to(ROLLED, "the template's date on every Machine", || stands().then_some(()));
    thread::sleep(QUIET);
    assert!(stands(), "{:?}", dates(&rig));
    template(&Value::Null);
    wait_up_to(ROLLED, "our dates again", || (dates(&rig) == ours).then_some(()));
    assert_eq!(rig.timeline.control_plane_machines(), 3);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn a_control_plane_that_is_upgraded_in_place_has_no_date_from_us() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    let _agents = rig.stacked(vec![in_days(7, 60); 3]);
    let strategy = json!({ "type": "InPlace", "rollingUpdate": null });
    let patch = json!({ "spec": { "rollout": { "strategy": strategy } } });
    rig.management().patch("KubeadmControlPlane", CLUSTER, &patch);
    let controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    wait_up_to(ROLLED, "our controller to say so", || controller.finds("in-place").then_some(()));
    thread::sleep(Duration::from_mins(1) + QUIET);
    assert_eq!(dates(&rig), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(rig.timeline.control_plane_machines(), 3);
    // What it would do with a date that is due: nothing that renews a certificate.
    rig.date_machine(&rig.machines(false).remove(0), &rfc3339(in_days(1, 0)));
    rig.set_days(7);
    wait_up_to(ROLLED, "KCP to ask for an upgrade in place", || {
        (rig.control_plane()["metadata"]["annotations"][IN_PLACE] == "true").then_some(())
    });
    thread::sleep(QUIET);
    assert_eq!(rig.timeline.control_plane_machines(), 3);
}
