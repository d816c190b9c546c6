//! What a management controller does with one machine's report: `cargo run --example controller -- ADDRESS`.
//!
//! docs/management-controller.md has the reasons. The decision is a pure function; whoever takes this
//! over puts a Kubernetes client around it.
#![expect(clippy::print_stdout, reason = "it is an example")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use expiryd::clock;
use expiryd_api::Timestamp;
use serde_json::Value;

/// A report that is older than this says nothing: expiryd scans every five minutes.
const FRESH: i64 = 30 * 60;

/// What to do with the Machine's `machine.cluster.x-k8s.io/certificates-expiry`.
#[derive(Debug)]
enum Decision {
    /// Set it.
    Set(String),
    /// Set it unless it holds an earlier date: something could not be read, so it may be too late.
    SetIfEarlier(String),
    /// Take it away: there is nothing that a rollout would renew.
    Remove,
    /// Leave it as it is.
    Leave(&'static str),
}

fn decide(report: &Value, now: Timestamp) -> Decision {
    let rollout = report.pointer("/machineRollout/notAfter").and_then(Value::as_str);
    let observed = report["observedAt"].as_str().and_then(|t| Timestamp::parse(t).ok());
    if report["apiVersion"] != "expiryd.dev/v1" {
        return Decision::Leave("this is another version of the report");
    }
    if observed.is_none_or(|at| now.seconds_since(at) > FRESH) {
        return Decision::Leave("the report is old");
    }
    if report["settled"] != true {
        return Decision::Leave("the machine has not settled");
    }
    match (report["status"].as_str(), rollout) {
        (Some("ok"), Some(date)) => Decision::Set(date.to_owned()),
        (Some("degraded"), Some(date)) => Decision::SetIfEarlier(date.to_owned()),
        (Some("ok"), None) => Decision::Remove,
        (Some("none"), _) => Decision::Leave("the machine takes itself for a worker; see to it"),
        _ => Decision::Leave("the machine has no dates"),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9797".to_owned());
    let mut stream = TcpStream::connect(&address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /expiry HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no body")?;
    let report: Value = serde_json::from_str(body)?;
    match decide(&report, clock::now()) {
        Decision::Set(date) => println!("set {date}"),
        Decision::SetIfEarlier(date) => println!("set if earlier {date}"),
        Decision::Remove => println!("remove"),
        Decision::Leave(why) => println!("leave: {why}"),
    }
    // The other rollouts are not this Machine's: rolling it would install the same certificate again.
    let earliest = |field| report.pointer(field).and_then(Value::as_str);
    if earliest("/earliest/renewedBy") == Some("etcd-rollout") {
        println!("roll etcd before {}", earliest("/earliest/notAfter").unwrap_or_default());
    }
    Ok(())
}
