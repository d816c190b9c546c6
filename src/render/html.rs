//! The report as a page for a person with a browser or a tunnel: one HTML, no script, no other file.
//!
//! Every text goes through maud, which escapes it: a certificate may call itself anything.

use expiryd_api::{Earliest, Publication, Served, Timestamp};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::display::{authority, named, remarks, status};
use super::page_template::{Moving, PageTemplate};
use super::whole;
use crate::inventory::CertificateEntry;
use crate::problem::ActiveProblem;
use crate::report::Report;

/// Certificates that a section of the page shows, those that end first; nobody reads more.
const MOST: usize = 1_000;

const STYLE: &str = include_str!("html.css");

/// The page; before the first scan there is no report.
pub fn render(report: Option<&Report>) -> PageTemplate {
    let waiting = "The first scan of the machine is not over yet; load this page again.";
    report
        .map_or_else(|| notice(waiting), |report| page(report.node.name.as_deref(), &body(report)))
}

/// A page that has this sentence instead of a report.
pub fn notice(sentence: &str) -> PageTemplate {
    page(None, &html! { p.waiting { (sentence) } })
}

fn page(name: Option<&str>, content: &Markup) -> PageTemplate {
    let name = name.unwrap_or("this host");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Certificates of " (name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Certificates of " (name) }
                    (content)
                }
                footer {
                    p { "expiryd " (env!("CARGO_PKG_VERSION")) " · " a href="/expiry" { "/expiry" }
                        " · " a href="/metrics" { "/metrics" } }
                }
            }
        }
    }
    .into_string();
    PageTemplate::new(whole(page))
}

fn body(report: &Report) -> Markup {
    let (authorities, leaves): (Vec<_>, Vec<_>) =
        report.certificates.iter().partition(|c| c.is_ca && !c.counted);
    html! {
        p {
            (report.node.role) " on " (report.node.os)
            @if let Some(etcd) = report.node.etcd_topology { ", " (etcd) " etcd" }
            " · " b class=(report.status) { (report.status) } ": " (status(report.status))
        }
        p.faint {
            "Scanned " (Moving::Age(report.observed_at)) " ago, at " (report.observed_at)
            @if !report.settled { "; not settled yet, so not to be acted on" }
        }
        dl {
            (fact("Earliest expiry", report.earliest.as_ref()))
            (fact("What a machine rollout waits for", report.machine_rollout.as_ref()))
            @if report.etcd_rollout.is_some() {
                (fact("What an etcd rollout waits for", report.etcd_rollout.as_ref()))
            }
            (fact("Earliest CA", report.earliest_ca.as_ref()))
        }
        (problems(&report.problems))
        (served(&report.served))
        (timeline("Certificates", &leaves, &report.served, report.earliest.as_ref()))
        (timeline("Certificate authorities", &authorities, &[], report.earliest_ca.as_ref()))
        (publications(&report.publications))
    }
}

fn fact(title: &str, earliest: Option<&Earliest>) -> Markup {
    html! {
        div {
            dt { (title) }
            dd {
                @if let Some(earliest) = earliest {
                    b class=(Moving::Severity(earliest.not_after)) { (earliest.not_after) }
                    " " (Moving::TimeLeft(earliest.not_after)) br;
                    span.path { (named(&earliest.path, earliest.index)) }
                    @if let Some(by) = earliest.renewed_by { " " span.tag { (by) } }
                } @else {
                    b { "none" }
                }
            }
        }
    }
}

fn problems(problems: &[ActiveProblem]) -> Markup {
    html! {
        @if !problems.is_empty() {
            h2 { "Problems" }
            ul {
                @for ActiveProblem { problem, since } in problems {
                    li {
                        span.path { (named(&problem.path, problem.index.unwrap_or(0))) }
                        " " span.tag.warning { (problem.reason) }
                        p { (problem.message) }
                        p.faint { "since " (since) }
                    }
                }
            }
        }
    }
}

/// What the machine's servers show.
fn served(served: &[Served]) -> Markup {
    let seen = || served.iter().filter_map(|served| Some((served, served.not_after?)));
    html! {
        @if seen().next().is_some() {
            h2 { "What is served" }
            ul {
                @for (served, not_after) in seen() {
                    li {
                        (served.address) " " span.path { (served.path) } " "
                        @if served.matches == Some(true) { span.tag { "as in the file" } }
                        @else { span.tag.warning { "not as in the file" } }
                        " " b class=(Moving::Severity(not_after)) { (not_after) }
                        " " (Moving::TimeLeft(not_after))
                        @if let Some(message) = &served.message { p { (message) } }
                        @if let Some(at) = served.observed_at { p.faint { "looked at " (at) } }
                    }
                }
            }
        }
    }
}

/// Certificates by their end, each with a bar from now to it; all bars of a time line have one scale.
fn timeline(
    title: &str,
    certificates: &[&CertificateEntry],
    served: &[Served],
    first: Option<&Earliest>,
) -> Markup {
    let mut by_end = certificates.to_vec();
    by_end.sort_by_key(|c| (c.certificate.not_after, &c.path, c.index));
    let Some(last) = by_end.last() else { return html! {} };
    let end = last.certificate.not_after;
    html! {
        h2 { (title) " " span.faint { (by_end.len()) } }
        div.axis { span { "now" } span { (end) } }
        ol {
            @for c in by_end.iter().take(MOST) {
                @let is_first = first.is_some_and(|first| is_that(first, c));
                @let not_after = c.certificate.not_after;
                li class={ (Moving::Severity(not_after)) @if is_first { " first" } } {
                    div.row {
                        span.path { (named(&c.path, c.index)) }
                        span { (Moving::TimeLeft(not_after)) }
                    }
                    (bar(not_after, end))
                    div.row.faint {
                        span {
                            (not_after) " · signed by " (authority(c))
                            @for remark in remarks(c, served) { " " span.tag { (remark) } }
                        }
                        span {
                            @if is_first { span.tag.mark { "earliest" } " " }
                            @if !c.counted && !c.is_ca { span.tag { "not counted" } " " }
                            @if let Some(by) = c.renewed_by { span.tag { (by) } }
                        }
                    }
                }
            }
        }
        @if by_end.len() > MOST {
            p.faint { (by_end.len() - MOST) " more end later; " a href="/expiry" { "/expiry" } " lists them" }
        }
    }
}

/// A bar from now to `not_after`, where the whole width is until `end`, with a line at each quarter.
fn bar(not_after: Timestamp, end: Timestamp) -> Markup {
    html! {
        svg viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label=(not_after) {
            @for x in [0, 250, 500, 750, 1000] {
                line.grid x1=(x) x2=(x) y1="0" y2="8" {}
            }
            rect x="0" y="1" height="6" width=(Moving::Share { end: not_after, whole: end }) {}
        }
    }
}

fn publications(publications: &[Publication]) -> Markup {
    html! {
        @if !publications.is_empty() {
            h2 { "Reports elsewhere" }
            ul {
                @for publication in publications {
                    li {
                        (publication.name) " " span.tag.(publication.state) { (publication.state) }
                        @if let Some(at) = publication.last_success {
                            " " span.faint { "last accepted " (at) }
                        }
                        @if let Some(message) = &publication.message { p { (message) } }
                    }
                }
            }
        }
    }
}

/// Whether this is the certificate that ends first.
fn is_that(first: &Earliest, c: &CertificateEntry) -> bool {
    first.index == c.index && first.path == c.path.to_string()
}
