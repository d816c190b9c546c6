//! The configuration file: which one, reading it, and what outweighs it.

use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::ConfigError;
use super::settings::{LayoutSettings, LimitSettings, NodeSettings, Settings};
use crate::escape::Escaped;

/// The first of these that is there is read when no configuration file is named: what Bottlerocket
/// decodes a host container's user-data to (host-ctr, `main.go`), and where the packages put theirs.
const DEFAULT_FILES: [&str; 2] =
    ["/.bottlerocket/host-containers/current/user-data", "/etc/expiryd/expiryd.toml"];

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
            served: self.served.or(below.served),
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
                recheck: self.node.recheck.or(below.node.recheck),
                timeout: self.node.timeout.or(below.node.timeout),
                condition_window: self.node.condition_window.or(below.node.condition_window),
                event: self.node.event.or(below.node.event),
            },
            sources,
        }
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
    file.take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    })?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(format!("it has more than {FILE_LIMIT} bytes"));
    }
    Ok(text)
}
