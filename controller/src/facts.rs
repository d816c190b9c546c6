//! Everything that a decision about one cluster rests on, as plain data.
//!
//! Nothing here knows Kubernetes: what an absent object or a wrong text means has been settled by
//! `observe`, and each field can only hold what a decision may meet.

use expiryd_api::{Status, Timestamp};

use crate::memory::{ClientPair, Intent, Nudge, Published, RolledFor};
use crate::parameters::DAY;

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Cluster API's Cluster.
    pub cluster: Cluster,
    /// Its KubeadmControlPlane; `None` for any other kind of control plane.
    pub control_plane: Option<ControlPlane>,
    /// Its EtcdadmCluster, where etcd runs on machines of its own.
    pub etcd: Option<EtcdCluster>,
}

impl Facts {
    /// The whole lifetime, in days, of the leaves of its control plane: what kubeadm is told, else the longest
    /// time from a Machine's birth to the end that KCP itself sees. What an agent says is none of it: a lie
    /// there would end the protection of all others; and a Machine that was moved is as old as its Node, so
    /// one without a Node tells nothing.
    pub fn lifetime_days(&self) -> Option<i64> {
        let control_plane = self.control_plane.as_ref()?;
        let with_node = control_plane.machines.iter().filter(|machine| {
            !matches!(machine.report, NodeReport::NoNode | NodeReport::Unreachable)
        });
        let seen = with_node.filter_map(|machine| {
            let life = machine.own?.seconds_since(machine.born);
            Some((life + DAY / 2) / DAY).filter(|days| *days > 0)
        });
        control_plane.lifetime_days.or_else(|| seen.max())
    }
}

/// Cluster API's Cluster, and what people say on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// `expiryd.dev/rollout-before-expiry` here, else on EKS Anywhere's Cluster.
    pub opt_in: Option<String>,
    /// `expiryd.dev/hold` is `true`.
    pub hold: bool,
    /// `expiryd.dev/acknowledge`.
    pub acknowledged: Option<String>,
    /// It, or EKS Anywhere's Cluster, is paused.
    pub paused: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// When Kubernetes' CA ends.
    pub ca_not_after: Option<Timestamp>,
    /// It is the management cluster itself.
    pub is_management: bool,
}

/// The KubeadmControlPlane (KCP).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ControlPlane {
    /// It is being deleted.
    pub deleting: bool,
    /// `cluster.x-k8s.io/paused` is on it.
    pub paused: bool,
    /// Its strategy is EKS Anywhere's `InPlace`, which replaces no machine.
    pub in_place: bool,
    /// Another owner, such as a ClusterClass's topology, writes its spec.
    pub topology_owned: bool,
    /// Its days before expiry; 0 counts as none.
    pub days: Option<i64>,
    /// Those that we set, as `expiryd.dev/kcp-days` says.
    pub our_days: Option<i64>,
    /// The template of its Machines has Cluster API's key, so KCP overwrites ours.
    pub template_has_key: bool,
    /// How many Machines it wants.
    pub replicas: usize,
    /// What it says of its own work.
    pub progress: Progress,
    /// Where its etcd is.
    pub etcd: EtcdPlace,
    /// How many days a leaf of it lives, where somebody set that.
    pub lifetime_days: Option<i64>,
    /// What it was rolled for.
    pub rolled_for: Vec<RolledFor>,
    /// Its Machines, also those that are being deleted.
    pub machines: Vec<ControlPlaneMachine>,
}

/// What KCP says of its work. Its status alone is stale while it is frozen, so Machines are counted, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// One of RollingOut, ScalingUp, ScalingDown is not False.
    pub moving: bool,
    /// `MachinesSpecUpToDate` is False.
    pub outdated: bool,
    /// All its Machines are ready, at its version.
    pub ready: bool,
    /// Its status is of its current generation.
    pub observed: bool,
}

/// Where the etcd of a control plane is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum EtcdPlace {
    /// On the control plane's machines.
    #[default]
    Stacked,
    /// Elsewhere, at these endpoints.
    External(Vec<String>),
}

/// A Machine of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControlPlaneMachine {
    /// Its name.
    pub name: String,
    /// The earliest of its and its Node's creation and `expiryd.dev/first-seen`: a move makes Machines
    /// anew.
    pub born: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// Cluster API's key on it, and whose it is.
    pub published: Published,
    /// KCP's own date, from its KubeadmConfig. It is written once, when the machine is young
    /// (`reconcileCertificateExpiries`), so a renewal in place leaves it as it was.
    pub own: Option<Timestamp>,
    /// Its Node's report.
    pub report: NodeReport,
}

impl ControlPlaneMachine {
    /// KCP's own date, where nobody else has said one: a degraded report that has the same repeats it.
    pub fn own_alone(&self) -> Option<Timestamp> {
        self.own.filter(|own| match self.published {
            Published::Nothing | Published::Lost(_) => true,
            Published::Ours(record) => record.degraded && record.date == *own,
            Published::Foreign(_) => false,
        })
    }

    /// KCP's own date, or the later one that an agent which sees everything has seen since.
    pub fn own_as_renewed(&self) -> Option<Timestamp> {
        let own = self.own?;
        let seen = self.published.last().filter(|seen| !seen.degraded);
        Some(seen.map_or(own, |seen| own.max(seen.date)))
    }
}

/// What is known through a Machine's Node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeReport {
    /// The Machine has no Node, or one with another providerID.
    NoNode,
    /// The workload cluster was not heard.
    Unreachable,
    /// Its Node has no annotations of an agent.
    NoAgent,
    /// What the agent says there.
    Of(Report),
}

/// What an agent says of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Report {
    /// When the machine was observed.
    pub observed_at: Timestamp,
    /// What the report is worth.
    pub status: Status,
    /// Whether it has settled.
    pub settled: bool,
    /// What a rollout of this Machine renews first, and the path it is at, where that is said.
    pub machine_rollout: Option<Expiry>,
    /// What only a rollout of etcd renews.
    pub etcd_rollout: Option<Timestamp>,
}

/// When a certificate ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expiry {
    /// The date.
    pub not_after: Timestamp,
    /// The file it is in.
    pub path: Option<String>,
}

/// The EtcdadmCluster, and what etcdadm-controller (EC) says and holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EtcdCluster {
    /// It is being deleted.
    pub deleting: bool,
    /// `cluster.x-k8s.io/paused` is on it, which stops EC.
    pub paused: bool,
    /// How many machines it wants.
    pub replicas: usize,
    /// `status.ready`, all replicas healthy, and the status is of the current generation.
    pub ready: bool,
    /// `controlplane.cluster.x-k8s.io/upgrade-complete` is on it.
    pub upgrade_complete: bool,
    /// `etcdcluster.cluster.x-k8s.io/upgrading` is on it.
    pub upgrading: bool,
    /// `status.endpoints`.
    pub endpoints: Vec<String>,
    /// `expiryd.dev/allow-single-etcd` is `true`.
    pub allow_single: bool,
    /// When we last had EC look.
    pub nudge: Option<Nudge>,
    /// The rollout that we started last.
    pub intent: Option<Intent>,
    /// The client pairs that the Secret has had.
    pub pairs: Vec<ClientPair>,
    /// The pair in the Secret `<c>-apiserver-etcd-client`.
    pub secret: Option<SecretPair>,
    /// We had the pair made anew, and EC has not done it yet.
    pub refresh_asked: bool,
    /// When etcd's CA ends.
    pub ca_not_after: Option<Timestamp>,
    /// `healthcheck-retries` that we replaced, to be put back.
    pub skipped_health_checks: bool,
    /// The program itself.
    pub controller: EtcdController,
    /// Its Machines: owned ones, and those that it let go of and that are members still.
    pub machines: Vec<EtcdMachine>,
}

impl EtcdCluster {
    /// When the client pair in the Secret ends; where it cannot be read, when the one ended that it had last.
    pub fn client_pair_ends(&self) -> Option<Timestamp> {
        let last = || self.pairs.last().map(|pair| pair.not_after);
        self.secret.as_ref().map(|secret| secret.not_after).or_else(last)
    }
}

/// The client certificate in the Secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretPair {
    /// SHA-256 of its DER, in hexadecimal.
    pub sha256: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// The pods of etcdadm-controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EtcdController {
    /// When the container that runs now was started, the oldest of several; `None` when nobody can see.
    pub started_at: Option<Timestamp>,
    /// Whether we may evict its pods.
    pub may_restart: bool,
    /// When we restarted it last.
    pub restarted_at: Option<Timestamp>,
}

impl EtcdController {
    /// Whether a pod is there and its container does not run, or not yet: it holds no pair.
    pub const fn is_starting(&self) -> bool {
        self.restarted_at.is_some() && self.started_at.is_none()
    }
}

/// A Machine of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EtcdMachine {
    /// Its name.
    pub name: String,
    /// As [`ControlPlaneMachine::born`], without a Node.
    pub born: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// The EtcdadmCluster owns it. One that is not owned any more is to be removed.
    pub owned: bool,
    /// The intent whose mark its EtcdadmConfig carries.
    pub mark: Option<String>,
    /// Cluster API's key on it, which its core ignores there, and whose it is.
    pub published: Published,
    /// What its agent says.
    pub report: Result<Report, NotHeard>,
    /// When the leaf that it serves at :2379 ends.
    pub served: Option<Timestamp>,
}

/// Why the agent of an etcd machine is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotHeard {
    /// There is no answer, or none that is a report.
    NoAnswer,
    /// Its certificate is for other names than the machine's address.
    OtherName,
}
