//! The certificates of the real etcdadm, and EKS Anywhere's way to renew them with it, under a running agent.

use std::fs;

use serde_json::Value;

use testkit::authority::Authority;
use testkit::etcd_pki::FOLDER;
use testkit::etcdadm_program::{certificates, etcdadm};
use testkit::observed::{Renewal, ends, first, is_authority, renewed_by, whole};
use testkit::{Agent, Host};

/// Scans as often as it can, and settles on nothing while a test runs: keys of RSA take their time.
const EAGER: &str = "debounce = \"0s\"\nsettle = \"10m\"\n";

const LEAVES: &[&str] =
    &["apiserver-etcd-client.crt", "etcdctl-etcd-client.crt", "peer.crt", "server.crt"];

#[test]
fn a_machine_of_etcd_as_etcdadm_makes_it_is_read_and_renewed_through_an_emptied_folder() {
    let Some(etcdadm) = etcdadm() else { return };
    let host = Host::bare("ubuntu");
    // EKS Anywhere gives each machine the CA of its cluster.
    let authority = Authority::rsa("etcd");
    host.write(&format!("{FOLDER}/ca.crt"), authority.pem());
    host.write(&format!("{FOLDER}/ca.key"), authority.key_pem());
    let agent = Agent::start(&host, EAGER);
    assert_eq!(agent.get("/expiry").status, 503, "a CA alone is nothing to report on");
    let made = certificates(&etcdadm, &host, "etcd-1").status().unwrap();
    assert!(made.success());

    let report = whole(&agent, |ends| ends.len() == LEAVES.len() + 1);
    assert_eq!(report["node"]["role"], "etcd");
    for (path, by) in renewed_by(&report) {
        let name = path.strip_prefix(&format!("/{FOLDER}/")).unwrap();
        assert_eq!(is_authority(path), !LEAVES.contains(&name), "{path}");
        let expected = if is_authority(path) { Value::Null } else { "machine-rollout".into() };
        assert_eq!(*by, expected, "{path}");
    }
    let before = ends(&report);
    assert_eq!(report["earliest"]["notAfter"], first(&before));
    assert_eq!(report["machineRollout"], report["earliest"]);

    let renewal = Renewal::watch(&host, &agent, {
        // Its documentation empties the folder, all but the CA, and has etcdadm fill it.
        for leaf in LEAVES {
            fs::remove_file(host.path(&format!("{FOLDER}/{leaf}"))).unwrap();
            fs::remove_file(host.path(&format!("{FOLDER}/{}", leaf.replace(".crt", ".key"))))
                .unwrap();
        }
        certificates(&etcdadm, &host, "etcd-1")
    });
    let report = whole(&agent, |ends| first(ends) > first(&before));
    let after = ends(&report);
    renewal.was_never_too_late(&after);
    assert!(
        before.iter().all(|(path, date)| is_authority(path) || *date < after[path]),
        "{after:?}"
    );
}
