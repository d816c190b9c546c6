//! What may be done about a cluster, and why.

use std::fmt;

use expiryd_api::closed_list;

use crate::memory::{ClientPair, Intent, Record, RolledFor};

/// One write, guarded by the resourceVersion of what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// Take that back, where it had no effect: `upgrading` would stay for ever.
    TakeBackNudge,
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
    /// One word for an [`Action`].
    ActionName {
        /// Cluster API's key and its companion are written on a Machine.
        Annotate = "annotate",
        /// Both are removed.
        Unannotate = "unannotate",
        /// The control plane's days before expiry are set, or taken back.
        SetDays = "set-days",
        /// What the control plane was rolled for is written.
        RecordRolledFor = "record-rolled-for",
        /// Which client pairs the Secret has had is written.
        RecordPairs = "record-pairs",
        /// The etcd rollout that is begun, goes on or is over is written.
        RecordIntent = "record-intent",
        /// The mark of an intent is appended to a Machine's EtcdadmConfig.
        Mark = "mark",
        /// The mark is taken off again.
        Unmark = "unmark",
        /// etcdadm-controller is asked to look at its machines.
        Nudge = "nudge",
        /// That is taken back.
        TakeBackNudge = "take-back-nudge",
        /// The client pair in the Secret is made anew.
        RefreshSecret = "refresh-secret",
        /// The pods of etcdadm-controller are evicted.
        RestartEtcdController = "restart-etcd-controller",
        /// etcdadm-controller's health checks are skipped, or done again.
        SkipHealthChecks = "skip-health-checks",
        /// upgrade-complete is written.
        FinishUpgrade = "finish-upgrade",
    }
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

/// What of a cluster a write is about. One that fails keeps those behind it from being tried that rest on it, and
/// no others: what protects etcd's members must not wait for a webhook that refuses days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A date on one Machine: it rests on what is remembered of the control plane, and nothing rests on it.
    Machine,
    /// The control plane as a whole.
    ControlPlane,
    /// A rollout of etcd.
    Etcd,
    /// The client pair that etcdadm-controller holds.
    ClientPair,
}

impl Part {
    /// Whether it is of no use, or harm, once a write of this part has failed.
    pub fn rests_on(self, failed: Self) -> bool {
        match self {
            Self::Machine => failed == Self::ControlPlane,
            Self::ControlPlane | Self::Etcd | Self::ClientPair => self == failed,
        }
    }
}

/// A write, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Planned {
    /// The write.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

impl Action {
    /// One word for it, as metrics and programs say it.
    pub const fn name(&self) -> ActionName {
        match self {
            Self::Annotate { .. } => ActionName::Annotate,
            Self::Unannotate { .. } => ActionName::Unannotate,
            Self::SetDays(_) => ActionName::SetDays,
            Self::RecordRolledFor(_) => ActionName::RecordRolledFor,
            Self::RecordPairs(_) => ActionName::RecordPairs,
            Self::RecordIntent(_) => ActionName::RecordIntent,
            Self::Mark { .. } => ActionName::Mark,
            Self::Unmark { .. } => ActionName::Unmark,
            Self::Nudge { .. } => ActionName::Nudge,
            Self::TakeBackNudge => ActionName::TakeBackNudge,
            Self::RefreshSecret => ActionName::RefreshSecret,
            Self::RestartEtcdController => ActionName::RestartEtcdController,
            Self::SkipHealthChecks(_) => ActionName::SkipHealthChecks,
            Self::FinishUpgrade => ActionName::FinishUpgrade,
        }
    }

    /// What it is a part of.
    pub const fn part(&self) -> Part {
        match self {
            Self::Annotate { .. } | Self::Unannotate { .. } => Part::Machine,
            Self::SetDays(_) | Self::RecordRolledFor(_) => Part::ControlPlane,
            Self::RecordPairs(_) | Self::SkipHealthChecks(_) | Self::RestartEtcdController => {
                Part::ClientPair
            }
            Self::RecordIntent(_)
            | Self::Mark { .. }
            | Self::Unmark { .. }
            | Self::Nudge { .. }
            | Self::TakeBackNudge
            | Self::RefreshSecret
            | Self::FinishUpgrade => Part::Etcd,
        }
    }

    /// Whether people want an Event of it: something will be replaced, or is let go on. What only remembers
    /// or repeats is none.
    pub const fn is_event(&self) -> bool {
        match self {
            Self::Annotate { .. }
            | Self::Unannotate { .. }
            | Self::SetDays(_)
            | Self::RecordIntent(_)
            | Self::RefreshSecret
            | Self::RestartEtcdController
            | Self::SkipHealthChecks(_)
            | Self::FinishUpgrade => true,
            Self::RecordRolledFor(_)
            | Self::RecordPairs(_)
            | Self::Mark { .. }
            | Self::Unmark { .. }
            | Self::Nudge { .. }
            | Self::TakeBackNudge => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotate { machine, record } => {
                let degraded = if record.degraded { ", from a degraded report" } else { "" };
                write!(f, "write {} on the Machine {machine}{degraded}", record.date)
            }
            Self::Unannotate { machine } => {
                write!(f, "take our date off the Machine {machine}")
            }
            Self::SetDays(Some(days)) => {
                write!(f, "have the control plane rolled {days} days before an expiry")
            }
            Self::SetDays(None) => f.write_str("take our days off the control plane"),
            Self::RecordRolledFor(entries) => {
                let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
                write!(f, "write down that the control plane is rolled for {}", paths.join(", "))
            }
            Self::RecordPairs(_) => f.write_str("write down which client pair the Secret has"),
            Self::RecordIntent(Intent { id, closed: Some(_), .. }) => {
                write!(f, "close the rollout {id} of etcd")
            }
            Self::RecordIntent(Intent { id, machines, cause, .. }) => {
                write!(f, "roll the {} machines of etcd ({cause}), as {id}", machines.len())
            }
            Self::Mark { machine, id } => {
                write!(f, "mark the EtcdadmConfig of {machine} for the rollout {id}")
            }
            Self::Unmark { machine } => write!(f, "take the mark off {machine} again"),
            Self::Nudge { id } => {
                write!(f, "have etcdadm-controller look at the marks of the rollout {id}")
            }
            Self::TakeBackNudge => f.write_str("no longer have etcdadm-controller look"),
            Self::RefreshSecret => f.write_str("have etcd's client pair in the Secret made anew"),
            Self::RestartEtcdController => f.write_str("restart etcdadm-controller"),
            Self::SkipHealthChecks(true) => {
                f.write_str("have etcdadm-controller skip its health checks")
            }
            Self::SkipHealthChecks(false) => {
                f.write_str("have etcdadm-controller do its health checks again")
            }
            Self::FinishUpgrade => f.write_str("finish the upgrade of etcd that nobody finished"),
        }
    }
}
