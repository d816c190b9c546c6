//! What is served: the page, `/clusters`, `/metrics` and the kubelet's two paths; and to whom.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use testkit::authority::Authority;
use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::NAMESPACE;
use testkit::https::{Answerer, Ask};
use testkit::{Server, kubeconfig, skip, strace, wait_for};

use crate::control_plane::{OPT_IN, annotate_cluster, prod, program, run_as};
use crate::openapi;

/// The program at work, with the addresses that it listens on.
pub(crate) struct Serving {
    program: Server,
    pub(crate) ports: Vec<u16>,
}

impl Serving {
    /// Starts it, and waits until it listens on so many addresses.
    pub(crate) fn start(
        kubeconfig: &str,
        folder: &TempDir,
        flags: &[&str],
        addresses: usize,
    ) -> Self {
        let flags = [&["--leader-elect-namespace", NAMESPACE], flags].concat();
        Self::of(run_as(kubeconfig, folder, &flags), addresses)
    }

    /// Waits until the program listens on so many addresses.
    fn of(program: Server, addresses: usize) -> Self {
        let port = |line: &str| {
            let (_, address) = line.split_once("listening address=")?;
            address.rsplit_once(':')?.1.parse().ok()
        };
        let ports = wait_for("its addresses", || {
            let ports: Vec<_> = program.log().lines().filter_map(port).collect();
            (ports.len() == addresses).then_some(ports)
        });
        Self { program, ports }
    }

    /// The status and the body of a path, from one of the addresses.
    pub(crate) fn get(&self, address: usize, path: &str) -> (u16, String) {
        self.get_by(Ipv4Addr::LOCALHOST.into(), address, path)
    }

    fn get_by(&self, host: IpAddr, address: usize, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect((host, self.ports[address])).unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// `/clusters` once a cluster was read.
    fn clusters(&self) -> Value {
        wait_for("a cluster", || {
            let clusters: Value = serde_json::from_str(&self.get(0, "/clusters").1).ok()?;
            clusters["clusters"][0].is_object().then_some(clusters)
        })
    }
}

#[test]
fn the_fleet_is_a_page_json_and_metrics() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    prod(&cluster);
    annotate_cluster(&cluster, OPT_IN, &"7d".into());
    let flags = ["--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"];
    let serving = Serving::start(&cluster.admin_kubeconfig(), &folder, &flags, 2);

    let clusters = serving.clusters();
    openapi::is("Fleet", &clusters);
    let prod = &clusters["clusters"][0];
    assert_eq!((&clusters["leads"], &prod["name"]), (&json!(true), &json!("prod")));
    assert_eq!((&prod["optIn"], &prod["days"]), (&json!("full"), &json!(7)));
    let machine = &prod["machines"][0];
    assert_eq!(
        (&machine["role"], &machine["agent"]),
        (&json!("control-plane"), &json!("no-agent"))
    );
    assert_eq!(prod["findings"][0]["guard"], "starting");

    let (status, page) = serving.get(0, "/");
    assert_eq!(status, 200);
    for said in ["eksa-system/prod", "nothing known", "cp-1", "starting"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let (status, page) = serving.get(0, "/?cluster=eksa-system/prod");
    assert!(status == 200 && page.contains("<h1>Certificates of eksa-system/prod</h1>"), "{page}");
    assert_eq!(serving.get(0, "/?cluster=eksa-system/other").0, 404);
    let (_, metrics) = serving.get(0, "/metrics");
    for line in [
        "expiryd_controller_leader 1",
        "expiryd_controller_cluster_read{namespace=\"eksa-system\",cluster=\"prod\"} 1",
        "guard=\"starting\",concern=\"wait\"} 1",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!((serving.get(0, path).0, serving.get(1, path).0), (200, 200), "{path}");
    }
    // The kubelet's address has nothing else.
    for path in ["/", "/clusters", "/metrics"] {
        assert_eq!(serving.get(1, path).0, 404, "{path}");
    }
}

#[test]
fn beyond_loopback_it_is_told_over_tls_to_whom_the_api_server_lets() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    prod(&cluster);
    cluster.make_all("packaging/kubernetes/controller/base/namespace.yaml");
    cluster.make_all("packaging/kubernetes/controller/base/rbac.yaml");
    let (_, token) = cluster.service_account("expiryd-system", "expiryd-controller");

    let output = program(&cluster, &folder).args(["run", "--listen", "0.0.0.0:0"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(78));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("0.0.0.0:0 is not a loopback address"), "{message}");

    let authority = Authority::new("page");
    let pair = authority.server();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, &pair.certificate).unwrap();
    std::fs::write(&key, &pair.key).unwrap();
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let flags = ["--listen", "0.0.0.0:0", "--tls-certificate", &certificate, "--tls-key", &key];
    let serving = Serving::start(&cluster.admin_kubeconfig(), &folder, &flags, 1);
    let authority = authority.pem();
    let server = Answerer {
        address: ("127.0.0.1", serving.ports[0]),
        name: "localhost",
        authority: &authority,
        pair: None,
    };
    let ask = |path, token| {
        let asked =
            Ask { method: "GET", path, content_type: "text/plain", token, body: &Value::Null };
        wait_for("an answer", || server.ask(&asked)).0
    };
    assert_eq!(ask("/healthz", None), 200);
    assert_eq!((ask("/clusters", None), ask("/clusters", Some("nonsense"))), (401, 403));
    assert_eq!(ask("/clusters", Some(&token)), 403);
    let subject = json!({ "kind": "ServiceAccount", "name": "expiryd-controller", "namespace": "expiryd-system" });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "expiryd-controller-reader" },
        "subjects": [subject],
    });
    cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding);
    wait_for("the right to read", || (ask("/clusters", Some(&token)) == 200).then_some(()));
}

#[test]
fn the_kubelet_reaches_it_by_either_family() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--health", "[::]:0"];
    let serving = Serving::start(&kubeconfig::open("127.0.0.1:1"), &folder, &flags, 2);
    assert_eq!(serving.get(1, "/healthz").0, 200);
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return skip("this machine has no IPv6");
    }
    assert_eq!(serving.get_by(Ipv6Addr::LOCALHOST.into(), 1, "/healthz").0, 200);
}

#[test]
fn where_the_kernel_has_no_ipv6_the_kubelet_reaches_it_by_ipv4() {
    let Some(mut strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig::open("127.0.0.1:1")).unwrap();
    // The second socket is the kubelet's.
    // With -D the program itself is what is started, and ended.
    strace.args([
        "-D",
        "-f",
        "-e",
        "trace=socket",
        "-e",
        "inject=socket:error=EAFNOSUPPORT:when=2",
    ]);
    strace.arg(env!("CARGO_BIN_EXE_expiryd-controller")).env("KUBECONFIG", file);
    strace.args(["run", "--listen", "127.0.0.1:0", "--health", "[::]:0"]);
    let serving = Serving::of(Server::start("strace", strace, folder.path()), 2);
    assert!(serving.program.log().contains("there is no IPv6 here"));
    assert_eq!(serving.get(1, "/healthz").0, 200);
}

#[test]
fn called_by_kubectl_it_shows_the_plan() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let folder = tempfile::tempdir().unwrap();
    prod(&cluster);
    let plugin = folder.path().join("kubectl-expiry");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_expiryd-controller"), &plugin).unwrap();
    let kubeconfig = folder.path().join("admin");
    std::fs::write(&kubeconfig, cluster.admin_kubeconfig()).unwrap();
    let plan = Command::new(plugin).arg("--kubeconfig").arg(kubeconfig).output().unwrap();
    assert_eq!(plan.status.code(), Some(3), "nothing is known of its machine");
    let text = String::from_utf8(plan.stdout).unwrap();
    assert!(text.starts_with("eksa-system/prod, not opted in\n"), "{text}");
}
