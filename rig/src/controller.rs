//! expiryd-controller at work, with spans of seconds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, from_str};
use testkit::cluster_api::NAMESPACE;
use testkit::{Server, program};

/// How its spans differ from the defaults, in seconds.
#[derive(Debug, Clone)]
pub struct Spans(Vec<(&'static str, i64)>);

impl Default for Spans {
    /// What a rig needs that lives for minutes.
    fn default() -> Self {
        Self(vec![
            ("lead", 20),
            // Members are minutes old, and are to be replaced together all the same.
            ("align", 60),
            ("birth", 5),
            ("min-lifetime", 60),
            ("cool", 30),
            ("stuck", 600),
            ("rollout", 900),
        ])
    }
}

impl Spans {
    /// With one that is different.
    #[must_use]
    pub fn with(mut self, name: &'static str, seconds: i64) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, seconds));
        self
    }

    /// One of them.
    pub fn get(&self, name: &str) -> i64 {
        self.0.iter().find(|(known, _)| *known == name).unwrap().1
    }
}

/// The process, ended with this as `kill -9` does it.
pub struct Controller(Server);

impl Controller {
    /// The instance of this name, which is its log's as well.
    pub(crate) fn start(
        name: &str,
        kubeconfig: &Path,
        folder: &Path,
        spans: &Spans,
        flags: &[&str],
    ) -> Self {
        let mut command = Command::new(program("expiryd-controller"));
        command.arg("run").arg("--kubeconfig").arg(kubeconfig);
        command.args(["--sync-period", "1s", "--leader-elect-namespace", NAMESPACE]);
        for (name, seconds) in &spans.0 {
            command.arg(format!("--{name}-seconds={seconds}"));
        }
        command.args(flags).env("HOSTNAME", name);
        Self(Server::start(name, command, folder))
    }

    /// As `kill -9` does it; its log stays.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.0.log()
    }

    /// How many writes it has made whose description has these words.
    pub fn writes(&self, what: &str) -> usize {
        let log = self.log();
        log.lines().filter(|line| line.contains("INFO done: ") && line.contains(what)).count()
    }

    /// What it says of the clusters at its usual address; null while it says nothing.
    pub fn clusters(&self) -> Value {
        let answer = || {
            let mut stream = TcpStream::connect("127.0.0.1:9799").ok()?;
            stream.write_all(b"GET /clusters HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let (_, body) = answer.split_once("\r\n\r\n")?;
            from_str::<Value>(body).ok()
        };
        answer().unwrap_or_default()["clusters"].clone()
    }

    /// Whether it says of the one cluster that this guard keeps something from being done.
    pub fn finds(&self, guard: &str) -> bool {
        let findings = self.clusters()[0]["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().any(|finding| finding["guard"] == guard)
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.0.ended()
    }
}
