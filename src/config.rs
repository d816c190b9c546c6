//! The configuration: defaults, then the file, then the environment and the command line.
//!
//! Nothing has to be configured on an ordinary machine. Unknown keys are refused, and every error
//! names the key and says what would be right.

mod settings;
mod source;
mod tls;

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use thiserror::Error;

use crate::escape::Escaped;
use crate::host_root::HostPath;
use crate::inventory::Timing;
use crate::layout::Wishes;
use crate::pki::renewal::Role;
use crate::publish::http;
use crate::publish::node;
use crate::publish::node::wanted::Extras;
use crate::scan::Limits;
use crate::system::log::{Format, Level};
pub use settings::{
    LayoutSettings, LimitSettings, NodeSettings, Settings, SourceSettings, TlsFrom, TlsSettings,
};
pub use source::parse as parse_source;

/// Where `expiryd run` listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9797";

/// The first of these that is there is read when no configuration file is named: what Bottlerocket
/// decodes a host container's user-data to (host-ctr, `main.go`), and where the packages put theirs.
const DEFAULT_FILES: [&str; 2] =
    ["/.bottlerocket/host-containers/current/user-data", "/etc/expiryd/expiryd.toml"];

/// Where Bottlerocket mounts the host's `/` in a superpowered host container.
const BOTTLEROCKET_ROOT: &str = "/.bottlerocket/rootfs";

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
    pub tls: Option<http::tls::Settings>,
    /// What the configuration says of the layout.
    pub wishes: Wishes,
    /// Bounds on what a look may cost.
    pub limits: Limits,
    /// Open HTTP connections beyond which the longest idle one is closed.
    pub connections: usize,
    /// How long something must be quiet, or gone, before it is a fact.
    pub timing: Timing,
    /// How long changes are gathered before the machine is looked at again.
    pub debounce: Duration,
    /// How often the machine is looked at when nothing seems to change.
    pub tick: Duration,
    /// How the report gets to the Node.
    pub node: node::Settings,
    /// How log lines are written.
    pub log_format: Format,
    /// Which log lines are written.
    pub log_level: Level,
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

impl Settings {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = Escaped(path.as_os_str().as_bytes()).to_string();
        let text =
            read_text(path).map_err(|why| ConfigError::Unreadable { path: shown.clone(), why })?;
        Self::parse(&text).map_err(|why| ConfigError::Malformed { path: shown, why })
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// Says in which line what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| {
                1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
            });
            let message = error.message().replace('\n', "; ");
            let message = Escaped::text(&message).to_string();
            line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
        })
    }

    /// These settings, and those of `below` where these say nothing. Sources add up.
    #[must_use]
    pub fn over(mut self, below: Self) -> Self {
        let mut sources = below.sources;
        sources.append(&mut self.sources);
        Self {
            host_root: self.host_root.or(below.host_root),
            listen: self.listen.or(below.listen),
            allow_plaintext: self.allow_plaintext.or(below.allow_plaintext),
            tls: self.tls.or(below.tls),
            settle: self.settle.or(below.settle),
            grace: self.grace.or(below.grace),
            debounce: self.debounce.or(below.debounce),
            tick: self.tick.or(below.tick),
            log_format: self.log_format.or(below.log_format),
            log_level: self.log_level.or(below.log_level),
            limits: LimitSettings {
                file_size: self.limits.file_size.or(below.limits.file_size),
                files: self.limits.files.or(below.limits.files),
                connections: self.limits.connections.or(below.limits.connections),
            },
            layout: LayoutSettings {
                role: self.layout.role.or(below.layout.role),
                etcd_topology: self.layout.etcd_topology.or(below.layout.etcd_topology),
                control_plane_pki: self.layout.control_plane_pki.or(below.layout.control_plane_pki),
                etcd_pki: self.layout.etcd_pki.or(below.layout.etcd_pki),
            },
            node: NodeSettings {
                annotate: self.node.annotate.or(below.node.annotate),
                spread: self.node.spread.or(below.node.spread),
                timeout: self.node.timeout.or(below.node.timeout),
                condition_window: self.node.condition_window.or(below.node.condition_window),
                event: self.node.event.or(below.node.event),
            },
            sources,
        }
    }

    /// The configuration: defaults filled in, and everything checked.
    ///
    /// # Errors
    /// See [`ConfigError::Wrong`].
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let listen = self.listen.unwrap_or_else(|| DEFAULT_LISTEN.parse().into_iter().collect());
        let tls = self.tls.map(tls::resolve).transpose()?;
        let allow_plaintext = self.allow_plaintext.unwrap_or(false);
        if tls.is_none() && !allow_plaintext {
            refuse_plaintext(&listen).map_err(|why| wrong("listen", why))?;
        }
        if self.node.event == Some(true) && self.node.condition_window.is_none() {
            return Err(wrong(
                "node.event",
                "the Event is written when the window is entered; set node.condition-window too"
                    .into(),
            ));
        }
        let timing = Timing {
            settle: within("settle", self.settle, 10, 0..=600)?,
            grace: within("grace", self.grace, 600, 0..=86_400)?,
        };
        let debounce = self.debounce.unwrap_or(Duration::from_millis(250));
        if debounce > Duration::from_secs(10) {
            return Err(wrong(
                "debounce",
                "it is more than 10s; changes would be seen late".into(),
            ));
        }
        Ok(Config {
            host_root: self.host_root.unwrap_or_else(default_host_root),
            listen,
            allow_plaintext,
            tls,
            limits: Limits {
                file_size: at_least_one("limits.file-size", self.limits.file_size, 1 << 20)?,
                files: at_least_one("limits.files", self.limits.files, 10_000)?,
            },
            connections: at_least_one("limits.connections", self.limits.connections, 64)?,
            timing,
            debounce,
            tick: within("tick", self.tick, 300, 1..=86_400)?,
            node: node::Settings {
                annotate: self.node.annotate.unwrap_or(true),
                spread: within("node.spread", self.node.spread, 60, 0..=3_600)?,
                timeout: within("node.timeout", self.node.timeout, 15, 1..=300)?,
                is_worker: self.layout.role == Some(Role::Worker),
                extras: Extras {
                    condition_window: self.node.condition_window,
                    event: self.node.event.unwrap_or(false),
                },
            },
            log_format: self.log_format.unwrap_or(Format::Auto),
            log_level: self.log_level.unwrap_or(Level::Info),
            wishes: Wishes {
                role: self.layout.role,
                etcd_topology: self.layout.etcd_topology,
                control_plane_pki: absolute(
                    "layout.control-plane-pki",
                    self.layout.control_plane_pki,
                )?,
                etcd_pki: absolute("layout.etcd-pki", self.layout.etcd_pki)?,
                sources: self.sources.into_iter().map(source::resolve).collect::<Result<_, _>>()?,
            },
        })
    }
}

/// The settings of the file at `path`, or of the usual one when that exists.
///
/// # Errors
/// See [`ConfigError`]. That the usual file is missing is none.
pub fn read_file(path: Option<&Path>) -> Result<Settings, ConfigError> {
    let usual = || DEFAULT_FILES.iter().map(Path::new).find(|path| path.exists());
    path.or_else(usual).map_or_else(|| Ok(Settings::default()), Settings::read)
}

/// The files that [`read_file`] may read, there or not.
pub fn files(path: Option<&Path>) -> Vec<PathBuf> {
    let usual = || DEFAULT_FILES.iter().map(PathBuf::from).collect();
    path.map_or_else(usual, |path| vec![std::path::absolute(path).unwrap_or(path.to_owned())])
}

/// Refuses addresses that other machines reach.
///
/// # Errors
/// Names the first of them, and what to do.
pub fn refuse_plaintext(listen: &[SocketAddr]) -> Result<(), String> {
    let open = listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
    open.map_or(Ok(()), |open| {
        Err(format!(
            "{open} can be reached by other machines, without encryption; set tls, or \
             allow-plaintext = true (--allow-plaintext) if that is meant"
        ))
    })
}

/// Bytes of a configuration file; no real one has a hundredth of that.
const FILE_LIMIT: u64 = 1 << 20;

/// Reads a regular file and nothing that could block or never end.
fn read_text(path: &Path) -> Result<String, String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    // Looked at first: opening a device can have effects of its own.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = open(path, flags, Mode::empty()).map_err(|errno| errno.desc().to_owned())?;
    let file = std::fs::File::from(file);
    let mut text = String::new();
    file.take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(format!("it has more than {FILE_LIMIT} bytes"));
    }
    Ok(text)
}

fn default_host_root() -> PathBuf {
    let bottlerocket = Path::new(BOTTLEROCKET_ROOT);
    if bottlerocket.is_dir() { bottlerocket.to_path_buf() } else { PathBuf::from("/") }
}

fn absolute(key: &'static str, path: Option<PathBuf>) -> Result<Option<HostPath>, ConfigError> {
    path.map(HostPath::new).transpose().map_err(|why| wrong(key, why))
}

fn at_least_one<T: Default + PartialOrd>(
    key: &'static str,
    value: Option<T>,
    default: T,
) -> Result<T, ConfigError> {
    let value = value.unwrap_or(default);
    if value == T::default() {
        return Err(wrong(key, "it is 0, so nothing could be read; leave it out".to_owned()));
    }
    Ok(value)
}

fn within(
    key: &'static str,
    value: Option<Duration>,
    default: u64,
    seconds: std::ops::RangeInclusive<u64>,
) -> Result<Duration, ConfigError> {
    let value = value.unwrap_or(Duration::from_secs(default));
    let (least, most) =
        (Duration::from_secs(*seconds.start()), Duration::from_secs(*seconds.end()));
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let show = humantime::format_duration;
    Err(wrong(key, format!("{} is not between {} and {}", show(value), show(least), show(most))))
}

const fn wrong(key: &'static str, why: String) -> ConfigError {
    ConfigError::Wrong { key, why }
}
