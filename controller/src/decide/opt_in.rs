//! Whether a cluster is opted in, and with how many days.

use super::USUAL_LIFETIME;
use crate::facts::Facts;
use crate::parameters::{DAY, LEAST_DAYS};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptIn {
    /// Nobody asked for anything.
    No,
    /// Somebody did, and the value cannot be followed.
    Invalid,
    /// Everything, with these days.
    Full(i64),
    /// The control plane's days were set by somebody else: its dates are published, and nothing else.
    ControlPlaneOnly(i64),
}

impl OptIn {
    /// What the annotation says, else what the control plane's own days do.
    pub fn of(facts: &Facts) -> Self {
        let text = facts.cluster.opt_in.as_deref().map(str::trim);
        match text {
            // Who says no gets nothing, whoever else set the control plane's days.
            Some("false") => Self::No,
            None | Some("") => {
                let Some(control_plane) = &facts.control_plane else { return Self::No };
                let others =
                    control_plane.days.filter(|days| Some(*days) != control_plane.our_days);
                others.map_or(Self::No, Self::ControlPlaneOnly)
            }
            Some(text) => {
                let days = match text {
                    "true" => Some(LEAST_DAYS),
                    text => text.strip_suffix('d').unwrap_or(text).parse().ok(),
                };
                let days = days.filter(|days| (LEAST_DAYS..=most(facts)).contains(days));
                days.map_or(Self::Invalid, Self::Full)
            }
        }
    }

    /// The days; 0 when nobody opted in.
    pub const fn days(self) -> i64 {
        match self {
            Self::No | Self::Invalid => 0,
            Self::Full(days) | Self::ControlPlaneOnly(days) => days,
        }
    }

    /// The window before an expiry in which it is acted on, in seconds.
    pub(super) const fn window(self) -> i64 {
        self.days().saturating_mul(DAY)
    }

    /// Whether etcd may be rolled.
    pub(super) const fn is_full(self) -> bool {
        matches!(self, Self::Full(_))
    }
}

/// The most days that can be asked for: half of what any certificate lives. Those of etcd and its client pair live a
/// year, however long the control plane's do: with more days they would be due when they are made.
fn most(facts: &Facts) -> i64 {
    let most = most_of_control_plane(facts);
    if facts.etcd.is_some() { most.min(USUAL_LIFETIME / 2) } else { most }
}

/// The most days that a control plane can have: half of what a certificate of it lives. Where nobody is heard who
/// tells how long that is, what kubeadm gives, or what was found good before, when somebody was, by us or by who set
/// it.
pub(super) fn most_of_control_plane(facts: &Facts) -> i64 {
    let days = facts.control_plane.as_ref().and_then(|control_plane| control_plane.days);
    let unheard = || (USUAL_LIFETIME / 2).max(days.unwrap_or(0));
    facts.lifetime_days().map_or_else(unheard, |days| days / 2)
}
