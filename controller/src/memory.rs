//! What has to be remembered, as annotations: each in its one written form.
//!
//! A restart, a second instance or a move to another management cluster finds all of it where it was.

use expiryd_api::{Timestamp, closed_list};
use serde::{Deserialize, Serialize};

/// Days before an expiry that a cluster is opted in with, on Cluster API's or EKS Anywhere's Cluster.
pub const ROLLOUT_BEFORE_EXPIRY: &str = "expiryd.dev/rollout-before-expiry";
/// `true` stops everything that is not begun, on the Cluster.
pub const HOLD: &str = "expiryd.dev/hold";
/// The identifier of what a person has seen to, on the Cluster.
pub const ACKNOWLEDGE: &str = "expiryd.dev/acknowledge";
/// The condition `CertificatesRenewed`, on a Cluster of a version that has no place for it.
pub const CERTIFICATES_RENEWED: &str = "expiryd.dev/certificates-renewed";
/// The companion of Cluster API's key on a Machine: what we wrote there, `DATE;STATUS`.
pub const PUBLISHED: &str = "expiryd.dev/published";
/// When a Machine was seen first, on it.
pub const FIRST_SEEN: &str = "expiryd.dev/first-seen";
/// The days before expiry that we set, on the KubeadmControlPlane.
pub const KCP_DAYS: &str = "expiryd.dev/kcp-days";
/// What the control plane was rolled for, on the KubeadmControlPlane: a list of [`RolledFor`].
pub const ROLLED_FOR: &str = "expiryd.dev/rolled-for";
/// The etcd rollout that we started last, on the EtcdadmCluster: an [`Intent`].
pub const INTENT: &str = "expiryd.dev/intent";
/// Changed to have etcdadm-controller look, on the EtcdadmCluster.
pub const NUDGE: &str = "expiryd.dev/nudge";
/// The client pairs that the Secret has had, on the EtcdadmCluster: a list of [`ClientPair`].
pub const ETCD_CLIENT_PAIRS: &str = "expiryd.dev/etcd-client-pairs";
/// The value of `healthcheck-retries` that we replaced, on the EtcdadmCluster.
pub const SKIPPED_HEALTH_CHECKS: &str = "expiryd.dev/skipped-health-checks";
/// `true` allows an etcd of one machine to be rolled, on the EtcdadmCluster.
pub const ALLOW_SINGLE_ETCD: &str = "expiryd.dev/allow-single-etcd";

/// Cluster API's key on a Machine, beside its companion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Published {
    /// Neither is there.
    #[default]
    Nothing,
    /// What we wrote.
    Ours(Record),
    /// The key is gone and the companion is there: KCP's template took it, or somebody removed it.
    Lost(Record),
    /// Somebody else's; `None` when it is no date, which Cluster API tells only in a log.
    Foreign(Option<Timestamp>),
}

/// What we wrote, and what it was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// The date.
    pub date: Timestamp,
    /// Whether the report was degraded.
    pub degraded: bool,
}

impl Published {
    /// Reads the key and its companion.
    pub fn read(key: Option<&str>, companion: Option<&str>) -> Self {
        let date = key.and_then(|key| Timestamp::parse(key).ok());
        let record = companion.and_then(Record::parse);
        match (key, record) {
            (None, None) => Self::Nothing,
            (None, Some(record)) => Self::Lost(record),
            (Some(_), Some(record)) if date == Some(record.date) => Self::Ours(record),
            (Some(_), _) => Self::Foreign(date),
        }
    }

    /// What we wrote last, there still or not.
    pub const fn last(&self) -> Option<Record> {
        match self {
            Self::Ours(record) | Self::Lost(record) => Some(*record),
            Self::Nothing | Self::Foreign(_) => None,
        }
    }

    /// The date that is there, whoever wrote it.
    pub const fn date(&self) -> Option<Timestamp> {
        match self {
            Self::Ours(record) => Some(record.date),
            Self::Foreign(date) => *date,
            Self::Nothing | Self::Lost(_) => None,
        }
    }

    /// What we wrote and is there still.
    pub const fn ours(&self) -> Option<Record> {
        match self {
            Self::Ours(record) => Some(*record),
            Self::Nothing | Self::Lost(_) | Self::Foreign(_) => None,
        }
    }
}

impl Record {
    fn parse(text: &str) -> Option<Self> {
        let (date, status) = text.split_once(';')?;
        let degraded = match status {
            "ok" => false,
            "degraded" => true,
            _ => return None,
        };
        Some(Self { date: Timestamp::parse(date).ok()?, degraded })
    }

    /// As the companion says it.
    pub fn write(self) -> String {
        format!("{};{}", self.date, if self.degraded { "degraded" } else { "ok" })
    }
}

/// A certificate that the control plane was rolled for: a machine that was born later and has it still, no
/// later, was rolled in vain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolledFor {
    /// The file it is in.
    pub path: String,
    /// When it ends.
    pub not_after: Timestamp,
    /// When that became due.
    pub at: Timestamp,
    /// The Machine that it became due for.
    #[serde(default)]
    pub machine: String,
}

impl RolledFor {
    /// What a person writes to acknowledge it.
    pub fn id(&self) -> String {
        format!("{}@{}", self.path, self.not_after)
    }
}

/// An etcd rollout that we started.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// What its marks say.
    pub id: String,
    /// Why.
    pub cause: Cause,
    /// The names of the Machines that it replaces. They are made up anew for each, and stay when a cluster is
    /// moved to another management cluster, which a UID does not.
    pub machines: Vec<String>,
    /// When the Secret's pair ended, before it.
    pub secret_not_after: Option<Timestamp>,
    /// When it was written.
    pub at: Timestamp,
    /// When it was over, in whatever way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed: Option<Timestamp>,
}

closed_list! {
    /// Why etcd is rolled.
    Cause {
        /// A machine of etcd is due.
        MachineDue = "machine-due",
        /// The client pair in the Secret is due.
        SecretDue = "secret-due",
        /// The control plane is due, and etcd soon after it.
        Joined = "joined",
    }
}

/// When etcdadm-controller was asked to look at the marks of an intent: `ID;DATE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nudge {
    /// The intent.
    pub id: String,
    /// When.
    pub at: Timestamp,
}

impl Nudge {
    /// Reads the annotation.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, at) = text.rsplit_once(';')?;
        Some(Self { id: id.to_owned(), at: Timestamp::parse(at).ok()? })
    }

    /// As the annotation says it.
    pub fn write(&self) -> String {
        format!("{};{}", self.id, self.at)
    }
}

/// A client pair that the Secret `<c>-apiserver-etcd-client` has had.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientPair {
    /// SHA-256 of its DER, in hexadecimal.
    pub sha256: String,
    /// When it ends.
    pub not_after: Timestamp,
    /// When it was seen first.
    pub first_seen: Timestamp,
}
