//! The operating system: which one, where it keeps things, and the host's name.

use crate::host_root::{HostPath, HostRoot};

/// Where an operating system keeps things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) control_plane_pki: &'static str,
    pub(super) etcd_pki: &'static str,
    pub(super) kubelet_kubeconfig: &'static str,
    /// See [`super::Layout::places`]. `/var/lib/etcd` holds the data of a cluster as well.
    pub(super) places: &'static [&'static str],
}

pub(super) const BOTTLEROCKET: Paths = Paths {
    control_plane_pki: "/var/lib/kubeadm/pki",
    etcd_pki: "/var/lib/etcd/pki",
    kubelet_kubeconfig: "/etc/kubernetes/kubelet/kubeconfig",
    places: &["/etc/kubernetes", "/var/lib/kubeadm", "/var/lib/etcd/pki", "/var/lib/kubelet/pki"],
};

const UBUNTU_AND_RHEL: Paths = Paths {
    control_plane_pki: "/etc/kubernetes/pki",
    etcd_pki: "/etc/etcd/pki",
    kubelet_kubeconfig: "/etc/kubernetes/kubelet.conf",
    places: &["/etc/kubernetes", "/etc/etcd", "/var/lib/kubelet/pki"],
};

impl Paths {
    /// By os-release; where there is none (a pod that mounts the PKI alone), by what exists.
    pub(super) fn of(root: &HostRoot, os: &str) -> Self {
        let pki = [BOTTLEROCKET.control_plane_pki, BOTTLEROCKET.etcd_pki];
        match os {
            "bottlerocket" => BOTTLEROCKET,
            UNKNOWN_OS if pki.iter().any(|path| root.exists(&host(path))) => BOTTLEROCKET,
            _ => UBUNTU_AND_RHEL,
        }
    }
}

const UNKNOWN_OS: &str = "unknown";

/// Of os-release(5), which looks in /etc first.
const OS_RELEASE: &[&str] = &["/etc/os-release", "/usr/lib/os-release"];

const HOSTNAME: &str = "/etc/hostname";

/// `ID` of os-release(5).
pub(super) fn os_id(root: &HostRoot) -> String {
    OS_RELEASE
        .iter()
        .find_map(|path| small_text(root, path))
        .and_then(|text| parse_os_id(&text))
        .unwrap_or_else(|| UNKNOWN_OS.to_owned())
}

/// `ID` in the text of os-release(5), in lower case; `None` unless it is a plain word.
pub fn parse_os_id(text: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| line.trim().strip_prefix("ID="))?;
    let value = value.trim().trim_matches(|c| matches!(c, '"' | '\''));
    is_plain(value).then(|| value.to_ascii_lowercase())
}

/// hostname(5): the first line that is not a comment.
pub(super) fn hostname(root: &HostRoot) -> Option<String> {
    let text = small_text(root, HOSTNAME)?;
    let name = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'))?;
    is_plain(name).then(|| name.to_owned())
}

/// Whether a text is a word that can stand in a report, a metric and a log line.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.chars().all(plain)
}

pub(super) fn small_text(root: &HostRoot, path: &str) -> Option<String> {
    let path = host(path);
    let stat = root.stat(&path).ok()?;
    let (_, bytes) = stat.read(64 * 1024).ok()?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// One of this module's own paths, all of which are absolute.
pub(super) fn host(path: &str) -> HostPath {
    HostPath::root().join(path)
}

/// The files that these are read from.
pub(super) fn small_files() -> impl Iterator<Item = HostPath> {
    OS_RELEASE.iter().chain([&HOSTNAME]).map(|path| host(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_os_is_the_id_of_os_release_quoted_or_not() {
        assert_eq!(parse_os_id("NAME=x\nID=ubuntu\nID_LIKE=debian\n").as_deref(), Some("ubuntu"));
        assert_eq!(parse_os_id("ID=\"rhel\"\r\n").as_deref(), Some("rhel"));
        assert_eq!(parse_os_id("ID='Bottlerocket'").as_deref(), Some("bottlerocket"));
        assert_eq!(parse_os_id("VERSION_ID=1\n"), None);
        assert_eq!(parse_os_id("ID=\"a\u{1b}[31m\"\n"), None);
    }
}
