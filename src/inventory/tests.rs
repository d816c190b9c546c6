//! Settling over real files: a machine on disk, and what is believed of it after each step.
#![expect(clippy::disallowed_methods, reason = "these tests make the files that are scanned")]

mod evidence;
mod files;
mod interleavings;
mod machine;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expiryd_api::{
    Earliest, EtcdTopology, Reason, RenewedBy, Role, SourceKind, Status, Timestamp, Warning,
};
use tempfile::TempDir;
use testkit::certificate::CertificateBuilder;

use super::Stabilizer;
use crate::clock::Moment;
use crate::config::{ConfiguredSource, LayoutOverrides, Limits, Place, Timing};
use crate::host_root::{HostPath, HostRoot};
use crate::report::{self, Besides, Report};
use crate::scan::Scanner;

const TIMING: Timing = Timing { settle: Duration::from_secs(10), grace: Duration::from_mins(10) };
const LIMITS: Limits = Limits { file_size: 1 << 20, files: 2_000 };
/// The leaves that a control plane with external etcd cannot work without.
const CONTROL_PLANE: [&str; 4] = [
    "apiserver.crt",
    "apiserver-kubelet-client.crt",
    "front-proxy-client.crt",
    "apiserver-etcd-client.crt",
];
const SOON: &str = "20270301000000Z";
const LATE: &str = "20280301000000Z";

/// A machine on disk, and one agent's memory of it.
struct Machine {
    directory: TempDir,
    scanner: Scanner,
    stabilizer: Stabilizer,
    seconds: u64,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Arc::new(HostRoot::open(directory.path()).unwrap());
        let machine = Self {
            scanner: Scanner::new(root, LayoutOverrides::default(), LIMITS),
            stabilizer: Stabilizer::new(TIMING),
            directory,
            seconds: 0,
        };
        machine.write("etc/os-release", "ID=ubuntu\n");
        for (path, end) in files {
            machine.leaf(path, end);
        }
        machine
    }

    fn etcd() -> Self {
        let machine =
            Self::new(&[("etc/etcd/pki/server.crt", SOON), ("etc/etcd/pki/peer.crt", LATE)]);
        machine.ca("etc/etcd/pki/ca.crt");
        machine
    }

    /// A control plane with external etcd.
    fn control_plane() -> Self {
        let machine = Self::new(&[]);
        for file in CONTROL_PLANE {
            machine.leaf(&format!("etc/kubernetes/pki/{file}"), SOON);
        }
        for ca in ["ca.crt", "front-proxy-ca.crt", "etcd/ca.crt"] {
            machine.ca(&format!("etc/kubernetes/pki/{ca}"));
        }
        for name in ["controller-manager.conf", "scheduler.conf"] {
            machine.kubeconfig(&format!("etc/kubernetes/{name}"), SOON);
        }
        machine
    }

    /// A control plane with stacked etcd.
    fn stacked() -> Self {
        let machine = Self::control_plane();
        for file in ["server", "peer", "healthcheck-client"] {
            machine.leaf(&format!("etc/kubernetes/pki/etcd/{file}.crt"), SOON);
        }
        machine
    }

    /// Reads the configuration again: these files more.
    fn configure(&mut self, files: &[&str]) {
        let file = |path: &&str| ConfiguredSource {
            place: Place::File(HostPath::new(path).unwrap()),
            kind: SourceKind::File,
            renewed_by: RenewedBy::Operator,
        };
        let overrides = LayoutOverrides {
            sources: files.iter().map(file).collect(),
            ..LayoutOverrides::default()
        };
        self.configure_with(overrides, true);
    }

    fn configure_with(&mut self, overrides: LayoutOverrides, same_layout: bool) {
        self.stabilizer.reconfigure(TIMING, same_layout, |path| overrides.covers(path));
        let root = Arc::new(HostRoot::open(self.directory.path()).unwrap());
        self.scanner = Scanner::new(root, overrides, LIMITS);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn ca(&self, path: &str) {
        self.write(path, &CertificateBuilder::ca("20360101000000Z").pem());
    }

    fn leaf(&self, path: &str, end: &str) {
        self.write(path, &CertificateBuilder::leaf(end).pem());
    }

    /// A kubeconfig with a client certificate embedded.
    fn kubeconfig(&self, path: &str, end: &str) {
        let data = STANDARD.encode(CertificateBuilder::leaf(end).pem());
        let text = format!("users: [{{name: u, user: {{client-certificate-data: {data}}}}}]\n");
        self.write(path, &text);
    }

    /// Removes every leaf of a control plane, and the kubeconfigs.
    fn remove_leaves(&self) {
        for file in CONTROL_PLANE {
            self.remove(&format!("etc/kubernetes/pki/{file}"));
        }
        for name in ["controller-manager.conf", "scheduler.conf"] {
            self.remove(&format!("etc/kubernetes/{name}"));
        }
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// Looks after `seconds` have gone by.
    fn after(&mut self, seconds: u64) -> Report {
        let wall = 1_790_000_000 + i64::try_from(self.seconds + seconds).unwrap();
        self.after_with_clock(seconds, wall)
    }

    /// Looks after `seconds` have gone by, when the clock says `wall`.
    fn after_with_clock(&mut self, seconds: u64, wall: i64) -> Report {
        self.seconds += seconds;
        let monotonic = Duration::from_secs(self.seconds);
        let at = Moment { monotonic, wall: Timestamp::from_unix(wall) };
        let scan = self.scanner.scan(at.wall);
        let inventory = self.stabilizer.observe(scan, at);
        // A deadline that is now would be a loop that never waits.
        assert!(self.stabilizer.deadline(monotonic).is_none_or(|deadline| deadline > monotonic));
        report::build(inventory, Besides::default(), at.wall)
    }

    fn next_deadline(&self) -> Option<u64> {
        let now = Duration::from_secs(self.seconds);
        self.stabilizer.deadline(now).map(|d| d.saturating_sub(now).as_secs())
    }
}

fn earliest(report: &Report) -> Option<String> {
    let Earliest { not_after, path, index, .. } = report.earliest.as_ref()?;
    let place = if *index == 0 { String::new() } else { format!("#{index}") };
    Some(format!("{} {path}{place}", &not_after.to_string()[..4]))
}

fn reasons(report: &Report) -> Vec<Reason> {
    report.problems.iter().map(|active| active.problem.reason).collect()
}

fn stale(report: &Report) -> usize {
    report.certificates.iter().filter(|c| c.stale).count()
}

const SERVER: Option<&str> = Some("2027 /etc/etcd/pki/server.crt");
