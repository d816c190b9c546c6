//! What a degraded report could not read, as the Node is told of it, and whether it is more than before.

use std::collections::{BTreeMap, BTreeSet};

use expiryd_api::{Reason, Status};
use sha2::{Digest, Sha256};

use crate::host_root::HostPath;
use crate::problem::{ActiveProblem, Problem};
use crate::report::Report;

/// Bytes of the list; of a longer one a digest is told.
const LIMIT: usize = 1_024;

/// What could not be read for so many seconds belongs to the machine.
const LASTING: i64 = 86_400;

/// What a degraded report could not read; empty for any other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// Files and directories whose last good state is not in the report.
    places: BTreeSet<Place>,
    /// Those of them that such a machine always has.
    missing: BTreeSet<Place>,
    /// What the Node is told of them.
    pub(super) told: Option<String>,
    /// Whether each of them has been so for a day.
    pub(super) is_lasting: bool,
}

/// What a problem is about, and how many certificates were read beside it: who loses one of those has lost
/// more, although the problem is the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// A path, and the certificate of a file where one is meant. Without commas, which stand between two.
    name: String,
    beside: usize,
}

impl Unread {
    pub(super) fn of(report: &Report) -> Self {
        if report.status != Status::Degraded {
            return Self::default();
        }
        let stale = || report.certificates.iter().filter(|entry| entry.stale);
        let remembered = |path: &HostPath| stale().any(|entry| entry.path == *path);
        let remembered_beneath =
            |path: &HostPath| stale().any(|entry| entry.path.beneath(path).is_some());
        let mut read: BTreeMap<&HostPath, usize> = BTreeMap::new();
        for entry in report.certificates.iter().filter(|entry| entry.counted && !entry.stale) {
            *read.entry(&entry.path).or_default() += 1;
        }
        let degrading = report.problems.iter().filter(|active| active.problem.reason.degrades());
        let all: Vec<_> = degrading.filter(|active| !remembered(&active.problem.path)).collect();
        let places = |which: &dyn Fn(&Problem) -> bool| -> BTreeSet<Place> {
            let problems = all.iter().map(|active| &active.problem);
            let place = |problem| Place::of(problem, &read);
            problems.filter(|problem| which(problem)).map(place).collect()
        };
        let lasts =
            |active: &&ActiveProblem| report.observed_at.seconds_since(active.since) >= LASTING;
        Self {
            places: places(&|_| true),
            missing: places(&|problem| problem.reason == Reason::Missing),
            told: list(&places(&|problem| !remembered_beneath(&problem.path))),
            is_lasting: all.iter().all(lasts),
        }
    }

    /// Whether each of them could not be read before either, or whether an agent that remembers all that
    /// could misses nothing that such a machine always has.
    pub(super) fn are_all_in(&self, before: Option<&str>, remembers: bool) -> bool {
        let places = if remembers { &self.missing } else { &self.places };
        let before = before.unwrap_or_default();
        let mut known: BTreeMap<_, usize> = BTreeMap::new();
        for Place { name, beside } in before.split(',').map(Place::parse) {
            let most = known.entry(name).or_default();
            *most = beside.max(*most);
        }
        let is_known =
            |place: &Place| known.get(&place.name).is_some_and(|beside| place.beside >= *beside);
        places.iter().all(is_known) || list(places).as_deref() == Some(before)
    }
}

impl Place {
    /// Beside whatever was read of each file.
    fn of(problem: &Problem, read: &BTreeMap<&HostPath, usize>) -> Self {
        let path = problem.path.to_string().replace(',', "\\x2c");
        let name = problem.index.map_or(path.clone(), |index| format!("{path}#{index}"));
        Self { name, beside: read.get(&problem.path).copied().unwrap_or(0) }
    }

    fn parse(text: &str) -> Self {
        let with_count = text.rsplit_once('+').and_then(|(name, beside)| {
            Some(Self { name: name.to_owned(), beside: beside.parse().ok()? })
        });
        with_count.unwrap_or_else(|| Self { name: text.to_owned(), beside: 0 })
    }

    fn write(&self) -> String {
        match self.beside {
            0 => self.name.clone(),
            beside => format!("{}+{beside}", self.name),
        }
    }
}

/// As the Node is told; of a long list the number and a digest, so that the same one is known again.
fn list(places: &BTreeSet<Place>) -> Option<String> {
    let all = places.iter().map(Place::write).collect::<Vec<_>>().join(",");
    if all.len() <= LIMIT {
        return Some(all).filter(|all| !all.is_empty());
    }
    let digest: [u8; 32] = Sha256::digest(&all).into();
    let digest = digest.first_chunk().copied().map_or(0, u128::from_be_bytes);
    Some(format!("{} places, sha256:{digest:032x}", places.len()))
}
