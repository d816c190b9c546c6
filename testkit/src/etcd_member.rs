//! One machine of etcd: a real member, and a real agent beside it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::agent::Agent;
use crate::authority::{Authority, Pair};
use crate::host::{Host, expiryd};
use crate::https::{Answerer, Ask};
use crate::lying_agent::{Lie, LyingAgent};
use crate::server::Server;
use crate::wait::wait_up_to;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::etcd_pki::{self, FOLDER};

/// What a member may take until it is well.
const BOOT: Duration = Duration::from_secs(90);

/// Ended with this.
pub struct Member {
    pub address: String,
    pub host: Host,
    authority: String,
    etcd: Server,
    agent: Option<Agent>,
    liar: Option<LyingAgent>,
}

impl Member {
    /// Boots a machine that is an etcd of its own, with certificates for this address.
    pub fn boot(
        etcd: &Path,
        authority: &Authority,
        name: &str,
        address: &str,
        certified: &str,
        not_after: OffsetDateTime,
    ) -> Self {
        let host = Host::bare("ubuntu");
        etcd_pki::write(&host, authority, name, certified, not_after);
        let member = Self::start(etcd, authority, name, address, host, &[]);
        member.wait(certified);
        member
    }

    /// Boots a machine, which joins through the members that are there, and waits until etcd is well.
    pub fn join(
        etcd: &Path,
        authority: &Authority,
        name: &str,
        address: &str,
        not_after: OffsetDateTime,
        others: &[String],
    ) -> Self {
        let host = Host::bare("ubuntu");
        etcd_pki::write(&host, authority, name, address, not_after);
        let member = Self::start(etcd, authority, name, address, host, others);
        member.wait(address);
        member
    }

    fn start(
        etcd: &Path,
        authority: &Authority,
        name: &str,
        address: &str,
        host: Host,
        others: &[String],
    ) -> Self {
        let initial = join(&host, &authority.pem(), name, address, others);
        Self {
            address: address.to_owned(),
            authority: authority.pem(),
            etcd: start(etcd, &host, name, address, &initial, !others.is_empty()),
            agent: Some(agent(&host, address)),
            liar: None,
            host,
        }
    }

    fn wait(&self, certified: &str) {
        let health = || self.health(certified).then_some(());
        wait_up_to(BOOT, "a member of etcd that is well", health);
    }

    /// The same with a certificate for another name than its address.
    fn health(&self, certified: &str) -> bool {
        let Self { host, authority, address, .. } = self;
        let answer = ask(host, authority, address, certified, "GET", "/health", &Value::Null);
        answer.is_some_and(|(status, body)| status == 200 && body["health"] == "true")
    }

    /// Ends the agent, as somebody who stops its unit.
    pub fn stop_agent(&mut self) {
        self.agent = None;
    }

    /// Has something in the agent's place that says this.
    pub fn lie(&mut self, lie: Lie) {
        self.stop_agent();
        self.liar = Some(LyingAgent::start(&self.host, &self.address, lie));
    }

    /// Ends etcd.
    pub fn stop_etcd(&mut self) {
        self.etcd.kill();
    }

    /// Starts etcd anew, so that it reads its certificates again and every connection to it is a new one.
    pub fn restart(&mut self, etcd: &Path, name: &str) {
        self.etcd.kill();
        self.etcd = start(etcd, &self.host, name, &self.address, "", true);
    }
}

/// Has the members that are there take this one in, and says who they are then (etcdadm `etcd/etcd.go`).
fn join(host: &Host, authority: &str, name: &str, address: &str, others: &[String]) -> String {
    let own = format!("{name}=https://{address}:2380");
    if others.is_empty() {
        return own;
    }
    let peers = json!({ "peerURLs": [format!("https://{address}:2380")] });
    let members = wait_up_to(BOOT, "a member to be taken in", || {
        others.iter().find_map(|other| {
            let path = "/v3/cluster/member/add";
            let (status, answer) = ask(host, authority, other, other, "POST", path, &peers)?;
            (status == 200).then(|| answer["members"].clone())
        })
    });
    let members = members.as_array().unwrap().iter().map(|member| {
        let url = member["peerURLs"][0].as_str().unwrap();
        // One that has not started yet has no name.
        let known = member["name"].as_str().filter(|name| !name.is_empty());
        format!("{}={url}", known.unwrap_or(name))
    });
    members.collect::<Vec<_>>().join(",")
}

fn ask(
    host: &Host,
    authority: &str,
    address: &str,
    certified: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Option<(u16, Value)> {
    let read = |file: &str| fs::read_to_string(host.path(&format!("{FOLDER}/{file}"))).ok();
    let pair = Pair {
        certificate: read("etcdctl-etcd-client.crt")?,
        key: read("etcdctl-etcd-client.key")?,
    };
    let member =
        Answerer { address: (address, 2379), name: certified, authority, pair: Some(&pair) };
    member.ask(&Ask { method, path, content_type: "application/json", token: None, body })
}

fn start(
    etcd: &Path,
    host: &Host,
    name: &str,
    address: &str,
    initial: &str,
    joins: bool,
) -> Server {
    let file = |name: &str| host.path(&format!("{FOLDER}/{name}")).display().to_string();
    let mut command = Command::new(etcd);
    command.args([
        format!("--name={name}"),
        format!("--data-dir={}", host.path("var/lib/etcd").display()),
        format!("--listen-client-urls=https://{address}:2379"),
        format!("--advertise-client-urls=https://{address}:2379"),
        format!("--listen-peer-urls=https://{address}:2380"),
        format!("--initial-advertise-peer-urls=https://{address}:2380"),
        format!("--initial-cluster={initial}"),
        format!("--initial-cluster-state={}", if joins { "existing" } else { "new" }),
        format!("--trusted-ca-file={}", file("ca.crt")),
        format!("--cert-file={}", file("server.crt")),
        format!("--key-file={}", file("server.key")),
        "--client-cert-auth".to_owned(),
        format!("--peer-trusted-ca-file={}", file("ca.crt")),
        format!("--peer-cert-file={}", file("peer.crt")),
        format!("--peer-key-file={}", file("peer.key")),
        "--peer-client-cert-auth".to_owned(),
        // On one machine a connection comes from wherever it goes to; a peer's certificate is for its own address.
        "--feature-gates=SetMemberLocalAddr=true".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    fs::create_dir_all(host.path("var/lib")).unwrap();
    Server::start(&format!("etcd-{name}"), command, host.configuration().parent().unwrap())
}

/// The agent as it is installed on a machine of etcd (systemd/examples/tls-etcd.conf).
fn agent(host: &Host, address: &str) -> Agent {
    let file = host.configuration();
    fs::write(file, "tls = \"etcd\"\nsettle = \"0s\"\n").unwrap();
    let mut command = expiryd();
    command.arg("run").arg("--host-root").arg(host.root()).arg("--config").arg(file);
    command.env("EXPIRYD_LISTEN", format!("{address}:9797"));
    Agent::spawn(command)
}
