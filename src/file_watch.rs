//! Tells when it is worth scanning again: inotify, as far as it works.
//!
//! inotify is the speed and never the guarantee. It watches inodes, not names: a directory that
//! is replaced goes silent, a watch through a link to a file dies with the file, and the queue can
//! overflow. So directories alone are watched, the set is compared with the machine after every
//! scan, and the agent's tick finds whatever is missed.

mod inotify;
mod targets;

use std::time::Duration;

use tokio::sync::watch;

use crate::host_root::HostRoot;
use crate::layout::Watched;
use crate::problem::Problem;
use inotify::Inotify;
use targets::Targets;

/// How often to scan while inotify does not work, and to try whether it works again.
pub const POLL: Duration = Duration::from_secs(30);

/// How often the directories that are watched are compared with those that the names lead to now: one
/// that was replaced, or that something was mounted over, tells inotify nothing.
pub const COMPARE: Duration = Duration::from_secs(30);

/// Watches the directories of the machine that matter.
#[derive(Debug)]
pub struct FileWatch {
    changed: watch::Sender<()>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was watched yet.
    Idle,
    /// inotify watches these directories.
    Watching { inotify: Inotify, targets: Targets },
    /// inotify does not work; it is tried again once `since` is [`POLL`] ago.
    Polling { problem: Problem, since: Duration },
}

/// What [`FileWatch::arm`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// Watching what was watched before.
    Same,
    /// Watching other directories: what changed before went unseen, so scan again.
    New,
    /// inotify does not work; see [`FileWatch::problem`].
    Polling,
}

impl FileWatch {
    /// Watches nothing yet; sends to `changed` whenever something that matters changed.
    pub const fn new(changed: watch::Sender<()>) -> Self {
        Self { changed, state: State::Idle }
    }

    /// What keeps inotify from working, if anything does.
    pub fn problem(&self) -> Option<&Problem> {
        match &self.state {
            State::Polling { problem, .. } => Some(problem),
            State::Idle | State::Watching { .. } => None,
        }
    }

    /// Whether `wanted` leads to other directories than those that are watched. Costs an open(2) for
    /// each of them and reads nothing.
    pub fn has_moved(&self, root: &HostRoot, wanted: &[Watched]) -> bool {
        match &self.state {
            State::Watching { targets, .. } => *targets != Targets::find(root, wanted),
            State::Idle | State::Polling { .. } => false,
        }
    }

    /// Watches what is wanted now. `now` is monotonic.
    pub fn arm(&mut self, root: &HostRoot, wanted: &[Watched], now: Duration) -> Armed {
        let targets = Targets::find(root, wanted);
        match &self.state {
            State::Polling { since, .. } if now.saturating_sub(*since) < POLL => {
                return Armed::Polling;
            }
            State::Watching { inotify, targets: watched } => match inotify.failure() {
                None if *watched == targets => return Armed::Same,
                None => {}
                Some(problem) => {
                    self.state = State::Polling { problem, since: now };
                    return Armed::Polling;
                }
            },
            State::Idle | State::Polling { .. } => {}
        }
        // The old instance goes first: they are scarce (fs.inotify.max_user_instances).
        self.state = State::Idle;
        match Inotify::watch(&targets, &self.changed) {
            Ok(inotify) => {
                self.state = State::Watching { inotify, targets };
                Armed::New
            }
            Err(problem) => {
                self.state = State::Polling { problem, since: now };
                Armed::Polling
            }
        }
    }
}
