//! The condition `CertificatesRenewed` on Cluster API's Cluster: whether its certificates are looked after.

use expiryd_api::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decide::Concern;
use crate::parameters::DAY;
use crate::status::{ClusterStatus, OptedIn};

/// Its type.
pub const CONDITION: &str = "CertificatesRenewed";

/// Bytes of a message; Kubernetes allows 32,768, and nobody reads more than this.
const MOST: usize = 1_024;

/// What a cluster that is opted in is told; one that is not is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Whether all is well: `True`; `False` when something ends soon or a person has to act; `Unknown` when
    /// too little is heard to tell.
    pub status: String,
    /// One word, in CamelCase.
    pub reason: String,
    /// Why, in sentences. It has no ages in it, so it changes only when something does.
    pub message: String,
}

impl Condition {
    /// What is to be said of a cluster at `now`.
    pub fn of(status: &ClusterStatus, now: Timestamp) -> Option<Self> {
        let is_refused = status.actions.iter().any(|action| action.refused.is_some());
        let concerns = match status.opt_in {
            OptedIn::Unknown => false,
            // Who opted out is told what cannot be taken back.
            OptedIn::No => is_refused,
            _ => true,
        };
        if status.error.is_some() || !concerns {
            return None;
        }
        let window = status.days.unwrap_or(0) * DAY;
        let end = status.earliest.as_ref();
        let due = end.is_some_and(|end| end.not_after.seconds_since(now) <= window);
        let first = status.findings.first();
        let (is, reason) = match first {
            Some(finding) if finding.concern == Concern::Cluster => {
                ("False", camel(finding.guard.as_str()))
            }
            _ if is_refused => ("False", "WriteRefused".to_owned()),
            _ if status.etcd_rolling => ("False", "EtcdRolling".to_owned()),
            _ if due => ("False", "Due".to_owned()),
            Some(finding) if finding.concern == Concern::Machine => {
                ("Unknown", camel(finding.guard.as_str()))
            }
            _ if end.is_none() => ("Unknown", "NothingKnown".to_owned()),
            _ => ("True", "NotDue".to_owned()),
        };
        Some(Self { status: is.to_owned(), reason, message: message(status) })
    }
}

fn message(status: &ClusterStatus) -> String {
    let first = status.earliest.as_ref().map(|end| {
        let path = end.path.as_ref().map_or_else(String::new, |path| format!(", {path}"));
        format!("The first to end is of {}{path}: {}", end.of, end.not_after)
    });
    let findings = status.findings.iter().map(|finding| {
        let mut text = finding.machines.join(", ");
        if !text.is_empty() {
            text.push_str(": ");
        }
        text + finding.meaning
    });
    let unheard = status.unheard.iter().map(ToString::to_string);
    let refused = status.actions.iter().filter_map(|action| {
        action.refused.as_ref().map(|why| format!("Not done: {}: {why}", action.what))
    });
    let sentences = first.into_iter().chain(findings).chain(refused).chain(unheard);
    let mut text = sentences.collect::<Vec<_>>().join(". ");
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push('…');
    }
    text
}

/// `not-quiet` as `NotQuiet`.
pub fn camel(words: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    words.split('-').filter_map(word).collect()
}
