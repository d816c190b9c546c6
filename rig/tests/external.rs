//! An etcd on machines of its own: rolled once, and the control plane with it.

use std::thread;
use std::time::Duration;

use rig::{Controller, Ends, Etcd, EtcdHosts, NodeAgents, Rig, Spans, in_days, rfc3339};
use serde_json::{Value, from_str, json};
use testkit::wait_up_to;
use time::OffsetDateTime;

use crate::OPT_IN;

/// What a rollout of etcd, and then of the control plane, may take.
const ROLLED: Duration = Duration::from_mins(20);

/// Twenty of every manager's periods.
pub(crate) const QUIET: Duration = Duration::from_secs(100);

/// So long from the start of a test its certificates become due: once the cluster is made.
pub(crate) const UNTIL_DUE: i64 = 120;

/// The rollout that our controller began, as it remembers it.
pub(crate) fn intent(rig: &Rig) -> Option<Value> {
    let etcd = rig.etcdadm_cluster();
    from_str(etcd["metadata"]["annotations"]["expiryd.dev/intent"].as_str()?).ok()
}

/// A cluster with what works on it.
pub(crate) struct Made {
    pub(crate) hosts: EtcdHosts,
    pub(crate) agents: NodeAgents,
    /// The Machines that were there first: the control plane's, and etcd's.
    pub(crate) old: [Vec<String>; 2],
}

/// Makes a cluster that nobody opted in yet.
pub(crate) fn made(rig: &Rig, ends: Ends) -> Made {
    let (hosts, agents) = rig.external(ends);
    Made { hosts, agents, old: [rig.machines(false), rig.machines(true)] }
}

/// When certificates end that become due once the cluster is made.
pub(crate) fn soon_due(spans: &Spans) -> OffsetDateTime {
    in_days(7, spans.get("lead") + UNTIL_DUE)
}

/// Opts it in, with our controller at work.
pub(crate) fn opted_in(rig: &Rig, spans: &Spans, flags: &[&str]) -> Controller {
    let controller = rig.controller(spans, flags);
    rig.annotate(OPT_IN, &json!("7d"));
    controller
}

/// Whether three others stand in the place of all that were there.
pub(crate) fn are_replaced(rig: &Rig, etcd: bool, made: &Made) -> bool {
    let (now, old) = (rig.machines(etcd), &made.old[usize::from(etcd)]);
    now.len() == 3 && now.iter().all(|machine| !old.contains(machine))
}

/// Whether that is so of both kinds.
pub(crate) fn both_are_replaced(rig: &Rig, made: &Made) -> bool {
    are_replaced(rig, false, made) && are_replaced(rig, true, made)
}

/// Waits until all is replaced, of both kinds, and the rollout is closed; then that nothing follows.
pub(crate) fn both_are_rolled_once(rig: &Rig, made: &Made) -> Value {
    both_are_rolled_once_and_stay_so_for(QUIET, rig, made)
}

/// The same with another time in which nothing follows.
pub(crate) fn both_are_rolled_once_and_stay_so_for(
    quiet: Duration,
    rig: &Rig,
    made: &Made,
) -> Value {
    let intent = wait_up_to(ROLLED, "both to be replaced, and the end of the rollout", || {
        let intent = intent(rig).filter(|intent| intent["closed"].is_string())?;
        both_are_replaced(rig, made).then_some(intent)
    });
    rig.timeline.act("all are replaced; now it has to be quiet");
    thread::sleep(quiet);
    assert_eq!(rig.timeline.etcd_machines(), 6, "Machines of etcd");
    assert_eq!(rig.timeline.control_plane_machines(), 6, "Machines of the control plane");
    assert_eq!(made.hosts.running().len(), 3);
    intent
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn one_machine_of_etcd_that_is_due_has_all_of_it_and_the_control_plane_rolled_once() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let due = soon_due(&spans);
    let made = made(&rig, Ends { etcd: vec![due], ..Ends::default() });
    let before = rig.client_certificate();
    let _controller = opted_in(&rig, &spans, &[]);
    let intent = both_are_rolled_once(&rig, &made);
    assert_eq!(intent["cause"], "machine-due");
    assert_eq!(intent["machines"].as_array().unwrap().len(), 3);
    let start = due - time::Duration::days(7) - time::Duration::seconds(spans.get("lead"));
    assert!(intent["at"].as_str() >= Some(rfc3339(start).as_str()), "{intent} is too early");
    assert_ne!(rig.client_certificate(), before);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn a_client_pair_that_is_due_alone_has_etcd_rolled() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default().with("node-skew", 10).with("restart-pause", 20);
    let due = soon_due(&spans);
    let made = made(&rig, Ends { client_pair: Some(due), ..Ends::default() });
    let before = rig.client_certificate();
    let _controller = opted_in(&rig, &spans, &[]);
    let intent = both_are_rolled_once(&rig, &made);
    assert_eq!(intent["cause"], "secret-due");
    assert_ne!(rig.client_certificate(), before);
    // It held the old pair, which it would use beyond its end.
    assert_eq!(rig.starts_of_etcd_controller(), 2);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn a_client_pair_that_is_due_alone_is_made_anew_without_a_rollout_of_etcd_where_that_is_allowed() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default().with("node-skew", 10).with("restart-pause", 20);
    let due = soon_due(&spans);
    let made = made(&rig, Ends { client_pair: Some(due), ..Ends::default() });
    let _controller = opted_in(&rig, &spans, &["--refresh-secret"]);
    wait_up_to(ROLLED, "three other machines of the control plane", || {
        are_replaced(&rig, false, &made).then_some(())
    });
    rig.timeline.act("all are replaced; now it has to be quiet");
    thread::sleep(QUIET);
    assert_eq!(rig.timeline.etcd_machines(), 3, "Machines of etcd");
    assert_eq!(rig.timeline.control_plane_machines(), 6, "Machines of the control plane");
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn where_both_are_due_at_once_the_control_plane_is_rolled_once() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let due = soon_due(&spans);
    let ends = Ends { etcd: vec![due; 3], control_plane: vec![due; 3], ..Ends::default() };
    let made = made(&rig, ends);
    let _controller = opted_in(&rig, &spans, &[]);
    both_are_rolled_once(&rig, &made);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn an_etcd_of_one_member_is_rolled_once_that_is_allowed() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let ends = Ends { etcd: vec![soon_due(&spans)], ..Ends::default() };
    let (hosts, _agents) = rig.external_of(1, ends);
    let old = rig.machines(true);
    let controller = opted_in(&rig, &spans, &[]);
    wait_up_to(ROLLED, "our controller to say what it waits for", || {
        controller.finds("single-etcd").then_some(())
    });
    thread::sleep(Duration::from_secs(30));
    assert_eq!((intent(&rig), rig.timeline.etcd_machines()), (None, 1));
    rig.annotate_etcd("expiryd.dev/allow-single-etcd", "true");
    wait_up_to(ROLLED, "another member, and the end of the rollout", || {
        let over = intent(&rig).is_some_and(|intent| intent["closed"].is_string());
        (over && rig.machines(true).len() == 1 && rig.machines(true) != old).then_some(())
    });
    rig.timeline.act("all are replaced; now it has to be quiet");
    thread::sleep(QUIET);
    assert_eq!((rig.timeline.etcd_machines(), hosts.running().len()), (2, 1));
    assert_eq!(rig.timeline.control_plane_machines(), 6, "Machines of the control plane");
}
