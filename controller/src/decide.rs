//! What to do about one cluster, and why: a pure function of the facts and the time.
//!
//! The rules have the names that docs/controller.md gives them: G for what stops everything, C for the
//! control plane's machines, E for an external etcd.

mod client_pair;
mod control_plane;
mod date;
mod etcd;
mod meaning;
mod opt_in;
mod rollout;

use expiryd_api::{Timestamp, closed_list};

use crate::facts::Facts;
use crate::memory::{ClientPair, Intent, Record, RolledFor};
use crate::parameters::Parameters;
pub use client_pair::held_until;
pub use opt_in::OptIn;

/// One write, guarded by the resourceVersion of what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write Cluster API's key and its companion on a Machine.
    Annotate {
        /// The Machine.
        machine: String,
        /// What to write.
        record: Record,
    },
    /// Remove both.
    Unannotate {
        /// The Machine.
        machine: String,
    },
    /// Set the control plane's days before expiry; `None` takes back what we set.
    SetDays(Option<i64>),
    /// Write what the control plane was rolled for.
    RecordRolledFor(Vec<RolledFor>),
    /// Write which client pairs the Secret has had.
    RecordPairs(Vec<ClientPair>),
    /// Write the etcd rollout that is begun, goes on or is over.
    RecordIntent(Intent),
    /// Append the mark of an intent to a Machine's EtcdadmConfig.
    Mark {
        /// The Machine.
        machine: String,
        /// The intent.
        id: String,
    },
    /// Take the mark off again.
    Unmark {
        /// The Machine.
        machine: String,
    },
    /// Have etcdadm-controller look at its machines.
    Nudge {
        /// The intent.
        id: String,
    },
    /// Have the client pair in the Secret made anew.
    RefreshSecret,
    /// Evict the pods of etcdadm-controller.
    RestartEtcdController,
    /// Have etcdadm-controller skip its health checks, or do them again.
    SkipHealthChecks(bool),
    /// Write upgrade-complete, which has the members removed that etcdadm-controller let go of.
    FinishUpgrade,
}

closed_list! {
    /// Why something is done.
    Reason {
        /// The agent's date is another than the Machine's.
        DateChanged = "date-changed",
        /// The cluster is no longer opted in, or what we wrote may not stand.
        Withdrawn = "withdrawn",
        /// The cluster was opted in.
        OptedIn = "opted-in",
        /// A date that is published has come into the control plane's window.
        DateDue = "date-due",
        /// The Secret has another client pair.
        PairChanged = "pair-changed",
        /// Etcd is due.
        EtcdDue = "etcd-due",
        /// A rollout of etcd that was begun has to be brought to its end.
        RolloutBegun = "rollout-begun",
        /// Nothing of it had an effect yet, and it may not go on.
        RolloutWithdrawn = "rollout-withdrawn",
        /// A rollout of etcd is over.
        RolloutOver = "rollout-over",
        /// All members are new and the Secret is not.
        SecretNotRefreshed = "secret-not-refreshed",
        /// etcdadm-controller holds a client pair that ends before the Secret's.
        StalePair = "stale-pair",
        /// etcdadm-controller was started again since.
        PairFresh = "pair-fresh",
        /// The upgrade has been over for an hour, and nobody said so.
        UpgradeOver = "upgrade-over",
    }
}

/// A write, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The write.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// Why something is not done, or what people have to see to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The Machine that it is about; `None` for the cluster.
    pub machine: Option<String>,
    /// What.
    pub guard: Guard,
}

closed_list! {
    /// See [`Finding`].
    Guard {
        /// G1: it is being deleted.
        Deleting = "deleting",
        /// G1: it, or a part of it, is paused.
        Paused = "paused",
        /// G2: nobody opted in.
        NotOptedIn = "not-opted-in",
        /// G2: the opt-in is no number of days from 7 to half of the shortest lifetime.
        InvalidOptIn = "invalid-opt-in",
        /// G3: somebody holds it.
        Hold = "hold",
        /// G4: the control plane's strategy replaces no machine.
        InPlace = "in-place",
        /// G6: a certificate has ended, and etcd is not in a state to be rolled.
        Expired = "expired",
        /// Its control plane is none that we know.
        UnsupportedControlPlane = "unsupported-control-plane",
        /// C0: the days could not be set, because a topology owns the control plane's spec.
        DaysOwned = "days-owned",
        /// C1: the Machine has no Node, or another one's.
        NoNode = "no-node",
        /// C2: the workload cluster was not heard.
        Unreachable = "unreachable",
        /// C2: there is no agent on the machine, or none that reports.
        NoAgent = "no-agent",
        /// C2: the report is too old.
        Stale = "stale",
        /// C2: the report has not settled.
        Unsettled = "unsettled",
        /// C4: the agent waits for a PKI.
        Waiting = "waiting",
        /// C4: the agent takes the machine for a worker.
        RoleMismatch = "role-mismatch",
        /// C4: the report is degraded, so its date may only come forward.
        Degraded = "degraded",
        /// C5: it was born with a date that is due, and so would its replacement be.
        BornDue = "born-due",
        /// C6: it was rolled for this certificate, and still has it.
        NotRenewed = "not-renewed",
        /// C7: the report is from the future, or its date is none that a certificate has.
        Implausible = "implausible",
        /// C8: a date moves no later while the control plane is rolled.
        Rolling = "rolling",
        /// C9: somebody else's date is on the Machine.
        Overridden = "overridden",
        /// C9: somebody else's value is on the Machine, and is no date.
        OverriddenByNoDate = "overridden-by-no-date",
        /// C11: etcd is rolled first.
        EtcdFirst = "etcd-first",
        /// E: the control plane's etcd is external, and no EtcdadmCluster is there for it.
        EtcdUnmanaged = "etcd-unmanaged",
        /// E0: the agent of the etcd machine is not heard, only its served leaf.
        ServedOnly = "served-only",
        /// E0: the served leaf is not seen, only its agent.
        NotServed = "not-served",
        /// E0: neither is.
        EtcdExpiryUnknown = "etcd-expiry-unknown",
        /// E2: etcd or the control plane is not at rest.
        NotQuiet = "not-quiet",
        /// E4: the machine's date is one that its replacement would have as well; it is left out.
        LeftOut = "left-out",
        /// E5: the last rollout of etcd is too short a time ago.
        Cooling = "cooling",
        /// E9: etcdadm-controller holds a client pair that ends too soon, and cannot be restarted by us.
        StalePair = "stale-pair",
        /// E10: etcd has one machine.
        SingleEtcd = "single-etcd",
        /// E11: the rollout makes no progress.
        Stuck = "stuck",
        /// E11: all members are new and the Secret is not, and we may not have it refreshed.
        SecretNotRefreshed = "secret-not-refreshed",
        /// E12: members that etcdadm-controller let go of are still there.
        Leftovers = "leftovers",
        /// Another cluster's etcd is rolled first.
        Queued = "queued",
    }
}

/// What follows for one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Writes, in this order; each rests on those before it.
    pub actions: Vec<Planned>,
    /// Why more is not done.
    pub findings: Vec<Finding>,
    /// When etcd is to be rolled, and by when at the latest; `None` when nothing of it is due to be.
    pub etcd_start: Option<Start>,
    /// Whether an etcd rollout of ours goes on, and is not stuck.
    pub etcd_rolling: bool,
    /// Whether its marks may be there and have had no effect yet: etcdadm-controller is not to be restarted.
    pub marks_pending: bool,
    /// Whether a date is within a day of its window, so that it is looked at more often.
    pub is_near: bool,
}

/// When to start an etcd rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// From then on.
    pub from: Timestamp,
    /// The certificate ends.
    pub deadline: Timestamp,
}

/// What the other clusters leave to this one, and what may be done besides dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Whether it is this cluster's turn to start an etcd rollout.
    pub etcd: bool,
    /// Whether the first mark of any intent is written and its nudge not: EC is not to be restarted then.
    pub marks_pending: bool,
    /// Have the Secret alone refreshed where it alone is due.
    pub refresh_secret_alone: bool,
    /// Write upgrade-complete where a person would.
    pub finish_upgrades: bool,
}

impl Decision {
    fn act(&mut self, action: Action, reason: Reason) {
        self.actions.push(Planned { action, reason });
    }

    fn find(&mut self, guard: Guard) {
        self.findings.push(Finding { machine: None, guard });
    }

    fn find_of(&mut self, machine: &str, guard: Guard) {
        self.findings.push(Finding { machine: Some(machine.to_owned()), guard });
    }
}

/// Decides about one cluster.
pub fn decide(facts: &Facts, parameters: &Parameters, turn: Turn, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let opt_in = OptIn::of(facts);
    let case = Case { facts, parameters, turn, now, opt_in: &opt_in };
    let gate = case.gate();
    decision.findings.extend(gate.map(|guard| Finding { machine: None, guard }));
    match gate {
        Some(Guard::NotOptedIn | Guard::InvalidOptIn | Guard::InPlace) => {
            case.withdraw(&mut decision);
        }
        Some(_) => {}
        None => {
            case.control_plane(&mut decision);
            case.etcd_dates(&mut decision);
        }
    }
    // What was begun comes to its end, and a pair that goes stale kills members, whatever the gate says.
    case.client_pair(&mut decision, gate);
    case.etcd_rollout(&mut decision, gate);
    decision.findings.sort();
    decision.findings.dedup();
    decision
}

/// One cluster, while it is decided about.
#[derive(Clone, Copy)]
struct Case<'a> {
    facts: &'a Facts,
    parameters: &'a Parameters,
    turn: Turn,
    now: Timestamp,
    opt_in: &'a OptIn,
}

impl Case<'_> {
    /// The first gate that is closed (G1 to G4).
    fn gate(&self) -> Option<Guard> {
        let Facts { cluster, control_plane, etcd } = self.facts;
        let Some(control_plane) = control_plane else {
            return Some(Guard::UnsupportedControlPlane);
        };
        let etcd_deleting = etcd.as_ref().is_some_and(|etcd| etcd.deleting);
        let etcd_paused = etcd.as_ref().is_some_and(|etcd| etcd.paused);
        if cluster.deleting || control_plane.deleting || etcd_deleting {
            Some(Guard::Deleting)
        } else if cluster.paused || control_plane.paused || etcd_paused {
            Some(Guard::Paused)
        } else if *self.opt_in == OptIn::No {
            Some(Guard::NotOptedIn)
        } else if *self.opt_in == OptIn::Invalid {
            Some(Guard::InvalidOptIn)
        } else if cluster.hold {
            Some(Guard::Hold)
        } else if control_plane.in_place {
            Some(Guard::InPlace)
        } else {
            None
        }
    }

    /// Whether so little is left that nothing waits for its turn.
    fn is_urgent(&self, date: Timestamp) -> bool {
        before(date, self.parameters.urgent) <= self.now
    }

    fn ago(&self, seconds: i64) -> Timestamp {
        Timestamp::from_unix(self.now.unix().saturating_sub(seconds))
    }

    fn within(&self, seconds: i64) -> Timestamp {
        Timestamp::from_unix(self.now.unix().saturating_add(seconds))
    }
}

/// A time so many seconds before another.
fn before(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix(time.unix().saturating_sub(seconds))
}

/// A time so many seconds after another.
fn after(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix(time.unix().saturating_add(seconds))
}

#[cfg(test)]
mod tests;
