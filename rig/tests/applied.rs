//! EKS Anywhere applies its objects by force, again and again: what is ours survives that.

use std::thread;
use std::time::Duration;

use rig::{CLUSTER, Ends, Etcd, Rig, Spans};
use serde_json::json;
use testkit::wait_up_to;

use crate::OPT_IN;
use crate::external::{both_are_rolled_once, intent, made, opted_in, soon_due};

/// What a rollout of etcd may take until it begins.
const BEGUN: Duration = Duration::from_mins(5);

/// A few periods of every manager's.
const QUIET: Duration = Duration::from_secs(10);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn days_annotations_and_the_condition_survive_it() {
    let Some(rig) = Rig::start(Etcd::Stacked) else { return };
    let _agents = rig.stacked(Vec::new());
    let _controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    let ours = || {
        let control_plane = rig.control_plane();
        let days = &control_plane["spec"]["rollout"]["before"]["certificatesExpiryDays"];
        let written = &control_plane["metadata"]["annotations"]["expiryd.dev/kcp-days"];
        let cluster = rig.management().get("Cluster", CLUSTER);
        let conditions = cluster["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let told = conditions.iter().any(|condition| condition["type"] == "CertificatesRenewed");
        *days == 7 && written == "7" && told && cluster["metadata"]["annotations"][OPT_IN] == "7d"
    };
    wait_up_to(BEGUN, "everything of ours", || ours().then_some(()));
    for _ in 0..3 {
        for kind in ["Cluster", "KubeadmControlPlane"] {
            rig.apply_as_eks_anywhere(Etcd::Stacked, kind);
            assert!(ours(), "after {kind}");
        }
        thread::sleep(QUIET);
    }
    assert_eq!(rig.timeline.control_plane_machines(), 3);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn a_rollout_of_etcd_goes_on_through_it() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let due = soon_due(&spans);
    let made = made(&rig, Ends { etcd: vec![due], ..Ends::default() });
    let _controller = opted_in(&rig, &spans, &[]);
    wait_up_to(BEGUN, "the intent", || intent(&rig));
    // Not the control plane: EKS Anywhere leaves its endpoints to KCP.
    for _ in 0..3 {
        rig.apply_as_eks_anywhere(Etcd::External, "EtcdadmCluster");
        rig.apply_as_eks_anywhere(Etcd::External, "Cluster");
        thread::sleep(QUIET);
    }
    both_are_rolled_once(&rig, &made);
}
