//! The certificates of the real kubeadm, and its renewals under a running agent: no date is served before the file
//! that has it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use testkit::cluster::assets;
use testkit::kubeadm_program::{Etcd, Kubeadm};
use testkit::{Agent, Host, problems, strace};

/// Scans as often as it can. There is no API server that could be told of it.
const EAGER: &str = "debounce = \"0s\"\nsettle = \"1s\"\n[node]\nannotate = false\n";

/// Days that the first certificates are valid, and renewed ones.
const FIRST: u32 = 30;
const RENEWED: u32 = 365;

const ETCD_CA: &str = "/etc/kubernetes/pki/etcd/ca.crt";
const ETCD_CLIENT: &str = "/etc/kubernetes/pki/apiserver-etcd-client.crt";

/// When each file's certificate ends.
type Ends = BTreeMap<String, String>;

/// The folder of kubeadm, where it can run.
fn kubeadm() -> Option<PathBuf> {
    assets().filter(|_| Kubeadm::can_run())
}

/// As the agent reports it.
fn ends(report: &Value) -> Ends {
    let text = |c: &Value, field: &str| c[field].as_str().unwrap().to_owned();
    let all = report["certificates"].as_array().unwrap().iter();
    all.map(|c| (text(c, "path"), text(c, "notAfter"))).collect()
}

fn is_authority(path: &str) -> bool {
    path.ends_with("ca.crt")
}

/// The first end of a certificate that is no CA's.
fn first(ends: &Ends) -> &str {
    ends.iter().filter(|(path, _)| !is_authority(path)).map(|(_, date)| date).min().unwrap()
}

/// Who renews each file's certificate.
fn renewed_by(report: &Value) -> BTreeMap<&str, &Value> {
    let all = report["certificates"].as_array().unwrap().iter();
    all.map(|c| (c["path"].as_str().unwrap(), &c["renewedBy"])).collect()
}

/// The report that the agent believes in, with nothing wrong in it, once the certificates end so.
fn settled(agent: &Agent, end_so: impl Fn(&Ends) -> bool) -> Value {
    let report = agent.report_when("a settled report with these dates", |report| {
        report["status"] == "ok" && report["settled"] == true && end_so(&ends(report))
    });
    assert_eq!(problems(&report), [""; 0]);
    assert!(report["certificates"].as_array().unwrap().iter().all(|c| c["stale"] == false));
    report
}

/// An answer of the agent, and the files as they were a moment after it.
struct Seen {
    report: Value,
    files: BTreeMap<String, Vec<u8>>,
}

fn read(host: &Host, paths: &Ends) -> BTreeMap<String, Vec<u8>> {
    paths.keys().map(|path| (path.clone(), fs::read(host.path(path)).unwrap())).collect()
}

/// Asks the agent for as long as this runs.
fn watch(host: &Host, agent: &Agent, paths: &Ends, mut command: Command) -> Vec<Seen> {
    let mut running = command.stdout(Stdio::null()).spawn().unwrap();
    let mut seen = Vec::new();
    loop {
        let ended = running.try_wait().unwrap();
        seen.push(Seen { report: agent.report(), files: read(host, paths) });
        if let Some(status) = ended {
            assert!(status.success(), "{command:?}");
            return seen;
        }
    }
}

/// Whether each answer was true: a file that was not yet as it is `at_last` had the date that it had before, and
/// the earliest is the first of these dates.
fn never_too_late(
    seen: &[Seen],
    old: &Ends,
    new: &Ends,
    at_last: &BTreeMap<String, Vec<u8>>,
) -> bool {
    seen.iter().all(|Seen { report, files }| {
        let served = ends(report);
        let is_true = |(path, date): (&String, &String)| {
            served[path] == *date || (served[path] == new[path] && files[path] == at_last[path])
        };
        report["earliest"]["notAfter"] == first(&served) && old.iter().all(is_true)
    })
}

#[test]
fn a_machine_that_kubeadm_made_is_read_as_kubeadm_reads_it() {
    let Some(assets) = kubeadm() else { return };
    let host = Host::bare("ubuntu");
    let kubeadm = Kubeadm::init(&assets, &host, Etcd::Stacked, FIRST);
    let agent = Agent::start(&host, EAGER);
    let report = settled(&agent, |_| true);
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
    let old = ends(&settled(&agent, |_| true));

    // kubeadm empties each file and then writes it: between the two there is time to look.
    kubeadm.issue_for(RENEWED);
    let renewal = kubeadm.command(&["certs", "renew", "all"]);
    slow.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=write"]);
    slow.args(["-e", "inject=write:delay_enter=50000"]);
    slow.arg(renewal.get_program()).args(renewal.get_args());
    let seen = watch(&host, &agent, &old, slow);

    let new = kubeadm.ends();
    let report = settled(&agent, |ends| *ends == new);
    assert!(never_too_late(&seen, &old, &new, &read(&host, &old)));
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
    let old = ends(&settled(&agent, |_| true));

    kubeadm.issue_for(RENEWED);
    let seen = watch(&host, &agent, &old, kubeadm.command(&["certs", "renew", "apiserver"]));
    let new = kubeadm.ends();
    let after = settled(&agent, |ends| *ends == new);
    assert!(never_too_late(&seen, &old, &new, &read(&host, &old)));
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
    let before = settled(&agent, |_| true);
    let old = ends(&before);
    assert_eq!(before["node"]["etcdTopology"], "external");
    for (path, by) in renewed_by(&before) {
        let other = if path == ETCD_CLIENT { "etcd-rollout" } else { "machine-rollout" };
        assert_eq!(*by, if is_authority(path) { Value::Null } else { other.into() }, "{path}");
    }

    kubeadm.issue_for(RENEWED);
    let seen = watch(&host, &agent, &old, kubeadm.command(&["certs", "renew", "all"]));
    // What it does not make it says nothing of.
    let mut new = kubeadm.ends();
    for path in [ETCD_CLIENT, ETCD_CA] {
        assert_eq!(new.insert(path.to_owned(), old[path].clone()), None);
    }
    let after = settled(&agent, |ends| *ends == new);
    assert!(never_too_late(&seen, &old, &new, &read(&host, &old)));
    for name in ["earliest", "etcdRollout"] {
        assert_eq!(after[name], before[name]);
        assert_eq!(after[name]["path"], ETCD_CLIENT);
    }
    let rollout = |report: &Value| report["machineRollout"]["notAfter"].as_str().map(str::to_owned);
    assert!(rollout(&before) < rollout(&after), "{after}");
}
