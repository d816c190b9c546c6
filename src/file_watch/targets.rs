//! Which directories to watch on the machine as it is now, and for which names.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crate::host_root::{HostPath, HostRoot};
use crate::layout::Watched;

/// Directories by device and inode: two names of one directory are one target.
#[derive(Debug)]
pub(super) struct Targets(BTreeMap<(u64, u64), Target>);

#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: HostPath,
    pub(super) directory: OwnedFd,
    pub(super) names: Names,
}

/// The names in a directory whose changes matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    All,
    These(Vec<Vec<u8>>),
}

impl Targets {
    /// Opens what is wanted. Instead of an awaited directory that is missing, its nearest ancestor
    /// is watched for the name that would lead to it.
    pub(super) fn find(root: &HostRoot, wanted: &[Watched]) -> Self {
        let mut targets = BTreeMap::new();
        for Watched { directory, name, awaited } in wanted {
            let mut directory = directory.clone();
            let mut names = name.clone().map_or(Names::All, |name| Names::These(vec![name]));
            loop {
                if let Ok((opened, version)) = root.directory(&directory) {
                    let target = Target { path: directory, directory: opened, names };
                    add(&mut targets, version.inode(), target);
                    break;
                }
                let Some(parent) = directory.parent().filter(|_| *awaited) else { break };
                names = Names::These(vec![directory.file_name().to_vec()]);
                directory = parent;
            }
        }
        Self(targets)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.values()
    }
}

/// Equal when they would be watched alike; the descriptors differ in any case.
impl PartialEq for Targets {
    fn eq(&self, other: &Self) -> bool {
        let view =
            |t: &Self| -> Vec<_> { t.0.iter().map(|(i, t)| (*i, t.names.clone())).collect() };
        view(self) == view(other)
    }
}

fn add(targets: &mut BTreeMap<(u64, u64), Target>, inode: (u64, u64), target: Target) {
    match targets.get_mut(&inode) {
        None => drop(targets.insert(inode, target)),
        Some(known) => match (&mut known.names, target.names) {
            (Names::All, _) => {}
            (names, Names::All) => *names = Names::All,
            (Names::These(names), Names::These(more)) => {
                names.extend(more);
                names.sort();
                names.dedup();
            }
        },
    }
}

impl Names {
    /// Whether a change of `path`, an entry of the directory or the directory itself, matters.
    pub(super) fn concern(&self, entry: Option<&std::ffi::OsStr>) -> bool {
        match (self, entry) {
            (Self::All, _) | (_, None) => true,
            (Self::These(names), Some(entry)) => names.iter().any(|n| n == entry.as_bytes()),
        }
    }
}
