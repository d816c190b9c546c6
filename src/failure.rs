//! Why the program ends without having done what it was asked to do, and its exit code.

use thiserror::Error;

/// Each is a sentence for the operator. Exit codes are those of sysexits.h, so that a service manager can
/// tell what trying again cannot mend from what it can.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// The configuration cannot work: the only one that trying again cannot mend.
    #[error("{0}")]
    Configuration(String),
    /// The host root, or something beneath it that has to be there, cannot be opened.
    #[error("{0}")]
    HostRoot(String),
    /// An address cannot be listened on, perhaps not yet.
    #[error("{0}")]
    Address(String),
    /// The kernel refuses what every process needs.
    #[error("{0}")]
    System(String),
    /// Something has to be read that the sandbox was closed against; a new start opens it.
    #[error("{0}")]
    Sandbox(String),
    /// A file that was asked for cannot be made.
    #[error("{0}")]
    OutputFile(String),
    /// What was made cannot be written, as to a disk that is full.
    #[error("{0}")]
    Output(String),
}

impl Failure {
    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::HostRoot(_) => 66,      // EX_NOINPUT
            Self::Address(_) => 69,       // EX_UNAVAILABLE
            Self::System(_) => 71,        // EX_OSERR
            Self::OutputFile(_) => 73,    // EX_CANTCREAT
            Self::Output(_) => 74,        // EX_IOERR
            Self::Sandbox(_) => 75,       // EX_TEMPFAIL
            Self::Configuration(_) => 78, // EX_CONFIG
        }
    }
}
