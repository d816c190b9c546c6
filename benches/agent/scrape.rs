//! What a scrape of /metrics costs.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::server::{Connection, Measured, agent, cpu_time, rate, row};
use testkit::Host;
use testkit::certificate::CertificateBuilder;

pub fn metrics() {
    // An API server that cannot be reached is tried again and again, which is no cost of a scrape.
    let directory = tempfile::tempdir().unwrap();
    let quiet = quiet(directory.path());
    let quiet = ["--config", &*quiet];
    let server = agent(Path::new(super::NODE), &quiet);
    settle(&server);
    let of = "scrape of a control plane, 15 certificates";
    row(&format!("{of}: CPU time"), &format!("{:.3} ms", steady(&server)), "0.05 ms");
    let [_, answering] = server.processes();
    let rare = seldom(server.address, answering, "/metrics");
    row("the same, one a second on a new connection", &format!("{rare:.3} ms"), "0.1 ms");
    // The floor: a server that does nothing but answer.
    let hello = super::start_hello();
    let floor = seldom(hello.address, hello.child.id(), "/5");
    row("hyper's bare hello, one a second on a new connection", &format!("{floor:.3} ms"), "");
    row("the same from 16 connections", &rates(&server), "30000 /s");

    let host = Host::bare("ubuntu");
    for n in 0..1_000 {
        let leaf = CertificateBuilder::leaf("20300101000000Z").named(&format!("leaf {n}"));
        host.write(&format!("etc/etcd/pki/{n:04}.crt"), leaf.pem());
    }
    let server = agent(host.root(), &quiet);
    settle(&server);
    row("scrape of 1,000 certificates: CPU time", &format!("{:.3} ms", steady(&server)), "1 ms");
}

/// A configuration that publishes nothing.
pub fn quiet(directory: &Path) -> String {
    let file = directory.join("expiryd.toml");
    std::fs::write(&file, "[node]\nannotate = false\n").unwrap();
    file.to_str().unwrap().to_owned()
}

/// Waits until the settled report has replaced the first one.
fn settle(server: &Measured) {
    sleep(Duration::from_secs(11));
    Connection::to(server.address, "/metrics").get();
}

fn rates(server: &Measured) -> String {
    let mut rates: Vec<_> = (0..8).map(|_| rate(server.address, "/metrics")).collect();
    rates.sort_by(f64::total_cmp);
    format!("{:.0} /s", rates[rates.len() / 2])
}

/// Milliseconds of the CPU time of the process that answers for each of many scrapes in a row.
fn steady(server: &Measured) -> f64 {
    let [_, answering] = server.processes();
    let mut connection = Connection::to(server.address, "/metrics");
    cpu(answering, 2_000, || {
        connection.get();
    })
}

/// The same for scrapes that share nothing but what the report says, with cold caches.
fn seldom(address: SocketAddr, pid: u32, path: &str) -> f64 {
    cpu(pid, 12, || {
        sleep(Duration::from_millis(1_050));
        Connection::to(address, path).get();
    })
}

fn cpu(pid: u32, scrapes: u32, mut scrape: impl FnMut()) -> f64 {
    let before = cpu_time(pid);
    (0..scrapes).for_each(|_| scrape());
    cpu_time(pid).checked_sub(before).unwrap().as_secs_f64() * 1_000.0 / f64::from(scrapes)
}
