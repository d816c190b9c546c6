//! An hour of a control plane's life in a minute or two: memory, descriptors and threads are the same
//! at its end. Run by tests/system/run, with a release build.

use std::fs;
use std::thread;
use std::time::Duration;

use testkit::api_server::{ApiServer, Instead};
use testkit::certificate::CertificateBuilder;
use testkit::kubelet::{kubeconfig, rotate};
use testkit::{Agent, Host, status, wait_for};

/// An hour with a renewal every ten seconds.
const CYCLES: u32 = 360;
/// After these every part of the agent has been used.
const WARM: u32 = 60;
const KILOBYTES: u64 = 512;
const FILE: &str = "etc/kubernetes/pki/apiserver.crt";

/// What must not grow, of the agent and its server.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: [usize; 2],
    threads: [u64; 2],
}

fn held(agent: &Agent) -> Held {
    let both = [agent.pid(), agent.server()];
    let descriptors = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    Held { descriptors: both.map(descriptors), threads: both.map(|pid| status(pid, "Threads")) }
}

/// Resident and anonymous memory in kilobytes, of the agent and its server.
fn memory(agent: &Agent) -> [[u64; 2]; 2] {
    let both = |field| [agent.pid(), agent.server()].map(|pid| status(pid, field));
    [both("VmRSS"), both("RssAnon")]
}

/// A day that no other certificate of the machine ends before.
fn day(cycle: u32) -> (u32, u32) {
    (1 + cycle % 11, 1 + cycle % 28)
}

#[test]
#[ignore = "takes minutes; tests/system/run runs it"]
fn an_hour_of_churn_leaves_memory_descriptors_and_threads_as_they_were() {
    let server = ApiServer::start();
    let host = Host::like("rhel-control-plane-external-etcd");
    host.write("etc/kubernetes/pki/ca.crt", server.authority.pem());
    kubeconfig(&host, &format!("https://{}", server.address));
    let client = server.authority.client("system:node:cp-1", 2100);
    rotate(&host, &client, "0");
    let agent = Agent::start(
        &host,
        "settle = \"0s\"\ndebounce = \"20ms\"\n[node]\nspread = \"0s\"\ntimeout = \"1s\"\n",
    );
    server.wait_for_requests(1);

    let mut warm = None;
    for cycle in 1..=CYCLES {
        // A renewal, as kubeadm writes: each changes what a rollout waits for, and so is told.
        let (month, day) = day(cycle);
        let new = CertificateBuilder::leaf(&format!("2026{month:02}{day:02}000000Z")).pem();
        let date = format!("2026-{month:02}-{day:02}");
        for part in [&new[..0], &new[..new.len() / 2], &new] {
            host.write(FILE, part);
            thread::sleep(Duration::from_millis(30));
        }
        agent.report_when("the renewed certificate", |report| {
            let all = report["certificates"].as_array().unwrap();
            let renewed = all.iter().find(|c| c["path"] == format!("/{FILE}")).unwrap();
            renewed["notAfter"].as_str().unwrap().starts_with(&date)
        });
        if cycle % 180 == 90 {
            server.instead(&[Instead::HangUp, Instead::Refuse(500, "etcd"), Instead::Hang]);
        }
        if cycle % 6 == 0 {
            agent.signal("HUP");
        }
        if cycle % 30 == 0 {
            rotate(&host, &client, &cycle.to_string());
        }
        for _ in 0..10 {
            for path in ["/metrics", "/expiry", "/", "/healthz", "/nothing"] {
                agent.ask(
                    "GET",
                    path,
                    &["Accept-Encoding: gzip", "Accept: application/openmetrics-text"],
                );
            }
        }
        if cycle == WARM {
            thread::sleep(Duration::from_secs(3));
            warm = Some((held(&agent), memory(&agent)));
        }
    }

    let (before, [resident, anonymous]) = warm.unwrap();
    wait_for("as many descriptors and threads as before", || {
        (held(&agent) == before).then_some(())
    });
    let [resident_after, anonymous_after] = memory(&agent);
    // `shown` compares this form with what docs/reliability.md shows of it.
    eprintln!(
        "after {WARM} and {CYCLES} renewals, {} requests and {} patches: resident {resident:?} and \
         {resident_after:?} kB, anonymous {anonymous:?} and {anonymous_after:?} kB, {before:?}",
        CYCLES * 50,
        server.requests().len(),
    );
    for (before, after) in [(resident, resident_after), (anonymous, anonymous_after)] {
        let grown = before.iter().zip(after).any(|(before, after)| after > before + KILOBYTES);
        assert!(!grown, "{before:?} became {after:?}");
    }
}
