//! How a publisher that talks to others is getting on: part of every report.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::closed_list::closed_list;

closed_list! {
    /// Where a publisher stands.
    State {
        /// It has nobody to talk to, which is no error: an etcd machine has no Node.
        Off = "off",
        /// It has not yet said what it has to say.
        Pending = "pending",
        /// What it said last was accepted and still holds.
        Accepted = "accepted",
        /// It was refused or not heard, and tries again.
        Failing = "failing",
    }
}

/// One publisher's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// What is published, such as `node-annotations`.
    pub name: &'static str,
    /// Where it stands.
    pub state: State,
    /// When something was last accepted by the other side.
    pub last_success: Option<Timestamp>,
    /// Why it is off or failing, as a sentence for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
