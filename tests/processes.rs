//! Who can be reached cannot read, and who reads cannot be reached: the agent and its server are two
//! processes, and the end of the server is not the end of the agent.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use testkit::api_server::ApiServer;
use testkit::certificate::CertificateBuilder;
use testkit::kubelet::{AT_ONCE, control_plane, publication, publication_when};
use testkit::{Agent, Host, descendant, expiryd, signal, status_text, strace, wait_for};

/// An etcd machine whose report is more than a socket pair holds.
fn large() -> Host {
    let host = Host::like("ubuntu-etcd");
    for n in 0..1_000 {
        let leaf = CertificateBuilder::leaf("20300101000000Z").named(&format!("leaf {n}"));
        host.write(&format!("etc/etcd/pki/{n:04}.crt"), leaf.pem());
    }
    host
}

/// The open descriptors, and what each is.
fn descriptors(pid: u32) -> Vec<(String, String)> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(Result::unwrap);
    let what = |path: &Path| fs::read_link(path).ok().map(|what| what.display().to_string());
    all.filter_map(|open| Some((open.file_name().into_string().ok()?, what(&open.path())?)))
        .collect()
}

/// Waits until another server than this one answers for the agent.
fn another_server(agent: &Agent, than: u32) {
    wait_for("another server", || Some(agent.server()).filter(|server| *server != than));
}

/// Asks once, on a connection of its own, whatever happens meanwhile.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream
        .write_all(b"GET /expiry?format=text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_server_has_no_capability_no_file_and_a_list_of_system_calls() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, "");
    agent.report();
    let server = agent.server();
    assert_ne!(server, agent.pid());
    for capabilities in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_text(server, capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(
        (status_text(server, "NoNewPrivs"), status_text(server, "Seccomp")),
        ("1".into(), "2".into())
    );
    if testkit::is_root() {
        assert_eq!(status_text(server, "Uid"), "65534\t65534\t65534\t65534");
    }
    assert_eq!(status_text(server, "Threads"), "1");
    for (number, what) in descriptors(server) {
        // Standard error is the test's pipe.
        let harmless =
            ["socket:", "pipe:", "anon_inode:"].iter().any(|kind| what.starts_with(kind));
        assert!(harmless, "descriptor {number} is {what}");
    }
}

#[test]
fn what_whoever_starts_it_left_open_is_closed_in_both() {
    let host = Host::like("ubuntu-etcd");
    host.write("secret", "a key");
    let script = "exec 9< \"$1\"; shift; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(host.path("secret")).arg(expiryd().get_program());
    command.args(["run", "--host-root"]).arg(host.root());
    let agent = Agent::spawn(command);
    agent.report();
    for pid in [agent.pid(), agent.server()] {
        let open = descriptors(pid);
        assert!(open.iter().all(|(_, what)| !what.ends_with("/secret")), "{open:?}");
    }
}

#[test]
fn the_agent_listens_and_takes_no_connection() {
    let Some(mut command) = strace() else { return };
    let host = Host::like("ubuntu-etcd");
    let log = tempfile::NamedTempFile::new().unwrap();
    command.args(["-f", "-e", "trace=all", "-o"]).arg(log.path());
    command.arg(expiryd().get_program()).args(["run", "--host-root"]).arg(host.root());
    let mut traced = Agent::spawn(command);
    traced.report();
    for path in ["/", "/metrics", "/healthz", "/readyz", "/nothing"] {
        traced.get(path);
    }
    for _ in 0..200 {
        ask(traced.address).unwrap();
    }
    let agent = descendant(traced.pid(), "expiryd");
    let server = descendant(agent, "expiryd-server");
    signal(agent, "TERM");
    traced.ended();

    let calls = fs::read_to_string(log.path()).unwrap();
    let of = |pid: u32| -> Vec<&str> {
        calls
            .lines()
            .filter_map(|line| line.strip_prefix(&pid.to_string()))
            .map(str::trim)
            .collect()
    };
    let name = |call: &&str| call.split('(').next().unwrap_or_default().to_owned();
    let agents: BTreeSet<_> = of(agent).iter().map(name).collect();
    assert!(agents.contains("listen") && !agents.contains("accept4"), "{agents:?}");

    let servers = of(server);
    let locked = servers.iter().rposition(|call| call.starts_with("seccomp(")).unwrap();
    let servers: BTreeSet<_> = servers[locked + 1..].iter().map(name).collect();
    assert!(servers.contains("accept4"), "{servers:?}");
    let files = ["open", "stat", "readlink", "access", "getdents64", "exec"];
    let others = ["socket", "connect", "bind", "listen", "clone", "fork"];
    for call in &servers {
        let forbidden = files.iter().chain(&others).any(|forbidden| call.contains(forbidden));
        assert!(!forbidden, "{call} of {servers:?}");
    }
}

#[test]
fn no_connection_is_refused_while_the_server_is_killed_again_and_again() {
    let host = large();
    let agent = Agent::start(&host, "");
    agent.report();
    let (address, killing) = (agent.address, AtomicBool::new(true));
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answered = 0;
            while killing.load(Ordering::Relaxed) {
                match ask(address) {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200") => answered += 1,
                    // A connection that the killed process had taken ends with it.
                    Ok(answer) => assert!(answer.is_empty(), "{answer}"),
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
                }
            }
            answered
        });
        for _ in 0..3 {
            let killed = agent.server();
            signal(killed, "KILL");
            another_server(&agent, killed);
            agent.report();
        }
        killing.store(false, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);
    });
    let report = agent.report_when("what happened", |r| r["serverRestarts"]["count"] == 3);
    assert_eq!(report["serverRestarts"]["reason"], "ended (signal: 9 (SIGKILL))");
    assert!(report["serverRestarts"]["last"].is_string());
    assert!(agent.get("/metrics").body.contains("\nexpiryd_server_restarts_total 3.0\n"));
    let killed = "the server ended (signal: 9 (SIGKILL)); until it is started again in";
    assert!(agent.said(killed));
}

#[test]
fn a_server_that_was_never_started_again_is_not_spoken_of() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, "");
    assert!(agent.report().get("serverRestarts").is_none());
    assert!(agent.get("/metrics").body.contains("\nexpiryd_server_restarts_total 0.0\n"));
}

#[test]
fn a_server_that_hangs_is_killed_and_started_again() {
    let host = Host::like("ubuntu-etcd");
    let agent = Agent::start(&host, "tick = \"1s\"\n");
    agent.report();
    let hanging = agent.server();
    signal(hanging, "STOP");
    another_server(&agent, hanging);
    let report = agent.report_when("what happened", |r| r["serverRestarts"]["count"] == 1);
    assert_eq!(report["serverRestarts"]["reason"], "did not answer for 10s and was killed");
}

#[test]
fn a_server_that_hangs_keeps_no_agent_from_ending() {
    let host = large();
    let mut agent = Agent::start(&host, "tick = \"1s\"\nlog-level = \"debug\"\n");
    agent.report();
    let hanging = agent.server();
    let before = agent.scans();
    signal(hanging, "STOP");
    wait_for("a look that it cannot be told of", || (agent.scans() > before + 1).then_some(()));
    agent.signal("TERM");
    assert_eq!(agent.ended(), Some(0));
    assert!(!agent.said("did not answer"), "it was waited for until it counted as ended");
    assert!(!fs::exists(format!("/proc/{hanging}")).unwrap(), "it was not ended with the agent");
}

#[test]
fn the_node_never_notices_the_end_of_the_server() {
    let api = ApiServer::start();
    let host = control_plane(&api);
    let agent = Agent::start(&host, &format!("tick = \"1s\"\n{AT_ONCE}"));
    publication_when(&agent, "accepted");
    let (requests, before) = (api.requests().len(), publication(&agent));
    let killed = agent.server();
    signal(killed, "KILL");
    another_server(&agent, killed);
    let seen = agent.report()["observedAt"].clone();
    agent.report_when("another look", |r| r["observedAt"].as_str() > seen.as_str());
    assert_eq!((api.requests().len(), publication(&agent)), (requests, before));
}

#[test]
fn the_server_ends_with_the_agent_and_not_by_a_signal_to_both() {
    let host = Host::like("ubuntu-etcd");
    let mut agent = Agent::start(&host, "");
    agent.report();
    let server = agent.server();
    // A service manager's stop, or ^C in a terminal, is for every process; the agent alone decides.
    for name in ["HUP", "INT", "TERM"] {
        signal(server, name);
    }
    agent.report();
    assert_eq!(agent.server(), server);
    // One that is stopped sees nothing of it.
    signal(server, "STOP");
    agent.signal("KILL");
    agent.ended();
    wait_for("the end of the server", || {
        (!fs::exists(format!("/proc/{server}")).unwrap()).then_some(())
    });
}

/// An address of this process alone, so that whoever is given a port by the kernel has it elsewhere.
fn address(net: u8) -> SocketAddr {
    let [.., a, b] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, net, a, b], 9797))
}

fn listen(host: &Host, addresses: &[SocketAddr]) {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    fs::write(host.configuration(), format!("listen = {addresses:?}\n")).unwrap();
}

/// An agent that listens where its configuration alone says.
fn listening(host: &Host, addresses: &[SocketAddr]) -> Agent {
    listen(host, addresses);
    let mut command = Command::new("env");
    command.args(["-u", "EXPIRYD_LISTEN"]).arg(expiryd().get_program());
    command.args(["run", "--host-root"]).arg(host.root()).arg("--config").arg(host.configuration());
    Agent::spawn(command)
}

#[test]
fn a_server_that_ends_by_itself_is_heard_to_the_end() {
    let [stays, comes] = [76, 77].map(address);
    let host = Host::like("ubuntu-etcd");
    let agent = listening(&host, &[stays]);
    agent.report();
    let ended = agent.server();
    // No descriptor more: it cannot take the socket of an address that it is to answer at.
    let pid = ended.to_string();
    let mut limit = Command::new("prlimit");
    // Its own user may limit it, and root not everywhere.
    if testkit::is_root() {
        limit = Command::new("setpriv");
        limit.args(["--reuid=65534", "--regid=65534", "--clear-groups", "prlimit"]);
    }
    assert!(limit.args(["--pid", &pid, "--nofile=3:3"]).status().unwrap().success());
    listen(&host, &[stays, comes]);
    agent.signal("HUP");
    another_server(&agent, ended);
    wait_for("an answer at the new address", || ask(comes).ok());
    let report = agent.report_when("what happened", |r| r["serverRestarts"]["count"] == 1);
    assert_eq!(report["serverRestarts"]["reason"], "ended (exit status: 71)");
    let last = "what the agent says cannot be understood: no socket came with it";
    wait_for("its last sentence", || agent.said(last).then_some(()));
}

#[test]
fn a_reload_that_changes_addresses_refuses_nobody_where_it_goes_on() {
    let [stays, comes] = [78, 79].map(address);
    let host = Host::like("ubuntu-etcd");
    let configure = |addresses: &[SocketAddr]| listen(&host, addresses);
    let agent = listening(&host, &[stays]);
    agent.report();
    let reloading = AtomicBool::new(true);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while reloading.load(Ordering::Relaxed) {
                let answer = ask(stays).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
            }
        });
        for _ in 0..5 {
            configure(&[stays, comes]);
            agent.signal("HUP");
            wait_for("an answer at the new address", || ask(comes).ok());
            configure(&[stays]);
            agent.signal("HUP");
            wait_for("none at the address that went", || TcpStream::connect(comes).err());
        }
        reloading.store(false, Ordering::Relaxed);
        asking.join().unwrap();
    });
}

#[test]
fn whoever_starts_the_server_by_hand_is_told_what_to_run() {
    let mut command = expiryd();
    command.arg0("expiryd-server").args(["--log-format", "text", "--log-level", "info"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(71));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "expiryd: this is the process that answers for `expiryd run`, which starts it by itself; run that\n"
    );
}
