//! One cluster on the page: its line among the others, and all that is known of it.

use expiryd_api::Timestamp;
use maud::{Markup, html};

use crate::decide::Concern;
use crate::status::{CarriedBy, ClusterStatus, FindingStatus, MachineStatus, OptedIn, Severity};

/// Its line: what it is called, what ends first and when, and what keeps it; `page` is where more is said.
pub(super) fn line(
    status: &ClusterStatus,
    page: Option<&str>,
    last: Option<Timestamp>,
    now: Timestamp,
) -> Markup {
    html! {
        span.row {
            span.path {
                @if let Some(page) = page {
                    a href=(page) { (status.namespace) "/" (status.name) }
                } @else {
                    (status.namespace) "/" (status.name)
                }
            }
            b class=[class(status.severity(now))] {
                @match (&status.earliest, &status.error) {
                    (_, Some(_)) => { "not read" }
                    (Some(end), None) => { (end.not_after.time_left(now)) }
                    (None, None) => { "nothing known" }
                }
            }
        }
        @if let (Some(end), Some(last)) = (&status.earliest, last) {
            span.bar style={ "width:" (percent(end.not_after, now, last)) "%" } {}
        }
        span.row.faint {
            span {
                @match (&status.earliest, &status.error) {
                    (_, Some(error)) => { (error) }
                    (Some(end), None) => { (end.not_after) " · " (end.of) }
                    (None, None) => {}
                }
            }
            span { (tags(status)) }
        }
    }
}

fn tags(status: &ClusterStatus) -> Markup {
    html! {
        @for finding in status.findings.iter().filter(|finding| has_to_act(finding)) {
            span.tag.warning { (finding.guard) } " "
        }
        @if status.etcd_rolling { span.tag { "etcd is rolled" } " " }
        @match (status.opt_in, &status.error) {
            (OptedIn::Full, _) | (_, Some(_)) => {}
            (OptedIn::No, None) => { span.tag { "not opted in" } }
            (other, None) => { span.tag { "opt-in: " (other) } }
        }
    }
}

/// All that is known of it.
pub(super) fn details(status: &ClusterStatus, now: Timestamp) -> Markup {
    html! {
        @if let Some(error) = &status.error { p.critical { (error) } }
        (why(status))
        @if !status.actions.is_empty() {
            h2 { "What is done" }
            ul { @for action in &status.actions {
                li {
                    (action.what) " " span.faint { "(" (action.reason) ")" }
                    @if let Some(why) = &action.refused { p { "not done: " (why) } }
                }
            } }
        }
        @if !status.machines.is_empty() {
            h2 { "Machines" }
            table {
                thead { tr {
                    @for title in ["Machine", "Role", "Agent", "Ends", "Carries"] {
                        th scope="col" { (title) }
                    }
                } }
                tbody { @for one in &status.machines { (machine(one, now)) } }
            }
        }
        (dates(status, now))
    }
}

/// What keeps it from being renewed, and who did not answer.
fn why(status: &ClusterStatus) -> Markup {
    html! {
        @if !status.findings.is_empty() {
            h2 { "Findings" }
            ul {
                @for finding in &status.findings {
                    li {
                        span.tag.warning[has_to_act(finding)] { (finding.guard) } " " (finding.meaning)
                        @if !finding.machines.is_empty() {
                            p.faint { (finding.machines.join(", ")) }
                        }
                    }
                }
            }
        }
        @if !status.unheard.is_empty() {
            h2 { "Not heard" }
            ul { @for unheard in &status.unheard { li { (unheard) } } }
        }
    }
}

fn machine(machine: &MachineStatus, now: Timestamp) -> Markup {
    html! {
        tr {
            th.path scope="row" {
                (machine.name)
                @if machine.leaving { " " span.tag { "leaving" } }
            }
            td { (machine.role) }
            td { (machine.agent) }
            td {
                @for end in &machine.ends {
                    div { (end.not_after) " " span.faint { (end.not_after.time_left(now)) ", " (end.source) } }
                }
            }
            td {
                @match machine.carried {
                    Some(date) => { (date) }
                    None => { "no date" }
                }
                @if machine.carried_by == Some(CarriedBy::SomebodyElse) { " " span.tag { "somebody else's" } }
            }
        }
    }
}

/// The dates of the cluster itself, and when they were read.
fn dates(status: &ClusterStatus, now: Timestamp) -> Markup {
    let ending =
        [("Client pair in the Secret", status.etcd_client_pair), ("Earliest CA", status.ca)];
    html! {
        dl {
            @if let Some(end) = &status.earliest {
                div {
                    dt { "Earliest expiry" }
                    dd {
                        (end.not_after) " " (end.not_after.time_left(now)) br;
                        (end.of) " " span.tag { (end.source) }
                        @if let Some(path) = &end.path { br; span.path { (path) } }
                    }
                }
            }
            @for (title, date) in ending {
                @if let Some(date) = date {
                    div { dt { (title) } dd { (date) " " (date.time_left(now)) } }
                }
            }
            @if let Some(from) = status.control_plane_rollout_from {
                div { dt { "The control plane is rolled from" } dd { (from) } }
            }
            @if let Some(from) = status.etcd_rollout_from {
                div { dt { "Etcd is rolled from" } dd { (from) } }
            }
            @if let Some(days) = status.days {
                div { dt { "Renewed before an expiry" } dd { (days) " days" } }
            }
        }
        @if let Some(read) = status.observed_at { p.faint { "Read " (now.time_left(read)) " ago" } }
    }
}

/// Whether it waits for somebody.
pub(super) const fn has_to_act(finding: &FindingStatus) -> bool {
    matches!(finding.concern, Concern::Machine | Concern::Cluster)
}

/// How much of the time until `last` is left until `not_after`.
fn percent(not_after: Timestamp, now: Timestamp, last: Timestamp) -> i128 {
    let whole = last.seconds_since(now).max(1);
    let percent = i128::from(not_after.seconds_since(now)) * 100 / i128::from(whole);
    // What has ended, or is about to, still has to be seen.
    percent.clamp(1, 100)
}

const fn class(severity: Severity) -> Option<&'static str> {
    match severity {
        Severity::Fine => None,
        Severity::Warning => Some("warning"),
        Severity::Critical | Severity::Unknown => Some("critical"),
    }
}
