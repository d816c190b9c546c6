//! The Node is looked after: what somebody changed or removed is told again, and nothing is written before.

use serde_json::{Value, json};

use testkit::api_server::{ApiServer, Instead, Request};
use testkit::certificate::CertificateBuilder;
use testkit::cluster::{As, Cluster, assets};
use testkit::kubelet::{AT_ONCE, control_plane, publication, publication_when};
use testkit::{Agent, Host, wait_for};

/// Cluster API's key.
const EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";

/// Starts an agent that reads the Node every second, with further options of `[node]`.
fn start(host: &Host, options: &str) -> Agent {
    let agent = Agent::start(host, &format!("{AT_ONCE}recheck = \"1s\"\n{options}"));
    publication_when(&agent, "accepted");
    agent
}

/// Whether a request only reads the Node.
fn is_read(request: &Request) -> bool {
    request.body == json!({})
}

/// Waits for so many more requests, and returns them.
fn next(server: &ApiServer, count: usize) -> Vec<Request> {
    let before = server.requests().len();
    server.wait_for_requests(before + count).split_off(before)
}

#[test]
fn a_node_that_still_says_it_is_read_and_never_written() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = start(&host, "condition-window = \"30d\"\n");
    wait_for("the condition", || server.conditions().first().cloned());
    let before = publication(&agent)["lastSuccess"].as_str().unwrap().to_owned();
    assert!(next(&server, 3).iter().all(is_read));
    agent.report_when("a later success", |report| {
        report["publications"][0]["lastSuccess"].as_str() > Some(&before)
    });
}

#[test]
fn what_somebody_changed_or_removed_is_told_again() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = start(&host, "");
    let told = server.annotations();
    for key in [EXPIRY, "expiryd.dev/etcd-rollout-expiry", "expiryd.dev/status"] {
        server.annotate(key, "2099-01-01T00:00:00Z");
        server.when("what it was told", |node| node[key] == told[key]);
        server.remove_annotation(key);
        server.when("what it was told", |node| node[key] == told[key]);
    }
    // A key of expiryd that it does not use now, and the time, which only has to be one.
    server.annotate("expiryd.dev/unread", "/etc/kubernetes/pki/apiserver.crt");
    server.when("no such key", |node| node["expiryd.dev/unread"].is_null());
    for other in ["yesterday", "2020-01-01T00:00:00Z"] {
        server.annotate("expiryd.dev/observed-at", other);
        server.when("a time of now", |node| node["expiryd.dev/observed-at"] != other);
    }
    let said = |line: &Value| line["message"].as_str().is_some_and(|m| m.contains("told again"));
    assert_eq!(agent.log().iter().filter(|line| said(line)).count(), 9);
}

#[test]
fn an_agent_that_says_the_same_is_not_argued_with() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let _agent = start(&host, "");
    let later = expiryd::clock::now().to_string().replace('Z', "+00:00");
    server.annotate("expiryd.dev/observed-at", &later);
    assert!(next(&server, 3).iter().all(is_read));
    assert_eq!(server.annotations()["expiryd.dev/observed-at"], later);
}

#[test]
fn a_date_that_is_held_against_a_degraded_report_is_told_again_where_somebody_moved_it_later() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let path = "etc/kubernetes/pki/apiserver.crt";
    host.write(path, CertificateBuilder::leaf("20270101000000Z").pem());
    drop(start(&host, ""));
    host.write(path, "");
    let agent = start(&host, "");
    let held = server.when("it is held", |node| node["expiryd.dev/held"] == "true");
    assert_eq!(held[EXPIRY], "2027-01-01T00:00:00Z");
    assert!(next(&server, 3).iter().all(is_read));
    server.annotate(EXPIRY, "2099-01-01T00:00:00Z");
    server.when("the date", |node| node[EXPIRY] == held[EXPIRY]);
    assert!(publication(&agent)["message"].as_str().unwrap().contains("the Node keeps"));
}

#[test]
fn a_server_that_is_away_is_told_of_and_nothing_is_written_when_it_is_back() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = start(&host, "");
    server.instead(&[Instead::Refuse(503, "ServiceUnavailable"); 3]);
    let before = server.requests().len();
    publication_when(&agent, "failing");
    publication_when(&agent, "accepted");
    assert!(server.requests()[before..].iter().all(is_read));
}

#[test]
fn it_can_be_left_to_once_a_day() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = Agent::start(&host, &format!("tick = \"1s\"\n{AT_ONCE}recheck = \"0s\"\n"));
    publication_when(&agent, "accepted");
    server.annotate(EXPIRY, "2099-01-01T00:00:00Z");
    let seen = agent.report()["observedAt"].clone();
    agent.report_when("another look", |r| r["observedAt"].as_str() > seen.as_str());
    agent.report_when("and another", |r| {
        r["observedAt"].as_str().map(|at| &at[..19]) > seen.as_str().map(|at| &at[..19])
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_real_api_server_writes_nothing_when_its_node_is_read_and_takes_back_what_was_removed() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    cluster.make_node("cp-1");
    let host = cluster.host("cp-1");
    let agent = start(&host, "condition-window = \"30d\"\n");
    let ours = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array();
        conditions.and_then(|all| all.iter().find(|c| c["type"] == "CertificatesExpiring").cloned())
    };
    let told =
        wait_for("the condition", || Some(cluster.node("cp-1")).filter(|n| ours(n).is_some()));
    let success = |report: &Value| report["publications"][0]["lastSuccess"].clone();
    for _ in 0..3 {
        let before = success(&agent.report());
        agent.report_when("another look at the Node", |report| success(report) != before);
    }
    let now = cluster.node("cp-1");
    assert_eq!(now["metadata"]["resourceVersion"], told["metadata"]["resourceVersion"]);
    for (path, media, body) in [
        ("/api/v1/nodes/cp-1", "merge", json!({ "metadata": { "annotations": { EXPIRY: null } } })),
        (
            "/api/v1/nodes/cp-1/status",
            "strategic-merge",
            json!({ "status": { "conditions": [
                { "type": "CertificatesExpiring", "$patch": "delete" }] } }),
        ),
    ] {
        let media = format!("application/{media}-patch+json");
        assert_eq!(cluster.ask_as(&As::Admin, "PATCH", path, &media, &body).unwrap().0, 200);
    }
    let expiry = &told["metadata"]["annotations"][EXPIRY];
    wait_for("both", || {
        let node = cluster.node("cp-1");
        (node["metadata"]["annotations"][EXPIRY] == *expiry && ours(&node).is_some()).then_some(())
    });
}
