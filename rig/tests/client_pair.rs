//! The client pair that etcdadm-controller keeps in memory: once it ends, members that are well are removed.

use std::thread;
use std::time::Duration;

use rig::{CLUSTER, Controller, Ends, Etcd, Rig, Spans, in_days, now};
use serde_json::json;
use testkit::wait_up_to;

use crate::OPT_IN;
use crate::external::{Made, made};

/// How long the pair is good for.
const GOOD_FOR: i64 = 150;

/// In which a member is taken for failed, and removed, twice and more.
const LOOKED_AT: Duration = Duration::from_mins(4);

/// What the removal of two may take on a machine that does other work as well.
const REMOVED: Duration = Duration::from_mins(8);

/// A cluster whose etcdadm-controller holds a pair that ends soon, while the Secret has another one.
fn holding_an_old_pair(rig: &Rig, meanwhile: impl FnOnce()) -> Made {
    let end = in_days(0, GOOD_FOR);
    let made = made(rig, Ends { client_pair: Some(end), ..Ends::default() });
    meanwhile();
    rig.refresh_client_pair();
    wait_up_to(Duration::from_secs(200), "the end of the old pair", || (now() > end).then_some(()));
    rig.timeline.act("the old pair has ended");
    // Kept-alive connections go on; a new one needs a pair that is good.
    let member = made.hosts.running().swap_remove(0);
    rig.timeline.act(&format!("restarted the etcd of {member}"));
    made.hosts.restart(&member);
    made
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn without_us_members_that_are_well_are_removed_without_end() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let _made = holding_an_old_pair(&rig, || ());
    wait_up_to(REMOVED, "two members to be removed", || {
        (rig.timeline.etcd_machines() >= 5).then_some(())
    });
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn without_us_one_is_removed_also_where_the_cluster_is_paused_and_none_made_in_its_place() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let _made = holding_an_old_pair(&rig, || ());
    rig.management().patch("Cluster", CLUSTER, &json!({ "spec": { "paused": true } }));
    wait_up_to(REMOVED, "a member to be removed", || {
        let machines = rig.management().list("Machine");
        machines.iter().any(|m| !m["metadata"]["deletionTimestamp"].is_null()).then_some(())
    });
    assert_eq!(rig.timeline.etcd_machines(), 3);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn without_us_they_stay_where_the_etcdadm_cluster_itself_is_paused() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let _made = holding_an_old_pair(&rig, || ());
    rig.annotate_etcd("cluster.x-k8s.io/paused", "true");
    thread::sleep(LOOKED_AT);
    assert_eq!(rig.timeline.etcd_machines(), 3);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn with_us_it_is_restarted_in_time_and_every_member_stays() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    every_member_stays(&rig, &[]);
    assert_eq!(rig.starts_of_etcd_controller(), 2);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn with_us_its_health_checks_are_skipped_where_it_may_not_be_restarted_and_every_member_stays() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    every_member_stays(&rig, &["--no-restarts"]);
    assert_eq!(rig.starts_of_etcd_controller(), 1);
    let annotations = rig.etcdadm_cluster()["metadata"]["annotations"].clone();
    assert_eq!(annotations["etcdcluster.cluster.x-k8s.io/healthcheck-retries"], "0");
}

/// Has our controller look at a cluster that is held, so that nothing but what saves members is done.
fn every_member_stays(rig: &Rig, flags: &[&str]) {
    let mut controller: Option<Controller> = None;
    let _made = holding_an_old_pair(rig, || {
        rig.annotate("expiryd.dev/hold", &json!("true"));
        rig.annotate(OPT_IN, &json!("7d"));
        let spans = Spans::default().with("node-skew", 10).with("restart-pause", 20);
        controller = Some(rig.controller(&spans, flags));
        wait_up_to(Duration::from_secs(20), "the old pair to be written down", || {
            let etcd = rig.etcdadm_cluster();
            etcd["metadata"]["annotations"]["expiryd.dev/etcd-client-pairs"].as_str().map(|_| ())
        });
    });
    thread::sleep(LOOKED_AT);
    assert_eq!(rig.timeline.etcd_machines(), 3);
}
