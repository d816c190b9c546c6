//! The node's file system, opened read-only beneath the host root and never outside it.
//!
//! Every path is resolved by the kernel with openat2(2) and `RESOLVE_IN_ROOT`, as if the host
//! root were `/`: an absolute symlink of the node leads to the node's own file, and `..` cannot
//! climb out. Nothing here can write, and nothing blocks on a FIFO or a device.

mod file_stat;
mod grants;
mod path;
mod read_error;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::Mode;
use walkdir::WalkDir;

use crate::escape::Escaped;
use file_stat::denied;
pub use file_stat::{FileStat, FileVersion};
pub use grants::{Granted, Grants};
pub use path::HostPath;
pub use read_error::ReadError;

/// The directory that stands for the node's `/`.
#[derive(Debug)]
pub struct HostRoot {
    dir: OwnedFd,
    path: PathBuf,
    /// Whether the kernel resolves beneath the root. Without openat2 (Linux before 5.6) only `/`
    /// itself can be the root, where ordinary resolution is the same thing.
    confined: bool,
}

impl HostRoot {
    /// Opens the host root.
    ///
    /// # Errors
    /// A sentence for the operator: it is not there, is not a directory, or the kernel is too old to
    /// confine paths to a root other than `/`.
    pub fn open(path: &Path) -> Result<Self, String> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(path, flags, Mode::empty()).map_err(|e| {
            format!(
                "host root {} cannot be opened: {}; name the directory that stands for the \
                 node's / with --host-root",
                path.display(),
                e.desc()
            )
        })?;
        let mut root = Self { dir, path: path.to_path_buf(), confined: true };
        if let Err(Errno::ENOSYS | Errno::EPERM) = root.open_beneath(Path::new("."), OFlag::O_PATH)
        {
            if path != Path::new("/") {
                return Err(format!(
                    "host root {} cannot be used: this kernel or sandbox has no openat2 (Linux \
                     5.6), without which links could lead out of it; run expiryd on the node \
                     itself with --host-root /",
                    path.display()
                ));
            }
            root.confined = false;
        }
        Ok(root)
    }

    /// Where it is in this process's own file system.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file by name alone, not for reading, which no watcher notices.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn stat(&self, path: &HostPath) -> Result<FileStat, ReadError> {
        let fd = self
            .open_beneath(path.as_path(), OFlag::O_PATH)
            .map_err(|errno| self.explain(path, errno))?;
        Ok(FileStat::at(fd)?)
    }

    /// A directory opened by name alone, and which one it is, for watching it.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn directory(&self, path: &HostPath) -> Result<(OwnedFd, FileVersion), ReadError> {
        let file =
            File::from(self.open_beneath(path.as_path(), OFlag::O_PATH | OFlag::O_DIRECTORY)?);
        let version = FileVersion::of(&file.metadata()?);
        Ok((file.into(), version))
    }

    /// Whether something has this name, even if it may not be read.
    pub fn exists(&self, path: &HostPath) -> bool {
        self.open_beneath(path.as_path(), OFlag::O_PATH).is_ok()
    }

    /// The names that a path leads through when it is a symbolic link, the last one included: a change
    /// of any of them changes what is read under the path.
    pub fn links(&self, path: &HostPath) -> Vec<HostPath> {
        // The kernel's own limit for a path (path_resolution(7)).
        const MOST: usize = 40;
        let mut names = Vec::new();
        let mut at = path.clone();
        while names.len() < MOST {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
            let opened = self.open_beneath(at.as_path(), flags);
            let Ok(target) = opened.and_then(|fd| readlinkat(&fd, "")) else { break };
            at = at.parent().unwrap_or_else(HostPath::root).join(Path::new(&target));
            names.push(at.clone());
        }
        names
    }

    /// Names what is in a directory and, down to `depth`, beneath it, in bytewise order, leaving
    /// out directories; links are listed, not followed. Names for which `wanted` says no cost
    /// nothing; of the others at most `limit` are returned.
    ///
    /// # Errors
    /// See [`ReadError`]. A subdirectory that cannot be listed comes back as an error of its own.
    pub fn list(
        &self,
        dir: &HostPath,
        depth: usize,
        limit: usize,
        wanted: impl Fn(&Path) -> bool,
    ) -> Result<Listing, ReadError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK;
        let fd = self.open_beneath(dir.as_path(), flags).map_err(|e| self.explain(dir, e))?;
        // Walking the descriptor, not the name: what was resolved is what is walked.
        let start = descriptor_path(&fd);
        let mut listing = Listing::default();
        for entry in WalkDir::new(&start).min_depth(1).max_depth(depth).sort_by_file_name() {
            match entry {
                Ok(entry) => {
                    let name = entry.path().strip_prefix(&start).unwrap_or(Path::new(""));
                    let directory = entry.file_type().is_dir();
                    if (directory && entry.depth() < depth) || !wanted(name) {
                        continue;
                    }
                    if listing.files.len() == limit {
                        listing.truncated = true;
                        break;
                    }
                    let path = dir.join(name);
                    if entry.path_is_symlink() {
                        listing.links.push(path.clone());
                    }
                    listing.files.push(path);
                }
                // The descriptor is open, so it is /proc that is missing.
                Err(error) if error.depth() == 0 && is_not_found(&error) => {
                    return Err(ReadError::NoProc);
                }
                Err(error) => {
                    let name = error.path().and_then(|p| p.strip_prefix(&start).ok());
                    let path = name.map_or_else(|| dir.clone(), |name| dir.join(name));
                    listing.errors.push((path, io::Error::from(error).into()));
                }
            }
        }
        listing.files.sort();
        Ok(listing)
    }

    fn open_beneath(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlag::O_CLOEXEC;
        if !self.confined {
            return open(path, flags, Mode::empty());
        }
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags).resolve(resolve);
        // EAGAIN: something was renamed during the resolution (openat2(2)).
        for _ in 0..8 {
            match openat2(self.dir.as_fd(), path, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return result,
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Turns the kernel's answer into what a person can act on.
    fn explain(&self, path: &HostPath, errno: Errno) -> ReadError {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        match errno {
            Errno::ENOENT => match self.open_beneath(path.as_path(), flags) {
                Ok(fd) => match readlinkat(&fd, "") {
                    Ok(target) => ReadError::DanglingLink(Escaped(target.as_bytes()).to_string()),
                    Err(_) => ReadError::NotFound,
                },
                Err(_) => ReadError::NotFound,
            },
            Errno::EACCES => match self.open_beneath(path.as_path(), OFlag::O_PATH) {
                Ok(file) => denied(&file),
                Err(_) => ReadError::PermissionDenied(String::new()),
            },
            errno => errno.into(),
        }
    }
}

/// The name by which a process opens what one of its own descriptors leads to, whatever that is called by
/// now (`proc_pid_fd(5)`).
pub fn descriptor_path(opened: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Names that were wanted, bytewise.
    pub files: Vec<HostPath>,
    /// Those of them that are symbolic links.
    pub links: Vec<HostPath>,
    /// Subdirectories and entries that could not be listed.
    pub errors: Vec<(HostPath, ReadError)>,
    /// Whether the limit cut the listing short.
    pub truncated: bool,
}

fn is_not_found(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether a name has this suffix in upper or lower case.
pub fn ends_like(name: &[u8], suffix: &[u8]) -> bool {
    let start = name.len().checked_sub(suffix.len());
    start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}
