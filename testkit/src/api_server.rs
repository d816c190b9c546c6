//! An API server that demands a client certificate and answers for one Node, as a real one does
//! (paths, bodies and errors seen on kube-apiserver 1.36), or misbehaves as it is told.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::http::{Message, answer};
use crate::wait::wait_for;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub content_type: String,
    pub body: Value,
    /// DER of the client's certificate.
    pub client: Vec<u8>,
}

/// What to do with the next request instead of answering it.
#[derive(Debug, Clone, Copy)]
pub enum Instead {
    /// Answer with this status, as the API server would.
    Refuse(u16, &'static str),
    /// Answer 429 with this Retry-After.
    TooMany(u32),
    /// Never answer.
    Hang,
    /// Close the connection.
    HangUp,
    /// Answer byte by byte.
    Dribble,
    /// Answer, and close the connection without the goodbye of TLS.
    NoGoodbye,
    /// Answer 200 with this, and do nothing.
    Say(&'static str),
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    instead: VecDeque<Instead>,
    annotations: Value,
    conditions: Vec<Value>,
}

pub struct ApiServer {
    pub address: SocketAddr,
    pub authority: Authority,
    state: Arc<Mutex<State>>,
}

impl ApiServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_at(listener, Authority::new("kubernetes"))
    }

    pub fn start_at(listener: TcpListener, authority: Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let pair = authority.server();
        let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(
            vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
        );
        let config = Arc::new(config.unwrap());
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { annotations: json!({}), ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, state) = (Arc::clone(&config), Arc::clone(&shared));
                thread::spawn(move || serve(stream, config, &state));
            }
        });
        Self { address, authority, state }
    }

    /// What to do with the next requests, in order, before the ordinary answers.
    pub fn instead(&self, actions: &[Instead]) {
        self.state.lock().unwrap().instead.extend(actions);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        wait_for("a request to the API server", || {
            Some(self.requests()).filter(|requests| requests.len() >= count)
        })
    }

    /// The Node's annotations as they are now.
    pub fn annotations(&self) -> Value {
        self.state.lock().unwrap().annotations.clone()
    }

    /// Waits until the Node's annotations are as described.
    pub fn when(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || Some(self.annotations()).filter(|annotations| is(annotations)))
    }

    /// The Node's conditions as they are now.
    pub fn conditions(&self) -> Vec<Value> {
        self.state.lock().unwrap().conditions.clone()
    }

    /// Has somebody change an annotation.
    pub fn annotate(&self, key: &str, value: &str) {
        self.state.lock().unwrap().annotations[key] = value.into();
    }

    /// Has somebody remove an annotation.
    pub fn remove_annotation(&self, key: &str) {
        if let Some(all) = self.state.lock().unwrap().annotations.as_object_mut() {
            all.remove(key);
        }
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let message = Message::read(&mut stream)?;
    let client = stream.get_ref().conn.peer_certificates()?.first()?.to_vec();
    let request = Request {
        content_type: message.header("content-type").unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&message.body).unwrap_or(Value::Null),
        method: message.method,
        path: message.path,
        client,
    };
    let instead = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        state.instead.pop_front()
    };
    let (answer, step) = match instead {
        None => (ordinary(&request, state), usize::MAX),
        Some(Instead::Dribble) => (ordinary(&request, state), 16),
        Some(Instead::NoGoodbye) => {
            let answer = ordinary(&request, state);
            stream.get_mut().write_all(answer.as_bytes()).ok()?;
            stream.get_mut().flush().ok()?;
            return None;
        }
        Some(Instead::Say(text)) => {
            let length = text.len();
            (format!("HTTP/1.1 200 x\r\nContent-Length: {length}\r\n\r\n{text}"), text.len() + 99)
        }
        Some(Instead::Refuse(status, message)) => (refusal(status, message, ""), usize::MAX),
        Some(Instead::TooMany(seconds)) => {
            let header = format!("Retry-After: {seconds}\r\n");
            (refusal(429, "too many requests, please try again later", &header), usize::MAX)
        }
        Some(Instead::HangUp) => return None,
        Some(Instead::Hang) => {
            // Until the client has had enough.
            let _ = stream.read(&mut [0]);
            return None;
        }
    };
    for part in answer.as_bytes().chunks(step.min(answer.len())) {
        stream.get_mut().write_all(part).ok()?;
        stream.get_mut().flush().ok()?;
    }
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush().ok()
}

fn ordinary(request: &Request, state: &Mutex<State>) -> String {
    let path = request.path.split('?').next().unwrap_or_default();
    match (request.method.as_str(), path) {
        ("PATCH", "/api/v1/nodes/cp-1") => {
            let mut state = state.lock().unwrap();
            let patch = &request.body["metadata"]["annotations"];
            for (key, value) in patch.as_object().into_iter().flatten() {
                let annotations = state.annotations.as_object_mut().unwrap();
                match value {
                    Value::Null => drop(annotations.remove(key)),
                    value => drop(annotations.insert(key.clone(), value.clone())),
                }
            }
            answer(200, "", &node(&state).to_string())
        }
        ("PATCH", "/api/v1/nodes/cp-1/status") => {
            let mut state = state.lock().unwrap();
            for patch in request.body["status"]["conditions"].as_array().unwrap() {
                state.conditions.retain(|condition| condition["type"] != patch["type"]);
                if patch["$patch"] != "delete" {
                    state.conditions.push(patch.clone());
                }
            }
            answer(200, "", &node(&state).to_string())
        }
        ("POST", "/api/v1/namespaces/default/events") => answer(201, "", &request.body.to_string()),
        _ => refusal(403, "only its own Node object", ""),
    }
}

fn node(state: &State) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": "cp-1", "annotations": state.annotations },
        "status": { "conditions": state.conditions } })
}

fn refusal(status: u16, message: &str, headers: &str) -> String {
    let body = json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": message, "code": status });
    answer(status, headers, &body.to_string())
}
