//! What the servers on a machine show, beside what is in their files.

use rcgen::CertificateParams;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use testkit::authority::{Authority, Pair};
use testkit::cluster::{Cluster, assets};
use testkit::etcd_member::Member;
use testkit::tls_server::{TlsServer, babbler};
use testkit::{Agent, Host, earliest, network, problems, skip};

const PKI: &str = "etc/kubernetes/pki";
const APISERVER: &str = "etc/kubernetes/pki/apiserver.crt";

/// A control plane whose kube-apiserver listens where a test has something listen.
struct Machine {
    host: Host,
    authority: Authority,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { host: Host::bare("ubuntu"), authority: Authority::new("kubernetes") };
        for ca in ["ca.crt", "front-proxy-ca.crt", "etcd/ca.crt"] {
            machine.host.write(&format!("{PKI}/{ca}"), machine.authority.pem());
        }
        for leaf in ["apiserver-kubelet-client", "front-proxy-client", "apiserver-etcd-client"] {
            let pair = machine.pair(2090);
            machine.host.write(&format!("{PKI}/{leaf}.crt"), pair.certificate);
        }
        for name in ["controller-manager.conf", "scheduler.conf"] {
            let node = testkit::nodes().join("rhel-control-plane-external-etcd/etc/kubernetes");
            machine
                .host
                .write(&format!("etc/kubernetes/{name}"), std::fs::read(node.join(name)).unwrap());
        }
        machine
    }

    /// A server's pair that ends at the beginning of this year.
    fn pair(&self, year: i32) -> Pair {
        pair(&self.authority, year)
    }

    fn has(&self, pair: &Pair) {
        self.host.replace(APISERVER, &pair.certificate);
    }

    fn listens_on(&self, port: u16) {
        let manifest = format!("spec:\n  containers:\n  - command:\n    - --secure-port={port}\n");
        self.host.write("etc/kubernetes/manifests/kube-apiserver.yaml", manifest);
    }

    /// What `expiryd check` says of kube-apiserver.
    fn looked_at(&self, port: u16) -> Value {
        self.listens_on(port);
        let report = self.host.report(&[]);
        let served = report["served"].as_array().unwrap();
        assert_eq!(served.len(), 1, "{report}");
        assert_eq!(served[0]["address"], format!("127.0.0.1:{port}"));
        served[0].clone()
    }
}

fn pair(authority: &Authority, year: i32) -> Pair {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    authority.sign(&params)
}

#[test]
fn what_is_served_is_told_by_each_version_of_tls_also_where_a_client_certificate_is_asked_for() {
    let machine = Machine::new();
    let pair = machine.pair(2027);
    machine.has(&pair);
    for version in [&TLS12, &TLS13] {
        for clients in [None, Some(&machine.authority)] {
            let server = TlsServer::start(&pair, &[version], clients);
            let served = machine.looked_at(server.address.port());
            assert_eq!(served["matches"], true, "{served}");
            assert_eq!(served["counted"], true, "{served}");
            assert_eq!(served["notAfter"], "2027-01-01T00:00:00Z");
            assert_eq!(served["path"], format!("/{APISERVER}"));
        }
    }
}

#[test]
fn a_certificate_that_is_served_and_ends_before_its_file_s_takes_its_place() {
    let machine = Machine::new();
    machine.has(&machine.pair(2027));
    let server = TlsServer::start(&machine.pair(2026), &[&TLS13], None);
    machine.listens_on(server.address.port());
    let report = machine.host.report(&[]);
    let first = format!("2026-01-01T00:00:00Z /{APISERVER}");
    assert_eq!(earliest(&report), first);
    assert_eq!(report["machineRollout"]["notAfter"], "2026-01-01T00:00:00Z");
    assert_eq!(problems(&report), [format!("/{APISERVER} served-differs")]);
    assert_eq!(report["status"], "ok");
    let table = machine.host.check(&["--at", testkit::NOW]).stdout;
    let table = String::from_utf8(table).unwrap();
    let address = server.address;
    assert!(table.contains(&format!("on {address}, not /{APISERVER}")), "{table}");
    assert!(table.contains("not-served"), "{table}");
    let metrics = String::from_utf8(machine.host.check(&["-o", "prom"]).stdout).unwrap();
    let labels = format!("{{address=\"{address}\",path=\"/{APISERVER}\"}}");
    assert!(metrics.contains(&format!("expiryd_served_matches{labels} 0")), "{metrics}");
    let name = "expiryd_served_not_after_timestamp_seconds";
    assert!(metrics.contains(&format!("{name}{labels} 1767225600")), "{metrics}");
}

#[test]
fn a_certificate_that_is_served_and_ends_later_moves_no_date() {
    let machine = Machine::new();
    machine.has(&machine.pair(2026));
    let server = TlsServer::start(&machine.pair(2027), &[&TLS13], None);
    machine.listens_on(server.address.port());
    let report = machine.host.report(&[]);
    assert_eq!(earliest(&report), format!("2026-01-01T00:00:00Z /{APISERVER}"));
    assert_eq!(problems(&report), [format!("/{APISERVER} served-differs")]);
}

#[test]
fn what_somebody_else_serves_on_the_port_moves_no_date() {
    let machine = Machine::new();
    machine.has(&machine.pair(2027));
    let server = TlsServer::start(&pair(&Authority::new("kubernetes"), 2020), &[&TLS13], None);
    let served = machine.looked_at(server.address.port());
    assert_eq!((&served["matches"], &served["counted"]), (&json!(false), &json!(false)));
    let report = machine.host.report(&[]);
    assert_eq!(earliest(&report), format!("2027-01-01T00:00:00Z /{APISERVER}"));
    assert_eq!(problems(&report), [format!("/{APISERVER} served-differs")]);
}

#[test]
fn a_server_that_is_not_there_hangs_hangs_up_or_speaks_no_tls_is_told_and_is_no_problem() {
    let machine = Machine::new();
    machine.has(&machine.pair(2027));
    // A record of a handshake that says it is a certificate of a megabyte, and then that much of it.
    let mut megabyte = vec![22, 3, 3, 0x40, 0, 11, 0x10, 0, 0];
    megabyte.resize(1 << 20, 0);
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for (address, why) in [
        (free, "has no server"),
        (babbler(Vec::new(), false), "said nothing for 2s"),
        (babbler(Vec::new(), true), "hung up before it showed a certificate"),
        (babbler(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), true), "cannot be asked by TLS"),
        (babbler(megabyte, false), "cannot be asked by TLS"),
    ] {
        let served = machine.looked_at(address.port());
        let message = served["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{address} {why}")), "{message}, not {why}");
        assert_eq!((&served["notAfter"], &served["matches"]), (&Value::Null, &Value::Null));
        assert_eq!(problems(&machine.host.report(&[])), Vec::<String>::new());
    }
}

#[test]
fn served_false_looks_at_nothing() {
    let machine = Machine::new();
    machine.has(&machine.pair(2027));
    let server = TlsServer::start(&machine.pair(2026), &[&TLS13], None);
    machine.listens_on(server.address.port());
    let report = machine.host.report(&["--served", "false"]);
    assert_eq!(report["served"], json!([]));
    assert_eq!(earliest(&report), format!("2027-01-01T00:00:00Z /{APISERVER}"));
}

#[test]
fn a_file_that_is_renewed_moves_no_date_before_the_server_was_restarted() {
    let machine = Machine::new();
    let old = machine.pair(2026);
    machine.has(&old);
    let server = TlsServer::start(&old, &[&TLS13], None);
    machine.listens_on(server.address.port());
    let agent = Agent::start(&machine.host, "settle = \"0s\"\n");
    let first = format!("2026-01-01T00:00:00Z /{APISERVER}");
    let report = agent.report_when("a look", |report| report["served"][0]["matches"] == true);
    assert_eq!(earliest(&report), first);

    let new = machine.pair(2027);
    machine.has(&new);
    let renewed = |report: &Value| {
        let certificates = report["certificates"].as_array().unwrap();
        let file = certificates.iter().find(|c| c["path"] == format!("/{APISERVER}")).unwrap();
        file["notAfter"] == "2027-01-01T00:00:00Z"
    };
    let report = agent.report_when("the renewed file", renewed);
    // Nobody has looked at the server since.
    assert_eq!((earliest(&report), problems(&report)), (first.clone(), Vec::new()));

    agent.signal("HUP");
    let report = agent.report_when("another look", |report| !problems(report).is_empty());
    assert_eq!(problems(&report), [format!("/{APISERVER} served-differs")]);
    assert_eq!(earliest(&report), first);
    let page = agent.ask("GET", "/", &["Accept: text/html"]).body;
    assert!(page.contains("not as in the file"), "{page}");

    server.show(&new);
    agent.signal("HUP");
    let report = agent.report_when("a look at the restarted server", |r| problems(r).is_empty());
    assert_eq!(earliest(&report), format!("2027-01-01T00:00:00Z /{APISERVER}"));
}

#[test]
fn a_real_kube_apiserver_serves_a_renewed_file_by_itself() {
    let Some(assets) = assets() else { return };
    let cluster = Cluster::start(&assets);
    let machine = Machine::new();
    let certificate = std::fs::read(cluster.serving_certificate()).unwrap();
    machine.host.write(&format!("{PKI}/ca.crt"), cluster.authority.pem());
    machine.host.write(APISERVER, &certificate);
    let served = machine.looked_at(cluster.port);
    assert_eq!((&served["matches"], &served["counted"]), (&json!(true), &json!(true)), "{served}");

    let new = pair(&cluster.authority, 2027);
    machine.has(&new);
    let served = machine.looked_at(cluster.port);
    assert_eq!((&served["matches"], &served["counted"]), (&json!(false), &json!(true)), "{served}");
    std::fs::write(cluster.serving_key(), &new.key).unwrap();
    std::fs::write(cluster.serving_certificate(), &new.certificate).unwrap();
    testkit::wait_up_to(std::time::Duration::from_mins(2), "the new certificate", || {
        (machine.looked_at(cluster.port)["matches"] == true).then_some(())
    });
}

#[test]
fn a_real_etcd_shows_its_certificates_to_whoever_has_none_and_reads_its_files_each_time() {
    let Some(assets) = assets() else { return };
    if let Err(why) = network::can_leave() {
        skip(why);
        return;
    }
    network::leave();
    let authority = Authority::new("etcd");
    let end = time::OffsetDateTime::from_unix_timestamp(3_155_760_000).unwrap();
    let member =
        Member::boot(&assets.join("etcd"), &authority, "etcd-1", "127.0.0.1", "127.0.0.1", end);
    let report = member.host.report(&[]);
    let served = report["served"].as_array().unwrap();
    let of = |served: &Value| (served["address"].clone(), served["matches"].clone());
    assert_eq!(
        served.iter().map(of).collect::<Vec<_>>(),
        [(json!("127.0.0.1:2379"), json!(true)), (json!("127.0.0.1:2380"), json!(true))]
    );
    assert!(served.iter().all(|served| served["counted"] == true), "{report}");
    // No restart: it reads its files at each handshake.
    let new = pair(&authority, 2090);
    for (name, content) in [("server.key", &new.key), ("server.crt", &new.certificate)] {
        member.host.replace(&format!("etc/etcd/pki/{name}"), content);
    }
    let report = member.host.report(&[]);
    assert_eq!(report["served"][0]["notAfter"], "2090-01-01T00:00:00Z");
    assert_eq!(report["served"][0]["matches"], true);
}
