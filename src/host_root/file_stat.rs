//! A file that was opened by name alone: what it is, and reading it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use zeroize::Zeroizing;

use super::{ReadError, descriptor_path, ends_like};
use crate::escape::Escaped;

/// What tells one state of a file from another: device, inode, size and both change times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileVersion {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// When the inode last changed, in seconds since 1970.
    pub const fn changed_at(&self) -> i64 {
        self.changed.0
    }

    /// Device and inode: which file or directory it is, whatever its state.
    pub const fn inode(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// A file that was opened by name alone: enough to tell whether it changed, and what to read.
#[derive(Debug)]
pub struct FileStat {
    /// The state the file is in.
    pub version: FileVersion,
    /// What it is, if it is not a regular file.
    irregular: Option<&'static str>,
    file: OwnedFd,
}

impl FileStat {
    /// What a descriptor that was opened with `O_PATH` leads to.
    pub(super) fn at(file: OwnedFd) -> io::Result<Self> {
        let file = File::from(file);
        let metadata = file.metadata()?;
        Ok(Self {
            version: FileVersion::of(&metadata),
            irregular: irregular(&metadata),
            file: file.into(),
        })
    }

    /// Reads a regular file of at most `limit` bytes, the very one that was glanced at: opening a device
    /// can have effects of its own. A private key, by the name that the file really has, is refused.
    ///
    /// The bytes are erased from memory when dropped: a kubeconfig holds a private key too.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, limit: u64) -> Result<(FileVersion, Zeroizing<Vec<u8>>), ReadError> {
        let resolved = fs::read_link(descriptor_path(&self.file)).map_err(|_| ReadError::NoProc)?;
        let name = resolved.file_name().unwrap_or_default().as_bytes();
        if ends_like(name, b".key") {
            return Err(ReadError::PrivateKey(Escaped(name).to_string()));
        }
        self.read_any(limit)
    }

    /// Reads the private key that the endpoint serves with: the only one that expiryd opens.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_key(&self, limit: u64) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        self.read_any(limit).map(|(_, bytes)| bytes)
    }

    fn read_any(&self, limit: u64) -> Result<(FileVersion, Zeroizing<Vec<u8>>), ReadError> {
        if let Some(kind) = self.irregular {
            return Err(ReadError::NotRegular(kind));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let path = descriptor_path(&self.file);
        let fd = open(&path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ENOENT => ReadError::NoProc,
            Errno::EACCES => denied(&self.file),
            errno => errno.into(),
        })?;
        let mut file = File::from(fd);
        let before = file.metadata()?;
        let size = before.size();
        if size > limit {
            return Err(ReadError::TooLarge { size, limit });
        }
        // All of the room at once: growing would leave a copy behind that is not erased.
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(size).unwrap_or(usize::MAX)]);
        file.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Changing,
            _ => error.into(),
        })?;
        // Whoever writes or appends meanwhile changes the size or a time.
        let after = FileVersion::of(&file.metadata()?);
        if after == FileVersion::of(&before) {
            Ok((after, bytes))
        } else {
            Err(ReadError::Changing)
        }
    }
}

/// With owner and mode, so that the operator sees why.
pub(super) fn denied(file: &OwnedFd) -> ReadError {
    let stat = nix::sys::stat::fstat(file);
    let owner = stat.map(|s| format!(" (owner {}, mode {:04o})", s.st_uid, s.st_mode & 0o7777));
    ReadError::PermissionDenied(owner.unwrap_or_default())
}

fn irregular(metadata: &fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("directory")
    } else if kind.is_fifo() {
        Some("FIFO")
    } else if kind.is_socket() {
        Some("socket")
    } else {
        Some("device")
    }
}
