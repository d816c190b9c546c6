//! `expiryd-controller plan`: every cluster, its machines, and what would be done when and why not.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use expiryd_api::Timestamp;
use serde_json::{Value, json};

use super::{Common, UNAVAILABLE, client, failed};
use crate::decide::{Decision, Turn, decide};
use crate::facts::{Facts, NodeReport};
use crate::memory::Published;
use crate::objects::Kinds;
use crate::observe::{ClusterKey, Observer};
use crate::parameters::{DAY, Parameters};

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    common: Common,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A cluster of the plan.
struct Planned {
    key: ClusterKey,
    told: Result<(Facts, Decision), String>,
}

pub(super) async fn plan(arguments: Plan) -> ExitCode {
    let client = match client(&arguments.common).await {
        Ok(client) => client,
        Err(why) => return failed(UNAVAILABLE, &why),
    };
    let kinds = match Kinds::discover(&client).await {
        Ok(Some(kinds)) => kinds,
        Ok(None) => {
            let why =
                "this cluster serves no Cluster API; name the management cluster's kubeconfig";
            return failed(UNAVAILABLE, why);
        }
        Err(error) => {
            return failed(UNAVAILABLE, &format!("the API server was not heard: {error}"));
        }
    };
    let observer = Observer::new(client, kinds, true);
    let keys = match observer.clusters(&arguments.common.namespace).await {
        Ok(keys) => keys,
        Err(error) => {
            return failed(UNAVAILABLE, &format!("the clusters cannot be listed: {error}"));
        }
    };
    let now = crate::run::now();
    let turn = Turn {
        etcd: true,
        marks_pending: false,
        refresh_secret_alone: false,
        finish_upgrades: false,
    };
    let mut planned = Vec::new();
    for key in keys {
        let told = match observer.observe(&key).await {
            Ok(None) => continue,
            Ok(Some(observation)) => {
                let decision = decide(&observation.facts, &Parameters::default(), turn, now);
                Ok((observation.facts, decision))
            }
            Err(error) => Err(error.to_string()),
        };
        planned.push(Planned { key, told });
    }
    let text = match arguments.output {
        Output::Table => {
            planned.iter().map(|planned| table(planned, now)).collect::<Vec<_>>().join("\n")
        }
        Output::Json => {
            let all: Vec<_> = planned.iter().map(object).collect();
            format!("{:#}\n", json!({ "clusters": all }))
        }
    };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return failed(74, &format!("the plan cannot be written: {error}"));
    }
    ExitCode::from(planned.iter().map(|planned| severity(planned, now)).max().unwrap_or(0))
}

/// As `expiryd check`: 0, 1 within 30 days, 2 within 7 or ended, 3 where something could not be read.
fn severity(planned: &Planned, now: Timestamp) -> u8 {
    let Ok((facts, _)) = &planned.told else { return 3 };
    let left = dates(facts).map(|date| date.seconds_since(now)).min();
    match left {
        Some(left) if left < 7 * DAY => 2,
        None => 3,
        Some(left) if left < 30 * DAY => 1,
        Some(_) => 0,
    }
}

/// When each machine ends, as far as anybody says.
fn dates(facts: &Facts) -> impl Iterator<Item = Timestamp> {
    let of_control_plane = facts.control_plane.iter().flat_map(|cp| &cp.machines);
    let of_control_plane = of_control_plane.filter_map(|machine| match &machine.report {
        NodeReport::Of(report) => report.machine_rollout.as_ref().map(|end| end.not_after),
        _ => machine.own,
    });
    let of_etcd = facts.etcd.iter().flat_map(|etcd| {
        let machines = etcd.machines.iter().filter(|machine| machine.owned);
        machines.filter_map(|machine| machine.served).chain(etcd.secret.iter().map(|s| s.not_after))
    });
    of_control_plane.chain(of_etcd)
}

fn table(planned: &Planned, now: Timestamp) -> String {
    let mut text = format!("{}\n", planned.key);
    let (facts, decision) = match &planned.told {
        Ok(told) => told,
        Err(why) => {
            let _ = writeln!(text, "  {why}");
            return text;
        }
    };
    let date = |date: Option<Timestamp>| {
        date.map_or_else(
            || "-".to_owned(),
            |date| format!("{date} {:>4}d", date.seconds_since(now) / DAY),
        )
    };
    for machine in facts.control_plane.iter().flat_map(|cp| &cp.machines) {
        let (agent, says) = match &machine.report {
            NodeReport::Of(report) => (
                report.machine_rollout.as_ref().map(|end| end.not_after),
                report.status.to_string(),
            ),
            NodeReport::NoNode => (None, "no Node".to_owned()),
            NodeReport::NoAgent => (None, "no agent".to_owned()),
            NodeReport::Unreachable => (None, "unreachable".to_owned()),
        };
        let _ = writeln!(
            text,
            "  {:<32} agent {:<27} ({says}), Cluster API's own {:<27}, on the Machine {}",
            machine.name,
            date(agent),
            date(machine.own),
            carried(&machine.published)
        );
    }
    for machine in facts.etcd.iter().flat_map(|etcd| &etcd.machines) {
        let agent = machine.report.as_ref().and_then(|report| report.machine_rollout.as_ref());
        let owned = if machine.owned { "" } else { ", let go of" };
        let _ = writeln!(
            text,
            "  {:<32} agent {:<27}, served {:<27}, on the Machine {}{owned}",
            machine.name,
            date(agent.map(|end| end.not_after)),
            date(machine.served),
            carried(&machine.published)
        );
    }
    if let Some(etcd) = &facts.etcd {
        let secret = etcd.secret.as_ref().map(|secret| secret.not_after);
        let _ = writeln!(text, "  etcd client Secret               {}", date(secret));
    }
    if let Some(start) = decision.etcd_start {
        let _ = writeln!(text, "  etcd is rolled from {} on", start.from);
    }
    for planned in &decision.actions {
        let _ = writeln!(text, "  would be done: {:?} ({})", planned.action, planned.reason);
    }
    for finding in &decision.findings {
        let machine = finding.machine.as_deref().map_or_else(String::new, |m| format!(" ({m})"));
        let _ = writeln!(text, "  {}{machine}: {}", finding.guard, finding.guard.meaning());
    }
    text
}

fn carried(published: &Published) -> String {
    match published {
        Published::Nothing => "nothing".to_owned(),
        Published::Ours(record) => record.date.to_string(),
        Published::Lost(record) => format!("nothing any more, it was {}", record.date),
        Published::Foreign(Some(date)) => format!("{date}, by somebody else"),
        Published::Foreign(None) => "no date, by somebody else".to_owned(),
    }
}

fn object(planned: &Planned) -> Value {
    let name = json!({ "namespace": planned.key.namespace, "name": planned.key.name });
    match &planned.told {
        Err(why) => json!({ "cluster": name, "error": why }),
        Ok((facts, decision)) => json!({
            "cluster": name,
            "earliest": dates(facts).min(),
            "etcdStart": decision.etcd_start.map(|start| start.from),
            "actions": decision.actions.iter().map(|planned| json!({
                "action": format!("{:?}", planned.action),
                "reason": planned.reason,
            })).collect::<Vec<_>>(),
            "findings": decision.findings.iter().map(|finding| json!({
                "machine": finding.machine,
                "guard": finding.guard,
                "meaning": finding.guard.meaning(),
            })).collect::<Vec<_>>(),
        }),
    }
}
