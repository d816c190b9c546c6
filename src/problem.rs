//! What is wrong with a source or with the agent itself.

use std::collections::BTreeMap;

pub use expiryd_api::Reason;
use expiryd_api::{ReportedProblem, Timestamp};
use serde::{Serialize, Serializer};

use crate::host_root::{HostPath, ReadError};

/// Something that could not be read or parsed, or does not work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The file or directory, as the node names it.
    pub path: HostPath,
    /// Which certificate of the file, counted from 0; `None` when it is the file as a whole.
    pub index: Option<usize>,
    /// What kind of problem.
    pub reason: Reason,
    /// A sentence for the operator, without any content of the file.
    pub message: String,
}

impl Problem {
    /// One of a file or directory as a whole.
    pub fn new(path: &HostPath, reason: Reason, message: impl Into<String>) -> Self {
        Self { path: path.clone(), index: None, reason, message: message.into() }
    }

    /// A file or directory that could not be read.
    pub fn unreadable(path: &HostPath, error: &ReadError) -> Self {
        Self::new(path, error.into(), error.to_string())
    }
}

/// A problem, and since when it has been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveProblem {
    /// The problem.
    pub problem: Problem,
    /// When it was first seen.
    pub since: Timestamp,
}

impl ActiveProblem {
    /// Dates problems: one that was active `before` has been there since then.
    pub fn date(problems: Vec<Problem>, before: &[Self], now: Timestamp) -> Vec<Self> {
        let since: BTreeMap<_, _> =
            before.iter().map(|active| (&active.problem, active.since)).collect();
        let active = problems
            .into_iter()
            .map(|problem| Self { since: since.get(&problem).copied().unwrap_or(now), problem });
        active.collect()
    }
}

impl Serialize for ActiveProblem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Problem { path, index, reason, message } = &self.problem;
        let problem = ReportedProblem {
            path: path.to_string().into(),
            index: *index,
            reason: *reason,
            message: message.into(),
            since: self.since,
        };
        problem.serialize(serializer)
    }
}

impl From<&ReadError> for Reason {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound,
            ReadError::DanglingLink(_) => Self::DanglingLink,
            ReadError::LinkLoop => Self::LinkLoop,
            ReadError::PermissionDenied(_) => Self::PermissionDenied,
            ReadError::PrivateKey(_) => Self::PrivateKey,
            ReadError::NotRegular(_) => Self::NotRegularFile,
            ReadError::TooLarge { .. } => Self::TooLarge,
            ReadError::Changing => Self::Changing,
            ReadError::NoProc | ReadError::Other(_) => Self::ReadError,
        }
    }
}
