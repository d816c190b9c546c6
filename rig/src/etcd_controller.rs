//! etcdadm-controller as a pod that can be evicted: a process, and the Pod that stands for it.
//!
//! No kubelet is there, so the rig does what one and a Deployment would: whoever evicts the Pod has the
//! process ended, and another one started.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::Server;
use testkit::cluster::Cluster;
use testkit::cluster_api::Management;

use crate::managers::Managers;
use crate::worker::Worker;
use testkit::dates::{now, rfc3339};

/// Where EKS Anywhere puts it.
pub(crate) const NAMESPACE: &str = "etcdadm-controller-system";

/// How often it is looked whether the Pod is there.
const PERIOD: Duration = Duration::from_millis(250);

/// Ended with this.
pub(crate) struct EtcdController {
    _worker: Worker,
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<Cluster>,
    managers: Arc<Managers>,
    running: Mutex<Running>,
}

struct Running {
    server: Server,
    pod: String,
    starts: usize,
}

impl EtcdController {
    pub(crate) fn start(cluster: Arc<Cluster>, managers: Arc<Managers>) -> Self {
        cluster.make_namespace(NAMESPACE);
        let running = Mutex::new(Running::start(&cluster, &managers, 1));
        let shared = Arc::new(Shared { cluster, managers, running });
        let working = Arc::clone(&shared);
        let worker = Worker::every(PERIOD, move || working.look());
        Self { _worker: worker, shared }
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> usize {
        self.shared.running.lock().unwrap().starts
    }

    /// Ends the process as a crash does; it stays away until its Pod is gone.
    pub(crate) fn stop(&self) {
        self.shared.running.lock().unwrap().server.kill();
    }

    /// Ends the process as a crash does; the Pod stays, and another process is started in it.
    pub(crate) fn crash(&self) {
        let mut running = self.shared.running.lock().unwrap();
        running.server.kill();
        running.server = self.shared.managers.etcdadm_controller();
        running.starts += 1;
        tell(&self.shared.cluster, &running.pod);
    }
}

impl Shared {
    fn look(&self) {
        let mut running = self.running.lock().unwrap();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", running.pod);
        if self.cluster.ask("GET", &path, &Value::Null).is_some_and(|(status, _)| status == 404) {
            running.server.kill();
            *running = Running::start(&self.cluster, &self.managers, running.starts + 1);
        }
    }
}

impl Running {
    fn start(cluster: &Cluster, managers: &Managers, starts: usize) -> Self {
        let server = managers.etcdadm_controller();
        let pod = format!("etcdadm-controller-controller-manager-{starts}");
        let labels = json!({ "control-plane": "controller-manager" });
        let container = json!({ "name": "manager", "image": "etcdadm-controller" });
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": pod, "labels": labels },
            "spec": { "containers": [container] },
        });
        cluster.create(&format!("/api/v1/namespaces/{NAMESPACE}/pods"), &object);
        tell(cluster, &pod);
        Self { server, pod, starts }
    }
}

/// Says on the Pod that its container was started just now.
fn tell(cluster: &Cluster, pod: &str) {
    let status = json!({
        "phase": "Running",
        "containerStatuses": [{
            "name": "manager", "image": "etcdadm-controller", "imageID": "", "ready": true,
            "restartCount": 0, "state": { "running": { "startedAt": rfc3339(now()) } },
        }],
    });
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/status");
    Management(cluster).merge(&path, &json!({ "status": status }));
}
