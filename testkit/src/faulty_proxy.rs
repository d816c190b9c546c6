//! A proxy in front of a real API server that answers some requests as a server in trouble does.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use serde_json::{Value, json};

use crate::cluster::{As, Cluster};
use crate::http::{self, Message};
use crate::kubeconfig;

/// What is answered instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status, with the API server's words for it.
    Refuse(u16),
    /// 429, with this Retry-After in seconds.
    TooMany(u32),
    /// Nothing, for as long as the client waits.
    Hang,
    /// The connection is closed.
    HangUp,
    /// 200, with what is no JSON.
    Garbage,
    /// 200, with what never ends.
    Endless,
    /// What was answered to the same request first.
    Stale,
    /// The request is carried out, and the connection is closed before the answer.
    Lost,
    /// No fault at all: the requests are counted.
    None,
}

/// Which requests have it.
#[derive(Debug, Clone)]
struct Rule {
    method: &'static str,
    path: String,
    fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    /// Requests that had a fault.
    hit: usize,
    /// What each path was answered first.
    first: BTreeMap<String, (u16, Value)>,
    /// Requests that change something, as method and path.
    writes: Vec<String>,
}

/// See the module. It asks the cluster as an administrator.
pub struct FaultyProxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl FaultyProxy {
    /// In front of this cluster, for as long as somebody else has that.
    pub fn start(cluster: &Arc<Cluster>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        // A cluster that only this held would outlive the test.
        let (shared, cluster) = (Arc::clone(&state), Arc::downgrade(cluster));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, cluster) = (Arc::clone(&shared), Weak::clone(&cluster));
                thread::spawn(move || serve(&stream, &state, &cluster));
            }
        });
        Self { port, state }
    }

    /// A kubeconfig that leads through it.
    pub fn kubeconfig(&self) -> String {
        kubeconfig::open(&format!("127.0.0.1:{}", self.port))
    }

    /// From now on requests with this method whose path contains this have this fault.
    pub fn break_requests(&self, method: &'static str, path: &str, fault: Fault) {
        let mut state = lock(&self.state);
        state.hit = 0;
        state.rules.push(Rule { method, path: path.to_owned(), fault });
    }

    /// From now on all is well.
    pub fn mend(&self) {
        lock(&self.state).rules.clear();
    }

    /// How many requests had a fault since the last one was asked for.
    pub fn hit(&self) -> usize {
        lock(&self.state).hit
    }

    /// Requests that were to change something, save the lease, since this was asked last.
    pub fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).writes)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request; the connection is closed after it.
fn serve(stream: &TcpStream, state: &Mutex<State>, cluster: &Weak<Cluster>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let message = Message::read(&mut reader)?;
    let body = serde_json::from_slice(&message.body).unwrap_or(Value::Null);
    let content_type = message.header("content-type").unwrap_or("application/json");
    let (method, path) = (message.method.as_str(), message.path.as_str());

    let fault = {
        let mut state = lock(state);
        if !matches!(method, "GET") && !path.contains("/leases") {
            state.writes.push(format!("{method} {path}"));
        }
        let mut rules = state.rules.iter();
        let rule = rules.find(|rule| rule.method == method && path.contains(&rule.path));
        let fault = rule.map(|rule| rule.fault);
        state.hit += usize::from(fault.is_some());
        fault
    };
    let ask = || cluster.upgrade()?.ask_as(&As::Admin, method, path, content_type, &body);
    match fault {
        None | Some(Fault::None) => {
            let answered = ask()?;
            lock(state).first.entry(path.to_owned()).or_insert_with(|| answered.clone());
            answer(stream, answered.0, "", &answered.1.to_string())
        }
        Some(Fault::Stale) => {
            let first = lock(state).first.get(path).cloned();
            let (status, body) = first.or_else(ask)?;
            answer(stream, status, "", &body.to_string())
        }
        Some(Fault::Lost) => {
            ask()?;
            None
        }
        Some(Fault::Refuse(status)) => answer(stream, status, "", &refusal(status)),
        Some(Fault::TooMany(seconds)) => {
            answer(stream, 429, &format!("Retry-After: {seconds}\r\n"), &refusal(429))
        }
        Some(Fault::Garbage) => answer(stream, 200, "", "<html>"),
        Some(Fault::Endless) => {
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n").ok()?;
            // Until the client has had enough.
            while stream.write_all(&[b' '; 1 << 12]).is_ok() {}
            None
        }
        Some(Fault::HangUp) => None,
        Some(Fault::Hang) => {
            // Until the client has had enough.
            let _ = reader.read(&mut [0]);
            None
        }
    }
}

fn refusal(status: u16) -> String {
    let reason = match status {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": format!("{reason}, as the test has it"), "reason": reason, "code": status })
    .to_string()
}

fn answer(mut stream: &TcpStream, status: u16, headers: &str, body: &str) -> Option<()> {
    let headers = format!("Connection: close\r\n{headers}");
    stream.write_all(http::answer(status, &headers, body).as_bytes()).ok()?;
    stream.flush().ok()
}
