//! What two unprivileged processes can do to the agent over the network: nothing that lasts. It stays
//! small, and no probe fails.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Host, status, wait_for};

/// In kibibytes. The bounds are those of the program that is installed, which `.ci/run` measures, too; one
/// that is built for debugging is larger.
const MEBIBYTE: u64 = if cfg!(debug_assertions) { 2 * 1024 } else { 1024 };

/// How long each flood lasts.
const LASTS: Duration = Duration::from_secs(5);

/// Kibibytes that were resident at most in the process that answers.
fn peak(agent: &Agent) -> u64 {
    status(agent.server(), "VmHWM")
}

/// One way to be a nuisance; each call is one connection more.
type Nuisance = fn(SocketAddr, &mut VecDeque<TcpStream>) -> Option<()>;

const NUISANCES: &[(&str, Nuisance)] = &[
    ("connects, asks and leaves", |address, _| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(b"GET /expiry HTTP/1.1\r\nHost: x\r\n\r\n").ok()
    }),
    ("connects and leaves", |address, _| TcpStream::connect(address).ok().map(drop)),
    ("connects and says nothing", |address, kept| {
        keep(TcpStream::connect(address).ok()?, kept);
        Some(())
    }),
    ("says half a request", |address, kept| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(b"GET /expiry HTTP/1.1\r\nX-Slow: ").ok()?;
        keep(stream, kept);
        Some(())
    }),
    ("asks for much and reads nothing", |address, kept| {
        let mut stream = TcpStream::connect(address).ok()?;
        for path in ["/", "/metrics", "/expiry"].repeat(20) {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).ok()?;
        }
        keep(stream, kept);
        Some(())
    }),
    ("sends a head without end", |address, kept| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_write_timeout(Some(Duration::from_millis(50))).ok()?;
        stream.write_all(&[b"GET / HTTP/1.1\r\nX: ", [b'x'; 15_000].as_slice()].concat()).ok()?;
        keep(stream, kept);
        Some(())
    }),
];

/// Keeps the connection open, as far as this process may have so many.
fn keep(stream: TcpStream, kept: &mut VecDeque<TcpStream>) {
    kept.push_back(stream);
    if kept.len() > 800 {
        kept.pop_front();
    }
}

/// Not a test of its own: what the processes below run.
#[test]
#[ignore = "started by the other tests as a process of its own"]
fn nuisance() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let address = variable("FLOOD_ADDRESS").parse().unwrap();
    let nuisance = NUISANCES[variable("FLOOD_NUISANCE").parse::<usize>().unwrap()].1;
    let (start, mut kept) = (Instant::now(), VecDeque::new());
    while start.elapsed() < LASTS {
        if nuisance(address, &mut kept).is_none() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Two processes that do this to the agent.
fn flood(agent: &Agent, nuisance: usize) -> Vec<Child> {
    let start = |_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "flood::nuisance", "--ignored"]);
        command.env("FLOOD_ADDRESS", agent.address.to_string());
        command.env("FLOOD_NUISANCE", nuisance.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    (0..2).map(start).collect()
}

/// A probe as the kubelet makes it: a new connection, one request.
fn probe(agent: &Agent) -> Result<(), String> {
    let ask = || {
        let mut stream = TcpStream::connect(agent.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn whatever_two_processes_do_the_agent_stays_small_and_no_probe_fails() {
    let host = Host::like("ubuntu-control-plane-stacked-etcd");
    for (place, (what, _)) in NUISANCES.iter().enumerate() {
        let agent = Agent::start(&host, "settle = \"0s\"\n[node]\nannotate = false\n");
        agent.report();
        let server = agent.server();
        let mut processes = flood(&agent, place);
        let mut probes = 0;
        while processes.iter_mut().any(|process| process.try_wait().unwrap().is_none()) {
            probe(&agent).unwrap_or_else(|error| panic!("{what}: {error} after {probes} probes"));
            probes += 1;
            thread::sleep(Duration::from_millis(10));
        }
        assert!(probes > 0, "{what}: no probe was made");
        let peak = peak(&agent);
        eprintln!("{what}: {probes} probes answered, {peak} KiB at most");
        assert!(peak <= 16 * MEBIBYTE, "{what}: {peak} KiB");
        assert_eq!(agent.server(), server, "{what}: the server was started again");
    }
}

#[test]
fn every_kind_of_request_at_ten_thousand_certificates_and_none_of_it_read_stays_small() {
    let host = Host::bare("ubuntu");
    for n in 0..9_997 {
        let leaf = CertificateBuilder::leaf("20300101000000Z").named(&format!("leaf {n}"));
        host.write(&format!("etc/etcd/pki/{n:05}.crt"), leaf.pem());
    }
    host.write("etc/etcd/pki/ca.crt", CertificateBuilder::ca("20360101000000Z").pem());
    for name in ["server.crt", "peer.crt"] {
        host.write(
            &format!("etc/etcd/pki/{name}"),
            CertificateBuilder::leaf("20300101000000Z").pem(),
        );
    }
    let agent = Agent::start(&host, "settle = \"0s\"\n");
    // The first look at etcd makes another report, soon after the first one.
    agent.report_when("all of them, and a look at etcd", |report| {
        report["status"] == "ok" && report["served"][1]["observedAt"].is_string()
    });
    let (server, start) = (agent.server(), peak(&agent));
    let mut kept = Vec::new();
    for n in 0..64 {
        let accept = ["*/*", "application/openmetrics-text", "text/plain"][n % 3];
        let coding = ["gzip", "identity"][n % 2];
        for path in ["/expiry", "/metrics", "/"] {
            let mut stream = TcpStream::connect(agent.address).unwrap();
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nAccept-Encoding: {coding}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            kept.push(stream);
        }
    }
    wait_for("an answer", || probe(&agent).ok());
    let (peak, reading) = (peak(&agent), status(agent.pid(), "VmHWM"));
    eprintln!(
        "10,000 certificates: {start} KiB after the first look, {peak} KiB at most, the agent {reading} KiB"
    );
    assert!(peak <= 48 * MEBIBYTE, "{peak} KiB");
    // What the agent needs depends on the machine alone, and on nobody who asks.
    assert!(reading <= 56 * MEBIBYTE, "{reading} KiB");
    assert_eq!(agent.server(), server, "it was started again");
}
