//! The program at work on a node, and its answers.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::host::{Host, expiryd};
use crate::wait::{PATIENCE, wait_for};

/// A field of /proc/PID/status.
pub fn status_text(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":"));
    value.unwrap().trim().to_owned()
}

/// A number from there.
pub fn status(pid: u32, field: &str) -> u64 {
    status_text(pid, field).split_whitespace().next().unwrap().parse().unwrap()
}

/// Sends a signal to a process, by its name without SIG.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// The process of this name that a process started, or that one of those did.
pub fn descendant(of: u32, name: &str) -> u32 {
    let text = |pid: u32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let is = |pid: u32| text(pid, "comm").is_some_and(|comm| comm.trim_end() == name);
    wait_for(name, || {
        let mut all = vec![of];
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            let children = text(*pid, &format!("task/{pid}/children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            next += 1;
        }
        all.into_iter().skip(1).find(|pid| is(*pid))
    })
}

/// A running `expiryd run`, started again as a service manager does when it asks for it.
pub struct Agent {
    child: Arc<Mutex<Child>>,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
}

/// The exit code that asks for a new start (README).
const AGAIN: i32 = 75;

impl Agent {
    /// Starts on a node, with a configuration file of these lines.
    pub fn start(host: &Host, configuration: &str) -> Self {
        let file = host.configuration();
        fs::write(file, configuration).unwrap();
        let mut command = expiryd();
        command.arg("run").arg("--host-root").arg(host.root()).arg("--config").arg(file);
        Self::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        command.env("EXPIRYD_LOG_FORMAT", "json");
        if !command.get_envs().any(|(name, value)| name == "EXPIRYD_LISTEN" && value.is_some()) {
            command.env("EXPIRYD_LISTEN", "127.0.0.1:0");
        }
        let mut started = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut output = started.stderr.take().unwrap();
        let child = Arc::new(Mutex::new(started));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (running, written) = (Arc::clone(&child), Arc::clone(&log));
        let listening = |log: &[Value]| -> Vec<String> {
            let lines = log.iter().filter(|line| line["message"] == "listening");
            lines.filter_map(|line| line["address"].as_str().map(str::to_owned)).collect()
        };
        thread::spawn(move || {
            loop {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    written.lock().unwrap().push(line);
                }
                let mut child = running.lock().unwrap();
                if child.wait().unwrap().code() != Some(AGAIN) {
                    break;
                }
                // Where it listened before, whatever port that was.
                let addresses: BTreeSet<_> =
                    listening(&written.lock().unwrap()).into_iter().collect();
                let addresses: Vec<_> = addresses.into_iter().collect();
                command.env("EXPIRYD_LISTEN", addresses.join(","));
                *child = command.spawn().unwrap();
                output = child.stderr.take().unwrap();
            }
        });
        let address =
            wait_for("a listening agent", || listening(&log.lock().unwrap()).first()?.parse().ok());
        Self { child, address, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// The process that answers for it.
    pub fn server(&self) -> u32 {
        descendant(self.pid(), "expiryd-server")
    }

    /// The log lines so far, each a JSON object.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Whether a log line has these words.
    pub fn said(&self, words: &str) -> bool {
        let said = |line: &Value| line["message"].as_str().is_some_and(|m| m.contains(words));
        self.log().iter().any(said)
    }

    /// How often it has looked at the machine, where its log says so (`log-level = "debug"`).
    pub fn scans(&self) -> usize {
        self.log().iter().filter(|line| line["message"] == "scanned").count()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let headers: String = headers.iter().flat_map(|header| [header, "\r\n"]).collect();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        wait_for("an answer", || {
            let pid = self.pid();
            match exchange(self.address, &request) {
                Ok(answer) => Some(Answer::parse(&answer)),
                // Between two starts nobody listens.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => None,
                // A process that ends resets what it had accepted before anybody can wait for its end.
                Err(error) => {
                    wait_for(&format!("a new start after: {error}"), || {
                        self.is_running().filter(|running| *running != pid)
                    });
                    None
                }
            }
        })
    }

    /// The process, unless it has ended.
    fn is_running(&self) -> Option<u32> {
        let mut child = self.child.lock().unwrap();
        child.try_wait().unwrap().is_none().then(|| child.id())
    }

    /// The report that is served now.
    pub fn report(&self) -> Value {
        wait_for("a report", || {
            let report: Value = serde_json::from_str(&self.get("/expiry").body).ok()?;
            Some(report).filter(|report| report["kind"] == "ExpiryReport")
        })
    }

    /// Waits for a report that is as described.
    pub fn report_when(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || Some(self.report()).filter(|report| is(report)))
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end; the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let status =
            wait_for("the end of the agent", || self.child.lock().unwrap().try_wait().unwrap());
        status.code()
    }
}

/// Sends a request, and takes all that comes back.
fn exchange(address: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

impl Drop for Agent {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// The body as text.
    pub body: String,
    /// The body as it is.
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn parse(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(answer.len());
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let bytes = answer.get(end + 4..).unwrap_or_default().to_vec();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
        Self { status, head, body, bytes }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}
