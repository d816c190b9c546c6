//! The real kubelet at work on a host, as far as its client certificate goes: it asks for one and rotates it in the
//! background, while it waits for a container runtime that never says a word.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cluster::Cluster;
use crate::host::Host;
use crate::server::Server;
use crate::wait::wait_up_to;

/// The runtime's socket on the host.
const RUNTIME: &str = "/var/lib/containerd/containerd.sock";

const CONFIGURATION: &str = "/var/lib/kubelet/config.json";
const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
const BOOTSTRAPPERS: &str = "system:bootstrappers";

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// An empty SETTINGS frame (RFC 9113, 6.5): with it a connection is one of HTTP/2, and every call on it waits.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// What the kubelet may take until it asks for a certificate.
const BOOT: Duration = Duration::from_mins(1);

/// Starts it with a bootstrap kubeconfig, as kubeadm's unit does on a machine that joins. What it finds in /etc and
/// /var is the host's; of this machine it changes nothing before its runtime has answered.
pub fn start(assets: &Path, host: &Host, cluster: &Cluster, node: &str) -> Server {
    let runtime = host.path(RUNTIME);
    fs::create_dir_all(runtime.parent().unwrap()).unwrap();
    be_silent(UnixListener::bind(runtime).unwrap());
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "rotateCertificates": true,
        "containerRuntimeEndpoint": format!("unix://{RUNTIME}"),
        // How long it waits for the first word.
        "runtimeRequestTimeout": "24h",
        // What it would not run containers on.
        "failCgroupV1": false,
    });
    host.write(CONFIGURATION, configuration.to_string());
    let (group, user) = (BOOTSTRAPPERS, "system:bootstrap:testkit");
    host.write(BOOTSTRAP, cluster.kubeconfig_of(group, user));
    allow_to_join(cluster);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--", "sh", "-ec"])
        .arg("for of in etc var; do mount --bind \"$0/$of\" /$of; done; exec \"$@\"")
        .arg(host.root())
        .arg(assets.join("kubelet"))
        .arg(format!("--config={CONFIGURATION}"))
        .arg(format!("--bootstrap-kubeconfig={BOOTSTRAP}"))
        .arg("--kubeconfig=/etc/kubernetes/kubelet.conf")
        .arg(format!("--hostname-override={node}"));
    Server::start("kubelet", command, host.configuration().parent().unwrap())
}

/// Takes every connection, and answers nothing on it.
fn be_silent(runtime: UnixListener) {
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut connection in runtime.incoming().map_while(Result::ok) {
            let _ = connection.write_all(SETTINGS);
            held.push(connection);
        }
    });
}

/// As kubeadm does it (`phases/bootstraptoken/node/tlsbootstrap.go`).
fn allow_to_join(cluster: &Cluster) {
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": { "name": "kubeadm:kubelet-bootstrap" },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "system:node-bootstrapper" },
        "subjects": [{ "apiGroup": group, "kind": "Group", "name": BOOTSTRAPPERS }],
    });
    cluster.create(&format!("/apis/{group}/v1/clusterrolebindings"), &binding);
}

/// Approves the next request for a certificate and signs it for the time between these two, in the place of
/// kube-controller-manager, which would sign it for a year from now.
pub fn grant(cluster: &Cluster, not_before: OffsetDateTime, not_after: OffsetDateTime) {
    let mut request = wait_up_to(BOOT, "a request for a certificate", || {
        let (_, all) = cluster.ask("GET", REQUESTS, &Value::Null)?;
        let waiting = |request: &&Value| request["status"]["certificate"].is_null();
        all["items"].as_array()?.iter().find(waiting).cloned()
    });
    let name = request["metadata"]["name"].as_str().unwrap().to_owned();
    let put = |part: &str, request: &Value| {
        let (status, answer) =
            cluster.ask("PUT", &format!("{REQUESTS}/{name}/{part}"), request).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    };
    request["status"]["conditions"] = json!([
        { "type": "Approved", "status": "True", "reason": "Test", "message": "by the test" }]);
    request = put("approval", &request);
    let asked = STANDARD.decode(request["spec"]["request"].as_str().unwrap()).unwrap();
    let asked = String::from_utf8(asked).unwrap();
    let signed = cluster.authority.sign_request(&asked, not_before, not_after);
    request["status"]["certificate"] = STANDARD.encode(signed).into();
    put("status", &request);
}
