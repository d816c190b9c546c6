//! The servers that such a machine runs, where they listen on loopback, and which files they were configured with.
//!
//! kubeadm `app/phases/controlplane/manifests.go` (`--tls-cert-file`, `--secure-port`) and
//! `app/phases/etcd/local.go`, etcdadm `constants/constants.go`. Both have etcd listen for peers on the machine's
//! address alone, so that nobody answers on loopback there unless somebody changed that.

use expiryd_api::{EtcdTopology, Role};

use super::Layout;
use super::evidence::MANIFESTS;
use super::operating_system::{host, small_text};
use crate::host_root::{HostPath, HostRoot};

/// A server on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What people call it.
    pub name: &'static str,
    /// Its port on loopback.
    pub port: u16,
    /// The file with the certificate that it was configured with.
    pub path: HostPath,
}

/// Where kube-apiserver listens unless its manifest says otherwise.
const API_SERVER: u16 = 6443;

/// Where etcd listens for clients, and for its peers.
const ETCD: [u16; 2] = [2379, 2380];

impl Layout {
    /// The servers of a machine with this role, in the order of their ports as they usually are.
    pub fn servers(&self, role: Role, etcd: Option<EtcdTopology>) -> Vec<Server> {
        let pki = &self.control_plane_pki;
        let etcd_in = |directory: &HostPath| {
            let [clients, peers] = ETCD;
            [
                Server { name: "etcd", port: clients, path: directory.join("server.crt") },
                Server { name: "etcd", port: peers, path: directory.join("peer.crt") },
            ]
        };
        let mut servers = Vec::new();
        match (role, etcd) {
            (Role::ControlPlane, Some(EtcdTopology::Stacked)) => {
                servers.extend(etcd_in(&pki.join("etcd")));
            }
            (Role::Etcd, _) => servers.extend(etcd_in(&self.etcd_pki)),
            _ => {}
        }
        if role == Role::ControlPlane {
            let port = self.api_server_port.unwrap_or(API_SERVER);
            servers.push(Server { name: "kube-apiserver", port, path: pki.join("apiserver.crt") });
        }
        servers
    }
}

/// The port in kube-apiserver's static pod, where it names one.
pub(super) fn api_server_port(root: &HostRoot) -> Option<u16> {
    MANIFESTS.iter().find_map(|directory| {
        let manifest = small_text(root, &format!("{directory}/kube-apiserver.yaml"))?;
        secure_port(&manifest)
    })
}

/// The files that [`api_server_port`] reads.
pub(super) fn manifests() -> impl Iterator<Item = HostPath> {
    MANIFESTS.iter().map(|directory| host(&format!("{directory}/kube-apiserver.yaml")))
}

/// The value of `--secure-port`, as kubeadm writes the command's arguments: one to a line.
fn secure_port(manifest: &str) -> Option<u16> {
    let (_, value) = manifest.split_once("--secure-port=")?;
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_static_pods_command() {
        let manifest =
            "  - command:\n    - kube-apiserver\n    - --secure-port=8443\n    - --x=1\n";
        assert_eq!(secure_port(manifest), Some(8443));
        assert_eq!(secure_port("    - \"--secure-port=6444\"\n"), Some(6444));
        assert_eq!(secure_port("    - --secure-port=0\n"), None);
        assert_eq!(secure_port("    - --secure-port=99999\n"), None);
        assert_eq!(secure_port("    - --bind-address=::\n"), None);
    }
}
