//! Stopping and reloading.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;
use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Host, problems, wait_for};

#[test]
fn sigterm_and_sigint_end_it_with_0_while_connections_are_open() {
    for signal in ["TERM", "INT"] {
        let host = Host::like("ubuntu-etcd");
        let mut agent = Agent::start(&host, "");
        agent.report();
        let mut idle = TcpStream::connect(agent.address).unwrap();
        agent.signal(signal);
        assert_eq!(agent.ended(), Some(0));
        assert_eq!(idle.read(&mut [0; 8]).unwrap_or(0), 0);
    }
}

#[test]
fn sighup_puts_a_new_configuration_into_force() {
    let host = Host::like("ubuntu-etcd");
    host.write("opt/extra.pem", CertificateBuilder::leaf("20270101000000Z").pem());
    let agent = Agent::start(&host, "");
    assert_eq!(agent.report()["earliest"]["path"], "/etc/etcd/pki/server.crt");
    fs::write(host.configuration(), "[[source]]\nfile = \"/opt/extra.pem\"\n").unwrap();
    agent.signal("HUP");
    agent.report_when("the new source", |r| r["earliest"]["path"] == "/opt/extra.pem");
    assert!(agent.said("the configuration was read again"));
}

#[test]
fn sighup_with_a_wrong_configuration_keeps_the_old_one_and_says_why() {
    let host = Host::like("ubuntu-etcd");
    host.write("opt/extra.pem", CertificateBuilder::leaf("20270101000000Z").pem());
    let agent = Agent::start(&host, "[[source]]\nfile = \"/opt/extra.pem\"\n");
    agent.report();
    fs::write(host.configuration(), "tick = \"never\"\n").unwrap();
    agent.signal("HUP");
    wait_for("the refusal", || {
        agent.said("the configuration stays as it was: configuration file").then_some(())
    });
    assert_eq!(agent.report()["earliest"]["path"], "/opt/extra.pem");
}

#[test]
fn a_configuration_that_became_a_fifo_stops_neither_the_answers_nor_a_signal() {
    let host = Host::like("ubuntu-etcd");
    let mut agent = Agent::start(&host, "");
    agent.report();
    let file = host.configuration();
    fs::remove_file(file).unwrap();
    assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    agent.signal("HUP");
    wait_for("the refusal", || agent.said("it is not a regular file").then_some(()));
    assert_eq!(agent.get("/healthz").status, 200);
    agent.signal("TERM");
    assert_eq!(agent.ended(), Some(0));
}

#[test]
fn an_idle_agent_logs_nothing_more() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, "tick = \"1s\"\nsettle = \"0s\"\n");
    agent.report_when("a settled report", |r| r["settled"] == true);
    let (lines, seen) = (agent.log().len(), agent.report()["observedAt"].clone());
    agent.report_when("two more looks", |r| {
        r["observedAt"].as_str().unwrap() > seen.as_str().unwrap()
    });
    assert_eq!(agent.log().len(), lines, "{:?}", agent.log());
}

#[test]
fn a_configuration_that_became_a_link_to_elsewhere_is_not_read_and_ends_nothing() {
    let (host, elsewhere) = (Host::like("ubuntu-etcd"), Host::bare("ubuntu"));
    let mut agent = Agent::start(&host, "");
    agent.report();
    elsewhere.write("etc/expiryd.toml", "frobnicate = 1\n");
    fs::remove_file(host.configuration()).unwrap();
    symlink(elsewhere.path("etc/expiryd.toml"), host.configuration()).unwrap();
    for _ in 0..2 {
        let refused = agent.log().len();
        agent.signal("HUP");
        wait_for("the refusal", || {
            let log = agent.log();
            let said =
                |line: &Value| line["message"].as_str().is_some_and(|m| m.contains("restart"));
            log.get(refused..)?.iter().any(said).then_some(())
        });
    }
    assert_eq!(agent.get("/healthz").status, 200);
    agent.signal("TERM");
    assert_eq!(agent.ended(), Some(0));
}

#[test]
fn a_source_that_its_owner_links_to_elsewhere_is_a_problem_and_ends_nothing() {
    let host = Host::like("ubuntu-etcd");
    let early = CertificateBuilder::leaf("20270101000000Z").pem();
    for place in ["opt/a/real.pem", "opt/b/real.pem"] {
        host.write(place, &early);
    }
    host.link("home/user/link.pem", "/opt/a/real.pem");
    let config = "settle = \"0s\"\n[[source]]\nfile = \"/home/user/link.pem\"\n";
    let mut agent = Agent::start(&host, config);
    agent.report_when("the source", |r| r["earliest"]["path"] == "/home/user/link.pem");
    for place in ["/opt/b/real.pem", "/opt/a/real.pem", "/opt/b/real.pem"] {
        host.replace_link("home/user/link.pem", place);
        let lost = place.contains("/b/");
        let report = agent.report_when(place, |report| {
            (report["status"] == if lost { "degraded" } else { "ok" })
                && (!lost || problems(report) == ["/home/user/link.pem permission-denied"])
        });
        assert_eq!(report["earliest"]["path"], "/home/user/link.pem");
        if lost {
            let message = report["problems"][0]["message"].as_str().unwrap();
            assert!(message.contains("restart it"), "{message}");
        }
    }
    agent.signal("TERM");
    assert_eq!(agent.ended(), Some(0));
}
