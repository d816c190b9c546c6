//! An agent on every machine of the control plane: real ones, on hosts whose kubelet talks to the fake API
//! server of the in-memory provider.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use testkit::authority::Authority;
use testkit::cluster::Cluster;
use testkit::cluster_api::Management;
use testkit::dates::usual;
use testkit::kubeadm::{APISERVER, certificates, leaf};
use testkit::kubelet::{AT_ONCE, kubeconfig, rotate};
use testkit::{Agent, Host};
use time::OffsetDateTime;

use crate::fake_etcd::keep_a_leader;
use crate::worker::Worker;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Works until it is dropped, and ends its agents then.
pub struct NodeAgents {
    pub(crate) worker: Worker,
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<Cluster>,
    name: String,
    external: bool,
    /// When the certificates end of the first machines, in the order in which they come.
    ends: Vec<OffsetDateTime>,
    agents: Mutex<BTreeMap<String, (Host, Agent)>>,
}

impl NodeAgents {
    /// The API server's certificates of the first machines end then, and all others when they usually do.
    pub(crate) fn start(
        cluster: Arc<Cluster>,
        name: &str,
        external: bool,
        ends: Vec<OffsetDateTime>,
    ) -> Self {
        let (agents, name) = (Mutex::default(), name.to_owned());
        let shared = Arc::new(Shared { cluster, name, external, ends, agents });
        let working = Arc::clone(&shared);
        let mut started = 0;
        let worker = Worker::every(PERIOD, move || working.look(&mut started));
        Self { worker, shared }
    }

    /// The Machines that have an agent now.
    pub fn machines(&self) -> Vec<String> {
        self.shared.agents.lock().unwrap().keys().cloned().collect()
    }

    /// Has the API server's certificate of a machine end then.
    pub fn renew(&self, machine: &str, end: OffsetDateTime) {
        let agents = self.shared.agents.lock().unwrap();
        agents[machine].0.replace(APISERVER, leaf(end));
    }
}

impl Shared {
    fn look(&self, started: &mut usize) {
        if self.external {
            let _ = keep_a_leader(Management(&self.cluster), &self.name);
        }
        let machines = Management(&self.cluster).list("Machine");
        let node = |machine: &Value| {
            let of = &machine["metadata"]["labels"];
            (of["cluster.x-k8s.io/cluster-name"] == *self.name
                && of["cluster.x-k8s.io/control-plane"].is_string())
            .then(|| machine["status"]["nodeRef"]["name"].as_str().map(str::to_owned))
            .flatten()
        };
        let wanted: BTreeMap<_, _> = machines
            .iter()
            .filter_map(|machine| {
                Some((machine["metadata"]["name"].as_str()?.to_owned(), node(machine)?))
            })
            .collect();
        // One whose Node is not known yet, after a move, has its agent all the same.
        let there: BTreeSet<_> =
            machines.iter().filter_map(|machine| machine["metadata"]["name"].as_str()).collect();
        self.agents.lock().unwrap().retain(|machine, _| there.contains(machine.as_str()));
        for (machine, node) in wanted {
            if self.agents.lock().unwrap().contains_key(&machine) {
                continue;
            }
            let Some(host) = self.host(&node, self.ends.get(*started).copied()) else { continue };
            *started += 1;
            let agent = Agent::start(&host, AT_ONCE);
            self.agents.lock().unwrap().insert(machine, (host, agent));
        }
    }

    /// A machine whose kubelet has this Node; `None` while its cluster has no kubeconfig.
    fn host(&self, node: &str, end: Option<OffsetDateTime>) -> Option<Host> {
        let secret = |name: &str, key: &str| {
            let name = format!("{}-{name}", self.name);
            Management(&self.cluster).secret_field(&name, key)
        };
        let admin: Value = serde_saphyr::from_str(&secret("kubeconfig", "value")?).ok()?;
        let cluster = &admin["clusters"][0]["cluster"];
        let authority = STANDARD.decode(cluster["certificate-authority-data"].as_str()?).ok()?;
        let fixture = if self.external {
            "rhel-control-plane-external-etcd"
        } else {
            "ubuntu-control-plane-stacked-etcd"
        };
        let host = Host::like(fixture);
        host.write("etc/kubernetes/pki/ca.crt", &authority);
        certificates(&host, !self.external, usual());
        host.write(APISERVER, leaf(end.unwrap_or_else(usual)));
        if self.external {
            // KCP has it copied from the Secret of etcdadm-controller.
            let pair = secret("apiserver-etcd-client", "tls.crt")?;
            host.write("etc/kubernetes/pki/apiserver-etcd-client.crt", pair);
        }
        kubeconfig(&host, cluster["server"].as_str()?);
        let identity = Authority::new("kubernetes").client(&format!("system:node:{node}"), 2100);
        rotate(&host, &identity, "1");
        Some(host)
    }
}
