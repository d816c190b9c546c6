//! Servers to measure, and a client that costs little.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

pub fn row(what: &str, measured: &str, bound: &str) {
    println!("{what:<58} {measured:>12}   {bound}");
}

/// A server process, killed when dropped.
pub struct Measured {
    pub child: Child,
    pub address: SocketAddr,
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn agent(node: &Path, more: &[&str]) -> Measured {
    let mut command = Command::new(env!("CARGO_BIN_EXE_expiryd"));
    command.args(["run", "--listen", "127.0.0.1:0", "--log-format", "json", "--host-root"]);
    command.arg(node).args(more).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap());
    let address = lines.lines().map_while(Result::ok).find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line).ok()?;
        (line["message"] == "listening").then(|| line["address"].as_str()?.parse().ok())?
    });
    Measured { child, address: address.unwrap() }
}

impl Measured {
    /// The agent, and the process that answers for it.
    pub fn processes(&self) -> [u32; 2] {
        [self.child.id(), testkit::descendant(self.child.id(), "expiryd-server")]
    }
}

/// A connection that stays open.
pub struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn to(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        Self { stream, request, buffer: vec![0; 1 << 20] }
    }

    pub fn ask(&mut self) {
        self.stream.write_all(&self.request).unwrap();
    }

    /// Reads one answer; its body.
    pub fn answer(&mut self) -> &[u8] {
        let (mut filled, mut end) = (0, None);
        while end.is_none_or(|(_, end)| filled < end) {
            filled += self.stream.read(&mut self.buffer[filled..]).unwrap();
            let head = self.buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n");
            end = end.or_else(|| {
                let body = head? + 4;
                let text = std::str::from_utf8(&self.buffer[..body]).ok()?;
                let length = text.lines().find_map(|l| l.strip_prefix("content-length: "))?;
                Some((body, body + length.parse::<usize>().ok()?))
            });
        }
        let (start, end) = end.unwrap();
        &self.buffer[start..end]
    }

    pub fn get(&mut self) -> &[u8] {
        self.ask();
        self.answer()
    }
}

/// What a process has used of the CPUs, in all its threads.
pub fn cpu_time(pid: u32) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
    clock_gettime(clock).unwrap().into()
}

/// Answers a second over 16 keep-alive connections.
pub fn rate(address: SocketAddr, path: &str) -> f64 {
    let mut connections: Vec<_> = (0..16).map(|_| Connection::to(address, path)).collect();
    let (start, mut answers) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_millis(250) {
        connections.iter_mut().for_each(Connection::ask);
        for connection in &mut connections {
            connection.answer();
            answers += 1;
        }
    }
    f64::from(answers) / start.elapsed().as_secs_f64()
}
