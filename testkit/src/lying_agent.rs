//! An agent of an etcd machine that says what it likes, over TLS with the machine's own certificate.

use std::fs;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::dates::{now, rfc3339};
use crate::etcd_pki::FOLDER;
use crate::host::Host;
use crate::http::{self, Message};
use crate::wait::PATIENCE;

/// What it says whenever it is asked.
#[derive(Debug, Clone, Copy)]
pub enum Lie {
    /// That its certificates end so many seconds from now, to the minute.
    EndsIn(i64),
    /// What is no report.
    Garbage,
    /// Each of these in turn.
    Flapping(&'static [Self]),
}

impl Lie {
    /// The body of the answer when it is asked for the so manieth time.
    fn body(self, asked: usize) -> String {
        let end = match self {
            Self::Garbage => return "{\"kind\": \"ExpiryReport\", \"machineRollout\": ".to_owned(),
            Self::Flapping(lies) => return lies[asked % lies.len()].body(asked),
            Self::EndsIn(seconds) => now() + time::Duration::seconds(seconds),
        };
        let end = end.replace_second(0).unwrap();
        let expiry = json!({
            "notAfter": rfc3339(end), "path": "/etc/etcd/pki/server.crt", "index": 0,
            "renewedBy": "machine-rollout",
        });
        let report = json!({
            "apiVersion": "expiryd.dev/v1", "kind": "ExpiryReport", "observedAt": rfc3339(now()),
            "node": { "name": "etcd", "os": "ubuntu", "role": "etcd", "etcdTopology": "external" },
            "status": "ok", "settled": true, "earliest": expiry, "machineRollout": expiry,
            "certificates": [], "problems": [],
        });
        report.to_string()
    }
}

/// Ended with this.
pub(crate) struct LyingAgent {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LyingAgent {
    /// Where the real one of this machine would be.
    pub(crate) fn start(host: &Host, address: &str, lie: Lie) -> Self {
        let address = format!("{address}:9797");
        let listener = TcpListener::bind(&address).unwrap();
        let config = Arc::new(config(host));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asked = AtomicUsize::new(0);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let body = || lie.body(asked.fetch_add(1, Ordering::Relaxed));
                let _ = answer(stream, &config, body);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for LyingAgent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It waits for a connection.
        let _ = TcpStream::connect(&self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn config(host: &Host) -> ServerConfig {
    let read = |file: &str| fs::read(host.path(&format!("{FOLDER}/{file}"))).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(&read("server.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&read("server.key")).unwrap();
    ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// Answers one request, and closes the connection.
fn answer(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    body: impl FnOnce() -> String,
) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let connection = ServerConnection::new(Arc::clone(config)).ok()?;
    let mut stream = StreamOwned::new(connection, stream);
    Message::read(&mut BufReader::new(&mut stream))?;
    let answer = http::answer(200, "Connection: close\r\n", &body());
    stream.write_all(answer.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}
