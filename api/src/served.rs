//! What a server on the machine shows its clients, beside the file that it was configured with.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::Serialize;

use crate::Timestamp;

/// The leaf that a server showed. Nothing was seen where `not_after` is `None`; `message` says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// Where the server listens, on loopback.
    pub address: SocketAddr,
    /// The file with the certificate that it was configured with.
    pub path: String,
    /// When the leaf ends that it showed.
    pub not_after: Option<Timestamp>,
    /// SHA-256 over the leaf's DER, in hexadecimal.
    pub sha256: Option<String>,
    /// Whether that is the certificate that was in the file at that time.
    pub matches: Option<bool>,
    /// Whether the leaf's end takes the place of the file's while it is earlier: a CA of this machine signed the
    /// leaf, and the server has its key.
    pub counted: bool,
    /// When it was looked at; `None` before the first time.
    pub observed_at: Option<Timestamp>,
    /// Why nothing was seen, or why what was seen does not count, as a sentence for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'static, str>>,
}
