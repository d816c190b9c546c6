//! Changes are seen without waiting for the tick, also those that inotify alone would miss.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::time::Duration;

use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Host, PATIENCE, expiryd, problems, skip, wait_for, wait_up_to};

/// Only inotify can show a change before the test gives up.
const NO_TICK: &str = "tick = \"1h\"\n";

fn leaf(year: u16) -> String {
    CertificateBuilder::leaf(&format!("{year}0101000000Z")).pem()
}

fn sees(agent: &Agent, year: u16) {
    sees_within(PATIENCE, agent, year);
}

/// What inotify cannot tell is found when the directories are compared, every 30 seconds.
fn sees_by_comparing(agent: &Agent, year: u16) {
    sees_within(Duration::from_mins(1), agent, year);
}

fn sees_within(patience: Duration, agent: &Agent, year: u16) {
    let date = format!("{year}-01-01T00:00:00Z");
    wait_up_to(patience, &date, || {
        (agent.report()["earliest"]["notAfter"] == date.as_str()).then_some(())
    });
}

#[test]
fn a_file_that_is_rewritten_replaced_or_new_is_seen() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, NO_TICK);
    agent.report();
    host.write("etc/etcd/pki/server.crt", leaf(2027));
    sees(&agent, 2027);
    host.replace("etc/etcd/pki/server.crt", leaf(2026));
    sees(&agent, 2026);
    host.write("etc/etcd/pki/new.crt", leaf(2025));
    sees(&agent, 2025);
}

#[test]
fn a_pki_that_is_not_there_at_first_is_waited_for() {
    let host = Host::bare("ubuntu");
    let agent = Agent::start(&host, NO_TICK);
    assert_eq!(agent.report()["status"], "waiting");
    host.write("etc/etcd/pki/server.crt", leaf(2027));
    sees(&agent, 2027);
}

#[test]
fn a_directory_that_is_made_anew_is_watched_again() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, NO_TICK);
    agent.report();
    for year in [2027, 2026, 2025] {
        fs::remove_dir_all(host.path("etc/etcd/pki")).unwrap();
        host.write("etc/etcd/pki/server.crt", leaf(year));
        sees(&agent, year);
    }
    fs::rename(host.path("etc/etcd"), host.path("etc/old")).unwrap();
    host.write("etc/etcd/pki/server.crt", leaf(2024));
    sees(&agent, 2024);
}

#[test]
fn a_link_to_the_directory_that_leads_elsewhere_is_followed() {
    let host = Host::bare("ubuntu");
    host.write("data/1/server.crt", leaf(2027));
    host.write("data/2/server.crt", leaf(2026));
    host.link("etc/etcd/pki", "/data/1");
    let agent = Agent::start(&host, NO_TICK);
    sees(&agent, 2027);
    host.remove("etc/etcd/pki");
    host.link("etc/etcd/pki", "/data/2");
    sees(&agent, 2026);
    host.write("data/2/server.crt", leaf(2025));
    sees(&agent, 2025);
}

#[test]
fn a_secret_volumes_data_link_is_followed() {
    let host = Host::bare("ubuntu");
    host.write("secret/..1/tls.crt", leaf(2027));
    host.write("secret/..2/tls.crt", leaf(2026));
    host.link("secret/..data", "..1");
    host.link("secret/tls.crt", "..data/tls.crt");
    let agent = Agent::start(&host, &format!("{NO_TICK}[[source]]\ndirectory = \"/secret\"\n"));
    sees(&agent, 2027);
    host.link("secret/..data_tmp", "..2");
    fs::rename(host.path("secret/..data_tmp"), host.path("secret/..data")).unwrap();
    sees(&agent, 2026);
}

#[test]
fn a_links_target_that_is_rewritten_in_another_directory_is_seen() {
    let host = Host::like("ubuntu-etcd");
    host.write("data/live/custom.crt", leaf(2026));
    host.link("data/current", "live/custom.crt");
    host.link("etc/etcd/pki/custom.crt", "/data/current");
    let agent = Agent::start(&host, NO_TICK);
    sees(&agent, 2026);
    host.write("data/live/custom.crt", leaf(2025));
    sees(&agent, 2025);
    // The link on the way leads elsewhere.
    host.write("data/next/custom.crt", leaf(2024));
    host.link("data/new", "next/custom.crt");
    fs::rename(host.path("data/new"), host.path("data/current")).unwrap();
    sees(&agent, 2024);
}

#[test]
fn a_parent_directory_that_is_replaced_is_noticed_without_a_tick() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, NO_TICK);
    agent.report();
    fs::rename(host.path("etc"), host.path("etc.old")).unwrap();
    host.write("etc/etcd/pki/server.crt", leaf(2026));
    sees_by_comparing(&agent, 2026);
    host.write("etc/etcd/pki/server.crt", leaf(2025));
    sees(&agent, 2025);
}

#[test]
fn a_mount_over_the_pki_is_noticed_without_a_tick() {
    let host = Host::like("ubuntu-etcd");
    host.write("new/server.crt", leaf(2026));
    let agent = Agent::start(&host, NO_TICK);
    agent.report();
    let pki = host.path("etc/etcd/pki");
    let mount = Command::new("mount").arg("--bind").arg(host.path("new")).arg(&pki).output();
    if !mount.unwrap().status.success() {
        skip("only root can mount one directory over another");
        return;
    }
    let seen = std::panic::catch_unwind(AssertUnwindSafe(|| sees_by_comparing(&agent, 2026)));
    assert!(Command::new("umount").arg("--lazy").arg(&pki).status().unwrap().success());
    seen.unwrap();
}

#[test]
fn its_own_reading_does_not_make_it_scan_again() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(
        &host,
        "tick = \"1s\"\nsettle = \"0s\"\ndebounce = \"0s\"\nlog-level = \"debug\"\n",
    );
    let scans = || agent.log().iter().filter(|line| line["message"] == "scanned").count();
    wait_for("the first scans", || (scans() >= 2).then_some(()));
    let seconds = |report: &serde_json::Value| {
        report["observedAt"].as_str().unwrap().split(['T', 'Z']).nth(1).unwrap().to_owned()
    };
    let mut times = std::collections::BTreeSet::from([seconds(&agent.report())]);
    let before = scans();
    wait_for("three ticks", || {
        times.insert(seconds(&agent.report()));
        (times.len() > 3).then_some(())
    });
    // A scan that led to the next one would have made thousands.
    assert!(scans() - before < 20, "{} scans", scans() - before);
}

#[test]
fn without_inotify_it_polls_and_says_so_and_the_report_is_still_good() {
    let host = Host::like("ubuntu-etcd");
    let limit = "/proc/sys/user/max_inotify_instances";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script]);
        command
    };
    let script = format!("echo 0 > {limit}");
    if !unshare(&script).output().is_ok_and(|o| o.status.success()) {
        skip("no user namespace in which inotify could be forbidden");
        return;
    }
    let mut command = unshare(&format!("{script}; exec \"$@\""));
    command.arg("sh").arg(expiryd().get_program()).args(["run", "--host-root"]).arg(host.root());
    let agent = Agent::spawn(command);
    let report = agent.report();
    assert_eq!(report["status"], "ok");
    assert_eq!(report["earliest"]["path"], "/etc/etcd/pki/server.crt");
    assert!(problems(&report)[0].ends_with(" watch-unavailable"), "{report}");
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("max_user_instances") && message.contains("30 seconds"), "{message}");
    assert!(agent.log().iter().any(|l| l["level"] == "WARN" && l["reason"] == "watch-unavailable"));
}
