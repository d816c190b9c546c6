//! Why something is not done, and what each reason means, as a sentence for people.

use expiryd_api::closed_list;

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
        /// G6: a certificate of the control plane has ended, or one of etcd, which is not in a state to be rolled.
        Expired = "expired",
        /// Its control plane is none that we know.
        UnsupportedControlPlane = "unsupported-control-plane",
        /// C0: the days could not be set, because a topology owns the control plane's spec.
        DaysOwned = "days-owned",
        /// C0: KCP's own date of a Machine is due, and no agent confirms it: a renewal in place leaves it as it was.
        OwnDateUnconfirmed = "own-date-unconfirmed",
        /// C1: the Machine has no Node, or another one's.
        NoNode = "no-node",
        /// C2: the machine is new, and is not heard yet.
        Starting = "starting",
        /// C2: the workload cluster was not heard.
        Unreachable = "unreachable",
        /// C2: there is no agent on the machine, or none that reports.
        NoAgent = "no-agent",
        /// C2: the report is too old.
        Stale = "stale",
        /// C2: the report has not settled.
        Unsettled = "unsettled",
        /// C3, E8: the client pair in the Secret cannot be read, and the last one that was seen counts.
        SecretUnread = "secret-unread",
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
        /// E: somebody puts an old client pair back into the Secret again and again.
        SecretPutBack = "secret-put-back",
        /// E: etcdadm-controller has a pod, and none of them has run for long.
        EtcdControllerDown = "etcd-controller-down",
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
        /// E0: the agent's certificate is for other names than the machine's address.
        NameMismatch = "name-mismatch",
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
        /// A CA ends within the life of a leaf, and no rollout renews that.
        CaEnds = "ca-ends",
    }
}

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
                "a certificate has ended; renew it by hand unless machines are being replaced already"
            }
            Self::UnsupportedControlPlane => "its control plane is no KubeadmControlPlane",
            Self::DaysOwned => {
                "a topology owns the control plane's spec; set rollout.before.certificatesExpiryDays there"
            }
            Self::OwnDateUnconfirmed => {
                "KCP's own date is due, which a renewal in place leaves as it was, and no agent confirms it; install \
                 or mend the agent, or it is acted on two days before"
            }
            Self::NoNode => "the Machine has no Node with its providerID",
            Self::Starting => "the machine is new, and nothing is heard of it yet",
            Self::Unreachable => "the workload cluster was not heard; what is published stands",
            Self::NoAgent => "no agent of expiryd reports; install it on the machine",
            Self::Stale => "the agent's report is too old; look at the machine",
            Self::Unsettled => "the agent's report has not settled",
            Self::SecretUnread => {
                "etcd's client pair in the Secret cannot be read; the last one that was seen counts"
            }
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
            Self::EtcdControllerDown => {
                "etcdadm-controller has a pod and none that runs; see to it, nothing of etcd is replaced without it"
            }
            Self::SecretPutBack => {
                "an old client pair is put back into the Secret again and again, as by a backup or a pipeline; stop \
                 that and acknowledge its sha256, or a new one is made two days after it was put back last"
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
            Self::NameMismatch => {
                "the agent answers with a certificate for other names than the machine's address"
            }
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
                "the client pair in the Secret was to be made anew, and is not"
            }
            Self::Leftovers => "members that etcdadm-controller let go of still vote",
            Self::Queued => "another cluster's etcd is rolled first",
            Self::CaEnds => {
                "a CA ends within the life of a leaf, and no rollout renews it; plan its rotation"
            }
        }
    }

    /// Whom it concerns.
    pub const fn concern(self) -> Concern {
        match self {
            Self::Deleting | Self::Paused | Self::NotOptedIn | Self::Hold | Self::Overridden => {
                Concern::Nobody
            }
            Self::Starting
            | Self::Unsettled
            | Self::Rolling
            | Self::EtcdFirst
            | Self::NotQuiet
            | Self::LeftOut
            | Self::Cooling
            | Self::Queued => Concern::Wait,
            Self::NoNode
            | Self::OwnDateUnconfirmed
            | Self::Unreachable
            | Self::NoAgent
            | Self::Stale
            | Self::Waiting
            | Self::RoleMismatch
            | Self::Degraded
            | Self::Implausible
            | Self::ServedOnly
            | Self::NotServed
            | Self::NameMismatch
            | Self::EtcdExpiryUnknown => Concern::Machine,
            Self::InvalidOptIn
            | Self::InPlace
            | Self::Expired
            | Self::UnsupportedControlPlane
            | Self::DaysOwned
            | Self::BornDue
            | Self::NotRenewed
            | Self::SecretPutBack
            | Self::EtcdControllerDown
            | Self::OverriddenByNoDate
            | Self::EtcdUnmanaged
            | Self::SecretUnread
            | Self::StalePair
            | Self::SingleEtcd
            | Self::Stuck
            | Self::SecretNotRefreshed
            | Self::Leftovers
            | Self::CaEnds => Concern::Cluster,
        }
    }
}

closed_list! {
    /// Who has to act.
    Concern {
        /// Nobody: it is as somebody wants it.
        Nobody = "nobody",
        /// Nobody: it goes on by itself.
        Wait = "wait",
        /// Whoever runs the machine and its agent.
        Machine = "machine",
        /// Whoever runs the cluster.
        Cluster = "cluster",
    }
}
