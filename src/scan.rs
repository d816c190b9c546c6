//! One scan of the machine: its layout, and what every file in it holds.
//!
//! A file is parsed again only when its identity, size or times changed, so that a scan of an
//! unchanged machine costs a few system calls for each file.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use expiryd_api::{SourceKind, Timestamp};

use crate::config::{LayoutOverrides, Limits};
use crate::host_root::{FileStat, FileVersion, HostPath, HostRoot, ReadError};
use crate::layout::known_files::Origin;
use crate::layout::{self, Layout, Source, Watched};
use crate::pki::{self, Contents};
use crate::problem::{Problem, Reason};

/// What one scan found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The machine.
    pub layout: Layout,
    /// Every source that is there.
    pub files: BTreeMap<HostPath, File>,
    /// Files that were parsed in this scan, not remembered from an earlier one.
    pub parsed: usize,
}

/// A source and what it held.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it comes from.
    pub origin: Origin,
    /// How it was read.
    pub kind: SourceKind,
    /// Its name beneath the directory of its origin.
    pub name: Vec<u8>,
    /// Its certificates and problems. Shared with later scans as long as the file does not change.
    pub contents: Arc<Contents>,
}

/// Scans a machine again and again, and remembers what does not change.
#[derive(Debug)]
pub struct Scanner {
    root: Arc<HostRoot>,
    overrides: LayoutOverrides,
    limits: Limits,
    cache: BTreeMap<HostPath, CacheEntry>,
}

#[derive(Debug)]
struct CacheEntry {
    version: FileVersion,
    kind: SourceKind,
    contents: Arc<Contents>,
}

impl Scanner {
    /// A scanner that has scanned nothing yet.
    pub const fn new(root: Arc<HostRoot>, overrides: LayoutOverrides, limits: Limits) -> Self {
        Self { root, overrides, limits, cache: BTreeMap::new() }
    }

    /// Scans now. `now` serves only to mistrust files that changed in this very second.
    pub fn scan(&mut self, now: Timestamp) -> Scan {
        let mut layout = layout::detect(&self.root, &self.overrides, self.limits.files);
        let mut pass = Pass { before: std::mem::take(&mut self.cache), parsed: 0, now };
        let mut files = BTreeMap::new();
        for Source { path, origin, kind, name } in std::mem::take(&mut layout.sources) {
            if let Some(contents) = self.contents(&path, kind, &mut pass) {
                files.insert(path, File { origin, kind, name, contents });
            }
        }
        self.follow_references(&mut files, &mut layout, &mut pass);
        Scan { layout, files, parsed: pass.parsed }
    }

    /// Reads the files that kubeconfigs name instead of embedding a certificate.
    fn follow_references(
        &mut self,
        files: &mut BTreeMap<HostPath, File>,
        layout: &mut Layout,
        pass: &mut Pass,
    ) {
        let kind = SourceKind::File;
        for (kubeconfig, origin, name) in references(files) {
            let path = kubeconfig.parent().unwrap_or_else(HostPath::root).join(name);
            if files.contains_key(&path) {
                continue;
            }
            layout.watched.extend(Watched::named(&path, false));
            if let Some(contents) = self.contents(&path, kind, pass) {
                let name = path.file_name().to_vec();
                files.insert(path, File { origin, kind, name, contents });
            } else {
                let why = format!("its client-certificate is {path}, and {}", ReadError::NotFound);
                layout.problems.push(Problem::new(&kubeconfig, Reason::NotFound, why));
                layout.wanted.insert(path);
            }
        }
    }

    /// What a file holds, as far as it can be read; `None` when it is not there.
    fn contents(
        &mut self,
        path: &HostPath,
        kind: SourceKind,
        pass: &mut Pass,
    ) -> Option<Arc<Contents>> {
        let cached = pass.before.remove(path).filter(|entry| entry.kind == kind);
        let unreadable = |error| Some(Arc::new(Problem::unreadable(path, &error).into()));
        match self.look_up(path, cached) {
            CacheLookup::Same(entry) => Some(self.remember(path, entry, pass.now)),
            CacheLookup::New(stat) => {
                pass.parsed += 1;
                match self.parse(path, &stat, kind) {
                    Ok(entry) => Some(self.remember(path, entry, pass.now)),
                    Err(error) => unreadable(error),
                }
            }
            CacheLookup::Gone => None,
            CacheLookup::Failed(error) => unreadable(error),
        }
    }

    fn look_up(&self, path: &HostPath, cached: Option<CacheEntry>) -> CacheLookup {
        match (self.root.stat(path), cached) {
            (Ok(stat), Some(entry)) if stat.version == entry.version => CacheLookup::Same(entry),
            (Ok(stat), _) => CacheLookup::New(stat),
            // Listed a moment ago: it was removed in between, and so is not there.
            (Err(ReadError::NotFound), _) => CacheLookup::Gone,
            (Err(error), _) => CacheLookup::Failed(error),
        }
    }

    fn parse(
        &self,
        path: &HostPath,
        stat: &FileStat,
        kind: SourceKind,
    ) -> Result<CacheEntry, ReadError> {
        let (version, bytes) = stat.read(self.limits.file_size)?;
        // A file must not be able to stop the agent, whatever the parsers make of it.
        let parsed = catch_unwind(AssertUnwindSafe(|| pki::read(path, kind, &bytes)));
        let contents = parsed.unwrap_or_else(|_| {
            let why = "the parser failed on it; please report this file's shape (without its keys) \
                       as a bug of expiryd";
            Problem::new(path, Reason::ParserPanic, why).into()
        });
        Ok(CacheEntry { version, kind, contents: Arc::new(contents) })
    }

    /// Keeps what was read, unless the file changed so lately that it may change again within the
    /// same tick of the file system's clock, with the same size, and look the same.
    fn remember(&mut self, path: &HostPath, entry: CacheEntry, now: Timestamp) -> Arc<Contents> {
        let contents = Arc::clone(&entry.contents);
        if (now.unix() - entry.version.changed_at()).unsigned_abs() > 1 {
            self.cache.insert(path.clone(), entry);
        }
        contents
    }
}

/// One scan, as far as it has got.
struct Pass {
    /// What the scan before remembered.
    before: BTreeMap<HostPath, CacheEntry>,
    parsed: usize,
    now: Timestamp,
}

/// The files that kubeconfigs name: the kubeconfig, its origin, and the name as it is written there.
fn references(files: &BTreeMap<HostPath, File>) -> Vec<(HostPath, Origin, String)> {
    let named = files.iter().flat_map(|(path, file)| {
        file.contents.references.iter().map(|name| (path.clone(), file.origin, name.clone()))
    });
    named.collect()
}

/// What the cache knows of a file.
enum CacheLookup {
    Same(CacheEntry),
    New(FileStat),
    Gone,
    Failed(ReadError),
}
