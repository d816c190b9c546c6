//! What the running agent costs, and how fast it answers: one table, measured in one run.
#![expect(clippy::disallowed_methods, reason = "the benchmark makes the node it looks at")]
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "it is a benchmark"
)]

mod scrape;
mod server;

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{UsageWho, getrusage};
use server::{Connection, Measured, agent, cpu_time, rate, row};
use testkit::api_server;
use testkit::certificate::CertificateBuilder;
use testkit::status;

const NODE: &str = "tests/nodes/ubuntu-control-plane-stacked-etcd";
const HELLO: &str = "--hello";

fn main() {
    if std::env::args().any(|argument| argument == HELLO) {
        return hello();
    }
    println!("{:<58} {:>12}   bound", "expiryd, release build", "measured");
    let parts: [(&str, fn()); 6] = [
        ("check", check),
        ("idle", idle),
        ("publishing", publishing),
        ("change", change),
        ("throughput", throughput),
        ("scrape", scrape::metrics),
    ];
    // Words of the command line choose some of them.
    let chosen: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, measure) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            measure();
        }
    }
}

fn check() {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let (user, system) = (usage.user_time(), usage.system_time());
        let micros = |t: nix::sys::time::TimeVal| t.tv_sec() * 1_000_000 + t.tv_usec();
        micros(user) + micros(system)
    };
    let runs = 100;
    let before = cpu();
    for _ in 0..runs {
        let mut command = Command::new(env!("CARGO_BIN_EXE_expiryd"));
        command.args(["check", "--at", "2026-11-23T18:00:00Z", "--host-root", NODE]);
        assert!(command.output().unwrap().status.success());
    }
    let each = (cpu() - before) as f64 / f64::from(runs) / 1_000.0;
    row("check: CPU time, with exec", &format!("{each:.2} ms"), "2.8 ms");
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    row("check: peak resident memory", &format!("{peak} kB"), "5120 kB");
}

fn publishing() {
    let server = api_server::ApiServer::start();
    let host = testkit::Host::like("ubuntu-control-plane-stacked-etcd");
    let client = server.authority.client("system:node:cp-1", 2100);
    host.write("kubelet.pem", client.certificate + &client.key);
    host.write("etc/kubernetes/pki/ca.crt", server.authority.pem());
    host.write(
        "etc/kubernetes/kubelet.conf",
        format!(
            "current-context: x\n\
             clusters: [{{name: k, cluster: {{server: 'https://{}', certificate-authority: /etc/kubernetes/pki/ca.crt}}}}]\n\
             contexts: [{{name: x, context: {{cluster: k, user: u}}}}]\n\
             users: [{{name: u, user: {{client-certificate: /kubelet.pem, client-key: /kubelet.pem}}}}]\n",
            server.address
        ),
    );
    let config = "settle = \"0s\"\n[node]\nspread = \"0s\"\nrecheck = \"1s\"\n";
    let agent = testkit::Agent::start(&host, config);
    agent.report_when("an accepted patch", |r| r["publications"][0]["state"] == "accepted");
    sleep(SETTLED);
    let (reads, before) = (server.requests().len(), cpu_time(agent.pid()));
    let reads = server.wait_for_requests(reads + 8).len() - reads;
    let each =
        cpu_time(agent.pid()).checked_sub(before).unwrap().as_secs_f64() * 1_000.0 / reads as f64;
    row("a look at the Node: CPU time", &format!("{each:.1} ms"), "");
    let resident = format!("{} kB", status(agent.pid(), "VmRSS"));
    row("after a patch of the Node and looks at it: resident memory", &resident, "9216 kB");
}

fn idle() {
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            let server = agent(Path::new(NODE), &[]);
            let mut connection = Connection::to(server.address, "/expiry");
            while !connection.get().starts_with(b"{\n  \"apiVersion\"") {}
            start.elapsed()
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2].as_secs_f64() * 1_000.0;
    row(
        "start of the process to the first answer (median of 20)",
        &format!("{median:.1} ms"),
        "10 ms",
    );

    let mut memory: Vec<_> = (0..5).map(|_| memory_when_idle()).collect();
    memory.sort_unstable();
    let Memory { proportional, agent: reading, server: answering } = &memory[memory.len() / 2];
    let what = "idle: memory of both processes, proportional (median of 5)";
    row(what, &format!("{proportional} kB"), "5632 kB");
    for (which, Parts { proportional, anonymous }) in [("agent", reading), ("server", answering)] {
        let what = format!("idle: of it the {which}'s, and not backed by a file");
        row(&what, &format!("{proportional}, {anonymous} kB"), "");
    }
    // Where no API server is tried again and again.
    let directory = tempfile::tempdir().unwrap();
    let quiet = scrape::quiet(directory.path());
    let agent = agent(Path::new(NODE), &["--config", &quiet]);
    sleep(SETTLED);
    let of_both = |field: &str| -> u64 {
        agent.processes().iter().map(|process| status(*process, field)).sum()
    };
    row("idle: threads (one is inotify's)", &of_both("Threads").to_string(), "3");
    let switches = of_both("voluntary_ctxt_switches");
    sleep(Duration::from_secs(10));
    let woken = of_both("voluntary_ctxt_switches") - switches;
    row("idle: wake-ups in 10 s", &woken.to_string(), "0");
}

/// In the default configuration.
const SETTLED: Duration = Duration::from_secs(14);

/// Proportional set sizes in kB: what several processes share counts for each with its part.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Memory {
    proportional: u64,
    agent: Parts,
    server: Parts,
}

/// Of one process: all, and how much no file stands behind.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Parts {
    proportional: u64,
    anonymous: u64,
}

/// Past the end of the thread that looked.
fn memory_when_idle() -> Memory {
    let agent = agent(Path::new(NODE), &[]);
    sleep(SETTLED);
    let parts = |pid: u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Parts { proportional: field("Pss:"), anonymous: field("Anonymous:") }
    };
    let [agent, server] = agent.processes().map(parts);
    Memory { proportional: agent.proportional + server.proportional, agent, server }
}

fn change() {
    let node = tempfile::tempdir().unwrap();
    let file = node.path().join("etc/etcd/pki/server.crt");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let write = |year: u16| {
        fs::write(&file, CertificateBuilder::leaf(&format!("{year}0101000000Z")).pem()).unwrap();
    };
    write(2030);
    // Without them the machine would not be whole, and the answer would say so.
    for (name, builder) in [
        ("peer.crt", CertificateBuilder::leaf("20500101000000Z")),
        ("ca.crt", CertificateBuilder::ca("20500101000000Z")),
    ] {
        fs::write(file.with_file_name(name), builder.pem()).unwrap();
    }
    let server = agent(node.path(), &[]);
    let mut connection = Connection::to(server.address, "/expiry?format=text");
    wait_for(&mut connection, "2030-01-01T00:00:00Z\n");
    sleep(Duration::from_secs(1));
    let mut times: Vec<Duration> = (2031..2041)
        .map(|year| {
            let expected = format!("{year}-01-01T00:00:00Z\n");
            write(year);
            let start = Instant::now();
            wait_for(&mut connection, &expected);
            let visible = start.elapsed();
            sleep(Duration::from_millis(400));
            visible
        })
        .collect();
    times.sort();
    let over = times[times.len() / 2].as_secs_f64() * 1_000.0 - 250.0;
    let what = "change to answer, beyond the 250 ms of debounce (median of 10)";
    row(what, &format!("{over:.1} ms"), "50 ms");
}

/// Asks until the answer is `expected`; a minute without it ends the benchmark with what was answered.
fn wait_for(connection: &mut Connection, expected: &str) {
    let start = Instant::now();
    loop {
        let answer = connection.get();
        if answer == expected.as_bytes() {
            return;
        }
        let answer = String::from_utf8_lossy(answer);
        assert!(start.elapsed() < Duration::from_mins(1), "not {expected:?} but {answer:?}");
    }
}

/// The least that hyper does for a request, in a process of its own.
fn start_hello() -> Measured {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let mut child = child.arg(HELLO).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Measured { child, address: line.trim().parse().unwrap() }
}

fn throughput() {
    let hello = start_hello();
    let server = agent(Path::new(NODE), &[]);
    sleep(Duration::from_millis(200));

    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let size = Connection::to(server.address, "/expiry").get().len();
    // In turns, so that whatever else the machine does falls on all of them alike.
    let rounds: Vec<_> = (0..20)
        .map(|_| Round {
            json: rate(server.address, "/expiry"),
            text: rate(server.address, "/expiry?format=text"),
            hello: rate(hello.address, "/5"),
            // What the kernel takes to copy a report is no matter of the server's.
            hello_of_its_size: rate(hello.address, &format!("/{size}")),
        })
        .collect();
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let rate = |value| format!("{:.0} /s", of(value));
    let share = |value| format!("{:.0} %", 100.0 * of(value));
    row("hyper's bare hello, 16 keep-alive connections", &rate(|r| r.hello), "");
    row(&format!("hello of /expiry's size, {size} bytes"), &rate(|r| r.hello_of_its_size), "");
    row("/expiry", &rate(|r| r.json), "");
    row("/expiry?format=text", &rate(|r| r.text), "");
    row("/expiry to hello", &share(|r| r.json / r.hello), "90 %");
    row("/expiry to hello of its size", &share(|r| r.json / r.hello_of_its_size), "");
    row("/expiry?format=text to hello", &share(|r| r.text / r.hello), "");
}

/// Answers a second in one turn.
struct Round {
    json: f64,
    text: f64,
    hello: f64,
    hello_of_its_size: f64,
}

/// The least that hyper does for a request, on the same runtime: as many bytes as the path says.
fn hello() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bytes = Bytes::from(vec![b'h'; 1 << 20]);
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let bytes = bytes.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let size: usize = request.uri().path()[1..].parse().unwrap();
                let body = Full::new(bytes.slice(..size));
                async { Ok::<_, Infallible>(Response::new(body)) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
}
