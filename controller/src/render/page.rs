//! The fleet as a page for a person with a browser or a tunnel: one HTML, no script, no other file.
//!
//! Every text goes through maud, which escapes it.

use std::collections::BTreeMap;

use expiryd_api::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::decide::Concern;
use crate::fleet::State;
use crate::observe::ClusterKey;
use crate::status::{CarriedBy, ClusterStatus, FindingStatus, MachineStatus, OptedIn, Severity};

/// The agent's page and this one look alike.
const STYLE: &str = concat!(include_str!("../../../src/render/html.css"), include_str!("page.css"));

/// The page as it is at `now`.
pub fn render(state: &State, now: Timestamp) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Certificates of all clusters" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Certificates of all clusters" }
                @if state.leads {
                    (fleet(&state.clusters, now))
                } @else {
                    p.warning { "Another instance leads; it knows the clusters." }
                }
                footer {
                    p { "expiryd-controller " (env!("CARGO_PKG_VERSION")) " · "
                        a href="/clusters" { "/clusters" } " · " a href="/metrics" { "/metrics" } }
                }
            }
        }
    }
    .into_string()
}

fn fleet(clusters: &BTreeMap<ClusterKey, ClusterStatus>, now: Timestamp) -> Markup {
    let mut by_end: Vec<_> = clusters.values().collect();
    // What cannot be read comes first, then what ends first.
    by_end.sort_by_key(|status| {
        let end = status.earliest.as_ref().map(|end| end.not_after);
        (status.error.is_none(), end.is_none(), end, &status.namespace, &status.name)
    });
    let count = |is: &dyn Fn(&ClusterStatus) -> bool| by_end.iter().filter(|s| is(s)).count();
    let last = by_end.iter().filter_map(|s| s.earliest.as_ref()).map(|end| end.not_after).max();
    html! {
        @if by_end.is_empty() {
            p { "No cluster has been read yet." }
        } @else {
            dl {
                (fact("Clusters", by_end.len()))
                (fact("Opted in", count(&|status| status.opt_in == OptedIn::Full)))
                (fact("End within 30 days", count(&|status| matches!(
                    status.severity(now), Severity::Warning | Severity::Critical))))
                (fact("Somebody has to act", count(&|status| status.error.is_some()
                    || status.findings.iter().any(has_to_act))))
                (fact("Etcd is rolled", count(&|status| status.etcd_rolling)))
            }
            ol {
                @for status in &by_end { (cluster(status, last.unwrap_or(now), now)) }
            }
        }
    }
}

fn has_to_act(finding: &FindingStatus) -> bool {
    matches!(finding.concern, Concern::Machine | Concern::Cluster)
}

fn fact(title: &str, count: usize) -> Markup {
    html! { div { dt { (title) } dd { b { (count) } } } }
}

fn cluster(status: &ClusterStatus, last: Timestamp, now: Timestamp) -> Markup {
    let acts = status.findings.iter().filter(|finding| has_to_act(finding)).count();
    html! {
        li class=(class(status.severity(now))) {
            details {
                summary {
                    div.row {
                        span.path { (status.namespace) "/" (status.name) }
                        span {
                            @if acts > 0 { span.tag.warning { (acts) " to see to" } " " }
                            @if status.etcd_rolling { span.tag { "etcd is rolled" } " " }
                            @match status.opt_in {
                                OptedIn::Full | OptedIn::Unknown => {}
                                OptedIn::No => { span.tag { "not opted in" } " " }
                                other => { span.tag { (other) } " " }
                            }
                            @match (&status.earliest, &status.error) {
                                (Some(end), _) => { (end.not_after.time_left(now)) }
                                (None, Some(_)) => { "not read" }
                                (None, None) => { "nothing known" }
                            }
                        }
                    }
                    @if let Some(end) = &status.earliest { (bar(end.not_after, now, last)) }
                }
                (inside(status, now))
            }
        }
    }
}

fn inside(status: &ClusterStatus, now: Timestamp) -> Markup {
    html! {
        @if let Some(error) = &status.error { p.critical { (error) } }
        @if let Some(end) = &status.earliest {
            p { "First to end: " (end.of)
                @if let Some(path) = &end.path { " " span.path { (path) } }
                ", " (end.not_after) ", as " (end.source) " says" }
        }
        @if !status.machines.is_empty() {
            table {
                thead { tr { th { "Machine" } th { "Role" } th { "Agent" } th { "Ends" } th { "Carries" } } }
                tbody { @for one in &status.machines { (machine(one, now)) } }
            }
        }
        @if let Some(pair) = status.etcd_client_pair {
            p { "Etcd's client pair in the Secret ends " (pair) " (" (pair.time_left(now)) ")" }
        }
        @if let Some(from) = status.etcd_rollout_from { p { "Etcd is rolled from " (from) " on" } }
        @if !status.findings.is_empty() {
            ul {
                @for finding in &status.findings {
                    li {
                        span.tag.warning[has_to_act(finding)] { (finding.guard) }
                        @for name in &finding.machines { " " span.path { (name) } }
                        p { (finding.meaning) }
                    }
                }
            }
        }
        @if !status.actions.is_empty() {
            ul { @for action in &status.actions {
                li { (action.what) " " span.faint { "(" (action.reason) ")" } }
            } }
        }
        @if let Some(read) = status.observed_at { p.faint { "Read " (now.time_left(read)) " ago" } }
    }
}

fn machine(machine: &MachineStatus, now: Timestamp) -> Markup {
    html! {
        tr {
            td.path { (machine.name) @if machine.leaving { " " span.tag { "leaving" } } }
            td { (machine.role) }
            td { (machine.agent) }
            td {
                @for end in &machine.ends {
                    div { (end.not_after) " " span.faint { (end.not_after.time_left(now)) ", " (end.source) } }
                }
            }
            td {
                @if let Some(date) = machine.carried { (date) }
                @if machine.carried_by == Some(CarriedBy::SomebodyElse) { " " span.tag { "somebody else's" } }
            }
        }
    }
}

/// A bar from now to `not_after`, where the whole width is until `last`.
fn bar(not_after: Timestamp, now: Timestamp, last: Timestamp) -> Markup {
    let whole = last.seconds_since(now).max(1);
    let thousandths = i128::from(not_after.seconds_since(now).max(0)) * 1000 / i128::from(whole);
    html! {
        svg viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label=(not_after) {
            @for x in [0, 250, 500, 750, 1000] {
                line.grid x1=(x) x2=(x) y1="0" y2="8" {}
            }
            // What has ended, or is about to, still has to be seen.
            rect x="0" y="1" height="6" width=(thousandths.max(4)) {}
        }
    }
}

const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Fine => "fine",
        Severity::Warning => "warning",
        Severity::Critical | Severity::Unknown => "critical",
    }
}
