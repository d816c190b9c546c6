//! The certificates of a control-plane machine as kubeadm makes them, with ends that a test chooses: the clock of
//! a controller cannot be set.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;

use crate::certificate::CertificateBuilder;
use crate::dates::der;
use crate::host::Host;
use crate::kubeconfig::kubeconfig;

/// What the API server serves.
pub const APISERVER: &str = "etc/kubernetes/pki/apiserver.crt";

/// What kubeadm makes on every machine (`certlist.go`), beside that.
const LEAVES: &[&str] = &["apiserver-kubelet-client.crt", "front-proxy-client.crt"];
const OF_STACKED_ETCD: &[&str] = &[
    "apiserver-etcd-client.crt",
    "etcd/server.crt",
    "etcd/peer.crt",
    "etcd/healthcheck-client.crt",
];
const KUBECONFIGS: &[&str] = &["admin", "super-admin", "controller-manager", "scheduler"];

/// A leaf that ends then.
pub fn leaf(end: OffsetDateTime) -> String {
    CertificateBuilder::leaf(&der(end)).pem()
}

/// All that kubeadm makes on a machine, ending then; with stacked etcd its members' as well.
pub fn certificates(host: &Host, stacked: bool, end: OffsetDateTime) {
    host.write(APISERVER, leaf(end));
    for name in LEAVES.iter().chain(if stacked { OF_STACKED_ETCD } else { &[] }) {
        host.write(&format!("etc/kubernetes/pki/{name}"), leaf(end));
    }
    for name in KUBECONFIGS {
        host.write(&format!("etc/kubernetes/{name}.conf"), embedded(&leaf(end)));
    }
}

fn embedded(certificate: &str) -> String {
    let user = format!("client-certificate-data: {}", STANDARD.encode(certificate));
    kubeconfig("server: 'https://127.0.0.1:6443'", &user)
}
