//! One look at the machine: its layout, and what every file in it holds.
//!
//! A file is parsed again only when its identity, size or times changed, so that a look at an
//! unchanged machine costs a few system calls for each file.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::host_root::{Glance, HostPath, HostRoot, Identity, ReadError};
use crate::layout::{self, Layout, Source, Watched, Wishes};
use crate::pki::renewal::Slot;
use crate::pki::{self, Contents, Fault, Kind};
use crate::problem::{Problem, Reason};

/// Bounds on what a look may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_size: u64,
    /// Files in all.
    pub files: usize,
}

/// What one look saw.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The machine.
    pub layout: Layout,
    /// Every source that is there.
    pub files: BTreeMap<HostPath, File>,
    /// Files that were parsed in this look, not remembered from an earlier one.
    pub parsed: usize,
}

/// A source and what it held.
#[derive(Debug, Clone)]
pub struct File {
    /// Which PKI it belongs to.
    pub slot: Slot,
    /// How it was read.
    pub kind: Kind,
    /// Its name within its slot.
    pub name: Vec<u8>,
    /// Its certificates and faults. Shared with later looks as long as the file does not change.
    pub contents: Arc<Contents>,
}

/// Looks at a machine again and again, and remembers what does not change.
#[derive(Debug)]
pub struct Scanner {
    root: Arc<HostRoot>,
    wishes: Wishes,
    limits: Limits,
    known: BTreeMap<HostPath, Known>,
}

#[derive(Debug)]
struct Known {
    identity: Identity,
    kind: Kind,
    contents: Arc<Contents>,
}

impl Scanner {
    /// A scanner that has seen nothing yet.
    pub const fn new(root: Arc<HostRoot>, wishes: Wishes, limits: Limits) -> Self {
        Self { root, wishes, limits, known: BTreeMap::new() }
    }

    /// Looks now. `now` serves only to mistrust files that changed in this very second.
    pub fn look(&mut self, now: Timestamp) -> Scan {
        let mut layout = layout::look(&self.root, &self.wishes, self.limits.files);
        let mut pass = Pass { before: std::mem::take(&mut self.known), parsed: 0, now };
        let mut files = BTreeMap::new();
        for Source { path, slot, kind, name } in std::mem::take(&mut layout.sources) {
            if let Some(contents) = self.contents(&path, kind, &mut pass) {
                files.insert(path, File { slot, kind, name, contents });
            }
        }
        for (kubeconfig, slot, name) in references(&files) {
            let path = kubeconfig.parent().unwrap_or_else(HostPath::root).join(name);
            if files.contains_key(&path) {
                continue;
            }
            layout.watched.extend(Watched::named(&path, false));
            match self.contents(&path, Kind::File, &mut pass) {
                Some(contents) => {
                    let name = path.file_name().to_vec();
                    files.insert(path, File { slot, kind: Kind::File, name, contents });
                }
                None => layout.problems.push(Problem {
                    path: kubeconfig,
                    index: None,
                    reason: Reason::NotFound,
                    message: format!(
                        "its client-certificate is {path}, and {}",
                        ReadError::NotFound
                    ),
                }),
            }
        }
        Scan { layout, files, parsed: pass.parsed }
    }

    /// What a file holds, as far as it can be read; `None` when it is not there.
    fn contents(&mut self, path: &HostPath, kind: Kind, pass: &mut Pass) -> Option<Arc<Contents>> {
        let seen = pass.before.remove(path).filter(|known| known.kind == kind);
        match self.glance(path, seen) {
            Glimpse::Same(known) => Some(self.remember(path, known, pass.now)),
            Glimpse::New(glance) => {
                pass.parsed += 1;
                Some(match self.parse(&glance, kind) {
                    Ok(known) => self.remember(path, known, pass.now),
                    Err(error) => Arc::new(unreadable(&error)),
                })
            }
            Glimpse::Gone => None,
            Glimpse::Failed(error) => Some(Arc::new(unreadable(&error))),
        }
    }

    fn glance(&self, path: &HostPath, seen: Option<Known>) -> Glimpse {
        match (self.root.glance(path), seen) {
            (Ok(glance), Some(known)) if glance.identity == known.identity => Glimpse::Same(known),
            (Ok(glance), _) => Glimpse::New(glance),
            // Listed a moment ago: it was removed in between, and so is not there.
            (Err(ReadError::NotFound), _) => Glimpse::Gone,
            (Err(error), _) => Glimpse::Failed(error),
        }
    }

    fn parse(&self, glance: &Glance, kind: Kind) -> Result<Known, ReadError> {
        let (identity, bytes) = glance.read(self.limits.file_size)?;
        // A file must not be able to stop the agent, whatever the parsers make of it.
        let contents =
            catch_unwind(AssertUnwindSafe(|| pki::read(kind, &bytes))).unwrap_or_else(|_| {
                fault(
                    Reason::ParserPanic,
                    "the parser failed on it; please report this file's \
                    shape (without its keys) as a bug of expiryd",
                )
            });
        Ok(Known { identity, kind, contents: Arc::new(contents) })
    }

    /// Keeps what was read, unless the file changed so lately that it may change again within the
    /// same tick of the file system's clock, with the same size, and look the same.
    fn remember(&mut self, path: &HostPath, known: Known, now: Timestamp) -> Arc<Contents> {
        let contents = Arc::clone(&known.contents);
        if (now.unix() - known.identity.changed_at()).unsigned_abs() > 1 {
            self.known.insert(path.clone(), known);
        }
        contents
    }
}

/// One look, as far as it has got.
struct Pass {
    /// What the look before remembered.
    before: BTreeMap<HostPath, Known>,
    parsed: usize,
    now: Timestamp,
}

/// The files that kubeconfigs name: the kubeconfig, its slot, and the name as it is written there.
fn references(files: &BTreeMap<HostPath, File>) -> Vec<(HostPath, Slot, String)> {
    let named = files.iter().flat_map(|(path, file)| {
        file.contents.references.iter().map(|name| (path.clone(), file.slot, name.clone()))
    });
    named.collect()
}

enum Glimpse {
    Same(Known),
    New(Glance),
    Gone,
    Failed(ReadError),
}

fn unreadable(error: &ReadError) -> Contents {
    fault(error.into(), &error.to_string())
}

fn fault(reason: Reason, message: &str) -> Contents {
    Contents::fault(Fault::of_file(reason, message))
}

impl File {
    /// The faults of the file as problems of its path.
    pub fn problems(&self, path: &HostPath) -> impl Iterator<Item = Problem> {
        self.contents.faults.iter().map(move |fault| Problem {
            path: path.clone(),
            index: fault.index,
            reason: fault.reason,
            message: fault.message.clone(),
        })
    }
}
