//! The HTTP endpoint over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Answer, Host, wait_for};

fn etcd() -> (Host, Agent) {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, "settle = \"0s\"\n");
    agent.report();
    (host, agent)
}

fn kind(answer: &Answer) -> &str {
    answer.header("content-type").unwrap_or_default()
}

#[test]
fn expiry_is_json_and_a_line_of_text_when_asked_for() {
    let (_host, agent) = etcd();
    let json = agent.get("/expiry");
    assert_eq!((json.status, kind(&json)), (200, "application/json"));
    let report: Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(report["apiVersion"], "expiryd.dev/v1");
    for text in
        [agent.get("/expiry?format=text"), agent.ask("GET", "/expiry", &["Accept: text/plain"])]
    {
        assert_eq!((text.status, text.body.as_str()), (200, "2027-03-09T09:00:00Z\n"));
        assert_eq!(kind(&text), "text/plain; charset=utf-8");
    }
    assert_eq!(agent.get("/expiry?format=xml").status, 400);
}

#[test]
fn curl_and_browsers_that_accept_anything_get_json() {
    let (_host, agent) = etcd();
    for accept in
        ["Accept: */*", "Accept: text/html,*/*;q=0.8", "Accept: application/json, text/plain"]
    {
        assert_eq!(kind(&agent.ask("GET", "/expiry", &[accept])), "application/json");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let (_host, agent) = etcd();
    let (get, head) = (agent.get("/expiry"), agent.ask("HEAD", "/expiry", &[]));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
    assert_eq!(head.header("content-type"), get.header("content-type"));
}

#[test]
fn an_entity_tag_that_still_holds_is_answered_with_304() {
    let (host, agent) = etcd();
    let tag = |answer: &Answer| answer.header("etag").unwrap().to_owned();
    let first = agent.get("/expiry?format=text");
    let ask =
        |tag: &str| agent.ask("GET", "/expiry?format=text", &[&format!("If-None-Match: {tag}")]);
    for known in
        [tag(&first), format!("W/{}", tag(&first)), format!("\"x\", {}", tag(&first)), "*".into()]
    {
        let answer = ask(&known);
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{known}");
    }
    assert_eq!(ask("\"other\"").status, 200);
    host.replace("etc/etcd/pki/server.crt", CertificateBuilder::leaf("20270101000000Z").pem());
    wait_for("a new tag", || (ask(&tag(&first)).status == 200).then_some(()));
}

#[test]
fn other_methods_and_paths_are_refused_in_json() {
    let (_host, agent) = etcd();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = agent.ask(method, "/expiry", &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
        assert!(serde_json::from_str::<Value>(&answer.body).unwrap()["error"].is_string());
    }
    let answer = agent.get("/nothing");
    assert_eq!((answer.status, kind(&answer)), (404, "application/json"));
    assert!(answer.body.contains("/expiry"));
}

#[test]
fn health_is_the_loop_and_readiness_the_settled_report() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, "settle = \"10m\"\n");
    agent.report();
    assert_eq!(agent.get("/healthz").status, 200);
    assert_eq!(agent.get("/readyz").status, 503);
    let (_host, settled) = etcd();
    settled.report_when("a settled report", |report| report["settled"] == true);
    assert_eq!(settled.get("/readyz").status, 200);
}

#[test]
fn a_machine_without_pki_is_503_with_the_report_and_a_worker_is_200() {
    let bare = Host::bare("ubuntu");
    let agent = Agent::start(&bare, "");
    agent.report();
    let answer = agent.get("/expiry");
    assert_eq!(answer.status, 503);
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["status"], "waiting");
    let worker = Host::like("ubuntu-worker");
    let agent = Agent::start(&worker, "");
    agent.report();
    let answer = agent.get("/expiry?format=text");
    assert_eq!((answer.status, answer.body.as_str()), (200, "none\n"));
}

/// Reads one answer with a Content-Length off a connection that stays open.
fn read_one(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

#[test]
fn one_connection_serves_many_requests_also_pipelined() {
    let (_host, agent) = etcd();
    let mut stream = TcpStream::connect(agent.address).unwrap();
    let request = b"GET /expiry?format=text HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(request).unwrap();
        assert!(read_one(&mut stream).starts_with("HTTP/1.1 200"));
    }
    stream.write_all(&request.repeat(2)).unwrap();
    assert!(read_one(&mut stream).ends_with("2027-03-09T09:00:00Z\n"));
    assert!(read_one(&mut stream).ends_with("2027-03-09T09:00:00Z\n"));
}

#[test]
fn where_all_places_are_taken_a_connection_is_answered_once() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, "[limits]\nconnections = 1\n");
    let mut stream = TcpStream::connect(agent.address).unwrap();
    stream.write_all(&b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3)).unwrap();
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    let answers = String::from_utf8(answers).unwrap().to_ascii_lowercase();
    assert_eq!(answers.matches("http/1.1 200").count(), 1, "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

#[test]
fn a_request_head_beyond_the_limit_is_431_and_nonsense_is_400() {
    let (_host, agent) = etcd();
    let long = format!("X-Long: {}", "x".repeat(40_000));
    assert_eq!(agent.ask("GET", "/expiry", &[&long]).status, 431);
    let mut stream = TcpStream::connect(agent.address).unwrap();
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn a_client_that_says_nothing_is_hung_up_on() {
    let (_host, agent) = etcd();
    let mut stream = TcpStream::connect(agent.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn two_addresses_serve_the_same() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::spawn({
        let mut command = testkit::expiryd();
        command.args(["run", "--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--host-root"]);
        command.arg(host.root());
        command
    });
    agent.report();
    let addresses = wait_for("both addresses", || {
        let lines = agent.log();
        let listening = lines.iter().filter(|line| line["message"] == "listening");
        let all: Vec<_> = listening.map(|l| l["address"].as_str().unwrap().to_owned()).collect();
        (all.len() == 2).then_some(all)
    });
    let answers = addresses.iter().map(|address| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /expiry?format=text HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split("\r\n\r\n").nth(1).unwrap().to_owned()
    });
    let expected = agent.get("/expiry?format=text").body;
    assert_eq!(answers.collect::<Vec<_>>(), [expected.clone(), expected]);
}
