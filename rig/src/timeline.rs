//! What happened, and when: a line for each change of what the controllers act on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use testkit::cluster::Cluster;
use testkit::cluster_api::Management;
use time::OffsetDateTime;

use crate::worker::Worker;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(100);

/// Watches until it is dropped.
pub struct Timeline {
    _worker: Worker,
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<Cluster>,
    /// Beside Machines.
    kinds: &'static [&'static str],
    lines: Mutex<Vec<String>>,
    /// Every Machine that there ever was: control plane, etcd.
    machines: Mutex<[BTreeSet<String>; 2]>,
}

/// What an object is about, by name.
type Said = BTreeMap<String, String>;

impl Timeline {
    pub(crate) fn start(cluster: Arc<Cluster>, kinds: &'static [&'static str]) -> Self {
        let shared = Arc::new(Shared {
            cluster,
            kinds,
            lines: Mutex::default(),
            machines: Mutex::default(),
        });
        let working = Arc::clone(&shared);
        let mut known = Said::new();
        let worker = Worker::every(PERIOD, move || working.look(&mut known));
        Self { _worker: worker, shared }
    }

    /// Writes down what the test does.
    pub fn act(&self, what: &str) {
        self.shared.line(&format!("ACT {what}"));
    }

    /// How many control-plane Machines there ever were.
    pub fn control_plane_machines(&self) -> usize {
        self.shared.machines.lock().unwrap()[0].len()
    }

    /// How many Machines of etcd there ever were.
    pub fn etcd_machines(&self) -> usize {
        self.shared.machines.lock().unwrap()[1].len()
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().unwrap().clone()
    }
}

impl Shared {
    fn line(&self, text: &str) {
        let now = OffsetDateTime::now_utc();
        let (hour, minute, second) = (now.hour(), now.minute(), now.second());
        let line = format!("{hour:02}:{minute:02}:{second:02}.{:03} {text}", now.millisecond());
        eprintln!("{line}");
        self.lines.lock().unwrap().push(line);
    }

    fn look(&self, known: &mut Said) {
        let management = Management(&self.cluster);
        let mut seen = Said::new();
        for machine in management.list("Machine") {
            self.machine(&machine, &mut seen);
        }
        for &kind in self.kinds {
            let short = if kind == "KubeadmControlPlane" { "KCP" } else { kind };
            for object in management.list(kind) {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                for (field, value) in fields(kind, &object) {
                    seen.insert(format!("{short} {name} {field}"), value);
                }
            }
        }
        for (key, value) in &seen {
            match known.get(key) {
                None => self.line(&format!("{key}={value}")),
                Some(old) if old != value => self.line(&format!("{key}: {old} -> {value}")),
                Some(_) => {}
            }
        }
        let gone = |key: &&String| !seen.contains_key(*key);
        for key in known.keys().filter(gone) {
            // Of a Machine that is gone one line is enough.
            let (object, field) = key.rsplit_once(' ').unwrap();
            let stands = seen.range(format!("{object} ")..).next();
            if field == "phase" || stands.is_some_and(|(other, _)| other.starts_with(object)) {
                self.line(&format!("{key} gone"));
            }
        }
        *known = seen;
    }

    fn machine(&self, machine: &Value, seen: &mut Said) {
        let name = machine["metadata"]["name"].as_str().unwrap_or_default();
        let is_etcd = is_of_etcd(machine);
        self.machines.lock().unwrap()[usize::from(is_etcd)].insert(name.to_owned());
        let kind = if is_etcd { "ETCD" } else { "CP" };
        for (field, value) in fields("Machine", machine) {
            seen.insert(format!("{kind} {name} {field}"), value);
        }
    }
}

/// Whether a Machine is one of etcd's.
pub(crate) fn is_of_etcd(machine: &Value) -> bool {
    machine["metadata"]["labels"]["cluster.x-k8s.io/etcd-cluster"].is_string()
}

/// What is looked at of each kind.
fn fields(kind: &str, object: &Value) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut take = |name: &str, value: &Value| match value {
        Value::Null => {}
        Value::String(text) => fields.push((name.to_owned(), text.clone())),
        value => fields.push((name.to_owned(), value.to_string())),
    };
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        if ["expiryd.dev/", "certificates-expiry", "upgrad", "healthcheck"]
            .iter()
            .any(|k| key.contains(k))
        {
            take(key, value);
        }
    }
    match kind {
        "Machine" => {
            take("deleting", &metadata["deletionTimestamp"]);
            take("owner", &metadata["ownerReferences"][0]["kind"]);
            take("phase", &status["phase"]);
            take("address", &status["addresses"][0]["address"]);
            take("expiry", &status["certificatesExpiryDate"]);
        }
        "KubeadmControlPlane" => {
            take(
                "endpoints",
                &spec["kubeadmConfigSpec"]["clusterConfiguration"]["etcd"]["external"]["endpoints"],
            );
            take("days", &spec["rollout"]["before"]["certificatesExpiryDays"]);
            for name in ["replicas", "readyReplicas", "upToDateReplicas"] {
                take(name, &status[name]);
            }
        }
        "EtcdadmCluster" => {
            for name in ["ready", "endpoints", "readyReplicas", "observedGeneration"] {
                take(name, &status[name]);
            }
        }
        "EtcdadmConfig" => take("post", &spec["postEtcdadmCommands"]),
        _ => {}
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let old = status["deprecated"]["v1beta1"]["conditions"].as_array().into_iter().flatten();
    for condition in conditions.chain(old) {
        let Some(name) = condition["type"].as_str() else { continue };
        let told = [
            "RollingOut",
            "SpecUpToDate",
            "CertificatesRenewed",
            "EtcdCertificatesAvailable",
            "Outdated",
        ];
        if told.iter().any(|told| name.contains(told)) {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            fields.push((name.to_owned(), format!("{}({})", text("status"), text("reason"))));
        }
    }
    fields
}
