//! Which instance leads, on the command line: flags and defaults of Cluster API's managers.

use std::time::Duration;

use clap::Args;

use crate::leader::Times;
use crate::run::LeaseOptions;

/// See the module.
#[derive(Debug, Clone, Args)]
pub(super) struct Election {
    /// Work without a lease. Never with two instances.
    #[arg(long)]
    no_leader_elect: bool,
    /// The namespace of the lease.
    #[arg(long, default_value = "expiryd-system", value_name = "NAMESPACE")]
    leader_elect_namespace: String,
    /// Another instance waits for so long after the last sign of the one that leads.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    leader_elect_lease_duration: Duration,
    /// The one that leads gives up when it could not renew the lease for so long.
    #[arg(long, default_value = "40s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    leader_elect_renew_deadline: Duration,
    /// How often the lease is tried for, and renewed.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    leader_elect_retry_period: Duration,
    /// What this instance is called in the lease; a word of its own is added at each start.
    #[arg(long, env = "HOSTNAME", default_value = "expiryd-controller", value_name = "NAME")]
    identity: String,
}

impl Election {
    /// As the lease and Events name this instance. Two of one name would both take the lease for theirs.
    pub(super) fn identity(&self) -> String {
        format!("{}_{:08x}", self.identity, fastrand::u32(..))
    }

    /// The lease, if there is to be one.
    ///
    /// # Errors
    /// The times do not go together.
    pub(super) fn lease(&self) -> Result<Option<LeaseOptions>, String> {
        let (lease, renew, retry) = (
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        );
        if lease <= renew || renew < retry * 2 || retry.is_zero() {
            return Err(format!(
                "--leader-elect-lease-duration ({lease:?}) has to be longer than \
                 --leader-elect-renew-deadline ({renew:?}), and that at least twice \
                 --leader-elect-retry-period ({retry:?}): else two instances lead at once"
            ));
        }
        Ok((!self.no_leader_elect).then(|| LeaseOptions {
            namespace: self.leader_elect_namespace.clone(),
            times: Times { lease, renew, retry },
        }))
    }
}
