//! What the page says of fleets.

use crate::decide::{Concern, Guard};
use crate::observe::ClusterKey;
use crate::parameters::DAY;
use crate::status::{End, FindingStatus, Source};
use crate::unheard::Unheard;

use super::*;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// A cluster of which something ends in so many days.
fn ending(name: &str, days: i64) -> ClusterStatus {
    let not_after = Timestamp::from_unix(NOW.unix() + days * DAY);
    let end = End { not_after, of: "cp-1".to_owned(), source: Source::Agent, path: None };
    let (error, opt_in, earliest) = (None, OptedIn::No, Some(end));
    ClusterStatus { error, opt_in, earliest, ..unread(name) }
}

fn unread(name: &str) -> ClusterStatus {
    ClusterStatus::unread(("ns", name), "it is broken".to_owned())
}

fn finding(guard: Guard) -> FindingStatus {
    let concern = guard.concern();
    FindingStatus { guard, concern, machines: vec!["cp-1".to_owned()], meaning: guard.meaning() }
}

fn state(clusters: impl IntoIterator<Item = ClusterStatus>) -> State {
    let key = |status: &ClusterStatus| ClusterKey {
        namespace: status.namespace.clone(),
        name: status.name.clone(),
    };
    let mut state = State::default();
    state.clusters = clusters.into_iter().map(|status| (key(&status), status)).collect();
    state.leads = true;
    state
}

/// Where each name is first, in the order of the page.
fn order<'a>(page: &str, names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_by_key(|name| page.find(&format!("ns/{name}<")));
    names
}

#[test]
fn the_worst_clusters_come_first() {
    let stuck = ClusterStatus { findings: vec![finding(Guard::Stuck)], ..ending("e-stuck", 300) };
    let all = [
        ending("a-fine", 200),
        ending("b-soon", 20),
        ending("c-now", 3),
        ending("d-ended", -1),
        stuck,
        unread("f-unread"),
    ];
    let names = ["a-fine", "b-soon", "c-now", "d-ended", "e-stuck", "f-unread"];
    let worst = ["d-ended", "c-now", "f-unread", "b-soon", "e-stuck", "a-fine"];
    assert_eq!(order(&fleet(&state(all), NOW), &names), worst);
}

#[test]
fn each_filter_says_how_many_it_shows() {
    let act = ClusterStatus { findings: vec![finding(Guard::NoAgent)], ..ending("a", 20) };
    let waits = ClusterStatus { findings: vec![finding(Guard::Queued)], ..ending("b", 200) };
    let page = fleet(&state([act, waits, ending("c", 3), unread("d")]), NOW);
    for (count, title) in [
        (4, "all"),
        (2, "somebody has to act"),
        (1, "not read or nothing known"),
        (1, "end within 7 days"),
        (1, "end within 30 days"),
        (0, "etcd is rolled"),
        (3, "not opted in"),
    ] {
        assert!(page.contains(&format!("<b>{count}</b> {title}<")), "{title}: {page}");
    }
    assert!(page.contains("<li class=\"act warning out\">"), "{page}");
}

#[test]
fn a_filter_has_a_rule_in_the_style_sheet() {
    for (class, ..) in FILTERS {
        let rule = format!("main:has([value={class}]:checked) > ol > li:not(.{class})");
        assert!(STYLE.contains(&rule), "{rule}");
    }
}

#[test]
fn it_says_who_has_to_act_and_who_was_not_heard() {
    let unheard = vec![Unheard::new("the agent of etcd-1".to_owned(), "connection refused")];
    let status = ClusterStatus { findings: vec![finding(Guard::NoAgent)], ..ending("prod", 200) };
    let page = fleet(&state([status.without(unheard)]), NOW);
    assert_eq!(Guard::NoAgent.concern(), Concern::Machine);
    for said in [
        "no-agent",
        Guard::NoAgent.meaning(),
        "the agent of etcd-1 was not heard: connection refused",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[test]
fn nothing_that_a_cluster_says_becomes_markup() {
    let hostile = "</style><script>alert(1)</script>\"'&";
    let unread = ClusterStatus { error: Some(hostile.to_owned()), ..unread(hostile) };
    let heard = ClusterStatus {
        unheard: vec![Unheard::new(hostile.to_owned(), hostile)],
        findings: vec![FindingStatus {
            machines: vec![hostile.to_owned()],
            ..finding(Guard::Stuck)
        }],
        ..ending(hostile, 1)
    };
    let state = |status| state([status]);
    for status in [unread, heard] {
        let name = format!("ns/{hostile}");
        let pages =
            [fleet(&state(status.clone()), NOW), cluster(&state(status), &name, NOW).unwrap()];
        for page in pages {
            assert!(!page.contains("<script") && page.matches("</style>").count() == 1, "{page}");
            assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        }
    }
}

#[test]
fn clusters_beyond_the_worst_are_a_line_with_a_page_of_their_own() {
    let many = state((0..80).map(|n| ending(&format!("c-{n:03}"), 100 + n)));
    let page = fleet(&many, NOW);
    assert_eq!((page.matches("<li class=").count(), page.matches("<details>").count()), (80, 50));
    assert!(!page.contains("?cluster=ns/c-049"));
    assert!(page.contains("<a href=\"/?cluster=ns/c-050\">ns/c-050</a>"));
    let own = cluster(&many, "ns/c-050", NOW).unwrap();
    assert!(
        own.contains("<h1>Certificates of ns/c-050</h1>")
            && own.contains("<span class=\"tag\">agent</span>")
    );
    assert_eq!((cluster(&many, "ns/c-080", NOW), cluster(&many, "c-050", NOW)), (None, None));
}

#[test]
fn without_a_cluster_it_says_why() {
    assert!(fleet(&state([]), NOW).contains("No cluster has been read yet."));
    let mut follows = state([]);
    follows.leads = false;
    assert!(fleet(&follows, NOW).contains("Another instance leads"));
}
