//! What each finding means, as a sentence for people.

use super::Guard;

impl Guard {
    /// What it means, and what to do.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Deleting => "it is being deleted",
            Self::Paused => "it is paused; unpause it to have it renewed",
            Self::NotOptedIn => {
                "nobody opted in; annotate the Cluster with expiryd.dev/rollout-before-expiry: \"7d\""
            }
            Self::InvalidOptIn => {
                "expiryd.dev/rollout-before-expiry is no number of days from 7 to half of a certificate's life"
            }
            Self::Hold => "expiryd.dev/hold stops it",
            Self::InPlace => "its control plane is upgraded in place, which renews no certificate",
            Self::Expired => {
                "a certificate has ended, and etcd cannot be rolled as it is; renew it by hand"
            }
            Self::UnsupportedControlPlane => "its control plane is no KubeadmControlPlane",
            Self::DaysOwned => {
                "a topology owns the control plane's spec; set rollout.before.certificatesExpiryDays there"
            }
            Self::NoNode => "the Machine has no Node with its providerID",
            Self::Unreachable => "the workload cluster was not heard; what is published stands",
            Self::NoAgent => "no agent of expiryd reports; install it on the machine",
            Self::Stale => "the agent's report is too old; look at the machine",
            Self::Unsettled => "the agent's report has not settled",
            Self::Waiting => "the agent waits for a PKI",
            Self::RoleMismatch => {
                "the agent takes the machine for a worker; its PKI is not mounted"
            }
            Self::Degraded => {
                "the report is degraded, so the date moves no later; mend its problems"
            }
            Self::BornDue => "it was born with a date that is due, and so would its replacement be",
            Self::NotRenewed => {
                "it was rolled for this certificate and has it still; see to it, then acknowledge"
            }
            Self::Implausible => {
                "the report is from the future, or its date is none of a certificate"
            }
            Self::Rolling => "the control plane is being rolled, and no date moves later meanwhile",
            Self::Overridden => "somebody else's date is on the Machine, and stays",
            Self::OverriddenByNoDate => "what somebody wrote on the Machine is no date; remove it",
            Self::EtcdFirst => "etcd is rolled first, and the control plane with it",
            Self::EtcdUnmanaged => {
                "its etcd has no EtcdadmCluster; only the control plane is renewed"
            }
            Self::ServedOnly => "only the leaf that etcd serves is seen, not its agent",
            Self::NotServed => "only the agent is heard; the leaf that etcd serves is not seen",
            Self::EtcdExpiryUnknown => "neither its agent nor what etcd serves is seen",
            Self::NotQuiet => "etcd or the control plane is not at rest",
            Self::LeftOut => "its replacement would be due as soon, or it is too young to tell",
            Self::Cooling => "etcd was rolled less than a day ago",
            Self::StalePair => {
                "etcdadm-controller holds a client pair that ends too soon; restart it: kubectl -n \
                 etcdadm-controller-system rollout restart deployment etcdadm-controller-controller-manager"
            }
            Self::SingleEtcd => {
                "etcd has one machine; allow it with expiryd.dev/allow-single-etcd on the EtcdadmCluster"
            }
            Self::Stuck => "the rollout makes no progress; look at etcd's newest Machine",
            Self::SecretNotRefreshed => {
                "all members are new and the client pair in the Secret is not"
            }
            Self::Leftovers => "members that etcdadm-controller let go of still vote",
            Self::Queued => "another cluster's etcd is rolled first",
        }
    }
}
