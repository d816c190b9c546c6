//! Serves a fleet that is the same each time, at a time that is the same, for pictures and tests of what people see:
//! `fleet ADDRESS CLUSTERS`.
//!
//! The page, `/clusters` and `/metrics` are those of the program.

use std::error::Error;

use expiryd_api::Timestamp;
use expiryd_controller::decide::{ActionName, Guard, Reason};
use expiryd_controller::fleet::{Fleet, Outcome};
use expiryd_controller::observe::ClusterKey;
use expiryd_controller::serve::answers;
use expiryd_controller::status::{
    ActionStatus, AgentStatus, CarriedBy, ClusterStatus, End, FindingStatus, MachineRole,
    MachineStatus, OptedIn, Source,
};
use expiryd_controller::unheard::Unheard;

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";
const HOSTILE: &str = "<script>document.title = 'it ran'</script>";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("where to listen?")?;
    let clusters: i64 = arguments.next().ok_or("how many clusters?")?.parse()?;
    let fleet = Fleet::default();
    fleet.leads(true);
    for n in 0..clusters {
        let status = match (clusters, n) {
            (_, 0) => stuck(),
            (_, 1) => healthy("prod", 212),
            (..=3, _) => unread(
                "lab",
                "the Secret lab-kubeconfig of eksa-system/lab cannot be read: forbidden",
            ),
            (_, 2) => unread(HOSTILE, "<img src=x onerror=\"document.title = 'it ran'\">"),
            _ => one_of_many(n),
        };
        let key = ClusterKey { namespace: status.namespace.clone(), name: status.name.clone() };
        fleet.cluster(&key, status);
    }
    fleet.wrote(ActionName::Annotate, Reason::DateChanged, Outcome::Done);
    fleet.wrote(ActionName::Annotate, Reason::DateChanged, Outcome::Failed);
    let paths = answers::guarded(answers::told(|| Timestamp::from_unix(NOW)));
    let listener = tokio::net::TcpListener::bind(address).await?;
    Ok(axum::serve(listener, paths.with_state(fleet)).await?)
}

fn in_days(days: i64) -> Timestamp {
    Timestamp::from_unix(NOW + days * DAY)
}

fn unread(name: &str, why: &str) -> ClusterStatus {
    ClusterStatus::unread(("eksa-system", name), why.to_owned())
}

/// Three machines of the control plane and three of etcd, of which the first ends in so many days.
fn healthy(name: &str, days: i64) -> ClusterStatus {
    let machines: Vec<_> = (1..=3)
        .map(|n| machine(&format!("{name}-cp-{n}"), MachineRole::ControlPlane, days + n - 1))
        .chain((1..=3).map(|n| machine(&format!("{name}-etcd-{n}"), MachineRole::Etcd, days + 1)))
        .collect();
    ClusterStatus {
        observed_at: Some(Timestamp::from_unix(NOW - 40)),
        error: None,
        opt_in: OptedIn::Full,
        days: Some(7),
        earliest: machines.first().and_then(|machine| machine.ends.first().cloned()),
        etcd_rollout_from: Some(in_days(days - 8)),
        etcd_client_pair: Some(in_days(days + 1)),
        ca: Some(in_days(3_400)),
        machines,
        ..unread(name, "")
    }
}

fn machine(name: &str, role: MachineRole, days: i64) -> MachineStatus {
    let (source, path) = match role {
        MachineRole::ControlPlane => (Source::ClusterApi, APISERVER),
        MachineRole::Etcd => (Source::Served, "/etc/etcd/pki/server.crt"),
    };
    let end = |source, path| End { not_after: in_days(days), of: name.to_owned(), source, path };
    MachineStatus {
        name: name.to_owned(),
        role,
        born: in_days(days - 365),
        leaving: false,
        agent: AgentStatus::Ok,
        observed_at: Some(Timestamp::from_unix(NOW - 10 * HOUR)),
        ends: vec![end(Source::Agent, Some(path.to_owned())), end(source, None)],
        carried: Some(in_days(days)),
        carried_by: Some(CarriedBy::Expiryd),
    }
}

/// Its etcd is being rolled, and somebody has to look.
fn stuck() -> ClusterStatus {
    let mut status = healthy("edge", 5);
    status.etcd_rolling = true;
    if let Some(machine) = status.machines.get_mut(2) {
        machine.carried_by = Some(CarriedBy::SomebodyElse);
    }
    if let Some(machine) = status.machines.last_mut() {
        machine.agent = AgentStatus::NoAgent;
        machine.observed_at = None;
        machine.ends.retain(|end| end.source == Source::Served);
    }
    status.actions = vec![ActionStatus {
        action: ActionName::Nudge,
        what: "ask etcdadm-controller to look at edge-etcd".to_owned(),
        reason: Reason::RolloutBegun,
        refused: None,
    }];
    status.findings = vec![
        finding(Guard::Stuck, &[]),
        finding(Guard::ServedOnly, &["edge-etcd-3"]),
        finding(Guard::EtcdFirst, &["edge-cp-1", "edge-cp-2", "edge-cp-3"]),
    ];
    let who = "the agent of edge-etcd-3 at 192.0.2.23:9797".to_owned();
    status.without(vec![Unheard::new(who, "connection refused (os error 111)")])
}

/// Each day of a year has its share of them.
fn one_of_many(n: i64) -> ClusterStatus {
    let mut status = healthy(&format!("prod-{n:04}"), 8 + n * 37 % 357);
    match n % 10 {
        0 => status.opt_in = OptedIn::No,
        5 => status.findings = vec![finding(Guard::NoAgent, &[&format!("prod-{n:04}-cp-1")])],
        _ => {}
    }
    status
}

fn finding(guard: Guard, machines: &[&str]) -> FindingStatus {
    FindingStatus {
        guard,
        concern: guard.concern(),
        machines: machines.iter().map(|name| (*name).to_owned()).collect(),
        meaning: guard.meaning(),
    }
}
