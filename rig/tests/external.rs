//! An etcd on machines of its own: rolled once, and the control plane with it.

use std::thread;
use std::time::Duration;

use rig::{CLUSTER, Etcd, Rig, Spans, in_days, rfc3339};
use serde_json::{Value, from_str, json};
use testkit::wait_up_to;

use crate::OPT_IN;

/// What a rollout of etcd, and then of the control plane, may take.
const ROLLED: Duration = Duration::from_secs(720);

/// Twenty of every manager's periods.
const QUIET: Duration = Duration::from_secs(100);

/// So long from the start of a test its certificates become due: once the cluster is made.
const UNTIL_DUE: i64 = 240;

/// The rollout that our controller began, as it remembers it.
fn intent(rig: &Rig) -> Option<Value> {
    let etcd = rig.etcdadm_cluster();
    from_str(etcd["metadata"]["annotations"]["expiryd.dev/intent"].as_str()?).ok()
}

/// Waits until what was there is replaced, of both kinds, and the rollout is closed.
fn wait_for_the_end(rig: &Rig, old: &[Vec<String>; 2]) -> Value {
    wait_up_to(ROLLED, "both to be replaced, and the end of the rollout", || {
        let replaced = |etcd: bool| {
            let now = rig.machines(etcd);
            now.len() == 3 && now.iter().all(|machine| !old[usize::from(etcd)].contains(machine))
        };
        let intent = intent(rig).filter(|intent| intent["closed"].is_string())?;
        (replaced(false) && replaced(true)).then_some(intent)
    })
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn one_machine_of_etcd_that_is_due_has_all_of_it_and_the_control_plane_rolled_once() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let due = in_days(7, spans.get("lead") + UNTIL_DUE);
    let (hosts, _agents) = rig.external(vec![due], Vec::new());
    let secret = format!("{CLUSTER}-apiserver-etcd-client");
    let before = rig.management().secret_field(&secret, "tls.crt");
    let old = [rig.machines(false), rig.machines(true)];
    let _controller = rig.controller(&spans, &[]);
    rig.annotate(OPT_IN, &json!("7d"));

    let intent = wait_for_the_end(&rig, &old);
    assert_eq!(intent["cause"], "machine-due");
    assert_eq!(intent["uids"].as_array().unwrap().len(), 3);
    let start = due - time::Duration::days(7) - time::Duration::seconds(spans.get("lead"));
    assert!(intent["at"].as_str() >= Some(rfc3339(start).as_str()), "{intent} is too early");
    assert_ne!(rig.management().secret_field(&secret, "tls.crt"), before);

    rig.timeline.act("all are replaced; now it has to be quiet");
    thread::sleep(QUIET);
    assert_eq!(rig.timeline.etcd_machines(), 6);
    assert_eq!(rig.timeline.control_plane_machines(), 6);
    assert_eq!(hosts.running().len(), 3);
}
