//! What can go wrong with a source: the closed list of reasons, each with what it means.

use crate::closed_list::closed_list;
use crate::host_root::{HostPath, ReadError};

closed_list! {
    /// Why something could not be read or parsed.
    Reason {
        /// The mode bits forbid reading it.
        PermissionDenied = "permission-denied",
        /// A configured source that is not there.
        NotFound = "not-found",
        /// A file that every working machine of this kind has is not there.
        Missing = "missing",
        /// A symbolic link to something that is not there.
        DanglingLink = "dangling-link",
        /// Symbolic links that lead in a circle.
        LinkLoop = "link-loop",
        /// A directory, FIFO, socket or device.
        NotRegularFile = "not-a-regular-file",
        /// It leads to a file called `*.key`, which expiryd never opens.
        PrivateKey = "private-key",
        /// More bytes than the limit for a file.
        TooLarge = "too-large",
        /// More files, or certificates in a file, than the limit.
        TooMany = "too-many",
        /// It was being written while it was read.
        Changing = "changing",
        /// The kernel refused for another reason.
        ReadError = "read-error",
        /// It was read and has no certificate in it.
        NoCertificate = "no-certificate",
        /// A PEM block is torn, or its base64 is damaged.
        BadPem = "bad-pem",
        /// The DER of a certificate is torn or malformed.
        BadCertificate = "bad-certificate",
        /// A kubeconfig is no YAML, or has a field of the wrong shape.
        BadKubeconfig = "bad-kubeconfig",
        /// PKCS#7 or PKCS#12: certificates may be inside, and expiryd does not open those.
        UnsupportedContainer = "unsupported-container",
        /// The parser failed on this file; the file is skipped, the agent goes on.
        ParserPanic = "parser-panic",
        /// It was there and is gone; its last good certificates stand for a while.
        Vanished = "vanished",
        /// The endpoint's own certificate, key or client CA cannot be used: what was in force before
        /// stays so, and without it only loopback addresses answer.
        TlsUnavailable = "tls-unavailable",
        /// inotify cannot watch: changes are found by polling.
        WatchUnavailable = "watch-unavailable",
    }
}

impl Reason {
    /// Whether it leaves the report without something it should say. A watch that does not work
    /// only makes changes visible later, and TLS is about the way to the report.
    pub const fn degrades(self) -> bool {
        !matches!(self, Self::WatchUnavailable | Self::TlsUnavailable)
    }
}

impl From<&ReadError> for Reason {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound,
            ReadError::DanglingLink(_) => Self::DanglingLink,
            ReadError::LinkLoop => Self::LinkLoop,
            ReadError::PermissionDenied(_) => Self::PermissionDenied,
            ReadError::PrivateKey(_) => Self::PrivateKey,
            ReadError::NotRegular(_) => Self::NotRegularFile,
            ReadError::TooLarge { .. } => Self::TooLarge,
            ReadError::Changing => Self::Changing,
            ReadError::NoProc | ReadError::Other(_) => Self::ReadError,
        }
    }
}

/// One thing that could not be read or parsed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The file or directory, as the node names it.
    pub path: HostPath,
    /// Which certificate of the file, counted from 0; `None` when it is the file as a whole.
    pub index: Option<usize>,
    /// What kind of problem.
    pub reason: Reason,
    /// A sentence for the operator, without any content of the file.
    pub message: String,
}

impl Problem {
    /// A file or directory that could not be read.
    pub fn unreadable(path: HostPath, error: &ReadError) -> Self {
        Self { message: error.to_string(), index: None, reason: error.into(), path }
    }
}
