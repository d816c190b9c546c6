//! How a publisher that talks to others is getting on: part of every report.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Timestamp, closed_list};

closed_list! {
    /// The state of a publication.
    PublicationState {
        /// It has nobody to talk to, which is not an error: an etcd machine has no Node.
        Off = "off",
        /// It has not yet said what it has to say.
        Pending = "pending",
        /// What it said last was accepted and still holds.
        Accepted = "accepted",
        /// It was refused or not heard, and tries again.
        Failing = "failing",
    }
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// What is published, such as `node-annotations`.
    pub name: Cow<'static, str>,
    /// Its state.
    pub state: PublicationState,
    /// When something was last accepted by the other side.
    pub last_success: Option<Timestamp>,
    /// Why it is off or failing, as a sentence for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
