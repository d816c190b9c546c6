//! From settings to the configuration: defaults filled in, and everything checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use expiryd_api::{PORT, Role};

use super::settings::{LayoutSettings, NodeSettings, Settings, SourceSettings};
use super::{
    Config, ConfigError, Extras, LayoutOverrides, Limits, LogFormat, LogLevel, NodeConfig, Pod,
    SERVICE_ACCOUNT, Timing, source, tls, wrong,
};
use crate::host_root::HostPath;

/// Where Bottlerocket mounts the host's `/` in a superpowered host container.
const BOTTLEROCKET_ROOT: &str = "/.bottlerocket/rootfs";

impl Settings {
    /// The configuration: defaults filled in, and everything checked.
    ///
    /// # Errors
    /// See [`ConfigError::Wrong`].
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let listen = self.listen.unwrap_or_else(|| vec![(Ipv4Addr::LOCALHOST, PORT).into()]);
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
                file_size: at_least_one("limits.file-size", self.limits.file_size, 1 << 20, READ)?,
                files: at_least_one("limits.files", self.limits.files, 10_000, READ)?,
            },
            connections: at_least_one("limits.connections", self.limits.connections, 64, ANSWERED)?,
            timing,
            debounce,
            tick: within("tick", self.tick, 300, 1..=86_400)?,
            served: self.served.unwrap_or(true),
            node: node(&self.node, self.layout.role)?,
            log_format: self.log_format.unwrap_or(LogFormat::Auto),
            log_level: self.log_level.unwrap_or(LogLevel::Info),
            layout: layout(self.layout, self.sources)?,
        })
    }
}

fn node(settings: &NodeSettings, role: Option<Role>) -> Result<NodeConfig, ConfigError> {
    Ok(NodeConfig {
        annotate: settings.annotate.unwrap_or(true),
        spread: within("node.spread", settings.spread, 60, 0..=3_600)?,
        recheck: within("node.recheck", settings.recheck, 600, 0..=86_400)?,
        timeout: within("node.timeout", settings.timeout, 15, 1..=300)?,
        is_worker: role == Some(Role::Worker),
        extras: Extras {
            condition_window: settings.condition_window,
            event: settings.event.unwrap_or(false),
        },
        pod: Pod::from_environment(),
    })
}

fn layout(
    settings: LayoutSettings,
    sources: Vec<SourceSettings>,
) -> Result<LayoutOverrides, ConfigError> {
    Ok(LayoutOverrides {
        role: settings.role,
        etcd_topology: settings.etcd_topology,
        control_plane_pki: absolute("layout.control-plane-pki", settings.control_plane_pki)?,
        etcd_pki: absolute("layout.etcd-pki", settings.etcd_pki)?,
        sources: sources.into_iter().map(source::resolve).collect::<Result<_, _>>()?,
    })
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

fn default_host_root() -> PathBuf {
    let bottlerocket = Path::new(BOTTLEROCKET_ROOT);
    if bottlerocket.is_dir() { bottlerocket.to_path_buf() } else { PathBuf::from("/") }
}

fn absolute(key: &'static str, path: Option<PathBuf>) -> Result<Option<HostPath>, ConfigError> {
    path.map(HostPath::new).transpose().map_err(|why| wrong(key, why))
}

/// What follows from a limit of 0.
const READ: &str = "nothing could be read";
const ANSWERED: &str = "nobody could be answered";

fn at_least_one<T: Default + PartialOrd>(
    key: &'static str,
    value: Option<T>,
    default: T,
    without: &str,
) -> Result<T, ConfigError> {
    let value = value.unwrap_or(default);
    if value == T::default() {
        return Err(wrong(key, format!("it is 0, so {without}; leave it out")));
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

impl Pod {
    /// This process, if it is a pod that was told the name of its Node and has a ServiceAccount.
    fn from_environment() -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let port = variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok());
        let server = variable("KUBERNETES_SERVICE_HOST").zip(port)?;
        let node = variable("EXPIRYD_NODE_NAME")?;
        Path::new(SERVICE_ACCOUNT).exists().then_some(Self { node, server })
    }
}
