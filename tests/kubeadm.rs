//! The certificates of the real kubeadm, and its renewals under a running agent: no date is served before the file
//! that has it is whole.

use std::path::PathBuf;

use serde_json::Value;

use testkit::cluster::assets;
use testkit::kubeadm_program::{Etcd, Kubeadm};
use testkit::observed::{Renewal, ends, first, is_authority, renewed_by, whole};
use testkit::{Agent, Host, strace};

/// Scans as often as it can. There is no API server that could be told of it.
const EAGER: &str = "debounce = \"0s\"\nsettle = \"1s\"\n[node]\nannotate = false\n";

/// Days that the first certificates are valid, and renewed ones.
const FIRST: u32 = 30;
const RENEWED: u32 = 365;

const ETCD_CA: &str = "/etc/kubernetes/pki/etcd/ca.crt";
const ETCD_CLIENT: &str = "/etc/kubernetes/pki/apiserver-etcd-client.crt";

/// The folder of kubeadm, where it can run.
fn kubeadm() -> Option<PathBuf> {
    assets().filter(|_| Kubeadm::can_run())
}

/// The report that the agent believes in, with nothing wrong in it.
fn settled(agent: &Agent) -> Value {
    agent.report_when("a settled report", |report| report["settled"] == true);
    whole(agent, |_| true)
}

#[test]
fn a_machine_that_kubeadm_made_is_read_as_kubeadm_reads_it() {
    let Some(assets) = kubeadm() else { return };
    let host = Host::bare("ubuntu");
    let kubeadm = Kubeadm::init(&assets, &host, Etcd::Stacked, FIRST);
    let agent = Agent::start(&host, EAGER);
    let report = settled(&agent);
    assert_eq!(ends(&report), kubeadm.ends());
    assert_eq!(report["node"]["role"], "control-plane");
    assert_eq!(report["node"]["etcdTopology"], "stacked");
    let (authorities, leaves): (Vec<_>, Vec<_>) =
        renewed_by(&report).into_iter().partition(|(path, _)| is_authority(path));
    assert!(authorities.iter().all(|(_, by)| by.is_null()), "{authorities:?}");
    assert!(leaves.iter().all(|(_, by)| *by == "machine-rollout"), "{leaves:?}");
    assert_eq!((authorities.len(), leaves.len()), (3, 11));
    assert_eq!(report["earliest"]["notAfter"], first(&kubeadm.ends()));
    assert_eq!(report["machineRollout"], report["earliest"]);
    assert_eq!(report["etcdRollout"], Value::Null);
}

#[test]
fn certs_renew_all_moves_no_date_before_its_file_is_whole() {
    let Some(assets) = kubeadm() else { return };
    let Some(mut slow) = strace() else { return };
    let host = Host::bare("ubuntu");
    let kubeadm = Kubeadm::init(&assets, &host, Etcd::Stacked, FIRST);
    let agent = Agent::start(&host, EAGER);
    let old = ends(&settled(&agent));

    // kubeadm empties each file and then writes it: between the two there is time to look.
    kubeadm.issue_for(RENEWED);
    let command = kubeadm.command(&["certs", "renew", "all"]);
    slow.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=write"]);
    slow.args(["-e", "inject=write:delay_enter=50000"]);
    slow.arg(command.get_program()).args(command.get_args());
    let renewal = Renewal::watch(&host, &agent, slow);

    let new = kubeadm.ends();
    let report = whole(&agent, |ends| *ends == new);
    renewal.was_never_too_late(&new);
    assert!(old.iter().all(|(path, date)| (new[path] == *date) == is_authority(path)), "{new:?}");
    assert_eq!(report["earliest"]["notAfter"], first(&new));
    assert!(first(&old) < first(&new));
    let emptied = |line: &Value| line["level"] == "WARN" && line["reason"] == "no-certificate";
    assert!(agent.log().iter().any(emptied), "the agent looked while kubeadm wrote");
}

#[test]
fn certs_renew_apiserver_moves_one_date_and_not_the_earliest() {
    let Some(assets) = kubeadm() else { return };
    let host = Host::bare("ubuntu");
    let kubeadm = Kubeadm::init(&assets, &host, Etcd::Stacked, FIRST);
    let agent = Agent::start(&host, EAGER);
    let old = ends(&settled(&agent));

    kubeadm.issue_for(RENEWED);
    let renewal = Renewal::watch(&host, &agent, kubeadm.command(&["certs", "renew", "apiserver"]));
    let new = kubeadm.ends();
    let after = whole(&agent, |ends| *ends == new);
    renewal.was_never_too_late(&new);
    let changed: Vec<_> = new.keys().filter(|path| old[*path] != new[*path]).collect();
    assert_eq!(changed, ["/etc/kubernetes/pki/apiserver.crt"]);
    assert_eq!(after["earliest"]["notAfter"], first(&new));
    assert_ne!(after["earliest"]["path"], *changed[0]);
}

#[test]
fn certs_renew_all_leaves_the_client_of_an_external_etcd_to_the_etcd_rollout() {
    let Some(assets) = kubeadm() else { return };
    let host = Host::bare("rhel");
    let kubeadm = Kubeadm::init(&assets, &host, Etcd::External, FIRST);
    let agent = Agent::start(&host, EAGER);
    let before = settled(&agent);
    let old = ends(&before);
    assert_eq!(before["node"]["etcdTopology"], "external");
    for (path, by) in renewed_by(&before) {
        let other = if path == ETCD_CLIENT { "etcd-rollout" } else { "machine-rollout" };
        assert_eq!(*by, if is_authority(path) { Value::Null } else { other.into() }, "{path}");
    }

    kubeadm.issue_for(RENEWED);
    let renewal = Renewal::watch(&host, &agent, kubeadm.command(&["certs", "renew", "all"]));
    // What it does not make it says nothing of.
    let mut new = kubeadm.ends();
    for path in [ETCD_CLIENT, ETCD_CA] {
        assert_eq!(new.insert(path.to_owned(), old[path].clone()), None);
    }
    let after = whole(&agent, |ends| *ends == new);
    renewal.was_never_too_late(&new);
    for name in ["earliest", "etcdRollout"] {
        assert_eq!(after[name], before[name]);
        assert_eq!(after[name]["path"], ETCD_CLIENT);
    }
    let rollout = |report: &Value| report["machineRollout"]["notAfter"].as_str().map(str::to_owned);
    assert!(rollout(&before) < rollout(&after), "{after}");
}
