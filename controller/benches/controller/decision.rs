//! A decision about one cluster of six Machines.

use std::hint::black_box;
use std::time::Instant;

use expiryd_api::{Status, Timestamp};
use expiryd_controller::decide::{Turn, decide};
use expiryd_controller::facts::{
    Cluster, ControlPlane, ControlPlaneMachine, EtcdCluster, EtcdMachine, EtcdPlace, Expiry, Facts,
    NodeReport, Progress, Report, SecretPair,
};
use expiryd_controller::memory::Published;
use expiryd_controller::parameters::{DAY, Parameters};

use super::row;

const NOW: i64 = 1_800_000_000;
const ROUNDS: u32 = 20_000;

fn day(n: i64) -> Timestamp {
    Timestamp::from_unix(NOW + n * DAY)
}

fn report() -> Report {
    Report {
        observed_at: day(0),
        status: Status::Ok,
        settled: true,
        machine_rollout: Some(Expiry {
            not_after: day(60),
            path: Some("/etc/kubernetes/pki/apiserver.crt".to_owned()),
        }),
        etcd_rollout: Some(day(60)),
    }
}

fn facts() -> Facts {
    let names = |kind: &str| [1, 2, 3].map(|n| format!("{kind}-{n}"));
    let endpoints = names("https://etcd").to_vec();
    let control_plane = names("cp").map(|name| ControlPlaneMachine {
        name,
        born: day(-300),
        deleting: false,
        published: Published::Nothing,
        own: Some(day(60)),
        report: NodeReport::Of(report()),
    });
    let etcd = names("etcd").map(|name| EtcdMachine {
        name,
        born: day(-300),
        deleting: false,
        owned: true,
        mark: None,
        published: Published::Nothing,
        report: Ok(report()),
        served: Some(day(60)),
    });
    Facts {
        cluster: Cluster { opt_in: Some("7d".to_owned()), ..Cluster::default() },
        control_plane: Some(ControlPlane {
            replicas: 3,
            progress: Progress { moving: false, outdated: false, ready: true, observed: true },
            etcd: EtcdPlace::External(endpoints.clone()),
            machines: control_plane.to_vec(),
            ..ControlPlane::default()
        }),
        etcd: Some(EtcdCluster {
            replicas: 3,
            ready: true,
            endpoints,
            secret: Some(SecretPair { sha256: "1".to_owned(), not_after: day(60) }),
            machines: etcd.to_vec(),
            ..EtcdCluster::default()
        }),
    }
}

pub fn measure() {
    let (facts, parameters) = (facts(), Parameters::default());
    let writes = decide(&facts, &parameters, Turn::ALONE, day(0)).actions.len();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        black_box(decide(black_box(&facts), &parameters, Turn::ALONE, day(0)));
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    let what = format!("a decision about six Machines, with {writes} writes");
    row(&what, &format!("{each:.1} µs"), "50 µs");
}
