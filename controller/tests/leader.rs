//! Two instances: one leads, the other goes on where it ends.

use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::NAMESPACE;
use testkit::dates::{in_days, rfc3339};
use testkit::faulty_proxy::{Fault, FaultyProxy};
use testkit::kubeadm::{APISERVER, leaf};
use testkit::{Server, signal, wait_for};

use crate::control_plane::{EXPIRY, machine_when, opted_in, run_as};

const QUICK: [&str; 8] = [
    "--leader-elect-namespace",
    NAMESPACE,
    "--leader-elect-lease-duration",
    "4s",
    "--leader-elect-renew-deadline",
    "3s",
    "--leader-elect-retry-period",
    "500ms",
];

/// An instance behind a proxy of its own.
struct Instance {
    program: Server,
    proxy: FaultyProxy,
    _folder: TempDir,
}

impl Instance {
    fn start(cluster: &Arc<Cluster>, name: &str) -> Self {
        let (folder, proxy) = (tempfile::tempdir().unwrap(), FaultyProxy::start(cluster));
        let flags = [&QUICK[..], &["--listen", "127.0.0.1:0", "--identity", name]].concat();
        let program = run_as(&proxy.kubeconfig(), &folder, &flags);
        Self { program, proxy, _folder: folder }
    }
}

/// Waits until an instance of this name leads; how often the lease has changed hands.
fn leads(cluster: &Cluster, name: &str) -> i64 {
    let path =
        format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/expiryd-controller");
    wait_for(name, || {
        let (_, lease) = cluster.ask("GET", &path, &Value::Null)?;
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        let transitions = lease["spec"]["leaseTransitions"].as_i64()?;
        holder.starts_with(&format!("{name}_")).then_some(transitions)
    })
}

#[test]
fn the_one_that_leads_works_alone_and_another_goes_on_where_it_ends() {
    let Some(assets) = assets() else { return };
    let cluster = Arc::new(Cluster::start(&assets));
    let (host, _agent) = opted_in(&cluster, in_days(300, 0));
    let mut first = Instance::start(&cluster, "first");
    leads(&cluster, "first");
    let second = Instance::start(&cluster, "second");
    machine_when(&cluster, "the date", |a| a[EXPIRY].is_string());
    assert_eq!(second.proxy.take_writes(), Vec::<String>::new());

    // Killed: another one waits for the lease to end.
    first.program.kill();
    let date = in_days(200, 0);
    host.replace(APISERVER, leaf(date));
    assert_eq!(leads(&cluster, "second"), 1);
    machine_when(&cluster, "the date after a crash", |a| a[EXPIRY] == rfc3339(date));

    // Told to end: it gives the lease up.
    let third = Instance::start(&cluster, "third");
    signal(second.program.pid(), "TERM");
    assert_eq!(leads(&cluster, "third"), 2);
    let date = in_days(190, 0);
    host.replace(APISERVER, leaf(date));
    machine_when(&cluster, "the date after an end", |a| a[EXPIRY] == rfc3339(date));
    drop(third);
}

#[test]
fn one_that_cannot_renew_its_lease_ends_and_writes_nothing_more() {
    let Some(assets) = assets() else { return };
    let cluster = Arc::new(Cluster::start(&assets));
    let (host, _agent) = opted_in(&cluster, in_days(300, 0));
    let mut first = Instance::start(&cluster, "first");
    machine_when(&cluster, "the date", |a| a[EXPIRY].is_string());
    let second = Instance::start(&cluster, "second");
    // All but the lease can be read and written.
    first.proxy.break_requests("PUT", "/leases/", Fault::Refuse(500));
    leads(&cluster, "second");
    wait_for("its end", || first.program.ended().then_some(()));
    assert!(first.program.log().contains("the lease is lost"));
    first.proxy.take_writes();
    let date = in_days(200, 0);
    host.replace(APISERVER, leaf(date));
    machine_when(&cluster, "the date by the other", |a| a[EXPIRY] == rfc3339(date));
    assert_eq!(first.proxy.take_writes(), Vec::<String>::new());
    assert!(!second.proxy.take_writes().is_empty());
}

#[test]
fn times_that_would_have_two_lead_at_once_are_refused() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_expiryd-controller"));
    let output = command.args(["run", "--leader-elect-renew-deadline", "2m"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("--leader-elect-lease-duration (60s) has to be longer"), "{said}");
}
