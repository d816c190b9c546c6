//! What goes away half-way, ours or another's, and comes again or is stood in for: the end is the same.

use std::thread;
use std::time::Duration;

use rig::{Ends, Etcd, Rig, Spans};
use serde_json::json;
use testkit::wait_up_to;

use crate::OPT_IN;
use crate::external::{Made, both_are_rolled_once, made, soon_due};

/// What a rollout may take until it is so far.
const SO_FAR: Duration = Duration::from_mins(8);

/// How long the API server is away: several of every controller's attempts.
const AWAY: Duration = Duration::from_secs(15);

/// A lease for a rig that lives for minutes.
const LEASE: [&str; 3] = [
    "--leader-elect-lease-duration=15s",
    "--leader-elect-renew-deadline=10s",
    "--leader-elect-retry-period=2s",
];

/// A cluster of which a member of etcd is due soon, and that somebody opted in.
fn opted_in_soon_due(rig: &Rig, spans: &Spans) -> Made {
    let made = made(rig, Ends { etcd: vec![soon_due(spans)], ..Ends::default() });
    rig.annotate(OPT_IN, &json!("7d"));
    made
}

/// Waits until so many machines of etcd, and of the control plane, were made.
fn so_far(rig: &Rig, etcd: usize, control_plane: usize) {
    wait_up_to(SO_FAR, "the rollout to be so far", || {
        let timeline = &rig.timeline;
        let (now, then) = (timeline.etcd_machines(), timeline.control_plane_machines());
        (now >= etcd && then >= control_plane).then_some(())
    });
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn another_instance_goes_on_where_the_one_that_leads_is_killed_once_it_has_marked() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let made = opted_in_soon_due(&rig, &spans);
    let mut first = rig.instance("first", &spans, &LEASE);
    wait_up_to(SO_FAR, "the first to lead", || {
        first.log().contains("this instance leads").then_some(())
    });
    let flags = [&LEASE[..], &["--listen=127.0.0.1:9800"]].concat();
    let second = rig.instance("second", &spans, &flags);
    let mark = "mark the EtcdadmConfig";
    wait_up_to(SO_FAR, "a mark", || (first.writes(mark) > 0).then_some(()));
    first.kill();
    let (marked, nudged) = (first.writes(mark), first.writes("look at the marks"));
    rig.timeline.act(&format!("killed the first after {marked} marks and {nudged} nudges"));
    assert!(!second.log().contains("this instance leads"));
    both_are_rolled_once(&rig, &made);
    assert!(second.log().contains("this instance leads"));
    assert_eq!(second.writes("close the rollout"), 1);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn an_api_server_that_is_away_halfway_changes_nothing() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let made = opted_in_soon_due(&rig, &spans);
    let _controller = rig.controller(&spans, &["--no-leader-elect"]);
    for (etcd, control_plane) in [(4, 3), (6, 4)] {
        so_far(&rig, etcd, control_plane);
        rig.stop_api_server();
        thread::sleep(AWAY);
        rig.start_api_server_again();
    }
    both_are_rolled_once(&rig, &made);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn others_controllers_that_are_killed_halfway_change_nothing() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let made = opted_in_soon_due(&rig, &spans);
    let _controller = rig.controller(&spans, &["--no-leader-elect"]);
    let crash = |manager: &str| {
        rig.stop(manager);
        rig.start_again(manager);
    };
    so_far(&rig, 4, 3);
    rig.crash_etcd_controller();
    so_far(&rig, 5, 3);
    crash("core");
    so_far(&rig, 6, 4);
    crash("kubeadm-control-plane");
    so_far(&rig, 6, 5);
    crash("core");
    both_are_rolled_once(&rig, &made);
}
