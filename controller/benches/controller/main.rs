//! What the program costs: its size, a decision, and a fleet of 100 and of 1,000 clusters of seven Machines, in
//! processes of their own. `cargo bench -p expiryd-controller` prints all of it; words choose some.
#![expect(clippy::disallowed_methods, reason = "the benchmark writes the kubeconfig that is read")]
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "it is a benchmark"
)]

mod decision;
mod management;
mod objects;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use testkit::status;

/// The management cluster's process, of so many clusters.
const MANAGEMENT: &str = "--management";

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == MANAGEMENT) {
        return management::serve(arguments[at + 1].parse().unwrap());
    }
    println!("{:<66} {:>12}   bound", "expiryd-controller, release build", "measured");
    let parts: [(&str, fn()); 4] = [
        ("size", size),
        ("decision", decision::measure),
        ("hundred", || fleet(100, "20 MiB", "")),
        ("thousand", || fleet(1_000, "60 MiB", "60 s")),
    ];
    let chosen: Vec<_> = arguments.iter().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, measure) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| *word == name) {
            measure();
        }
    }
}

fn row(what: &str, measured: &str, bound: &str) {
    println!("{what:<66} {measured:>12}   {bound}");
}

fn size() {
    let length = std::fs::metadata(env!("CARGO_BIN_EXE_expiryd-controller")).unwrap().len();
    row("binary", &format!("{:.1} MB", length as f64 / 1e6), "10 MB");
}

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The management cluster.
struct Management {
    _process: Process,
    port: u16,
}

impl Management {
    fn start(clusters: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([MANAGEMENT, &clusters.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { _process: Process(child), port: line.trim().parse().unwrap() }
    }

    /// Requests, those of them that change something, and clusters that were read, since it was started.
    fn measured(&self) -> [usize; 3] {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /measured HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let numbers: Value =
            serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        [0, 1, 2].map(|n| numbers[n].as_u64().unwrap().try_into().unwrap())
    }

    /// Waits until nothing was asked for longer than a cluster that was written to is left alone.
    fn quiet(&self) -> [usize; 3] {
        loop {
            let before = self.measured();
            sleep(Duration::from_secs(66));
            if self.measured() == before {
                return before;
            }
        }
    }

    fn program(&self, folder: &TempDir) -> Process {
        let kubeconfig = folder.path().join("kubeconfig");
        let text = testkit::kubeconfig::open(&format!("127.0.0.1:{}", self.port));
        std::fs::write(&kubeconfig, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_expiryd-controller"));
        command.args(["run", "--no-leader-elect", "--listen", "127.0.0.1:0"]);
        command.env("KUBECONFIG", kubeconfig).stderr(Stdio::null());
        Process(command.spawn().unwrap())
    }
}

fn fleet(clusters: usize, memory: &str, first: &str) {
    let management = Management::start(clusters);
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let program = management.program(&folder);
    while management.measured()[2] < clusters {
        sleep(Duration::from_millis(50));
    }
    let of = |what: &str| format!("{clusters} clusters: {what}");
    let took = format!("{:.1} s", began.elapsed().as_secs_f64());
    row(&of("from the start until each was read"), &took, first);
    let [_, writes, _] = management.quiet();
    let per_cluster = |count: usize| format!("{:.1}", count as f64 / clusters as f64);
    row(&of("writes for each until all is as it should be"), &per_cluster(writes), "");
    let kilobytes =
        |field: &str| format!("{:.1} MiB", status(program.0.id(), field) as f64 / 1024.0);
    row(&of("resident memory, all written"), &kilobytes("VmRSS"), memory);
    drop(program);

    // From here on nothing changes any more: one look at each.
    let [before, writes_before, _] = management.measured();
    let program = management.program(&folder);
    sleep(Duration::from_secs(1));
    let [after, writes_after, _] = management.quiet();
    row(&of("requests for each look"), &per_cluster(after - before), "");
    row(
        &of("requests for each and hour (a look in 10 min)"),
        &per_cluster((after - before) * 6),
        "",
    );
    row(&of("writes when nothing changes"), &(writes_after - writes_before).to_string(), "0");
    row(&of("resident memory"), &mib(&program, "VmRSS"), memory);
    row(&of("resident memory at its peak"), &mib(&program, "VmHWM"), memory);
}

fn mib(program: &Process, field: &str) -> String {
    format!("{:.1} MiB", status(program.0.id(), field) as f64 / 1024.0)
}
