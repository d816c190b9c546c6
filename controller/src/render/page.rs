//! The fleet as a page for a person with a browser or a tunnel: one HTML, no script, no other file.
//!
//! Every text goes through maud, which escapes it. A filter is a radio button, and a rule of the style sheet that
//! hides what it leaves out.

mod cluster;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use expiryd_api::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::fleet::State;
use crate::observe::ClusterKey;
use crate::status::{ClusterStatus, OptedIn, Severity};

/// Clusters that are shown with all that is known of them, the worst; another one has a page of its own. So 1,000
/// clusters of six Machines are 414 kB.
const DETAILED: usize = 50;

/// The agent's page and this one look alike.
const STYLE: &str =
    concat!(include_str!("../../../src/render/html.css"), include_str!("page/page.css"));

/// What can be shown alone: its class in the style sheet, its title, and which clusters it is about.
type Filter = (&'static str, &'static str, fn(&ClusterStatus, Timestamp) -> bool);

const FILTERS: [Filter; 6] = [
    ("act", "somebody has to act", |status, _| needs_somebody(status)),
    ("unknown", "not read or nothing known", |status, now| {
        status.severity(now) == Severity::Unknown
    }),
    ("critical", "end within 7 days", |status, now| status.severity(now) == Severity::Critical),
    ("warning", "end within 30 days", |status, now| status.severity(now) == Severity::Warning),
    ("rolled", "etcd is rolled", |status, _| status.etcd_rolling),
    ("out", "not opted in", |status, _| status.opt_in == OptedIn::No && status.error.is_none()),
];

/// All clusters as they are at `now`.
pub fn fleet(state: &State, now: Timestamp) -> String {
    let mut clusters: Vec<_> = state.clusters.values().collect();
    // The worst comes first, and of those that are alike what ends first.
    clusters.sort_by_key(|status| {
        let end = status.earliest.as_ref().map(|end| end.not_after);
        let worse = (Reverse(status.severity(now)), Reverse(needs_somebody(status)));
        (worse, end, &status.namespace, &status.name)
    });
    let title = "Certificates of all clusters";
    let content = match (state.leads, clusters.is_empty()) {
        (false, _) => html! { p.warning { "Another instance leads; it knows the clusters." } },
        (true, true) => html! { p { "No cluster has been read yet." } },
        (true, false) => html! { (filters(&clusters, now)) (list(&clusters, now)) },
    };
    whole(title, &content, now)
}

/// One cluster, by its namespace and name with a slash between them; `None` where none of that name is known.
pub fn cluster(state: &State, name: &str, now: Timestamp) -> Option<String> {
    let (namespace, of_cluster) = name.split_once('/')?;
    let key = ClusterKey { namespace: namespace.to_owned(), name: of_cluster.to_owned() };
    let status = state.clusters.get(&key)?;
    let content = html! {
        nav { a href="/" { "All clusters" } }
        (cluster::details(status, now))
    };
    Some(whole(&format!("Certificates of {name}"), &content, now))
}

fn whole(title: &str, content: &Markup, now: Timestamp) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    p.faint { "As known at " (now) }
                    (content)
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

fn filters(clusters: &[&ClusterStatus], now: Timestamp) -> Markup {
    html! {
        fieldset {
            legend { "Show" }
            label { input type="radio" name="show" checked; b { (clusters.len()) } " all" }
            @for (class, title, is_about) in FILTERS {
                @let count = clusters.iter().filter(|status| is_about(status, now)).count();
                label { input type="radio" name="show" value=(class); b { (count) } " " (title) }
            }
        }
    }
}

/// Each cluster with a bar from now to its first end; all bars have one scale.
fn list(clusters: &[&ClusterStatus], now: Timestamp) -> Markup {
    let ends = clusters.iter().filter_map(|status| status.earliest.as_ref());
    let last = ends.map(|end| end.not_after).max();
    html! {
        @if let Some(last) = last { div.axis { span { "now" } span { (last) } } }
        ol {
            @for (place, status) in clusters.iter().enumerate() {
                li class=(classes(status, now)) {
                    @if place < DETAILED {
                        details {
                            summary { (cluster::line(status, None, last, now)) }
                            (cluster::details(status, now))
                        }
                    } @else {
                        @let page = format!("/?cluster={}/{}", status.namespace, status.name);
                        (cluster::line(status, Some(&page), last, now))
                    }
                }
            }
        }
    }
}

/// The filters that show it.
fn classes(status: &ClusterStatus, now: Timestamp) -> String {
    let shown = FILTERS.iter().filter(|(_, _, is_about)| is_about(status, now));
    shown.map(|(class, _, _)| *class).collect::<Vec<_>>().join(" ")
}

/// Whether it goes on only once somebody does something.
fn needs_somebody(status: &ClusterStatus) -> bool {
    status.error.is_some() || status.findings.iter().any(cluster::has_to_act)
}
