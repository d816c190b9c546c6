//! A cluster that is a real kube-apiserver and etcd, when `KUBEBUILDER_ASSETS` names a folder that
//! holds them (the convention of envtest).

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::{Authority, Pair};
use crate::host::{Host, project, skip};
use crate::https::{Answerer, Ask};
use crate::kubeconfig::kubeconfig;
use crate::kubelet::{self, rotate};
use crate::server::Server;
use crate::wait::{wait_for, wait_up_to};

/// How long an API server may take to start, or be away while somebody works with it.
pub(crate) const AWAY: Duration = Duration::from_mins(2);

/// The version of Cluster API's own kinds, where a test wants no other.
pub(crate) const CLUSTER_API: &str = "v1beta2";

/// A cluster that is only its API server.
pub struct Cluster {
    pub port: u16,
    pub authority: Authority,
    /// The version in which Cluster API's kinds are served, once they are.
    pub cluster_api: &'static str,
    admin: Pair,
    // Stopped before the etcd that it talks to.
    server: Mutex<Server>,
    _etcd: Server,
    directory: TempDir,
}

/// Who asks.
pub enum As {
    Admin,
    Token(String),
}

pub fn assets() -> Option<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS");
    if assets.is_none() {
        skip("KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd; see rig/build");
    }
    assets.map(PathBuf::from)
}

/// A port that was free a moment ago; who takes it must be ready to lose it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    pub fn start(assets: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().to_owned();
        let path = |name: &str| folder.join(name).display().to_string();
        // A socket in a folder of its own cannot be taken by anybody else.
        let etcd_url = format!("unix://{}", path("etcd.sock"));
        let mut command = Command::new(assets.join("etcd"));
        command.args([
            format!("--data-dir={}", path("etcd")),
            format!("--listen-client-urls={etcd_url}"),
            // It advertises to nobody, and takes nothing but a host and a port.
            "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            "--unsafe-no-fsync".to_owned(),
        ]);
        let etcd = Server::start("etcd", command, &folder);
        let authority = Authority::new("kubernetes");
        let (serving, signing) = (authority.server(), authority.server());
        for (name, content) in [
            ("ca.crt", &authority.pem()),
            ("server.crt", &serving.certificate),
            ("server.pem", &serving.key),
            // kube-apiserver reads a public key out of a certificate, not out of a PKCS#8 key.
            ("sa.crt", &signing.certificate),
            ("sa.pem", &signing.key),
        ] {
            fs::write(path(name), content).unwrap();
        }
        let serve = |port: u16| {
            let mut command = Command::new(assets.join("kube-apiserver"));
            command.args([
                format!("--etcd-servers={etcd_url}"),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--cert-dir={}", path("certs")),
                format!("--client-ca-file={}", path("ca.crt")),
                format!("--tls-cert-file={}", path("server.crt")),
                format!("--tls-private-key-file={}", path("server.pem")),
                format!("--service-account-key-file={}", path("sa.crt")),
                format!("--service-account-signing-key-file={}", path("sa.pem")),
                "--service-account-issuer=https://localhost".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ]);
            Server::start("kube-apiserver", command, &folder)
        };
        let admin = authority.member("system:masters", "admin", 2100);
        let port = free_port();
        let server = serve(port);
        let mut cluster = Self {
            port,
            authority,
            cluster_api: CLUSTER_API,
            admin,
            server: Mutex::new(server),
            _etcd: etcd,
            directory,
        };
        wait_up_to(AWAY, "a ready API server", || {
            if cluster.server().ended() {
                // Somebody else was given the port in the meantime.
                assert!(cluster.server().log().contains("address already in use"));
                cluster.port = free_port();
                cluster.server = Mutex::new(serve(cluster.port));
            }
            cluster.is_ready()
        });
        cluster
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> Option<()> {
        let (status, _) = self.ask("GET", "/readyz", &Value::Null)?;
        (status == 200).then_some(())
    }

    /// Ends the API server as a crash does; what it has stored stays.
    pub fn stop(&self) {
        self.server().kill();
    }

    /// Starts it again, and waits until it is ready.
    pub fn start_again(&self) {
        self.server().start_again();
        wait_up_to(AWAY, "the API server again", || self.is_ready());
    }

    /// Ends both API servers, and starts this one again before the other's objects: whoever talks to it talks to
    /// another management cluster from then on.
    pub fn take_over(&self, other: &Self) {
        other.stop();
        self.stop();
        let socket = |of: &Self| of.directory.path().join("etcd.sock");
        fs::remove_file(socket(self)).unwrap();
        std::os::unix::fs::symlink(socket(other), socket(self)).unwrap();
        self.start_again();
    }

    /// The certificate that kube-apiserver was configured with.
    pub fn serving_certificate(&self) -> PathBuf {
        self.directory.path().join("server.crt")
    }

    /// Its key.
    pub fn serving_key(&self) -> PathBuf {
        self.directory.path().join("server.pem")
    }

    /// A kubeconfig of an administrator, with everything embedded.
    pub fn admin_kubeconfig(&self) -> String {
        self.kubeconfig_with(&self.admin)
    }

    /// A kubeconfig of a user in this group, with everything embedded.
    pub fn kubeconfig_of(&self, group: &str, name: &str) -> String {
        self.kubeconfig_with(&self.authority.member(group, name, 2100))
    }

    fn kubeconfig_with(&self, pair: &Pair) -> String {
        let data = |text: &str| STANDARD.encode(text);
        let (certificate, key) = (data(&pair.certificate), data(&pair.key));
        self.kubeconfig(&format!("client-certificate-data: {certificate}, client-key-data: {key}"))
    }

    /// A kubeconfig with this user.
    fn kubeconfig(&self, user: &str) -> String {
        let authority = STANDARD.encode(self.authority.pem());
        let server = format!("https://127.0.0.1:{}", self.port);
        kubeconfig(&format!("server: '{server}', certificate-authority-data: {authority}"), user)
    }

    /// Asks as an administrator; `None` while the server does not answer.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        self.ask_as(&As::Admin, method, path, "application/json", body)
    }

    pub fn ask_as(
        &self,
        who: &As,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let (pair, token) = match who {
            As::Admin => (Some(&self.admin), None),
            As::Token(token) => (None, Some(token.as_str())),
        };
        let authority = self.authority.pem();
        let server = Answerer {
            address: ("127.0.0.1", self.port),
            name: "localhost",
            authority: &authority,
            pair,
        };
        server.ask(&Ask { method, path, content_type, token, body })
    }

    /// Creates an object, and returns it as it is then.
    pub fn create(&self, path: &str, object: &Value) -> Value {
        let (status, made) = wait_for(path, || {
            // Namespaces of the system are made a moment after the server is ready.
            self.ask("POST", path, object).filter(|(status, _)| *status != 404)
        });
        assert_eq!(status, 201, "{made}");
        made
    }

    pub fn node(&self, name: &str) -> Value {
        let path = format!("/api/v1/nodes/{name}");
        wait_for("the Node", || self.ask("GET", &path, &Value::Null)).1
    }

    pub fn make_node(&self, name: &str) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        self.create("/api/v1/nodes", &node);
    }

    /// The agent's rights and their policy.
    pub fn apply_rbac(&self) {
        self.make_all("packaging/kubernetes/rbac.yaml");
    }

    /// Makes the objects of one of the project's files.
    pub fn make_all(&self, file: &str) {
        let text = fs::read_to_string(project(file)).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for object in &objects {
            let kind = object["kind"].as_str().unwrap();
            let plural = match kind.to_lowercase() {
                policy if policy.ends_with('y') => format!("{}ies", policy.trim_end_matches('y')),
                other => format!("{other}s"),
            };
            let version = object["apiVersion"].as_str().unwrap();
            let api = if version.contains('/') { "apis" } else { "api" };
            let collection = match object["metadata"]["namespace"].as_str() {
                Some(namespace) => format!("/{api}/{version}/namespaces/{namespace}/{plural}"),
                None => format!("/{api}/{version}/{plural}"),
            };
            self.create(&collection, object);
        }
    }

    /// Makes a namespace.
    pub fn make_namespace(&self, name: &str) {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.create("/api/v1/namespaces", &namespace);
    }

    /// A kubeconfig with a token of a ServiceAccount, and that token.
    pub fn service_account(&self, namespace: &str, name: &str) -> (String, String) {
        let token = self.request_token(namespace, name, &json!({}));
        (self.kubeconfig(&format!("token: {token}")), token)
    }

    /// A token as the kubelet of this Node mounts it into one of our pods.
    pub fn token(&self, node: &str) -> As {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("expiryd-{node}") },
            "spec": { "nodeName": node, "serviceAccountName": "expiryd",
                "containers": [{ "name": "expiryd", "image": "expiryd" }] },
        });
        let pod = self.create("/api/v1/namespaces/kube-system/pods", &pod);
        let bound = json!({ "boundObjectRef": { "kind": "Pod", "apiVersion": "v1",
            "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"] } });
        As::Token(self.request_token("kube-system", "expiryd", &bound))
    }

    fn request_token(&self, namespace: &str, name: &str, spec: &Value) -> String {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec,
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        self.create(&path, &request)["status"]["token"].as_str().unwrap().to_owned()
    }

    /// A control plane with the identity of this Node's kubelet.
    pub fn host(&self, node: &str) -> Host {
        let host = Host::like("rhel-control-plane-external-etcd");
        host.write("etc/kubernetes/pki/ca.crt", self.authority.pem());
        kubelet::kubeconfig(&host, &format!("https://127.0.0.1:{}", self.port));
        rotate(&host, &self.authority.client(&format!("system:node:{node}"), 2100), "1");
        host
    }
}
