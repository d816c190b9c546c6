//! Each rule, on clusters that differ from a quiet one in one thing.

mod beginning;
mod client_pair;
mod control_plane;
mod days;
mod etcd;
mod opt_in;
mod properties;
mod rolled_for;
mod rollout;

use expiryd_api::Status;

use super::*;
use crate::facts::{
    Cluster, ControlPlane, ControlPlaneMachine, EtcdCluster, EtcdController, EtcdMachine,
    EtcdPlace, Expiry, NodeReport, NotHeard, Progress, Report, SecretPair,
};
use crate::memory::{ClientPair, Intent, Published, Record, RolledFor};
use crate::parameters::DAY;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

/// So many days from now.
fn day(days: i64) -> Timestamp {
    Timestamp::from_unix(NOW.unix() + days * DAY)
}

fn hours(hours: i64) -> Timestamp {
    Timestamp::from_unix(NOW.unix() + hours * 3_600)
}

fn report(days: i64) -> Report {
    Report {
        observed_at: hours(-1),
        status: Status::Ok,
        settled: true,
        machine_rollout: Some(Expiry { not_after: day(days), path: Some(APISERVER.to_owned()) }),
        etcd_rollout: None,
    }
}

fn ok(days: i64) -> Record {
    Record { date: day(days), degraded: false }
}

/// A Machine that is 265 days old, whose certificates end in 100, and carries that.
fn machine(name: &str) -> ControlPlaneMachine {
    ControlPlaneMachine {
        name: name.to_owned(),
        born: day(-265),
        deleting: false,
        published: Published::Ours(ok(100)),
        own: Some(day(100)),
        report: NodeReport::Of(report(100)),
    }
}

/// A cluster that is opted in, with stacked etcd, at rest, with nothing due.
fn stacked() -> Facts {
    Facts {
        cluster: Cluster { opt_in: Some("7d".to_owned()), ..Cluster::default() },
        control_plane: Some(ControlPlane {
            days: Some(7),
            our_days: Some(7),
            replicas: 3,
            progress: Progress { ready: true, observed: true, ..Progress::default() },
            machines: ["cp-1", "cp-2", "cp-3"].map(machine).to_vec(),
            ..ControlPlane::default()
        }),
        etcd: None,
    }
}

fn etcd_machine(name: &str) -> EtcdMachine {
    let mut report = report(100);
    report.observed_at = hours(0);
    EtcdMachine {
        name: name.to_owned(),
        born: day(-265),
        deleting: false,
        owned: true,
        mark: None,
        published: Published::Ours(ok(100)),
        report: Ok(report),
        served: Some(day(100)),
    }
}

/// The same with three machines of etcd, which end with the control plane's.
fn external() -> Facts {
    let mut facts = stacked();
    let endpoints = vec!["https://192.0.2.1:2379".to_owned()];
    control_plane(&mut facts).etcd = EtcdPlace::External(endpoints.clone());
    facts.etcd = Some(EtcdCluster {
        replicas: 3,
        ready: true,
        endpoints,
        pairs: vec![ClientPair {
            sha256: "one".to_owned(),
            not_after: day(100),
            first_seen: day(-265),
        }],
        secret: Some(SecretPair { sha256: "one".to_owned(), not_after: day(100) }),
        controller: EtcdController {
            started_at: Some(day(-30)),
            may_restart: true,
            restarted_at: None,
        },
        machines: ["etcd-1", "etcd-2", "etcd-3"].map(etcd_machine).to_vec(),
        ..EtcdCluster::default()
    });
    facts
}

fn control_plane(facts: &mut Facts) -> &mut ControlPlane {
    facts.control_plane.as_mut().unwrap()
}

fn etcd(facts: &mut Facts) -> &mut EtcdCluster {
    facts.etcd.as_mut().unwrap()
}

fn first(facts: &mut Facts) -> &mut ControlPlaneMachine {
    &mut control_plane(facts).machines[0]
}

fn first_report(facts: &mut Facts) -> &mut Report {
    match &mut first(facts).report {
        NodeReport::Of(report) => report,
        other => panic!("{other:?}"),
    }
}

fn decided(facts: &Facts) -> Decision {
    decide(facts, &Parameters::default(), Turn::ALONE, NOW)
}

fn actions(decision: &Decision) -> Vec<Action> {
    decision.actions.iter().map(|planned| planned.action.clone()).collect()
}

/// What is found, in a word each, with the Machine that it is about.
fn findings(decision: &Decision) -> Vec<String> {
    let word = |finding: &Finding| match &finding.machine {
        Some(machine) => format!("{machine}: {}", finding.guard),
        None => finding.guard.to_string(),
    };
    decision.findings.iter().map(word).collect()
}

fn annotate(machine: &str, record: Record) -> Action {
    Action::Annotate { machine: machine.to_owned(), record }
}

fn unannotate(machine: &str) -> Action {
    Action::Unannotate { machine: machine.to_owned() }
}

#[test]
fn a_quiet_cluster_is_left_alone() {
    for facts in [stacked(), external()] {
        let decision = decided(&facts);
        assert_eq!((actions(&decision), findings(&decision)), (vec![], vec![]));
    }
}

/// The agent of the first machine says that it ends so many days from now.
fn says(facts: &mut Facts, days: i64) {
    let expiry = Expiry { not_after: day(days), path: Some(APISERVER.to_owned()) };
    first_report(facts).machine_rollout = Some(expiry);
}
