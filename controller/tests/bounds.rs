//! What one client may take of the endpoint: a slow or greedy one costs the others nothing. No API server is there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use expiryd_controller::fleet::Fleet;
use expiryd_controller::observe::ClusterKey;
use expiryd_controller::serve::{Bounds, Endpoint, Limit, TlsFiles, serve};
use expiryd_controller::status::ClusterStatus;
use serde_json::Value;
use tempfile::TempDir;

use testkit::authority::Authority;
use testkit::https::{Answerer, Ask};
use testkit::{PATIENCE, kubeconfig, wait_for};

use crate::endpoint::Serving;

/// More than a listener lets arrive from one machine.
const FLOOD: usize = 300;

/// More than the kernel keeps of an answer that nobody reads.
const MUCH: usize = 8 * 1024 * 1024;

/// Too long for a test to wait for.
const LONG: Duration = Duration::from_hours(1);

/// So short that a test can wait for it.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

const PATIENT: Bounds = Bounds {
    arriving: Limit { all: 64, of_client: 64 },
    asking: Limit { all: 2, of_client: 2 },
    head: LONG,
    answer: LONG,
};

fn localhost() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A cluster of which there is so much to say.
fn fleet(much: usize) -> Fleet {
    let fleet = Fleet::default();
    let key = ClusterKey { namespace: "eksa-system".to_owned(), name: "prod".to_owned() };
    let status = ClusterStatus::unread(key.names(), "x".repeat(much));
    fleet.cluster(&key, status);
    fleet
}

/// Serves it until the tests are over.
pub(crate) fn endpoint(bounds: Bounds, tls: Option<TlsFiles>, fleet: Fleet) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = Endpoint { address: localhost(), tls, health: None, bounds };
            let nobody = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
            let client = kube::Client::try_from(nobody).unwrap();
            tell.send(serve(&endpoint, fleet, client).await.unwrap()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

/// The pair of a server on this machine, in files.
fn pair(folder: &TempDir, authority: &Authority) -> TlsFiles {
    let pair = authority.server();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, &pair.certificate).unwrap();
    std::fs::write(&key, &pair.key).unwrap();
    TlsFiles { certificate, key }
}

/// A client that says this and no more.
fn says(address: SocketAddr, text: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text).unwrap();
    stream
}

/// All that comes until the connection is closed.
pub(crate) fn all_of(mut stream: &TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn asks(address: SocketAddr) -> TcpStream {
    says(address, b"GET /clusters HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Waits until a connection is closed of which nobody reads an answer: the kernel refuses what is sent on it.
fn is_closed(mut stream: &TcpStream) {
    wait_for("its end", || stream.write_all(b"\r\n").is_err().then_some(()));
}

/// Clients that say nothing.
fn idle(port: u16) -> Vec<TcpStream> {
    (0..FLOOD).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()).collect()
}

#[test]
fn idle_connections_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = kubeconfig::open("127.0.0.1:1");
    let flags = ["--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"];
    let serving = Serving::start(&nobody, &folder, &flags, 2);
    let floods: Vec<_> = serving.ports.iter().map(|port| idle(*port)).collect();
    assert_eq!((serving.get(0, "/clusters").0, serving.get(0, "/healthz").0), (200, 200));
    assert_eq!(serving.get(1, "/healthz").0, 200);
    for flood in floods {
        let oldest = flood.first().unwrap();
        oldest.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(all_of(oldest), "", "the oldest is closed");
    }
}

#[test]
fn idle_connections_keep_nobody_out_where_tls_is_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("page");
    let files = pair(&folder, &authority);
    let [certificate, key] = [files.certificate, files.key].map(|path| path.display().to_string());
    let flags = ["--listen", "0.0.0.0:0", "--tls-certificate", &certificate, "--tls-key", &key];
    let serving = Serving::start(&kubeconfig::open("127.0.0.1:1"), &folder, &flags, 1);
    let port = serving.ports[0];
    let _flood = idle(port);
    let authority = authority.pem();
    let address = ("127.0.0.1", port);
    let server = Answerer { address, name: "localhost", authority: &authority, pair: None };
    let (method, content_type, body) = ("GET", "text/plain", &Value::Null);
    let ask = Ask { method, path: "/healthz", content_type, token: None, body };
    assert_eq!(server.ask(&ask).unwrap().0, 200);
}

#[test]
fn half_a_request_is_waited_for_in_vain_only_so_long() {
    let folder = tempfile::tempdir().unwrap();
    let tls = pair(&folder, &Authority::new("page"));
    let bounds = Bounds { head: SHORT, ..PATIENT };
    let (plain, encrypted) =
        (endpoint(bounds, None, fleet(1)), endpoint(bounds, Some(tls), fleet(1)));
    for half in [b"".as_slice(), b"GET /clusters HTTP/1.1\r\nX-Slow: "] {
        let answer = all_of(&says(plain, half));
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    // The beginning of a ClientHello.
    for half in [b"".as_slice(), &[22, 3, 1, 2]] {
        assert_eq!(all_of(&says(encrypted, half)), "");
    }
    // After an answer it is no other.
    assert!(all_of(&asks(plain)).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_large_answer_is_there_as_a_whole_for_who_reads_it_and_not_kept_for_who_does_not() {
    let address = endpoint(Bounds { answer: SHORT, ..PATIENT }, None, fleet(MUCH));
    let slow = asks(address);
    is_closed(&slow);
    let reader = asks(address);
    reader.shutdown(Shutdown::Write).unwrap();
    assert!(all_of(&reader).len() > MUCH);
}

#[test]
fn of_many_that_read_nothing_the_oldest_goes_for_one_that_asks() {
    let address = endpoint(PATIENT, None, fleet(MUCH));
    let slow: Vec<_> = (0..3).map(|_| asks(address)).collect();
    is_closed(&slow[0]);
    let reader = asks(address);
    assert!(all_of(&reader).len() > MUCH, "it is closed after its answer, for want of room");
    is_closed(&slow[1]);
}
