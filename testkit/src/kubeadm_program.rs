//! The real kubeadm at work on a host: it takes the host's folder for its root (`--rootfs`), so that every path it
//! writes is the one that it has on a machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::authority::Authority;
use crate::dates;
use crate::etcd_pki;
use crate::host::{Host, is_root, skip};

/// Where its configuration is on the host.
const CONFIGURATION: &str = "/root/kubeadm.json";

/// Days that a CA is valid.
const CA_DAYS: u32 = 3650;

/// Where the etcd of a control plane runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Etcd {
    Stacked,
    External,
}

/// kubeadm for one machine.
pub struct Kubeadm<'a> {
    program: PathBuf,
    host: &'a Host,
    etcd: Etcd,
}

impl<'a> Kubeadm<'a> {
    /// Whether it can run here.
    pub fn can_run() -> bool {
        let root = is_root();
        if !root {
            skip("kubeadm's --rootfs needs root");
        }
        root
    }

    /// Makes all certificates and kubeconfigs of a machine, as `kubeadm init` does, valid for so many days.
    pub fn init(assets: &Path, host: &'a Host, etcd: Etcd, days: u32) -> Self {
        let kubeadm = Self { program: assets.join("kubeadm"), host, etcd };
        kubeadm.issue_for(days);
        if etcd == Etcd::External {
            // These the machine is given: EKS Anywhere's are out of two Secrets.
            let authority = Authority::rsa("etcd");
            let client =
                etcd_pki::client(&authority, "cluster", dates::in_days(i64::from(days) - 1, 0));
            host.write("etc/kubernetes/pki/etcd/ca.crt", authority.pem());
            host.write("etc/kubernetes/pki/apiserver-etcd-client.crt", client.certificate);
            host.write("etc/kubernetes/pki/apiserver-etcd-client.key", client.key);
        }
        kubeadm.run(&["init", "phase", "certs", "all"]);
        kubeadm.run(&["init", "phase", "kubeconfig", "all"]);
        kubeadm
    }

    /// What it makes from now on is valid for so many days.
    pub fn issue_for(&self, days: u32) {
        let version = "kubeadm.k8s.io/v1beta4";
        let pki = "/etc/kubernetes/pki";
        let etcd = match self.etcd {
            Etcd::Stacked => json!({ "local": {} }),
            Etcd::External => json!({ "external": {
                "endpoints": ["https://192.0.2.20:2379"],
                "caFile": format!("{pki}/etcd/ca.crt"),
                "certFile": format!("{pki}/apiserver-etcd-client.crt"),
                "keyFile": format!("{pki}/apiserver-etcd-client.key"),
            } }),
        };
        let machine = json!({
            "apiVersion": version, "kind": "InitConfiguration",
            "localAPIEndpoint": { "advertiseAddress": "192.0.2.10" },
            "nodeRegistration": { "name": "cp-1", "criSocket": "unix:///run/containerd.sock" },
        });
        let cluster = json!({
            "apiVersion": version, "kind": "ClusterConfiguration", "etcd": etcd,
            // It looks for the newest one otherwise.
            "kubernetesVersion": self.version(),
            "certificateValidityPeriod": format!("{}h", days * 24),
            "caCertificateValidityPeriod": format!("{}h", CA_DAYS * 24),
            // Keys of RSA, as it makes by default, take seconds.
            "encryptionAlgorithm": "ECDSA-P256",
        });
        self.host.write(CONFIGURATION, format!("{machine}\n---\n{cluster}\n"));
    }

    /// What to run to have it do this.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--rootfs").arg(self.host.root());
        command.args(arguments).args(["--config", CONFIGURATION]);
        command
    }

    /// Has it do this, and returns what it says.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubeadm {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// When each file's certificate ends, as kubeadm itself reads it.
    pub fn ends(&self) -> BTreeMap<String, String> {
        let said = self.run(&["certs", "check-expiration", "-o", "json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        let all = ["certificates", "certificateAuthorities"];
        let all = all.iter().flat_map(|kind| said[kind].as_array().unwrap());
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
        all.filter(|entry| entry["missing"] == false)
            .map(|entry| (path(&text(entry, "name")), text(entry, "expirationDate")))
            .collect()
    }

    fn version(&self) -> String {
        let output = Command::new(&self.program).args(["version", "-o", "short"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The file of what kubeadm calls so (`phases/certs/certlist.go`).
fn path(name: &str) -> String {
    match (name.strip_suffix(".conf"), name.strip_prefix("etcd-")) {
        (Some(_), _) => format!("/etc/kubernetes/{name}"),
        (None, Some(of_etcd)) => format!("/etc/kubernetes/pki/etcd/{of_etcd}.crt"),
        (None, None) => format!("/etc/kubernetes/pki/{name}.crt"),
    }
}
