//! A node on disk, and the binary at work on it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A time at which none of the certificates in tests/nodes has ended.
pub const NOW: &str = "2026-11-23T18:00:00Z";

/// How long anything may take that ought to happen. Nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Says that a test cannot run on this machine; a failure where `EXPIRYD_NO_SKIP` is set, as `.ci/run`
/// does.
pub fn skip(why: &str) {
    assert!(std::env::var_os("EXPIRYD_NO_SKIP").is_none(), "this test cannot run here: {why}");
    eprintln!("skipped: {why}");
}

/// strace(1), to follow what a command does; `None` where there is none.
pub fn strace() -> Option<Command> {
    if Command::new("strace").arg("--version").output().is_err() {
        skip("strace is not installed");
        return None;
    }
    Some(Command::new("strace"))
}

/// Whether these tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The nodes in tests/nodes.
pub fn nodes() -> PathBuf {
    project("tests/nodes")
}

/// A number from /proc/PID/status.
pub fn status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub fn expiryd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_expiryd"));
    for name in
        ["CONFIG", "HOST_ROOT", "ROLE", "ETCD_TOPOLOGY", "LISTEN", "TLS", "LOG_FORMAT", "LOG_LEVEL"]
    {
        command.env_remove(format!("EXPIRYD_{name}"));
    }
    command
}

/// A node that a test may change.
pub struct Host {
    root: PathBuf,
    /// Of the agent: it is not the node's.
    configuration: PathBuf,
    _directory: TempDir,
}

impl Host {
    /// A copy of a node in tests/nodes.
    pub fn like(node: &str) -> Self {
        let host = Self::empty();
        copy(&nodes().join(node), host.root());
        host
    }

    /// A node with nothing but an os-release.
    pub fn bare(os: &str) -> Self {
        let host = Self::empty();
        host.write("etc/os-release", format!("ID={os}\n"));
        host
    }

    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [root, agent] = ["root", "agent"].map(|name| directory.path().join(name));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&agent).unwrap();
        Self { root, configuration: agent.join("expiryd.toml"), _directory: directory }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a test keeps the agent's configuration.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Where a path of the node is on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Replaces a file as careful writers do.
    pub fn replace(&self, path: &str, content: impl AsRef<[u8]>) {
        let new = format!("{path}.new");
        self.write(&new, content);
        fs::rename(self.path(&new), self.path(path)).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// `expiryd check` on it.
    pub fn check(&self, arguments: &[&str]) -> Output {
        let root = self.root();
        expiryd().arg("check").arg("--host-root").arg(root).args(arguments).output().unwrap()
    }

    /// The report of `expiryd check`.
    pub fn report(&self, arguments: &[&str]) -> Value {
        let output = self.check(&[&["-o", "json", "--at", NOW], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&from, &to);
        } else if kind.is_symlink() {
            symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_up_to(PATIENCE, what, look)
}

/// Waits for what may take longer than usual.
pub fn wait_up_to<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
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

    /// The log lines so far, each a JSON object.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
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
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
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

/// The earliest expiry of a report, as `DATE PATH`; empty when there is none.
pub fn earliest(report: &Value) -> String {
    let earliest = &report["earliest"];
    let text = |field: &str| earliest[field].as_str().map(str::to_owned);
    match (text("notAfter"), text("path")) {
        (Some(date), Some(path)) => format!("{date} {path}"),
        _ => String::new(),
    }
}

/// `PATH REASON` of each problem.
pub fn problems(report: &Value) -> Vec<String> {
    let problems = report["problems"].as_array().unwrap();
    let text = |p: &Value, field: &str| p[field].as_str().unwrap().to_owned();
    problems.iter().map(|p| format!("{} {}", text(p, "path"), text(p, "reason"))).collect()
}
