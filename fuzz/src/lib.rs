//! What the targets share: a control plane whose files hold what the fuzzer says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use expiryd::clock::Moment;
use expiryd::config::Timing;
use expiryd::host_root::HostPath;
use expiryd::inventory::Stabilizer;
use expiryd::layout::Layout;
use expiryd::layout::known_files::Origin;
use expiryd::pki::read;
use expiryd::report::{Besides, Report, build};
use expiryd::scan::{File, Scan};
use expiryd_api::{EtcdTopology, Role, Timestamp};

/// When every report is made.
pub const NOW: i64 = 1_800_000_000;

/// The settled report of a control plane with these files.
pub fn report(certificate: &[u8], authority: &[u8], kubeconfig: &[u8]) -> Report {
    let file = |path: &str, origin: Origin, bytes| {
        let name = path.rsplit('/').next().unwrap_or(path).as_bytes().to_vec();
        let kind = origin.kind();
        let contents = Arc::new(read(&HostPath::root(), kind, bytes));
        (HostPath::root().join(path), File { origin, kind, name, contents })
    };
    let scan = Scan {
        layout: Layout {
            os: "ubuntu".to_owned(),
            role: Role::ControlPlane,
            etcd_topology: Some(EtcdTopology::External),
            hostname: None,
            sources: Vec::new(),
            problems: Vec::new(),
            unlisted: Vec::new(),
            absent: Default::default(),
            wanted: Default::default(),
            api_server_port: None,
            control_plane_pki: HostPath::root().join("etc/kubernetes/pki"),
            etcd_pki: HostPath::root().join("etc/etcd/pki"),
            watched: Vec::new(),
            places: Vec::new(),
        },
        files: BTreeMap::from([
            file("etc/kubernetes/pki/apiserver.crt", Origin::ControlPlanePki, certificate),
            file("etc/kubernetes/pki/ca.crt", Origin::ControlPlanePki, authority),
            file("etc/kubernetes/admin.conf", Origin::ControlPlaneKubeconfig, kubeconfig),
        ]),
        parsed: 3,
    };
    let timing = Timing { settle: Duration::ZERO, grace: Duration::ZERO };
    let wall = Timestamp::from_unix(NOW);
    let inventory =
        Stabilizer::new(timing).observe(scan, Moment { monotonic: Duration::ZERO, wall });
    build(inventory, Besides::default(), wall)
}
