//! What somebody does to etcd's objects with kubectl, without our controller.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::management::{CLUSTER, Rig};

/// A Machine of etcd, as far as a test asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdMachine {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub born: OffsetDateTime,
    /// Whether etcdadm-controller has not let go of it.
    pub owned: bool,
    /// Where its member is, once it has one.
    pub address: Option<String>,
    config: String,
}

impl Rig {
    /// The Machines of etcd that are there now.
    pub fn etcd_members(&self) -> Vec<EtcdMachine> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let born = |machine: &Value| {
            let born = machine["metadata"]["creationTimestamp"].as_str().unwrap();
            OffsetDateTime::parse(born, &Rfc3339).unwrap()
        };
        let machines = self.machine_objects(true).map(|machine| EtcdMachine {
            born: born(&machine),
            name: text(&machine["metadata"]["name"]),
            owned: machine["metadata"]["ownerReferences"][0]["kind"] == "EtcdadmCluster",
            address: machine["status"]["addresses"][0]["address"].as_str().map(str::to_owned),
            config: text(&machine["spec"]["bootstrap"]["configRef"]["name"]),
        });
        machines.collect()
    }

    /// Has etcdadm-controller replace every member that is its own, as our controller does it: a mark on each
    /// EtcdadmConfig, then a nudge. Nothing is looked at before.
    pub fn roll_etcd(&self, id: &str) {
        for machine in self.etcd_members().iter().filter(|machine| machine.owned) {
            let mark = json!({ "spec": { "postEtcdadmCommands": [format!(": rig {id}")] } });
            self.management().patch("EtcdadmConfig", &machine.config, &mark);
        }
        self.annotate_etcd("expiryd.dev/rig-nudge", id);
        self.timeline.act(&format!("began the rollout {id} of etcd by hand"));
    }

    /// Sets an annotation of the EtcdadmCluster.
    pub fn annotate_etcd(&self, key: &str, value: &str) {
        self.timeline.act(&format!("annotated the EtcdadmCluster {key}={value}"));
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.management().patch("EtcdadmCluster", &format!("{CLUSTER}-etcd"), &patch);
    }

    /// Sets the control plane's days before expiry.
    pub fn set_days(&self, days: i64) {
        self.timeline.act(&format!("set the control plane's days to {days}"));
        let patch =
            json!({ "spec": { "rollout": { "before": { "certificatesExpiryDays": days } } } });
        self.management().patch("KubeadmControlPlane", CLUSTER, &patch);
    }

    /// Writes Cluster API's key on a Machine.
    pub fn date_machine(&self, machine: &str, date: &str) {
        self.timeline.act(&format!("wrote {date} on the Machine {machine}"));
        let key = "machine.cluster.x-k8s.io/certificates-expiry";
        let patch = json!({ "metadata": { "annotations": { key: date } } });
        self.management().patch("Machine", machine, &patch);
    }

    /// The endpoints of etcd that the control plane has.
    pub fn etcd_endpoints(&self) -> Vec<String> {
        let control_plane = self.control_plane();
        let configuration = &control_plane["spec"]["kubeadmConfigSpec"]["clusterConfiguration"];
        let endpoints = configuration["etcd"]["external"]["endpoints"].as_array().cloned();
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        endpoints.unwrap_or_default().into_iter().map(text).collect()
    }
}
