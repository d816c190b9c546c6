//! How the process that answers for an agent is getting on.

use serde::Serialize;

use crate::Timestamp;

/// How often it had to be started again since the agent started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerRestarts {
    /// Times.
    pub count: u64,
    /// When it last ended.
    pub last: Timestamp,
    /// How that was, as the second half of a sentence about it.
    pub reason: String,
}
