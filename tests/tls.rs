//! TLS on the endpoint, from clients' side. What is not loopback is encrypted, so these tests need
//! another address of this machine.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use testkit::authority::{Authority, Pair};
use testkit::{Agent, Answer, Host, expiryd, problems, skip, wait_for};

const PKI: &str = "etc/etcd/pki";

/// An address of this machine that others reach. Connecting UDP sends nothing.
fn public_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

struct Etcd {
    host: Host,
    authority: Authority,
}

impl Etcd {
    fn new() -> Self {
        let etcd = Self { host: Host::bare("ubuntu"), authority: Authority::new("etcd-ca") };
        etcd.host.write(&format!("{PKI}/ca.crt"), etcd.authority.pem());
        etcd.install(&etcd.server());
        etcd
    }

    /// A server's pair whose certificate is for this machine.
    fn server(&self) -> Pair {
        self.authority.server()
    }

    fn install(&self, pair: &Pair) {
        self.host.write(&format!("{PKI}/server.crt"), &pair.certificate);
        self.host.write(&format!("{PKI}/server.key"), &pair.key);
        // A machine that etcdadm made has it, too.
        self.host.write(&format!("{PKI}/peer.crt"), self.server().certificate);
    }

    /// An agent on loopback and, where there is one, another address.
    fn serve(&self, configuration: &str) -> Option<(Agent, SocketAddr)> {
        let Some(public) = public_address() else {
            skip("this machine has loopback addresses alone");
            return None;
        };
        fs::write(self.host.configuration(), format!("settle = \"0s\"\n{configuration}")).unwrap();
        let mut command = expiryd();
        command.arg("run").arg("--host-root").arg(self.host.root());
        command.arg("--config").arg(self.host.configuration());
        let listen = format!("127.0.0.1:0,{}", SocketAddr::new(public, 0));
        command.env("EXPIRYD_LISTEN", listen);
        let agent = Agent::spawn(command);
        let public = wait_for("the second address", || {
            let listening = |line: &serde_json::Value| {
                let address: SocketAddr = line["address"].as_str()?.parse().ok()?;
                (!address.ip().is_loopback()).then_some(address)
            };
            agent.log().iter().find_map(listening)
        });
        agent.report();
        Some((agent, public))
    }

    fn client<'a>(&'a self, pair: Option<&'a Pair>) -> Client<'a> {
        Client { authority: &self.authority, pair, version: &rustls::version::TLS13 }
    }

    fn member(&self, name: &str) -> Pair {
        self.authority.member("system:masters", name, 2100)
    }
}

struct Client<'a> {
    authority: &'a Authority,
    pair: Option<&'a Pair>,
    version: &'static SupportedProtocolVersion,
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Client<'_> {
    fn connect(&self, to: SocketAddr) -> Tls {
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.authority.pem())).unwrap();
        let config = ClientConfig::builder_with_protocol_versions(&[self.version])
            .with_root_certificates(roots);
        let config = match self.pair {
            None => config.with_no_client_auth(),
            Some(Pair { certificate, key }) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![der(certificate)], key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        StreamOwned::new(connection, stream)
    }

    /// The answer, or why there is none.
    fn get(&self, to: SocketAddr, path: &str) -> Result<Answer, String> {
        let mut stream = self.connect(to);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|error| error.to_string())?;
        Ok(Answer::parse(&answer))
    }

    /// The certificate that the server shows now.
    fn shown(&self, to: SocketAddr) -> Vec<u8> {
        let mut stream = self.connect(to);
        stream.flush().unwrap();
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

#[test]
fn an_etcd_machine_answers_those_who_may_talk_to_its_etcd() {
    let etcd = Etcd::new();
    let Some((agent, public)) = etcd.serve("tls = \"etcd\"\n") else { return };
    let controller = etcd.member("kube-apiserver-etcd-client");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client { version, ..etcd.client(Some(&controller)) };
        let answer = client.get(public, "/expiry?format=text").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.head);
        let mut stream = client.connect(public);
        stream.write_all(b"\r\n").unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
    }
    assert_eq!(agent.get("/expiry").status, 200, "loopback stays plain, for curl and probes");
}

#[test]
fn nobody_else_is_answered_there() {
    let etcd = Etcd::new();
    let Some((_agent, public)) = etcd.serve("tls = \"etcd\"\n") else { return };
    assert!(etcd.client(None).get(public, "/expiry").is_err(), "without a certificate");
    let stranger = Authority::new("etcd-ca").member("system:masters", "kube-apiserver", 2100);
    assert!(etcd.client(Some(&stranger)).get(public, "/expiry").is_err(), "of another CA");
    let expired = etcd.authority.member("system:masters", "kube-apiserver", 2020);
    assert!(etcd.client(Some(&expired)).get(public, "/expiry").is_err(), "that has ended");

    let mut plain = TcpStream::connect(public).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    plain.write_all(b"GET /expiry HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "in plain text");
}

#[test]
fn names_say_which_clients_of_the_ca_may_ask() {
    let etcd = Etcd::new();
    let listed = "[tls]\nfrom = \"etcd\"\nclient-names = [\"controller\", \"localhost\"]\n";
    let Some((_agent, public)) = etcd.serve(listed) else { return };
    let status = |pair: &Pair| etcd.client(Some(pair)).get(public, "/expiry").unwrap();
    assert_eq!(status(&etcd.member("controller")).status, 200, "by its CN");
    let refused = status(&etcd.member("etcd-2"));
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("tls.client-names"), "{}", refused.body);
}

#[test]
fn without_a_client_ca_nobody_is_asked_who_they_are() {
    let etcd = Etcd::new();
    let files =
        format!("[tls]\ncertificate = \"/{PKI}/server.crt\"\nkey = \"/{PKI}/server.key\"\n");
    let Some((_agent, public)) = etcd.serve(&files) else { return };
    assert_eq!(etcd.client(None).get(public, "/expiry").unwrap().status, 200);
}

#[test]
fn a_renewal_in_place_is_picked_up_and_no_running_connection_ends() {
    let etcd = Etcd::new();
    let Some((agent, public)) = etcd.serve("tls = \"etcd\"\n") else { return };
    let controller = etcd.member("controller");
    let client = etcd.client(Some(&controller));
    let before = client.shown(public);
    let mut running = client.connect(public);
    let mut ask = || {
        running.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            let mut more = [0; 512];
            let read = running.read(&mut more).unwrap();
            assert_ne!(read, 0, "the connection ended");
            answer.extend(&more[..read]);
        }
    };
    ask();

    let renewed = etcd.server();
    etcd.host.write(&format!("{PKI}/server.crt"), &renewed.certificate);
    let report = agent.report_when("a pair that does not match", |report| {
        problems(report) == ["/etc/etcd/pki/server.key tls-unavailable"]
    });
    assert_eq!(report["status"], "ok", "every certificate could be read");
    assert_eq!(client.shown(public), before, "the old pair stays in force");

    etcd.host.write(&format!("{PKI}/server.key"), &renewed.key);
    agent.report_when("a pair that matches", |report| problems(report).is_empty());
    assert_eq!(client.shown(public), der(&renewed));
    ask();
}

#[test]
fn what_cannot_be_used_is_named_and_the_old_pair_stays() {
    let etcd = Etcd::new();
    let Some((agent, public)) = etcd.serve("tls = \"etcd\"\n") else { return };
    let controller = etcd.member("controller");
    for (file, content, why) in [
        ("server.key", "", "no unencrypted private key"),
        (
            "server.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "no unencrypted",
        ),
        ("ca.crt", "", "no usable CA certificate"),
    ] {
        let path = format!("{PKI}/{file}");
        let good = fs::read(etcd.host.path(&path)).unwrap();
        etcd.host.write(&path, content);
        let report =
            agent.report_when(why, |report| report.to_string().contains("tls-unavailable"));
        let all = report["problems"].as_array().unwrap();
        let problem = all.iter().find(|p| p["reason"] == "tls-unavailable").unwrap();
        assert_eq!(problem["path"], format!("/{path}"));
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains(why) && message.contains("stays in use"), "{message}");
        assert_eq!(etcd.client(Some(&controller)).get(public, "/expiry").unwrap().status, 200);
        // In the middle of a renewal somebody may reload.
        agent.signal("HUP");
        wait_for("the reload", || agent.said("was read again").then_some(()));
        assert_eq!(etcd.client(Some(&controller)).get(public, "/expiry").unwrap().status, 200);
        etcd.host.write(&path, good);
        agent.report_when("the good file", |report| problems(report).is_empty());
    }
}

#[test]
fn a_pki_that_comes_later_is_served_with_when_it_is_there() {
    let etcd = Etcd { host: Host::bare("ubuntu"), authority: Authority::new("etcd-ca") };
    let Some((agent, public)) = etcd.serve("tls = \"etcd\"\n") else { return };
    let report = agent.report();
    assert_eq!(problems(&report), ["/etc/etcd/pki/server.crt tls-unavailable"]);
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("only loopback addresses answer"), "{message}");
    let controller = etcd.member("controller");
    assert!(etcd.client(Some(&controller)).get(public, "/expiry").is_err());

    etcd.host.write(&format!("{PKI}/ca.crt"), etcd.authority.pem());
    etcd.install(&etcd.server());
    agent.report_when("a PKI", |report| problems(report).is_empty());
    assert_eq!(etcd.client(Some(&controller)).get(public, "/expiry").unwrap().status, 200);
}

#[test]
fn a_reload_that_would_take_the_encryption_away_is_refused() {
    let etcd = Etcd::new();
    let Some((agent, public)) = etcd.serve("tls = \"etcd\"\n") else { return };
    fs::write(etcd.host.configuration(), "settle = \"0s\"\n").unwrap();
    agent.signal("HUP");
    let said = wait_for("a refusal", || {
        let lines = agent.log();
        lines
            .iter()
            .find_map(|l| l["message"].as_str().filter(|m| m.contains("stays")).map(str::to_owned))
    });
    assert!(said.contains("allow-plaintext"), "{said}");
    let controller = etcd.member("controller");
    assert_eq!(etcd.client(Some(&controller)).get(public, "/expiry").unwrap().status, 200);
}

#[test]
fn a_reload_changes_who_may_ask() {
    let etcd = Etcd::new();
    let Some((agent, public)) = etcd.serve("tls = \"etcd\"\n") else { return };
    let controller = etcd.member("controller");
    fs::write(etcd.host.configuration(), "[tls]\nfrom = \"etcd\"\nclient-names = [\"other\"]\n")
        .unwrap();
    agent.signal("HUP");
    wait_for("a refusal", || {
        let answer = etcd.client(Some(&controller)).get(public, "/expiry").unwrap();
        (answer.status == 403).then_some(())
    });
}

#[test]
fn a_configuration_of_tls_that_cannot_work_is_refused_with_the_key_and_the_remedy() {
    let host = Host::bare("ubuntu");
    for (configuration, said) in [
        ("tls = \"kubelet\"", "tls must be \"etcd\" or a table"),
        ("[tls]\ncertificate = \"/a\"", "tls: it must have either certificate and key"),
        ("[tls]\nfrom = \"etcd\"\nkey = \"/a\"", "tls: it must have either certificate and key"),
        ("[tls]\ncertificate = \"a\"\nkey = \"/b\"", "tls: "),
        ("[tls]\ncertificate = \"/a\"\nkey = \"/b\"\nclient-names = [\"x\"]", "tls.client-names: "),
        ("listen = [\"0.0.0.0:9797\"]", "set tls, or allow-plaintext"),
    ] {
        fs::write(host.configuration(), configuration).unwrap();
        let mut command = expiryd();
        command.arg("run").arg("--config").arg(host.configuration());
        let output = command.arg("--host-root").arg(host.root()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{configuration}: {error}");
        assert!(error.contains(said), "{configuration}: {error}");
    }
}
