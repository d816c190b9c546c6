//! No private key stays in the memory of an agent that has read files with keys in them, and used one.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use testkit::api_server::ApiServer;
use testkit::authority::{Authority, Pair};
use testkit::kubelet::{AT_ONCE, control_plane, publication_when};
use testkit::{Agent, Host, is_root, skip};

/// Bytes of a key that nothing else has in a row.
const PIECE: usize = 16;

/// The writable memory of a process.
fn memory(pid: u32) -> Vec<u8> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut all = Vec::new();
    for map in maps.lines() {
        let mut fields = map.split_whitespace();
        let (range, access) = (fields.next().unwrap(), fields.next().unwrap());
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        if access.starts_with("rw") {
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // A guard's pages cannot be read.
            if memory.read_exact_at(&mut bytes, start).is_ok() {
                all.extend(bytes);
            }
        }
    }
    all
}

/// The forms in which a pair's key may lie about: DER, PEM, and PEM inside a kubeconfig.
fn forms(pair: &Pair) -> [Vec<u8>; 3] {
    let body: String = pair.key.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(&body).unwrap();
    // RFC 5915: behind the private key comes the public one, which the certificate has, too.
    let private = &der[36..68];
    let line = pair.key.lines().nth(1).unwrap();
    let kubeconfig = STANDARD.encode(&pair.key);
    // Each without what all keys of this kind begin with.
    [private.to_vec(), line[48..].into(), kubeconfig[100..120].into()]
}

fn found(memory: &[u8], key: &[u8]) -> usize {
    let pieces: Vec<_> = key.windows(PIECE).step_by(4).collect();
    memory.windows(PIECE).filter(|window| pieces.contains(window)).count()
}

#[test]
fn no_key_is_left_in_the_memory_of_an_agent_that_has_settled_and_published() {
    if !is_root() {
        return skip("root alone may read the memory of a process that is not dumpable");
    }
    let server = ApiServer::start();
    let host = control_plane(&server);
    let authority = &server.authority;
    let mut pairs = Vec::new();
    for name in ["admin.conf", "super-admin.conf", "controller-manager.conf"] {
        let pair = authority.client(name, 2100);
        let [certificate, key] = [&pair.certificate, &pair.key].map(|pem| STANDARD.encode(pem));
        let text = format!(
            "apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user:\n    \
             client-certificate-data: {certificate}\n    client-key-data: {key}\n"
        );
        host.write(&format!("etc/kubernetes/{name}"), text);
        pairs.push(pair);
    }
    // The one that it uses.
    let kubelet =
        fs::read_to_string(host.path("var/lib/kubelet/pki/kubelet-client-1.pem")).unwrap();
    let (certificate, key) = kubelet.split_at(kubelet.find("-----BEGIN PRIVATE").unwrap());
    pairs.push(Pair { certificate: certificate.to_owned(), key: key.to_owned() });

    let agent = Agent::start(&host, &format!("tick = \"1s\"\n{AT_ONCE}"));
    publication_when(&agent, "accepted");
    let seen = agent.report()["observedAt"].clone();
    agent.report_when("two more looks", |r| r["observedAt"].as_str() > seen.as_str());
    for (process, pid) in [("agent", agent.pid()), ("server", agent.server())] {
        let memory = memory(pid);
        assert!(
            found(&memory, b"/etc/kubernetes/super-admin.conf") > 0,
            "{process} can be searched"
        );
        for (index, pair) in pairs.iter().enumerate() {
            let left = forms(pair).map(|form| found(&memory, &form));
            assert_eq!(left, [0; 3], "{process}: DER, PEM, kubeconfig of key {index}");
        }
    }
}

#[test]
fn of_an_etcd_machines_keys_the_server_gets_that_of_its_endpoint_and_the_agent_keeps_no_other() {
    if !is_root() {
        return skip("root alone may read the memory of a process that is not dumpable");
    }
    let host = Host::bare("ubuntu");
    let authority = Authority::new("etcd-ca");
    let pki = |name: &str, content: &str| host.write(&format!("etc/etcd/pki/{name}"), content);
    let [ca, server, peer, client] = [(); 4].map(|()| authority.server());
    let ca = Pair { certificate: authority.pem(), ..ca };
    for (name, pair) in [("ca", &ca), ("server", &server), ("peer", &peer), ("etcdctl", &client)] {
        pki(&format!("{name}.crt"), &pair.certificate);
        pki(&format!("{name}.key"), &pair.key);
    }
    let agent = Agent::start(&host, &format!("tick = \"1s\"\ntls = \"etcd\"\n{AT_ONCE}"));
    let seen = agent.report()["observedAt"].clone();
    agent.report_when("two more looks", |r| r["observedAt"].as_str() > seen.as_str());
    for (process, pid) in [("agent", agent.pid()), ("server", agent.server())] {
        let memory = memory(pid);
        assert!(found(&memory, b"/etc/etcd/pki/server.crt") > 0, "{process} can be searched");
        if process == "agent" {
            let own = forms(&server).map(|form| found(&memory, &form)).iter().sum::<usize>();
            assert!(own > 0, "the agent keeps the endpoint's key, for the next server");
        }
        for (name, pair) in [("ca", &ca), ("peer", &peer), ("etcdctl", &client)] {
            let left = forms(pair).map(|form| found(&memory, &form));
            assert_eq!(left, [0; 3], "{process}: DER, PEM, kubeconfig of {name}.key");
        }
    }
}
