//! The Node publisher against an API server that demands the kubelet's certificate.

use std::fs;

use serde_json::{Value, json};

use testkit::api_server::{ApiServer, Instead};
use testkit::authority::Authority;
use testkit::certificate::CertificateBuilder;
use testkit::kubelet::{
    AT_ONCE, CURRENT, control_plane, join, kubeconfig, kubeconfig_with, publication,
    publication_when, rotate,
};
use testkit::{Agent, Host, ReservedAddress, wait_for};

/// Cluster API's key.
const EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";

/// Waits until the agent fails with these words, and then for its success.
fn fails_then_recovers(server: &ApiServer, agent: &Agent, words: &str) {
    wait_for(words, || {
        let said = |line: &Value| line["message"].as_str().is_some_and(|m| m.contains(words));
        agent.log().iter().any(said).then_some(())
    });
    publication_when(agent, "accepted");
    assert!(server.annotations()["expiryd.dev/status"].is_string());
}

#[test]
fn the_first_settled_report_is_one_merge_patch_of_the_nodes_annotations() {
    let server = ApiServer::start();
    server.annotate("somebody.else/key", "stays");
    let host = control_plane(&server);
    let agent = Agent::start(&host, AT_ONCE);
    let accepted = publication_when(&agent, "accepted");
    assert!(accepted["lastSuccess"].is_string());
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let patch = &requests[0];
    assert_eq!(
        (patch.method.as_str(), patch.path.as_str(), patch.content_type.as_str()),
        ("PATCH", "/api/v1/nodes/cp-1?fieldManager=expiryd", "application/merge-patch+json")
    );
    let mut annotations = patch.body["metadata"]["annotations"].clone();
    assert!(annotations["expiryd.dev/observed-at"].take().is_string());
    assert_eq!(patch.body.as_object().unwrap().len(), 1);
    assert_eq!(
        annotations,
        json!({
            "machine.cluster.x-k8s.io/certificates-expiry": "2027-11-23T18:00:07Z",
            "expiryd.dev/earliest-expiry": "2027-02-01T06:00:00Z",
            "expiryd.dev/earliest-certificate": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "expiryd.dev/status": "ok",
            "expiryd.dev/machine-rollout-certificate":
                "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
            "expiryd.dev/etcd-rollout-expiry": "2027-02-01T06:00:00Z",
            "expiryd.dev/unread": null,
            "expiryd.dev/held": null,
            "expiryd.dev/observed-at": null,
        })
    );
    assert_eq!(server.annotations()["somebody.else/key"], "stays");
}

#[test]
fn nothing_is_said_twice_and_a_change_is_said_at_once() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = Agent::start(&host, &format!("tick = \"1s\"\n{AT_ONCE}"));
    publication_when(&agent, "accepted");
    let seen = agent.report()["observedAt"].clone();
    agent.report_when("two more looks", |r| r["observedAt"].as_str() > seen.as_str());
    agent.signal("HUP");
    agent.report_when("a look after the reload", |r| r["observedAt"].as_str() > seen.as_str());
    assert_eq!(server.requests().len(), 1);
    host.write(
        "etc/kubernetes/pki/apiserver.crt",
        CertificateBuilder::leaf("20270615000000Z").pem(),
    );
    let requests = server.wait_for_requests(2);
    assert_eq!(requests[1].body["metadata"]["annotations"][EXPIRY], "2027-06-15T00:00:00Z");
}

#[test]
fn an_answer_of_the_server_does_not_make_a_change_go_unseen() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    server.instead(&[Instead::Hang; 4]);
    let agent = Agent::start(&host, &format!("debounce = \"2s\"\n{AT_ONCE}timeout = \"1s\"\n"));
    server.wait_for_requests(1);
    // The server is given up while the change, which is one event, is waited out.
    host.write("new", CertificateBuilder::leaf("20270115000000Z").pem());
    fs::rename(host.path("new"), host.path("etc/kubernetes/pki/apiserver.crt")).unwrap();
    agent.report_when("the change", |r| r["machineRollout"]["notAfter"] == "2027-01-15T00:00:00Z");
}

#[test]
fn a_date_that_does_not_exist_is_removed_and_never_written_empty() {
    let server = ApiServer::start();
    let host = Host::bare("ubuntu");
    host.write("etc/kubernetes/pki/sa.pub", "");
    host.write("etc/kubernetes/pki/custom.crt", CertificateBuilder::leaf("20300101000000Z").pem());
    host.link(CURRENT, "x");
    join(&host, &server, &server.authority.client("system:node:cp-1", 2100));
    let agent = Agent::start(&host, AT_ONCE);
    publication_when(&agent, "accepted");
    let annotations = &server.wait_for_requests(2)[1].body["metadata"]["annotations"];
    assert!(annotations.as_object().unwrap().contains_key(EXPIRY) && annotations[EXPIRY].is_null());
    assert_eq!(annotations["expiryd.dev/status"], "degraded", "it has no apiserver.crt");
}

#[test]
fn nothing_is_published_before_the_report_has_settled_or_while_it_waits() {
    let server = ApiServer::start();
    let unsettled = control_plane(&server);
    let agent =
        Agent::start(&unsettled, "settle = \"10m\"\ntick = \"1s\"\n[node]\nspread = \"0s\"\n");
    let waiting = Host::bare("ubuntu");
    waiting.write("etc/kubernetes/pki/sa.pub", "");
    waiting.link(CURRENT, "x");
    join(&waiting, &server, &server.authority.client("system:node:cp-1", 2100));
    let other = Agent::start(&waiting, &format!("tick = \"1s\"\n{AT_ONCE}"));
    for agent in [&agent, &other] {
        let seen = agent.report()["observedAt"].clone();
        agent.report_when("another look", |r| r["observedAt"].as_str() > seen.as_str());
        assert_eq!(publication(agent)["state"], "pending");
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_degraded_report_is_published_with_its_last_good_date() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = Agent::start(&host, AT_ONCE);
    publication_when(&agent, "accepted");
    host.write("etc/kubernetes/pki/apiserver-etcd-client.crt", "");
    let annotations = server.when("degraded", |node| node["expiryd.dev/status"] == "degraded");
    assert_eq!(annotations["expiryd.dev/earliest-expiry"], "2027-02-01T06:00:00Z");
    assert!(annotations["expiryd.dev/held"].is_null(), "nothing earlier had to be held");
}

/// What hides the earliest date, on a machine whose agent starts then.
fn hide(host: &Host, how: &str) {
    let path = "etc/kubernetes/pki/apiserver.crt";
    match how {
        "torn" => host.write(path, "-----BEGIN CERTIFICATE-----\nMII"),
        "a dangling link" => {
            host.remove(path);
            host.link(path, "/nowhere");
        }
        "gone" => host.remove(path),
        "all gone" => fs::remove_dir_all(host.path("etc/kubernetes/pki/")).unwrap(),
        "10,000 other files" => {
            for n in 0..10_001 {
                host.write(&format!("etc/kubernetes/pki/aaa-{n}.crt"), "");
            }
        }
        how => panic!("{how}"),
    }
}

#[test]
fn after_a_restart_the_nodes_dates_move_no_later_whatever_hides_the_earliest() {
    let (early, renewed) = ("2026-12-24T00:00:00Z", "2027-06-01T00:00:00Z");
    for (how, when) in [
        ("torn", "between agents"),
        ("torn", "while an agent ran"),
        ("a dangling link", "between agents"),
        ("gone", "between agents"),
        ("gone", "while an agent ran"),
        ("all gone", "between agents"),
        ("10,000 other files", "between agents"),
    ] {
        let server = ApiServer::start();
        let host = control_plane(&server);
        // The CA is kept where the PKI is not.
        host.write("etc/kubernetes/ca.crt", server.authority.pem());
        kubeconfig_with(&host, &format!("https://{}", server.address), "/etc/kubernetes/ca.crt");
        let apiserver = "etc/kubernetes/pki/apiserver.crt";
        host.write(apiserver, CertificateBuilder::leaf("20261224000000Z").pem());
        let agent = Agent::start(&host, AT_ONCE);
        server.when("the date", |node| node[EXPIRY] == early);
        if when == "while an agent ran" {
            hide(&host, how);
            server.when("what it remembers", |node| node["expiryd.dev/status"] == "degraded");
            drop(agent);
        } else {
            drop(agent);
            hide(&host, how);
        }
        for restart in 1..=2 {
            let agent = Agent::start(&host, &format!("{AT_ONCE}[limits]\nfiles = 100\n"));
            publication_when(&agent, "accepted");
            let held = server.annotations();
            assert_eq!(held["expiryd.dev/status"], "degraded", "{how} {when}, restart {restart}");
            assert_eq!(held[EXPIRY], early, "{how} {when}, restart {restart}");
            assert_eq!(
                held["expiryd.dev/earliest-expiry"], early,
                "{how} {when}, restart {restart}"
            );
            if how != "10,000 other files" {
                assert_eq!(held["expiryd.dev/held"], "true", "{how} {when}, restart {restart}");
                assert_eq!(held["expiryd.dev/earliest-certificate"], format!("/{apiserver}"));
                let message = publication_when(&agent, "accepted")["message"].clone();
                assert!(message.as_str().is_some_and(|m| m.contains("keeps")), "{message}");
            }
        }
        if how == "torn" && when == "between agents" {
            // The next good report says how it is.
            host.write(apiserver, CertificateBuilder::leaf("20270601000000Z").pem());
            let _agent = Agent::start(&host, AT_ONCE);
            let good = server.when("a good report", |node| node["expiryd.dev/status"] == "ok");
            assert_eq!((&good[EXPIRY], &good["expiryd.dev/held"]), (&json!(renewed), &Value::Null));
        }
    }
}

#[test]
fn an_answer_that_is_no_node_passes_for_none_without_dates() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let apiserver = "etc/kubernetes/pki/apiserver.crt";
    host.write(apiserver, CertificateBuilder::leaf("20261224000000Z").pem());
    let agent = Agent::start(&host, AT_ONCE);
    server.when("the date", |node| node[EXPIRY] == "2026-12-24T00:00:00Z");
    drop(agent);
    hide(&host, "torn");
    server.instead(&[
        Instead::Say("<html>welcome</html>"),
        Instead::Say(""),
        Instead::Say(r#"{"kind": "Status", "metadata": {}}"#),
    ]);
    let agent = Agent::start(&host, AT_ONCE);
    let failing = publication_when(&agent, "failing");
    assert!(failing["message"].as_str().unwrap().contains("is not the Node cp-1"), "{failing}");
    publication_when(&agent, "accepted");
    let held = server.annotations();
    assert_eq!(held[EXPIRY], "2026-12-24T00:00:00Z");
    assert_eq!(held["expiryd.dev/held"], "true");
}

#[test]
fn a_whole_answer_counts_however_the_connection_ends() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    server.instead(&[Instead::NoGoodbye]);
    let agent = Agent::start(&host, AT_ONCE);
    publication_when(&agent, "accepted");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_agent_that_can_never_read_everything_follows_a_renewal() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    host.write("etc/kubernetes/pki/broken.crt", "never a certificate");
    let apiserver = "etc/kubernetes/pki/apiserver.crt";
    for date in ["20261224000000Z", "20270124000000Z"] {
        host.write(apiserver, CertificateBuilder::leaf(date).pem());
        let _agent = Agent::start(&host, AT_ONCE);
        let date = format!("{}-{}-{}T00:00:00Z", &date[..4], &date[4..6], &date[6..8]);
        let node = server.when(&date, |node| node[EXPIRY] == date.as_str());
        assert_eq!(node["expiryd.dev/status"], "degraded");
    }
}

#[test]
fn a_worker_takes_back_what_a_worker_wrote_and_else_writes_nothing() {
    for written in [true, false] {
        let server = ApiServer::start();
        if written {
            server.annotate("expiryd.dev/status", "ok");
            server.annotate("expiryd.dev/earliest-expiry", "2027-01-01T00:00:00Z");
        }
        server.annotate("somebody.else/key", "stays");
        let host = Host::like("ubuntu-worker");
        join(&host, &server, &server.authority.client("system:node:cp-1", 2100));
        let agent = Agent::start(&host, AT_ONCE);
        publication_when(&agent, "accepted");
        // The Node is read with a patch that changes nothing.
        let requests = server.requests();
        assert_eq!(requests[0].body, json!({}));
        assert_eq!(requests.len(), if written { 2 } else { 1 });
        assert_eq!(server.annotations(), json!({ "somebody.else/key": "stays" }));
    }
}

#[test]
fn what_looks_like_a_worker_removes_no_date_from_a_control_planes_node_unless_it_is_told_to() {
    let server = ApiServer::start();
    server.annotate("expiryd.dev/status", "ok");
    server.annotate(EXPIRY, "2027-01-01T00:00:00Z");
    let before = server.annotations();
    // As in a container on Bottlerocket that has /var/lib/kubelet mounted and not /var/lib/kubeadm.
    let host = Host::like("bottlerocket-control-plane-external-etcd");
    fs::remove_dir_all(host.path("var/lib/kubeadm")).unwrap();
    let kubelet = "etc/kubernetes/kubelet/kubeconfig";
    join(&host, &server, &server.authority.client("system:node:cp-1", 2100));
    fs::rename(host.path("etc/kubernetes/kubelet.conf"), host.path(kubelet)).unwrap();
    let agent = Agent::start(&host, AT_ONCE);
    let message = publication_when(&agent, "failing")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("layout.role = \"worker\""), "{message}");
    assert_eq!(server.annotations(), before);
    drop(agent);

    let agent = Agent::start(&host, &format!("{AT_ONCE}[layout]\nrole = \"worker\"\n"));
    publication_when(&agent, "accepted");
    assert_eq!(server.annotations(), json!({}));
}

#[test]
fn a_machine_without_a_kubelet_is_off_which_is_said_once_and_no_error() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, AT_ONCE);
    let off = publication_when(&agent, "off");
    assert!(off["message"].as_str().unwrap().contains("no Node of its own"));
    let lines = agent.log();
    let said = |l: &&Value| l["message"].as_str().is_some_and(|m| m.contains("node-annotations"));
    assert_eq!(lines.iter().filter(said).count(), 1);
    assert!(lines.iter().all(|line| line["level"] == "INFO"));
    assert_eq!(agent.report()["status"], "ok");
}

#[test]
fn the_next_request_uses_the_certificate_that_the_kubelet_rotated_to() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = Agent::start(&host, AT_ONCE);
    publication_when(&agent, "accepted");
    rotate(&host, &server.authority.client("system:node:cp-1", 2101), "2");
    host.write(
        "etc/kubernetes/pki/apiserver.crt",
        CertificateBuilder::leaf("20270615000000Z").pem(),
    );
    let requests = server.wait_for_requests(2);
    assert_ne!(requests[0].client, requests[1].client);
}

#[test]
fn every_refusal_is_said_with_the_servers_reason_and_tried_again() {
    for (refusal, words) in [
        (
            Instead::Refuse(401, "Unauthorized"),
            "does not know system:node:cp-1 (401: Unauthorized)",
        ),
        (
            Instead::Refuse(403, "node \"cp-1\" is not allowed to modify node \"cp-2\""),
            "does not allow system:node:cp-1 to patch /api/v1/nodes/cp-1 (403: node \"cp-1\"",
        ),
        (Instead::Refuse(404, "nodes \"cp-1\" not found"), "has no Node cp-1 (404: nodes"),
        (Instead::Refuse(409, "the object has been modified"), "answered 409 to patch"),
        (
            Instead::Refuse(500, "etcdserver: leader changed"),
            "answered 500 to patch /api/v1/nodes/cp-1: etcdserver",
        ),
        (Instead::TooMany(1), "answered 429 to patch"),
        (Instead::HangUp, "the request failed"),
    ] {
        let server = ApiServer::start();
        server.instead(&[refusal]);
        let host = control_plane(&server);
        let agent = Agent::start(&host, AT_ONCE);
        fails_then_recovers(&server, &agent, words);
    }
}

#[test]
fn a_server_that_never_answers_holds_up_nothing_and_is_given_up_in_time() {
    let server = ApiServer::start();
    server.instead(&[Instead::Hang]);
    let host = control_plane(&server);
    let agent = Agent::start(&host, &format!("{AT_ONCE}timeout = \"1s\"\n"));
    server.wait_for_requests(1);
    assert_eq!(agent.get("/expiry").status, 200);
    assert_eq!(agent.get("/healthz").status, 200);
    fails_then_recovers(&server, &agent, "did not answer within 1s");
}

#[test]
fn a_slow_answer_is_an_answer() {
    let server = ApiServer::start();
    server.instead(&[Instead::Dribble]);
    let host = control_plane(&server);
    let agent = Agent::start(&host, AT_ONCE);
    publication_when(&agent, "accepted");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_is_away_at_first_is_found_when_it_comes() {
    let reserved = ReservedAddress::new();
    let address = reserved.address;
    let authority = Authority::new("kubernetes");
    let host = Host::like("rhel-control-plane-external-etcd");
    host.write("etc/kubernetes/pki/ca.crt", authority.pem());
    kubeconfig(&host, &format!("https://{address}"));
    rotate(&host, &authority.client("system:node:cp-1", 2100), "1");
    let agent = Agent::start(&host, AT_ONCE);
    let failing = publication_when(&agent, "failing");
    assert!(failing["message"].as_str().unwrap().contains("cannot be reached"));
    let server = ApiServer::start_at(reserved.listen(), authority);
    publication_when(&agent, "accepted");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_the_clusters_ca_did_not_sign_is_told_nothing() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    host.write("etc/kubernetes/pki/ca.crt", Authority::new("kubernetes").pem());
    let agent = Agent::start(&host, AT_ONCE);
    let failing = publication_when(&agent, "failing");
    assert!(failing["message"].as_str().unwrap().contains("TLS failed"), "{failing}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn an_expired_client_certificate_is_refused_and_the_new_one_taken() {
    let server = ApiServer::start();
    let host = Host::like("rhel-control-plane-external-etcd");
    join(&host, &server, &server.authority.client("system:node:cp-1", 2001));
    let agent = Agent::start(&host, AT_ONCE);
    let failing = publication_when(&agent, "failing");
    assert!(failing["message"].as_str().unwrap().contains("failed"), "{failing}");
    assert_eq!(server.requests().len(), 0);
    rotate(&host, &server.authority.client("system:node:cp-1", 2100), "2");
    publication_when(&agent, "accepted");
}

#[test]
fn an_identity_that_cannot_be_used_says_which_part_is_wrong() {
    let server = ApiServer::start();
    let message = |change: &dyn Fn(&Host)| {
        let host = control_plane(&server);
        change(&host);
        let agent = Agent::start(&host, AT_ONCE);
        publication_when(&agent, "failing")["message"].as_str().unwrap().to_owned()
    };
    let conf = "etc/kubernetes/kubelet.conf";
    for (change, words) in [
        (&(|host: &Host| host.write(conf, "{[")) as &dyn Fn(&Host), "it is not a valid kubeconfig"),
        (&|host| host.write("etc/kubernetes/pki/ca.crt", ""), "no usable CA certificate"),
        (
            &|host| host.remove(CURRENT),
            "client-certificate /var/lib/kubelet/pki/kubelet-client-current.pem",
        ),
        (&|host| kubeconfig(host, "http://127.0.0.1:1"), "is not https"),
        (
            &|host| rotate(host, &server.authority.client("kubernetes-admin", 2100), "3"),
            "system:node:NAME",
        ),
        (
            &|host| {
                let text = fs::read_to_string(host.path(conf)).unwrap();
                let key = "client-key: /var/lib/kubelet/pki/kubelet.key";
                host.write(conf, text.replace(&format!("client-key: {CURRENT}"), key));
            },
            "expiryd opens no *.key",
        ),
    ] {
        let message = message(change);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn two_agents_of_one_node_do_not_fight() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let first = Agent::start(&host, &format!("tick = \"1s\"\n{AT_ONCE}"));
    let second = Agent::start(&host, &format!("tick = \"1s\"\n{AT_ONCE}"));
    for agent in [&first, &second] {
        publication_when(agent, "accepted");
        let seen = agent.report()["observedAt"].clone();
        agent.report_when("another look", |r| r["observedAt"].as_str() > seen.as_str());
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn nothing_is_removed_when_the_agent_stops() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let mut agent = Agent::start(&host, AT_ONCE);
    publication_when(&agent, "accepted");
    agent.signal("TERM");
    assert_eq!(agent.ended(), Some(0));
    assert_eq!(server.requests().len(), 1);
    assert!(server.annotations()["expiryd.dev/status"].is_string());
}

#[test]
fn the_condition_and_the_event_are_written_when_they_are_wanted_and_the_window_is_entered() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    host.write(
        "etc/kubernetes/pki/apiserver.crt",
        CertificateBuilder::leaf("20200101000000Z").pem(),
    );
    let more = "condition-window = \"30d\"\nevent = true\n";
    let _agent = Agent::start(&host, &format!("{AT_ONCE}{more}"));
    let requests = server.wait_for_requests(3);
    let condition = requests.iter().find(|r| r.path.contains("/status")).unwrap();
    assert_eq!(condition.path, "/api/v1/nodes/cp-1/status?fieldManager=expiryd");
    assert_eq!(condition.content_type, "application/strategic-merge-patch+json");
    let condition = &condition.body["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("CertificatesExpiring"), &json!("True"))
    );
    assert!(condition["message"].as_str().unwrap().contains("/etc/kubernetes/pki/apiserver.crt"));
    let event = requests.iter().find(|r| r.method == "POST").unwrap();
    assert_eq!(event.body["involvedObject"]["name"], "cp-1");
    assert_eq!(event.body["reason"], "CertificatesExpiring");
}

#[test]
fn the_condition_turned_when_the_node_says_so_also_after_a_restart() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let options = format!("{AT_ONCE}condition-window = \"1s\"\n");
    let turned = |server: &ApiServer| {
        let condition = wait_for("the condition", || server.conditions().first().cloned());
        condition["lastTransitionTime"].as_str().unwrap().to_owned()
    };
    let agent = Agent::start(&host, &options);
    let first = turned(&server);
    drop(agent);
    wait_for("another second", || (expiryd::clock::now().to_string() != first).then_some(()));
    let requests = server.requests().len();
    let _agent = Agent::start(&host, &options);
    server.wait_for_requests(requests + 2);
    assert_eq!(turned(&server), first);
}

#[test]
fn the_condition_stays_while_the_date_that_it_warns_of_is_held() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let apiserver = "etc/kubernetes/pki/apiserver.crt";
    host.write(apiserver, CertificateBuilder::leaf("20200101000000Z").pem());
    let options = format!("{AT_ONCE}condition-window = \"1s\"\nevent = true\n");
    let agent = Agent::start(&host, &options);
    wait_for("the condition", || server.conditions().first().cloned());
    drop(agent);
    hide(&host, "torn");
    let _agent = Agent::start(&host, &options);
    server.when("what is held", |node| node["expiryd.dev/held"] == "true");
    let condition = wait_for("the condition", || {
        let condition = server.conditions().first().cloned()?;
        let held = condition["message"].as_str().is_some_and(|m| m.contains("unknown"));
        (held || condition["status"] == "False").then_some(condition)
    });
    assert_eq!(condition["status"], "True");
    assert!(condition["message"].as_str().unwrap().contains(apiserver));
}

#[test]
fn the_condition_is_withdrawn_when_nobody_wants_it_any_more_or_the_machine_is_a_worker() {
    for worker in [false, true] {
        let server = ApiServer::start();
        let host = control_plane(&server);
        let option = "condition-window = \"30d\"\nevent = true\n";
        let agent = Agent::start(&host, &format!("{AT_ONCE}{option}"));
        wait_for("the condition", || server.conditions().first().cloned());
        drop(agent);
        let (host, options) = if worker {
            let worker = Host::like("ubuntu-worker");
            join(&worker, &server, &server.authority.client("system:node:cp-1", 2100));
            (worker, format!("{AT_ONCE}{option}[layout]\nrole = \"worker\"\n"))
        } else {
            (host, AT_ONCE.to_owned())
        };
        let agent = Agent::start(&host, &options);
        wait_for("no condition", || server.conditions().is_empty().then_some(()));
        agent.report_when("nothing pending", |report| {
            let publications = report["publications"].as_array().unwrap();
            publications.len() == if worker { 3 } else { 1 }
                && publications.iter().all(|p| p["state"] != "pending")
        });
    }
}

#[test]
fn a_kubeconfig_of_another_node_gets_nothing_of_this_machine_written() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let foreign = server.authority.client("system:node:cp-2", 2100);
    let path = "/etc/kubernetes/foreign.pem";
    host.write(path, format!("{}{}", foreign.certificate, foreign.key));
    let conf = "etc/kubernetes/kubelet.conf";
    let text = fs::read_to_string(host.path(conf)).unwrap();
    host.write(conf, text.replace(CURRENT, path));
    let agent = Agent::start(&host, AT_ONCE);
    let message = publication_when(&agent, "failing")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("cp-2") && message.contains("cp-1"), "{message}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn it_can_be_switched_off() {
    let server = ApiServer::start();
    let host = control_plane(&server);
    let agent = Agent::start(&host, "settle = \"0s\"\n[node]\nannotate = false\n");
    let report = agent.report_when("a settled report", |r| r["settled"] == true);
    assert_eq!(report["publications"], json!([]));
    assert_eq!(server.requests().len(), 0);
}
