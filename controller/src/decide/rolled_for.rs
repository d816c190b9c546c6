//! What the control plane was rolled for, written down before it is: a certificate that no rollout renews is not rolled
//! for again (C6).

use expiryd_api::Timestamp;

use super::{Action, Case, Decision, Reason, USUAL_LIFETIME, after};
use crate::facts::{ControlPlane, Expiry};
use crate::memory::RolledFor;
use crate::parameters::DAY;

/// How long what the control plane was rolled for is remembered.
const REMEMBERED: i64 = 800 * DAY;

/// How much of it, of all Machines and of one: whoever names another certificate at each look neither fills the
/// object nor has it forgotten what others were rolled for.
const MOST_REMEMBERED: usize = 50;
const MOST_OF_ONE: usize = 8;

impl Case<'_> {
    /// A certificate that ends no later than this has not been renewed by a rollout for this entry: one that is
    /// worth a rollout lasts longer. So a date that moves with the clock is one entry, too.
    pub(super) fn covered_by(&self, entry: &RolledFor) -> Timestamp {
        let half = self.facts.lifetime_days().unwrap_or(USUAL_LIFETIME).saturating_mul(DAY) / 2;
        after(entry.not_after, self.parameters.min_lifetime.min(half))
    }

    /// Writes down what the control plane is about to be rolled for (C6).
    pub(super) fn record(
        &self,
        control_plane: &ControlPlane,
        due: Vec<(String, Expiry)>,
        decision: &mut Decision,
    ) {
        let known = &control_plane.rolled_for;
        let mut entries: Vec<_> =
            known.iter().filter(|entry| entry.at > self.ago(REMEMBERED)).cloned().collect();
        let remembered = entries.len();
        for (machine, Expiry { not_after, path }) in due {
            let Some(path) = path else { continue };
            if !entries.iter().any(|e| e.path == path && not_after <= self.covered_by(e)) {
                entries.push(RolledFor { path, not_after, at: self.now, machine });
            }
        }
        if entries.len() > remembered {
            decision.act(Action::RecordRolledFor(last_of(entries)), Reason::DateDue);
        }
    }
}

/// The last of these, of each Machine and of all.
fn last_of(entries: Vec<RolledFor>) -> Vec<RolledFor> {
    let mut kept: Vec<RolledFor> = Vec::new();
    for entry in entries.into_iter().rev().take(MOST_REMEMBERED * MOST_OF_ONE) {
        let of_one = kept.iter().filter(|other| other.machine == entry.machine).count();
        if kept.len() < MOST_REMEMBERED && of_one < MOST_OF_ONE {
            kept.push(entry);
        }
    }
    kept.reverse();
    kept
}
