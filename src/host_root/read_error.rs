//! Why something beneath the host root could not be read.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

/// Why something beneath the host root could not be read. The messages are whole sentences
/// apart from the path, which the caller adds.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing has this name, or a component of it is not a directory.
    #[error("there is no such file")]
    NotFound,
    /// The name is a symbolic link to something that is not there.
    #[error("it is a symbolic link to {0}, which does not exist on this host")]
    DanglingLink(String),
    /// Symbolic links lead in a circle.
    #[error("its symbolic links lead in a circle")]
    LinkLoop,
    /// The mode bits forbid it.
    #[error(
        "permission denied{0}; run expiryd as root or give it CAP_DAC_READ_SEARCH; if it has that, restart \
         it: its sandbox grants no place that was not there when it started"
    )]
    PermissionDenied(String),
    /// What the name leads to is called `*.key`.
    #[error("it leads to a private key, {0}, and expiryd opens none")]
    PrivateKey(String),
    /// A directory, FIFO, socket or device where a file was expected.
    #[error("it is a {0}, not a regular file")]
    NotRegular(&'static str),
    /// More bytes than the limit.
    #[error(
        "it has {size} bytes, more than the limit of {limit}; raise limits.file-size if this is right"
    )]
    TooLarge {
        /// Bytes in the file.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// It was being written while it was read.
    #[error("it changed while it was being read; it is read again at the next look")]
    Changing,
    /// Without `/proc` an opened file cannot be read.
    #[error(
        "it cannot be read because /proc is not mounted here; mount it, as container runtimes do"
    )]
    NoProc,
    /// Anything else the kernel said.
    #[error("it cannot be read: {0}")]
    Other(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(errno) => errno.into(),
            None => Self::Other(error.to_string()),
        }
    }
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => Self::NotFound,
            Errno::ELOOP => Self::LinkLoop,
            Errno::EACCES | Errno::EPERM => Self::PermissionDenied(String::new()),
            other => Self::Other(other.desc().to_owned()),
        }
    }
}
