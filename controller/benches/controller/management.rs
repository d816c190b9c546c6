//! A management cluster that answers for a fleet, with its workload clusters and etcd machines: what the program
//! has to be given to be measured. It keeps what is written, and counts what is asked.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use testkit::authority::{Authority, Pair};
use testkit::cluster_api::data;
use testkit::dates::{in_days, rfc3339};
use testkit::etcd_pki;

use super::objects::{
    ETCD, MACHINES, cluster, control_plane, etcd_cluster, groups, list, machine, machine_name,
    namespace, resources,
};

struct Fleet {
    clusters: usize,
    port: u16,
    authority: Authority,
    client: Pair,
    end: String,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// What was merged into objects, by their paths.
    patches: HashMap<String, Value>,
    requests: usize,
    writes: usize,
    /// Clusters whose etcd was asked for: the last thing that is read of one.
    read: BTreeSet<String>,
}

/// Answers until it is killed; prints its port first.
pub fn serve(clusters: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let authority = Authority::new("etcd-ca");
        let client = etcd_pki::client(&authority, "fleet", in_days(350, 0));
        let end = rfc3339(in_days(300, 0));
        let server = etcd_pki::server(&authority, ETCD, in_days(300, 0));
        etcd(&server, &end);
        let kept = Mutex::default();
        let fleet = Arc::new(Fleet { clusters, port, authority, client, end, kept });
        println!("{port}");
        let app = Router::new().fallback(answer).with_state(fleet);
        axum::serve(listener, app).await.unwrap();
    });
}

/// An agent and a member of etcd, as far as they are asked.
fn etcd(server: &Pair, end: &str) {
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let config = Arc::new(config.unwrap());
    let report = json!({
        "observedAt": rfc3339(testkit::dates::now()), "status": "ok", "settled": true,
        "machineRollout": { "notAfter": end, "path": "/etc/etcd/pki/server.crt" },
    });
    let report = report.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{report}",
        report.len()
    );
    for port in [9797, 2379] {
        let listener = TcpListener::bind((ETCD, port)).unwrap();
        let (config, answer) = (Arc::clone(&config), answer.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = talk(stream, &config, &answer);
            }
        });
    }
}

fn talk(stream: TcpStream, config: &Arc<ServerConfig>, answer: &str) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let _ = stream.read(&mut [0; 4096])?;
    stream.write_all(answer.as_bytes())?;
    stream.flush()
}

async fn answer(
    State(fleet): State<Arc<Fleet>>,
    method: Method,
    uri: Uri,
    body: axum::body::Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let selector = uri.query().unwrap_or_default().replace("%3D", "=").replace("%2C", ",");
    if path == "/measured" {
        let kept = fleet.kept.lock().unwrap();
        return answered(&json!([kept.requests, kept.writes, kept.read.len()]));
    }
    // Which clusters there are is asked every minute, for all of them at once.
    if !path.ends_with("/clusters") {
        fleet.kept.lock().unwrap().requests += 1;
    }
    if method != Method::GET {
        let patch: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = path.trim_end_matches("/status").to_owned();
        let mut kept = fleet.kept.lock().unwrap();
        kept.writes += 1;
        merge(kept.patches.entry(path).or_insert(Value::Null), patch);
    }
    match fleet.object(path.trim_end_matches("/status"), &selector) {
        Some(object) => answered(&object),
        None => http::StatusCode::NOT_FOUND.into_response(),
    }
}

fn answered(object: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], object.to_string()).into_response()
}

/// RFC 7396.
fn merge(into: &mut Value, patch: Value) {
    match patch {
        Value::Object(patch) => {
            if !into.is_object() {
                *into = json!({});
            }
            for (key, value) in patch {
                if value.is_null() {
                    into.as_object_mut().unwrap().remove(&key);
                } else {
                    merge(&mut into[key], value);
                }
            }
        }
        other => *into = other,
    }
}

impl Fleet {
    fn object(&self, path: &str, selector: &str) -> Option<Value> {
        if let Some(rest) = path.strip_prefix("/workload/") {
            let (cluster, path) = rest.split_once('/')?;
            return match path {
                "api/v1/nodes" => Some(list((0..MACHINES).map(|n| self.node(cluster, n)))),
                _ => Some(namespace(cluster)),
            };
        }
        let words: Vec<_> = path.trim_start_matches('/').split('/').collect();
        Some(match *words.as_slice() {
            ["apis"] => groups(),
            ["apis", group, version] => resources(group, version),
            ["api", "v1", "namespaces", _] => namespace("management"),
            ["api", "v1", "namespaces", _, "pods"] => list(std::iter::empty()),
            ["api", "v1", "namespaces", _, "secrets", name] => self.secret(name),
            ["apis", "cluster.x-k8s.io", _, "clusters"] => {
                list((0..self.clusters).map(|n| self.kept(path, &format!("c{n}"), cluster(n))))
            }
            ["apis", .., "clusters", name] => {
                let number = name.trim_start_matches('c').parse().ok()?;
                self.patched(path, cluster(number))
            }
            ["apis", .., "kubeadmcontrolplanes", name] => self.patched(path, control_plane(name)),
            ["apis", .., "etcdadmclusters", name] => {
                self.kept.lock().unwrap().read.insert(name.to_owned());
                self.patched(path, etcd_cluster(name))
            }
            ["apis", .., "machines", name] => {
                let (rest, number) = name.rsplit_once('-')?;
                let (cluster, role) = rest.split_once('-')?;
                self.patched(path, machine(cluster, number.parse().ok()?, role == "etcd"))
            }
            ["apis", .., "events"] => json!({ "metadata": { "name": "e" } }),
            ["apis", .., kind] => {
                let (_, name) = selector.split_once("cluster-name=")?;
                let name = name.split([',', '&']).next()?;
                let of_etcd = kind == "etcdadmconfigs" || selector.contains("etcd-cluster");
                list((0..MACHINES).map(|n| {
                    let object = match kind {
                        "machines" => machine(name, n, of_etcd),
                        _ => self.config(name, n, of_etcd),
                    };
                    let machine = object["metadata"]["name"].as_str().unwrap().to_owned();
                    self.kept(path, &machine, object)
                }))
            }
            _ => return None,
        })
    }

    fn kept(&self, collection: &str, name: &str, object: Value) -> Value {
        self.patched(&format!("{collection}/{name}"), object)
    }

    /// With what was merged into it; another resourceVersion then, as a write that is guarded by it needs.
    fn patched(&self, path: &str, mut object: Value) -> Value {
        if let Some(patch) = self.kept.lock().unwrap().patches.get(path) {
            merge(&mut object, patch.clone());
        }
        object
    }

    fn node(&self, cluster: &str, n: usize) -> Value {
        let filling: Vec<_> = (0..30)
            .map(|image| json!({ "names": [format!("registry.example/image-{image}@sha256:{image:064}")], "sizeBytes": 100_000_000 }))
            .collect();
        json!({
            "metadata": {
                "name": format!("{cluster}-cp-{n}"), "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "node-role.kubernetes.io/control-plane": "" },
                "annotations": {
                    "machine.cluster.x-k8s.io/certificates-expiry": self.end,
                    "expiryd.dev/machine-rollout-certificate": "/etc/kubernetes/pki/apiserver.crt",
                    "expiryd.dev/observed-at": rfc3339(testkit::dates::now()),
                    "expiryd.dev/status": "ok",
                    "expiryd.dev/etcd-rollout-expiry": self.end,
                },
            },
            "spec": { "providerID": format!("test:///{cluster}-cp-{n}") },
            "status": { "images": filling },
        })
    }

    fn config(&self, cluster: &str, n: usize, of_etcd: bool) -> Value {
        let name = machine_name(cluster, n, of_etcd);
        json!({
            "metadata": {
                "name": name, "resourceVersion": "1",
                "annotations": { "machine.cluster.x-k8s.io/certificates-expiry": self.end },
                "ownerReferences": [{ "kind": "Machine", "name": name, "apiVersion": "x", "uid": "1" }],
            },
            "spec": {},
        })
    }

    fn secret(&self, name: &str) -> Value {
        let data = if let Some(cluster) = name.strip_suffix("-kubeconfig") {
            let server = format!("127.0.0.1:{}/workload/{cluster}", self.port);
            data(&[("value", &testkit::kubeconfig::open(&server))])
        } else if name.ends_with("-apiserver-etcd-client") {
            data(&[("tls.crt", &self.client.certificate), ("tls.key", &self.client.key)])
        } else {
            data(&[("tls.crt", &self.authority.pem())])
        };
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": data })
    }
}
