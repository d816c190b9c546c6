//! A management cluster with everything in it that EKS Anywhere puts there to make clusters.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::authority::Authority;
use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::{Management, NAMESPACE};
use testkit::lying_agent::Lie;
use testkit::{Server, wait_for, wait_up_to};
use time::OffsetDateTime;

use crate::controller::{Controller, Spans};
use crate::etcd_controller::EtcdController;
use crate::etcd_hosts::EtcdHosts;
use crate::managers::Managers;
use crate::node_agents::NodeAgents;
use crate::objects::Object;
use crate::programs::programs;
use crate::timeline::{Timeline, is_of_etcd};
use crate::{definitions, objects};

/// The one cluster that is made.
pub const CLUSTER: &str = "prod";

/// How many members an etcd usually has.
const MEMBERS: usize = 3;

/// What a cluster may take until its machines are there.
const MADE: Duration = Duration::from_mins(5);

/// Where a cluster's etcd is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Etcd {
    /// On the machines of its control plane.
    Stacked,
    /// On machines of its own.
    External,
}

impl Etcd {
    /// What is watched beside Machines.
    const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Stacked => &["Cluster", "KubeadmControlPlane"],
            Self::External => {
                &["Cluster", "KubeadmControlPlane", "EtcdadmCluster", "EtcdadmConfig"]
            }
        }
    }
}

/// When certificates end of a cluster with an etcd of its own; the others when they usually do.
#[derive(Debug, Default)]
pub struct Ends {
    /// Of the first machines of etcd, in the order in which they boot.
    pub etcd: Vec<OffsetDateTime>,
    /// Of the first machines of the control plane.
    pub control_plane: Vec<OffsetDateTime>,
    /// The client pair of etcdadm-controller.
    pub client_pair: Option<OffsetDateTime>,
    /// What the agents of etcd's machines say in the place of the truth.
    pub lies: Vec<Lie>,
}

/// Everything, ended with this: first what acts, then what is acted on.
pub struct Rig {
    /// What has happened.
    pub timeline: Timeline,
    pub(crate) etcd_controller: Option<EtcdController>,
    pub(crate) managers: Mutex<BTreeMap<&'static str, Server>>,
    pub(crate) cluster: Arc<Cluster>,
    /// What is behind that one's address now, where the cluster was moved.
    pub(crate) moved_to: Option<Cluster>,
    /// Where they are started from.
    pub(crate) programs: Arc<Managers>,
    pub(crate) kubeconfig: PathBuf,
    etcd: PathBuf,
    pub(crate) folder: TempDir,
}

impl Rig {
    /// Starts it in a network of its own; `None` where the programs for it are missing.
    pub fn start(etcd: Etcd) -> Option<Self> {
        let (assets, programs) = (assets()?, programs()?);
        let external = etcd == Etcd::External;
        if external && !programs.have_etcdadm() {
            return None;
        }
        testkit::network::leave();
        let cluster = Arc::new(Cluster::start(&assets));
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, cluster.admin_kubeconfig()).unwrap();
        definitions::install(&cluster, &programs.definitions());
        cluster.make_namespace(NAMESPACE);
        let managers = Managers::new(programs, folder.path(), &kubeconfig);
        let managers = Arc::new(managers);
        let mut servers = managers.cluster_api();
        let etcd_controller = external.then(|| {
            let provider = managers.etcdadm_bootstrap_provider(cluster.port);
            servers.insert("etcdadm-bootstrap-provider", provider);
            EtcdController::start(Arc::clone(&cluster), Arc::clone(&managers))
        });
        let programs = managers;
        let timeline = Timeline::start(Arc::clone(&cluster), etcd.kinds());
        let etcd = assets.join("etcd");
        Some(Self {
            timeline,
            etcd_controller,
            managers: Mutex::new(servers),
            cluster,
            moved_to: None,
            programs,
            kubeconfig,
            etcd,
            folder,
        })
    }

    /// Of an administrator of the management cluster.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The objects in it.
    pub fn management(&self) -> Management<'_> {
        Management(&self.cluster)
    }

    /// Makes the cluster with etcd on its control plane, and waits until it is whole. The certificates of its
    /// machines end at these times, those of their replacements when they usually do.
    pub fn stacked(&self, ends: Vec<OffsetDateTime>) -> NodeAgents {
        self.create(objects::stacked(CLUSTER));
        let agents = NodeAgents::start(Arc::clone(&self.cluster), CLUSTER, false, ends);
        self.control_plane_is_whole(&agents);
        agents
    }

    /// Makes the cluster with an etcd of its own, and waits until it is whole.
    pub fn external(&self, ends: Ends) -> (EtcdHosts, NodeAgents) {
        self.external_of(MEMBERS, ends)
    }

    /// The same with another number of members.
    pub fn external_of(&self, members: usize, ends: Ends) -> (EtcdHosts, NodeAgents) {
        let authority = Authority::rsa("kubernetes");
        let (certificate, key) = (authority.pem(), authority.key_pem());
        // EC looks for its CA before it makes one. The in-memory provider wants the key in the other Secret,
        // which EC does not write there.
        let pair = [("tls.crt", certificate.as_str()), ("tls.key", key.as_str())];
        for name in ["managed-etcd", "etcd"] {
            self.secret(name, &pair);
        }
        let etcd = self.etcd.clone();
        let cluster = Arc::clone(&self.cluster);
        let hosts = EtcdHosts::start(cluster, authority, etcd, ends.etcd, ends.lies);
        self.create(objects::external(CLUSTER, members));
        // As EC's own are (`controllers/certs.go`); so they are moved with the cluster.
        for name in ["managed-etcd", "etcd"] {
            self.management().own_secret(&format!("{CLUSTER}-{name}"), &self.etcdadm_cluster());
        }
        if let Some(end) = ends.client_pair {
            wait_for("the client pair of etcdadm-controller", || self.client_certificate());
            self.replace_client_pair(&hosts, end);
        }
        let agents =
            NodeAgents::start(Arc::clone(&self.cluster), CLUSTER, true, ends.control_plane);
        self.control_plane_is_whole(&agents);
        (hosts, agents)
    }

    fn create(&self, objects: Vec<Object>) {
        for (kind, name, object) in objects {
            self.management().create(kind, &name, object);
        }
    }

    /// Applies a kind of the cluster's objects once more, as EKS Anywhere does whenever it looks
    /// (`pkg/controller/serverside/reconcile.go`): everything that it says is so again.
    pub fn apply_as_eks_anywhere(&self, etcd: Etcd, kind: &str) {
        self.timeline.act(&format!("applied the {kind} as EKS Anywhere does"));
        let objects = match etcd {
            Etcd::Stacked => objects::stacked(CLUSTER),
            Etcd::External => objects::external(CLUSTER, MEMBERS),
        };
        let (_, name, object) = objects.into_iter().find(|(found, ..)| *found == kind).unwrap();
        self.management().apply(kind, &name, object, "eks-a-controller");
    }

    /// A Secret of the cluster, as Cluster API labels and types it.
    fn secret(&self, name: &str, fields: &[(&str, &str)]) {
        let name = format!("{CLUSTER}-{name}");
        let labels = json!({ "cluster.x-k8s.io/cluster-name": CLUSTER });
        self.management().typed_secret(&name, "cluster.x-k8s.io/secret", &labels, fields);
    }

    /// Puts another client pair into the Secret of etcdadm-controller.
    pub fn replace_client_pair(&self, hosts: &EtcdHosts, not_after: OffsetDateTime) {
        let pair = testkit::etcd_pki::client(hosts.authority(), CLUSTER, not_after);
        let fields = [("tls.crt", pair.certificate.as_str()), ("tls.key", pair.key.as_str())];
        self.management().replace_secret(&client_pair(), &fields);
    }

    /// The certificate of the client pair in the Secret of etcdadm-controller.
    pub fn client_certificate(&self) -> Option<String> {
        self.management().secret_field(&client_pair(), "tls.crt")
    }

    /// Has etcdadm-controller make the client pair anew, as the end of a rollout of etcd does, and waits for it
    /// (etcdadm-controller `controllers/controller.go`, `EtcdCertificatesAvailable`).
    pub fn refresh_client_pair(&self) {
        self.timeline.act("had the client pair made anew");
        let before = self.client_certificate();
        let mut conditions = self.etcdadm_cluster()["status"]["conditions"].clone();
        for condition in conditions.as_array_mut().unwrap() {
            if condition["type"] == "EtcdCertificatesAvailable" {
                condition["status"] = "False".into();
                condition["severity"] = "Info".into();
                condition["reason"] = "Rig".into();
            }
        }
        let name = format!("{CLUSTER}-etcd");
        self.management().status("EtcdadmCluster", &name, &json!({ "conditions": conditions }));
        wait_for("another client pair", || (self.client_certificate() != before).then_some(()));
    }

    fn control_plane_is_whole(&self, agents: &NodeAgents) {
        wait_up_to(MADE, "three machines of the control plane with agents", || {
            let control_plane = self.control_plane();
            let ready = control_plane["status"]["readyReplicas"] == 3;
            (ready && agents.machines().len() == 3).then_some(())
        });
    }

    /// The KubeadmControlPlane.
    pub fn control_plane(&self) -> Value {
        self.management().get("KubeadmControlPlane", CLUSTER)
    }

    /// The EtcdadmCluster.
    pub fn etcdadm_cluster(&self) -> Value {
        self.management().get("EtcdadmCluster", &format!("{CLUSTER}-etcd"))
    }

    /// The Machines that are there now: the control plane's, or etcd's.
    pub(crate) fn machine_objects(&self, etcd: bool) -> impl Iterator<Item = Value> {
        let machines = self.management().list("Machine").into_iter();
        machines.filter(move |machine| is_of_etcd(machine) == etcd)
    }

    /// Their names.
    pub fn machines(&self, etcd: bool) -> Vec<String> {
        let machines = self.machine_objects(etcd);
        machines.map(|machine| machine["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Sets an annotation of the Cluster, or takes it away.
    pub fn annotate(&self, key: &str, value: &Value) {
        self.timeline.act(&format!("annotated the Cluster {key}={value}"));
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.management().patch("Cluster", CLUSTER, &patch);
    }

    /// Starts our controller.
    pub fn controller(&self, spans: &Spans, flags: &[&str]) -> Controller {
        self.instance("expiryd-controller", spans, flags)
    }

    /// Starts one of several instances of our controller.
    pub fn instance(&self, name: &str, spans: &Spans, flags: &[&str]) -> Controller {
        self.timeline.act(&format!("started {name}"));
        Controller::start(name, &self.kubeconfig, self.folder.path(), spans, flags)
    }

    /// How often etcdadm-controller was started.
    pub fn starts_of_etcd_controller(&self) -> usize {
        self.etcd_controller.as_ref().unwrap().starts()
    }
}

/// The Secret of the client pair.
fn client_pair() -> String {
    format!("{CLUSTER}-apiserver-etcd-client")
}

impl Drop for Rig {
    fn drop(&mut self) {
        if thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("the logs stay in {}", self.folder.path().display());
        }
    }
}
