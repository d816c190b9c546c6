//! The plan as a table: every cluster, its machines, what would be done and why more is not.

use std::fmt::Write as _;

use expiryd_api::Timestamp;

use crate::status::{CarriedBy, ClusterStatus, End, MachineStatus, OptedIn};

/// One cluster.
pub fn cluster(status: &ClusterStatus, now: Timestamp) -> String {
    let mut text = format!("{}/{}", status.namespace, status.name);
    match (status.opt_in, status.days) {
        (OptedIn::Full, Some(days)) => {
            let _ = write!(text, ", opted in {days} days before an expiry");
        }
        (OptedIn::ControlPlaneOnly, Some(days)) => {
            let _ = write!(text, ", its control plane alone, {days} days before an expiry");
        }
        (OptedIn::Unknown, _) => {}
        _ => text.push_str(", not opted in"),
    }
    text.push('\n');
    if let Some(error) = &status.error {
        let _ = writeln!(text, "  not read: {error}");
        return text;
    }
    let width = status.machines.iter().map(|machine| machine.name.len()).max().unwrap_or(0);
    for machine in &status.machines {
        let _ = writeln!(text, "  {}", line(machine, width, now));
    }
    if let Some(pair) = status.etcd_client_pair {
        let _ = writeln!(
            text,
            "  {}-apiserver-etcd-client, the Secret: {}",
            status.name,
            date(pair, now)
        );
    }
    if let Some(from) = status.control_plane_rollout_from {
        let _ = writeln!(text, "  the control plane is rolled from {from} on");
    }
    if let Some(from) = status.etcd_rollout_from {
        let _ = writeln!(text, "  etcd is rolled from {from} on");
    }
    for action in &status.actions {
        let _ = writeln!(text, "  would: {} ({})", action.what, action.reason);
    }
    for finding in &status.findings {
        let machines = finding.machines.join(", ");
        let of = if machines.is_empty() { String::new() } else { format!(" ({machines})") };
        let _ = writeln!(text, "  {}{of}: {}", finding.guard, finding.meaning);
    }
    for unheard in &status.unheard {
        let _ = writeln!(text, "  {unheard}");
    }
    text
}

fn line(machine: &MachineStatus, width: usize, now: Timestamp) -> String {
    let said = |End { not_after, source, path, .. }: &End| {
        let path = path.as_ref().map_or_else(String::new, |path| format!(" {path}"));
        format!("{source} {}{path}", date(*not_after, now))
    };
    let ends: Vec<_> = machine.ends.iter().map(said).collect();
    let ends = if ends.is_empty() { "no date".to_owned() } else { ends.join("; ") };
    let carries = match (machine.carried, machine.carried_by) {
        (Some(date), Some(CarriedBy::SomebodyElse)) => {
            format!("carries {date} of somebody else")
        }
        (None, Some(CarriedBy::SomebodyElse)) => "carries no date, of somebody else".to_owned(),
        (Some(date), _) => format!("carries {date}"),
        (None, _) => "carries none".to_owned(),
    };
    let leaving = if machine.leaving { ", leaving" } else { "" };
    format!(
        "{:<width$}  {:<13}  {:<10}  {ends}; {carries}{leaving}",
        machine.name, machine.role, machine.agent
    )
}

fn date(date: Timestamp, now: Timestamp) -> String {
    format!("{date} ({})", date.time_left(now))
}
