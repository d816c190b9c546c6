//! The last good state of each file, and when it stands in for what is there now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use expiryd_api::SourceKind;

use crate::config::Timing;
use crate::host_root::HostPath;
use crate::layout::known_files::{Origin, expected_content};
use crate::pki::Contents;
use crate::problem::{Problem, Reason};
use crate::rules::ca::classify;
use crate::scan::{File, Scan};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct LastGood {
    files: BTreeMap<HostPath, LastGoodFile>,
    /// How many were given up although they may come back with other dates.
    forgotten: u64,
}

/// The last state of a file that had certificates.
#[derive(Debug, Clone)]
struct LastGoodFile {
    file: File,
    gone_since: Option<Duration>,
    shrunk: Option<Shrunk>,
}

/// A state of a file that is whole and has fewer certificates than it had: it may be the first half of
/// a bundle that is written in two parts.
#[derive(Debug, Clone)]
struct Shrunk {
    contents: Arc<Contents>,
    /// When this very state was first seen.
    since: Duration,
    /// When the file was first seen with fewer certificates.
    first: Duration,
}

/// What a scan is, beside the certificates that are believed.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Files whose last good state stands in for what is there.
    pub(super) stale: BTreeSet<HostPath>,
    /// Whether some of them are not there at all.
    pub(super) gone: bool,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
}

/// What a new state of a file is, held against the last good one.
enum Change {
    /// As good as it was, or better.
    Good,
    /// Nothing in it, or something in it that cannot be read and could be before.
    Worse,
    /// Whole, with so many counted certificates less.
    Fewer(usize),
}

impl LastGood {
    /// Takes in a scan. `quiet_since` is when the machine last changed; `expected` says of a file that is
    /// gone whether such a machine cannot be without it.
    pub(super) fn observe(
        &mut self,
        scan: &Scan,
        expected: impl Fn(&HostPath) -> bool,
        quiet_since: Duration,
        now: Duration,
        timing: Timing,
    ) -> Observed {
        let mut observed = Observed::default();
        for (path, file) in &scan.files {
            observed.problems.extend_from_slice(&file.contents.problems);
            self.update(path, file, now, timing, &mut observed);
        }
        let quiet = now.saturating_sub(quiet_since) >= timing.settle;
        self.hold_gone(scan, expected, quiet, now, timing.grace, &mut observed);
        observed
    }

    /// Every file as it is believed to be, by path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&HostPath, &File)> {
        self.files.iter().map(|(path, known)| (path, &known.file))
    }

    /// How many files were given up after the grace, with everything that was beside them.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether a file was ever good, and is not yet known to be gone.
    pub(super) fn knows(&self, path: &HostPath) -> bool {
        self.files.contains_key(path)
    }

    /// Forgets every file that the configuration added and does not name any more.
    pub(super) fn forget_unless(&mut self, configured: impl Fn(&HostPath) -> bool) {
        self.files.retain(|path, known| {
            !matches!(known.file.origin, Origin::Configured(_)) || configured(path)
        });
    }

    /// When one of the waits that began is over.
    pub(super) fn deadlines(&self, timing: Timing) -> impl Iterator<Item = Duration> {
        self.files.values().flat_map(move |known| {
            let gone = known.gone_since.map(|since| since.saturating_add(timing.grace));
            let shrunk = known.shrunk.as_ref().map(|shrunk| shrunk.over(timing));
            gone.into_iter().chain(shrunk)
        })
    }

    /// Whether anything is held that is not there.
    pub(super) fn holds_gone(&self) -> bool {
        self.files.values().any(|known| known.gone_since.is_some())
    }

    fn update(
        &mut self,
        path: &HostPath,
        file: &File,
        now: Duration,
        timing: Timing,
        observed: &mut Observed,
    ) {
        let Some(known) = self.files.get_mut(path) else {
            if !file.contents.certificates.is_empty() {
                let known = LastGoodFile { file: file.clone(), gone_since: None, shrunk: None };
                self.files.insert(path.clone(), known);
            }
            return;
        };
        known.gone_since = None;
        let mut problem = |reason, message: String| {
            observed.problems.push(Problem::new(path, reason, message));
        };
        let change = compare(&known.file, file);
        if let Change::Fewer(missing) = change {
            let shrunk = Shrunk::observe(known.shrunk.take(), file, now);
            if now < shrunk.over(timing) {
                known.shrunk = Some(shrunk);
                problem(
                    Reason::Vanished,
                    format!(
                        "{missing} of its certificates are gone; all that it had are kept until that \
                         is certain"
                    ),
                );
                observed.stale.insert(path.clone());
                return;
            }
        }
        known.shrunk = None;
        if matches!(change, Change::Worse) {
            if file.contents.problems.is_empty() {
                problem(
                    Reason::NoCertificate,
                    "it has no certificate any more; its last good ones are kept until expiryd \
                     is restarted"
                        .to_owned(),
                );
            }
            observed.stale.insert(path.clone());
        } else {
            known.file = file.clone();
        }
    }

    /// Holds the last good state of what is gone, as long as it may be.
    fn hold_gone(
        &mut self,
        scan: &Scan,
        expected: impl Fn(&HostPath) -> bool,
        quiet: bool,
        now: Duration,
        grace: Duration,
        observed: &mut Observed,
    ) {
        let live: BTreeSet<Origin> = scan
            .files
            .values()
            .filter(|file| file.kind != SourceKind::Kubelet && counted(file) > 0)
            .map(|file| file.origin)
            .collect();
        let emptied = |origin: Origin| {
            live.is_empty()
                || (matches!(origin, Origin::ControlPlanePki | Origin::EtcdPki)
                    && !live.contains(&origin))
        };
        let forgotten = &mut self.forgotten;
        self.files.retain(|path, known| {
            if scan.files.contains_key(path) {
                return true;
            }
            if scan.layout.is_unlisted(path) {
                // Which is a problem of its own.
                known.gone_since = None;
            } else {
                let since = *known.gone_since.get_or_insert(now);
                let over = now.saturating_sub(since) >= grace;
                let emptied = emptied(known.file.origin);
                let needed = !emptied && expected(path);
                if !needed && (over || (quiet && !emptied)) {
                    *forgotten += u64::from(emptied);
                    return false;
                }
                let message = if needed {
                    "it is gone, and such a machine cannot work without it; its last good \
                     certificates are kept until it is back or expiryd is restarted"
                } else {
                    "it is gone; its last good certificates are kept until that is certain"
                };
                observed.problems.push(Problem::new(path, Reason::Vanished, message));
            }
            observed.gone = true;
            observed.stale.insert(path.clone());
            true
        });
    }
}

impl Shrunk {
    fn observe(before: Option<Self>, file: &File, now: Duration) -> Self {
        let first = before.as_ref().map_or(now, |before| before.first);
        let same = before.filter(|before| before.contents == file.contents);
        let since = same.map_or(now, |same| same.since);
        Self { contents: Arc::clone(&file.contents), since, first }
    }

    /// When it is believed: once it was the same for the settle time, and in any case after the grace.
    fn over(&self, timing: Timing) -> Duration {
        self.since
            .saturating_add(timing.settle)
            .min(self.first.saturating_add(timing.grace.max(timing.settle)))
    }
}

fn compare(known: &File, new: &File) -> Change {
    let empty = new.contents.certificates.is_empty();
    if empty || has_new_problem(&known.contents.problems, &new.contents.problems) {
        return Change::Worse;
    }
    match counted(known).checked_sub(counted(new)) {
        None | Some(0) => Change::Good,
        Some(missing) => Change::Fewer(missing),
    }
}

/// Whether there is a problem that was not there before, wherever in the file.
fn has_new_problem(before: &[Problem], now: &[Problem]) -> bool {
    let mut before: Vec<_> =
        before.iter().map(|problem| (problem.reason, &problem.message)).collect();
    !now.iter().all(|problem| {
        let same = before.iter().position(|known| *known == (problem.reason, &problem.message));
        same.map(|at| before.swap_remove(at)).is_some()
    })
}

/// How many certificates of a file count.
fn counted(file: &File) -> usize {
    let expected = expected_content(file.origin, &file.name);
    let classified = classify(expected, &file.contents.certificates);
    classified.iter().filter(|classification| classification.counts).count()
}
