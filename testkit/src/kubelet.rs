//! The kubelet's identity on a host: its kubeconfig, and the certificate that it rotates.

use serde_json::Value;

use crate::agent::Agent;
use crate::api_server::ApiServer;
use crate::authority::Pair;
use crate::host::Host;
use crate::kubeconfig;
use crate::wait::wait_for;

/// Settles and publishes at once; nothing here is about waiting.
pub const AT_ONCE: &str = "settle = \"0s\"\n[node]\nspread = \"0s\"\n";

/// Where the kubelet's current client certificate is.
pub const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// A control plane whose kubelet talks to this server.
pub fn control_plane(server: &ApiServer) -> Host {
    let host = Host::like("rhel-control-plane-external-etcd");
    join(&host, server, &server.authority.client("system:node:cp-1", 2100));
    host
}

/// Gives a host the kubelet's identity.
pub fn join(host: &Host, server: &ApiServer, client: &Pair) {
    host.write("etc/kubernetes/pki/ca.crt", server.authority.pem());
    kubeconfig(host, &format!("https://{}", server.address));
    rotate(host, client, "1");
}

pub fn kubeconfig(host: &Host, server: &str) {
    kubeconfig_with(host, server, "/etc/kubernetes/pki/ca.crt");
}

pub fn kubeconfig_with(host: &Host, server: &str, authority: &str) {
    let text = kubeconfig::kubeconfig(
        &format!("server: '{server}', certificate-authority: {authority}"),
        &format!("client-certificate: {CURRENT}, client-key: {CURRENT}"),
    );
    host.write("etc/kubernetes/kubelet.conf", text);
}

/// As the kubelet does it: a new dated file, and the link to it.
pub fn rotate(host: &Host, client: &Pair, date: &str) {
    let dated = format!("/var/lib/kubelet/pki/kubelet-client-{date}.pem");
    host.write(&dated, format!("{}{}", client.certificate, client.key));
    host.remove(CURRENT);
    host.link(CURRENT, &dated);
}

/// How the agent's first publication gets on.
pub fn publication(agent: &Agent) -> Value {
    agent.report()["publications"][0].clone()
}

/// Waits until it is in this state.
pub fn publication_when(agent: &Agent, state: &str) -> Value {
    wait_for(state, || Some(publication(agent)).filter(|p| p["state"] == state))
}
