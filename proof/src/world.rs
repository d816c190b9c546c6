//! One cluster as it is in a management cluster and on its machines: what the models change.

use expiryd_api::Timestamp;
use expiryd_controller::memory::{ClientPair, Intent, Published, RolledFor};

/// A machine's number; it stands for its name, its UID and its address.
pub type Id = u16;

/// Seconds that a leaf lives: kubeadm's and etcdadm's year.
pub const LIFETIME: i64 = 365 * DAY;
/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// All that there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// Seconds since 1970.
    pub now: i64,
    /// The next machine's number.
    pub next_id: Id,
    /// `expiryd.dev/rollout-before-expiry`.
    pub opt_in: Option<i64>,
    /// `expiryd.dev/hold`.
    pub hold: bool,
    /// Seconds after its making that a control plane's machine says its leaves end.
    pub leaves_end_in: i64,
    /// The control plane.
    pub control_plane: ControlPlane,
    /// Etcd, where it has machines of its own.
    pub etcd: Option<Etcd>,
}

/// A client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// Which one.
    pub id: Id,
    /// When it ends.
    pub not_after: i64,
}

/// A KubeadmControlPlane and its Machines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ControlPlane {
    /// How many Machines it wants.
    pub replicas: usize,
    /// Its days before expiry.
    pub days: Option<i64>,
    /// Those that we set.
    pub our_days: Option<i64>,
    /// What it was rolled for.
    pub rolled_for: Vec<RolledFor>,
    /// The members of etcd that new Machines use; empty where etcd runs on them.
    pub endpoints: Vec<Id>,
    /// Somebody wants all Machines of before this time replaced (`rollout.after`).
    pub rollout_after: Option<i64>,
    /// `RollingOut`.
    pub rolling: bool,
    /// `MachinesSpecUpToDate`; `None` before a first rollout.
    pub up_to_date: Option<bool>,
    /// Its Machines.
    pub machines: Vec<ControlPlaneMachine>,
    /// Machines that it has made.
    pub made: usize,
}

/// A Machine of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControlPlaneMachine {
    /// Its number.
    pub id: Id,
    /// When it was made.
    pub born: i64,
    /// Whether its Node is there.
    pub up: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The members of etcd that it uses.
    pub endpoints: Vec<Id>,
    /// When its own leaves end.
    pub leaf: i64,
    /// The client pair that it was made with.
    pub client: Option<Pair>,
    /// Cluster API's key on it.
    pub published: Published,
    /// KCP's own date, which it writes only at rest.
    pub own: Option<i64>,
}

/// An EtcdadmCluster, its Machines, its Secret and etcdadm-controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etcd {
    /// How many Machines it wants.
    pub replicas: usize,
    /// `status.ready`.
    pub ready: bool,
    /// `status.endpoints`.
    pub endpoints: Vec<Id>,
    /// `upgrade-complete` is on it.
    pub upgrade_complete: bool,
    /// `upgrading` is on it.
    pub upgrading: bool,
    /// `cluster.x-k8s.io/paused` is on it.
    pub paused: bool,
    /// `EtcdMachinesSpecUpToDate`; `None` before a first rollout.
    pub spec_up_to_date: Option<bool>,
    /// `EtcdCertificatesAvailable`.
    pub certificates_available: bool,
    /// `healthcheck-retries` is `0`.
    pub skipped_health_checks: bool,
    /// Our intent.
    pub intent: Option<Intent>,
    /// The pairs that we have seen.
    pub pairs: Vec<ClientPair>,
    /// When we had etcdadm-controller look last, for which intent.
    pub nudge: Option<(String, i64)>,
    /// The pair in the Secret.
    pub secret: Pair,
    /// The program.
    pub controller: EtcdController,
    /// Its Machines, with those that were let go of.
    pub machines: Vec<EtcdMachine>,
    /// Machines that it has made.
    pub made: usize,
}

/// etcdadm-controller, the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtcdController {
    /// When it was started.
    pub started: i64,
    /// The pair that it keeps, from the first health check since.
    pub held: Option<Pair>,
    /// Whether we may restart it.
    pub may_restart: bool,
    /// Whether something that it watches has changed since it looked.
    pub triggered: bool,
}

/// A Machine of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EtcdMachine {
    /// Its number.
    pub id: Id,
    /// When it was made.
    pub born: i64,
    /// Whether its member serves.
    pub up: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether the EtcdadmCluster owns it.
    pub owned: bool,
    /// The mark in its EtcdadmConfig.
    pub mark: Option<String>,
    /// When its leaves end.
    pub leaf: i64,
    /// Cluster API's key on it.
    pub published: Published,
}

/// What a cluster is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// When its machines, and the pair in its Secret, were made.
    pub born: i64,
    /// Machines of its control plane.
    pub control_plane: usize,
    /// Machines of an etcd of its own; 0 where etcd runs on the control plane.
    pub members: usize,
    /// When the leaves of the control plane end.
    pub control_plane_ends: i64,
    /// When those of etcd end.
    pub etcd_ends: i64,
    /// When the pair in the Secret ends.
    pub secret_ends: i64,
}

/// The pair that a cluster is made with.
const FIRST_PAIR: Id = 90;

impl World {
    /// A cluster at rest that is opted in with so many days, and to which we have done nothing yet.
    pub fn at_rest(now: i64, days: i64, made: &Made) -> Self {
        let Made { born, .. } = *made;
        let pair = Pair { id: FIRST_PAIR, not_after: made.secret_ends };
        let ids = |from: Id, count: usize| (from..).take(count);
        let endpoints: Vec<_> = ids(1, made.members).collect();
        let etcd = (made.members > 0).then(|| Etcd {
            replicas: made.members,
            ready: true,
            endpoints: endpoints.clone(),
            upgrade_complete: false,
            upgrading: false,
            paused: false,
            spec_up_to_date: None,
            certificates_available: true,
            skipped_health_checks: false,
            intent: None,
            pairs: Vec::new(),
            nudge: None,
            secret: pair,
            controller: EtcdController {
                started: born,
                held: Some(pair),
                may_restart: true,
                triggered: false,
            },
            machines: ids(1, made.members)
                .map(|id| EtcdMachine {
                    id,
                    born,
                    up: true,
                    deleting: false,
                    owned: true,
                    mark: None,
                    leaf: made.etcd_ends,
                    published: Published::Nothing,
                })
                .collect(),
            made: 0,
        });
        let machines = ids(11, made.control_plane).map(|id| ControlPlaneMachine {
            id,
            born,
            up: true,
            deleting: false,
            endpoints: endpoints.clone(),
            leaf: made.control_plane_ends,
            client: etcd.as_ref().map(|_| pair),
            published: Published::Nothing,
            own: Some(made.control_plane_ends),
        });
        Self {
            now,
            next_id: 100,
            opt_in: Some(days),
            hold: false,
            leaves_end_in: LIFETIME,
            control_plane: ControlPlane {
                replicas: made.control_plane,
                machines: machines.collect(),
                endpoints: endpoints.clone(),
                ..ControlPlane::default()
            },
            etcd,
        }
    }

    /// Every machine, of both kinds: its number, whether it is up, and whether it is being deleted.
    pub fn machines(&self) -> impl Iterator<Item = (Id, bool, bool)> {
        let control_plane = self.control_plane.machines.iter();
        let etcd = self.etcd.iter().flat_map(|etcd| &etcd.machines);
        control_plane
            .map(|machine| (machine.id, machine.up, machine.deleting))
            .chain(etcd.map(|machine| (machine.id, machine.up, machine.deleting)))
    }

    /// A number that nothing has yet.
    pub const fn id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    /// Now.
    pub const fn time(&self) -> Timestamp {
        Timestamp::from_unix(self.now)
    }
}

impl Etcd {
    /// Its own Machines.
    pub fn owned(&self) -> impl Iterator<Item = &EtcdMachine> {
        self.machines.iter().filter(|machine| machine.owned)
    }

    /// Whether a member answers etcdadm-controller: a connection that is new needs the pair that it keeps to
    /// be good still.
    pub fn answers(&self, machine: &EtcdMachine, now: i64) -> bool {
        let held = self.controller.held.unwrap_or(self.secret);
        let connected = held.not_after > now || machine.born < held.not_after;
        machine.up && !machine.deleting && connected
    }
}

impl std::fmt::Display for World {
    /// In one line: `+` is up, `~` comes, `-` goes, `o` is let go of, `m` is marked.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = |up: bool, deleting: bool| match (up, deleting) {
            (_, true) => '-',
            (true, false) => '+',
            (false, false) => '~',
        };
        write!(f, "{} KCP", self.now)?;
        for machine in &self.control_plane.machines {
            write!(f, " {}{}", machine.id, state(machine.up, machine.deleting))?;
        }
        let Some(etcd) = &self.etcd else { return Ok(()) };
        f.write_str(" ETCD")?;
        for machine in &etcd.machines {
            write!(f, " {}{}", machine.id, state(machine.up, machine.deleting))?;
            f.write_str(if machine.owned { "" } else { "o" })?;
            f.write_str(if machine.mark.is_some() { "m" } else { "" })?;
        }
        let words = [
            (etcd.ready, "ready"),
            (etcd.upgrading, "upgrading"),
            (etcd.upgrade_complete, "upgrade-complete"),
            (self.control_plane.endpoints == etcd.endpoints, "followed"),
            (etcd.intent.as_ref().is_some_and(|intent| intent.closed.is_none()), "begun"),
        ];
        for (_, word) in words.iter().filter(|(is, _)| *is) {
            write!(f, " {word}")?;
        }
        write!(f, " secret {}", etcd.secret.id)
    }
}
