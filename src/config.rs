//! The configuration: defaults, then the file, then the environment and the command line.
//!
//! Nothing has to be configured on an ordinary machine. Unknown keys are refused, and every error
//! names the key and says what would be right.

mod file;
mod resolve;
mod settings;
mod source;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use expiryd_api::{EtcdTopology, Role, closed_list};
use thiserror::Error;

use crate::host_root::HostPath;
pub use file::{files, read_file};
pub use resolve::refuse_plaintext;
pub use settings::{LayoutSettings, Settings, SourceSettings, TlsFrom, TlsSettings};
pub use source::{ConfiguredSource, Place, parse as parse_source};
pub use tls::{TlsConfig, TlsFiles, TlsPaths};

/// Everything that can be set, with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory that stands for the node's `/`.
    pub host_root: PathBuf,
    /// Addresses of the HTTP endpoint.
    pub listen: Vec<SocketAddr>,
    /// Whether what other machines reach may be served in plain text.
    pub allow_plaintext: bool,
    /// How what other machines reach is encrypted.
    pub tls: Option<TlsConfig>,
    /// What the configuration says of the layout.
    pub layout: LayoutOverrides,
    /// Bounds on what a scan may cost.
    pub limits: Limits,
    /// Open HTTP connections beyond which the longest idle one is closed.
    pub connections: usize,
    /// How long something must be quiet, or gone, before it is a fact.
    pub timing: Timing,
    /// How long changes are gathered before the machine is scanned again.
    pub debounce: Duration,
    /// How often the machine is scanned when nothing seems to change.
    pub tick: Duration,
    /// Whether to look at what the machine's servers show.
    pub served: bool,
    /// How the report gets to the Node.
    pub node: NodeConfig,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_level: LogLevel,
}

/// What the configuration says of the layout; nothing, on an ordinary machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayoutOverrides {
    /// The role, instead of the one that is detected.
    pub role: Option<Role>,
    /// The etcd topology, instead of the one that is detected.
    pub etcd_topology: Option<EtcdTopology>,
    /// kubeadm's `certificatesDir`, instead of the operating system's usual one.
    pub control_plane_pki: Option<HostPath>,
    /// etcdadm's certificates directory, instead of the usual one.
    pub etcd_pki: Option<HostPath>,
    /// More sources.
    pub sources: Vec<ConfiguredSource>,
}

impl LayoutOverrides {
    /// Whether these say the same of what the machine is and where its PKI is; sources may differ.
    pub fn is_as(&self, other: &Self) -> bool {
        let Self { role, etcd_topology, control_plane_pki, etcd_pki, sources: _ } = self;
        (role, etcd_topology, control_plane_pki, etcd_pki)
            == (&other.role, &other.etcd_topology, &other.control_plane_pki, &other.etcd_pki)
    }

    /// Whether the configuration adds a source that a file of this path could belong to.
    pub fn covers(&self, path: &HostPath) -> bool {
        self.sources.iter().any(|source| source.covers(path))
    }
}

/// Bounds on what a scan may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_size: u64,
    /// Files in all.
    pub files: usize,
}

/// How long to wait before something is taken for a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the machine must have been quiet.
    pub settle: Duration,
    /// How long the certificates of an emptied directory are kept.
    pub grace: Duration,
}

/// How the report gets to the Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Whether to publish to the Node at all.
    pub annotate: bool,
    /// Over how long a time the first requests of agents that start together are spread.
    pub spread: Duration,
    /// How often the Node is read, to tell it again what somebody changed; zero leaves that to the day's refresh.
    pub recheck: Duration,
    /// How long a request may take, from the name of the server to the end of its answer.
    pub timeout: Duration,
    /// Whether the configuration, and not only what is detected, says that the machine is a worker.
    pub is_worker: bool,
    /// What is told beyond the annotations.
    pub extras: Extras,
    /// The pod that this process is; `None` where the kubelet's identity is used.
    pub pod: Option<Pod>,
}

/// What of the report is told to Kubernetes beyond the annotations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// How long before the earliest expiry the condition turns True; `None` for no condition.
    pub condition_window: Option<Duration>,
    /// Whether an Event is written when it does.
    pub event: bool,
}

/// Where a pod finds its ServiceAccount.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What a pod's environment says of its Node and the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The Node's name, from the downward API (`EXPIRYD_NODE_NAME`).
    pub node: String,
    /// `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub server: (String, u16),
}

closed_list! {
    /// How log lines are written.
    LogFormat {
        /// To the journal when standard error leads there, else as text.
        Auto = "auto",
        /// One line of text each, on standard error.
        Text = "text",
        /// One JSON object each, on standard error.
        Json = "json",
    }
}

closed_list! {
    /// The least important lines that are written.
    LogLevel {
        /// Only what keeps the agent from working.
        Error = "error",
        /// What somebody should look at, too.
        Warn = "warn",
        /// Every change of state, too.
        Info = "info",
        /// Every scan of the machine, too.
        Debug = "debug",
    }
}

/// Why there is no configuration. Each is a sentence for the operator.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {path} cannot be read: {why}; name another one with --config")]
    Unreadable {
        /// The file.
        path: String,
        /// What the kernel said.
        why: String,
    },
    /// The file is not TOML, or has a key that does not exist or does not fit.
    #[error("configuration file {path}: {why}")]
    Malformed {
        /// The file.
        path: String,
        /// Which line and key, and what is expected.
        why: String,
    },
    /// A value that cannot work, wherever it comes from.
    #[error("{key}: {why}")]
    Wrong {
        /// The key, as in the file.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        why: String,
    },
}

const fn wrong(key: &'static str, why: String) -> ConfigError {
    ConfigError::Wrong { key, why }
}
