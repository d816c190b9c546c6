//! The problems of a report: the closed list of reasons, each with what it means.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Timestamp, closed_list};

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
        /// A PEM block is truncated, or its base64 is damaged.
        BadPem = "bad-pem",
        /// The DER of a certificate is truncated or malformed.
        BadCertificate = "bad-certificate",
        /// A kubeconfig is not valid YAML, or has a field of the wrong type.
        BadKubeconfig = "bad-kubeconfig",
        /// PKCS#7 or PKCS#12: certificates may be inside, and expiryd does not open those.
        UnsupportedContainer = "unsupported-container",
        /// The parser failed on this file; the file is skipped, the agent goes on.
        ParserPanic = "parser-panic",
        /// It was there and is gone; its last good certificates are kept for a while.
        Vanished = "vanished",
        /// A server still shows another certificate than the file has that it was configured with.
        ServedDiffers = "served-differs",
        /// The endpoint's own certificate, key or client CA cannot be used: the previous ones stay in
        /// use, and without any only loopback addresses answer.
        TlsUnavailable = "tls-unavailable",
        /// inotify cannot watch: changes are found by polling.
        WatchUnavailable = "watch-unavailable",
    }
}

impl Reason {
    /// Whether it leaves the report without something it should say. A watch that does not work
    /// only makes changes visible later, TLS is about the way to the report, and what is served is known.
    pub const fn degrades(self) -> bool {
        !matches!(self, Self::WatchUnavailable | Self::TlsUnavailable | Self::ServedDiffers)
    }
}

/// One problem of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedProblem<'a> {
    /// The file or directory.
    pub path: Cow<'a, str>,
    /// Which certificate of the file, from 0; `None` when it is the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// What kind of problem.
    pub reason: Reason,
    /// A sentence for the operator.
    pub message: Cow<'a, str>,
    /// When it was first seen.
    pub since: Timestamp,
}
