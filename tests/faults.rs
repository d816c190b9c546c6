//! Things go wrong beneath the agent, and what it publishes stays right.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Host, earliest, expiryd, is_root, problems, skip, status, strace, wait_for};

const QUICK: &str = "settle = \"0s\"\ntick = \"1s\"\n";
const SERVER: &str = "etc/etcd/pki/server.crt";
const NOBODY: u32 = 65_534;

fn leaf(year: u16) -> String {
    CertificateBuilder::leaf(&format!("{year}0101000000Z")).pem()
}

/// An etcd machine whose earliest certificate is server.crt.
fn etcd() -> Host {
    let host = Host::bare("ubuntu");
    host.write("etc/etcd/pki/ca.crt", CertificateBuilder::ca("20400101000000Z").pem());
    host.write("etc/etcd/pki/peer.crt", leaf(2031));
    host.write(SERVER, leaf(2030));
    host
}

fn year(report: &Value) -> String {
    earliest(report).chars().take(4).collect()
}

fn stale(report: &Value) -> Vec<String> {
    let stale = report["certificates"].as_array().unwrap().iter().filter(|c| c["stale"] == true);
    stale.map(|c| c["path"].as_str().unwrap().to_owned()).collect()
}

/// Tampers with a running agent's reads of server.crt; `None` where that cannot be.
fn tamper(agent: &Agent, host: &Host, how: &str) -> Option<Tracer> {
    let mut command = strace()?;
    if !is_root() {
        skip("root alone may trace a process that is not dumpable");
        return None;
    }
    command.args(["--quiet=all", "-f", "-o", "/dev/null", "-e", "trace=read", "-P"]);
    command.arg(host.path(SERVER));
    command.args(["-e", &format!("inject=read:{how}"), "-p", &agent.pid().to_string()]);
    let tracer = Tracer(command.spawn().unwrap());
    wait_for("the tracer", || (status(agent.pid(), "TracerPid") != 0).then_some(()));
    Some(tracer)
}

/// Ends when it is dropped, before the agent that it traces.
struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_disk_that_fails_leaves_the_last_good_date() {
    let host = etcd();
    let agent = Agent::start(&host, QUICK);
    assert_eq!(year(&agent.report()), "2030");
    let Some(_tracer) = tamper(&agent, &host, "error=EIO") else { return };
    host.write(SERVER, leaf(2032));
    let report = agent.report_when("a read error", |report| report["status"] == "degraded");
    assert_eq!(problems(&report), ["/etc/etcd/pki/server.crt read-error"]);
    assert_eq!((year(&report).as_str(), stale(&report)), ("2030", vec![format!("/{SERVER}")]));
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("I/O error"), "{message}");
}

#[test]
fn a_disk_that_hangs_holds_up_no_answer() {
    let host = etcd();
    let agent = Agent::start(&host, QUICK);
    agent.report_when("a settled report", |report| report["settled"] == true);
    // Longer than any test takes: it hangs until the tracer is gone.
    let Some(tracer) = tamper(&agent, &host, "delay_enter=3600000000") else { return };
    host.write(SERVER, leaf(2032));
    for path in ["/healthz", "/readyz", "/expiry", "/metrics", "/"].repeat(20) {
        assert_eq!(agent.get(path).status, 200, "{path}");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(year(&agent.report()), "2030", "the scan is not over");
    drop(tracer);
    agent.report_when("the end of the scan", |report| year(report) == "2031");
}

#[test]
fn a_full_disk_leaves_the_textfile_as_it_was() {
    let host = etcd();
    let script = "mount -t tmpfs -o size=16k none \"$1\" || exit 99
        echo before > \"$1/expiryd.prom\"
        cat /dev/zero > \"$1/filler\" 2> /dev/null
        \"$2\" check --host-root \"$3\" -o prom --output-file \"$1/expiryd.prom\"
        echo \"exit $?\"; cat \"$1/expiryd.prom\"; ls -A \"$1\"";
    let disk = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(disk.path()).arg(expiryd().get_program()).arg(host.root());
    let output = command.output().unwrap();
    if matches!(output.status.code(), Some(1 | 99)) {
        skip("no user namespace in which a disk could be filled");
        return;
    }
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("expiryd.prom") && error.contains("No space left"), "{error}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "exit 74\nbefore\nexpiryd.prom\nfiller\n");
}

#[test]
fn a_directory_that_becomes_a_file_and_back_takes_no_date_away() {
    let host = etcd();
    let agent = Agent::start(&host, QUICK);
    assert_eq!(year(&agent.report()), "2030");
    let pki = host.path("etc/etcd/pki");
    fs::rename(&pki, host.path("etc/etcd/aside")).unwrap();
    fs::write(&pki, "a file").unwrap();
    let report = agent.report_when("degraded", |report| report["status"] == "degraded");
    assert_eq!(year(&report), "2030");
    assert_eq!(stale(&report).len(), 3);
    fs::remove_file(&pki).unwrap();
    fs::rename(host.path("etc/etcd/aside"), &pki).unwrap();
    let report = agent.report_when("ok", |report| report["status"] == "ok");
    assert_eq!((year(&report).as_str(), stale(&report).len()), ("2030", 0));
}

#[test]
fn permissions_that_flip_back_and_forth_take_no_date_away() {
    let host = etcd();
    if !is_root() {
        skip("only root can start the agent as somebody else");
        return;
    }
    fs::write(host.configuration(), QUICK).unwrap();
    fs::set_permissions(host.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = expiryd();
    command.uid(NOBODY).gid(NOBODY).arg("run").arg("--host-root").arg(host.root());
    command.arg("--config").arg(host.configuration());
    let agent = Agent::spawn(command);
    let mode = |path: &str, mode| {
        fs::set_permissions(host.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    agent.report_when("ok", |report| report["status"] == "ok");
    for (path, open) in [(SERVER, 0o644), ("etc/etcd/pki", 0o755), (SERVER, 0o644)] {
        mode(path, 0);
        let report = agent.report_when("degraded", |report| report["status"] == "degraded");
        assert!(problems(&report)[0].ends_with(" permission-denied"), "{report}");
        assert_eq!(year(&report), "2030");
        mode(path, open);
        let report = agent.report_when("ok", |report| report["status"] == "ok");
        assert_eq!(year(&report), "2030");
    }
    // An owner is as good as a mode.
    mode(SERVER, 0o400);
    agent.report_when("degraded", |report| report["status"] == "degraded");
    chown(host.path(SERVER), Some(NOBODY), Some(NOBODY)).unwrap();
    agent.report_when("ok", |report| report["status"] == "ok");
}

#[test]
fn more_events_than_the_queue_holds_lose_nothing() {
    let host = etcd();
    let agent = Agent::start(&host, "settle = \"0s\"\n");
    agent.report_when("ok", |report| report["status"] == "ok");
    let (one, other) = (host.path("etc/etcd/pki/a"), host.path("etc/etcd/pki/b"));
    fs::write(&one, "").unwrap();
    agent.signal("STOP");
    for _ in 0..50_000 {
        fs::rename(&one, &other).unwrap();
        fs::rename(&other, &one).unwrap();
    }
    host.replace(SERVER, leaf(2029));
    agent.signal("CONT");
    let report = agent.report_when("what came last", |report| year(report) == "2029");
    assert_eq!(report["status"], "ok");
}

#[test]
fn five_thousand_problems_are_counted_and_neither_listed_nor_logged_one_by_one() {
    let host = etcd();
    for n in 0..5_000 {
        host.write(&format!("etc/etcd/pki/broken-{n:04}.crt"), "");
    }
    let agent = Agent::start(&host, QUICK);
    let report = agent.report();
    assert_eq!(year(&report), "2030");
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1_001);
    assert_eq!(problems[0]["reason"], "too-many");
    assert!(problems[0]["message"].as_str().unwrap().starts_with("4000 more problems"));
    let warned = agent.log().iter().filter(|line| line["level"] == "WARN").count();
    assert!(warned <= 22, "{warned} lines");
}

#[test]
fn an_agent_that_was_stopped_goes_on() {
    let host = etcd();
    let agent = Agent::start(&host, QUICK);
    agent.report();
    agent.signal("STOP");
    host.replace(SERVER, leaf(2029));
    thread::sleep(Duration::from_secs(3));
    agent.signal("CONT");
    agent.report_when("the change", |report| year(report) == "2029");
    assert_eq!(agent.get("/healthz").status, 200);
}

#[test]
fn half_closed_and_reset_connections_are_the_clients_loss() {
    let host = etcd();
    let agent = Agent::start(&host, QUICK);
    agent.report();
    let mut half = TcpStream::connect(agent.address).unwrap();
    half.write_all(b"GET /expiry?format=text HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n2030-01-01T00:00:00Z\n"), "{answer}");
    for request in [&b""[..], b"GET", b"GET /expiry HTTP/1.1\r\nHost: x\r\n\r\n"] {
        for _ in 0..100 {
            let mut stream = TcpStream::connect(agent.address).unwrap();
            stream.write_all(request).unwrap();
            // With something unread, closing resets.
            drop(stream);
        }
    }
    assert_eq!(agent.get("/healthz").status, 200);
}

#[test]
fn ten_thousand_silent_connections_keep_no_probe_out() {
    let host = etcd();
    let agent = Agent::start(&host, QUICK);
    agent.report();
    let (_, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard);
    let mut silent = Vec::new();
    for n in 0..10_000 {
        match TcpStream::connect(agent.address) {
            Ok(mut stream) => {
                // It may have been given up for the next one already.
                let _ = stream.write_all(b"GET /expiry HTTP/1.1\r\nX-Slow: ");
                silent.push(stream);
            }
            Err(error) => {
                eprintln!("no more than {n} connections can be made here: {error}");
                break;
            }
        }
        if n % 1_000 == 0 {
            assert_eq!(agent.get("/healthz").status, 200, "with {n}");
        }
    }
    assert_eq!(agent.get("/healthz").status, 200);
    let open = fs::read_dir(format!("/proc/{}/fd", agent.server())).unwrap().count();
    // 64 that have asked, 192 that have begun to, a few that were not heard yet, and what the server itself has.
    assert!(open < 600, "{open} descriptors");
}

#[test]
fn killed_at_every_step_of_a_renewal_it_settles_on_nothing_that_is_not_whole() {
    let host = etcd();
    let pki = |file: &str| format!("etc/etcd/pki/{file}");
    let ca = fs::read(host.path(&pki("ca.crt"))).unwrap();
    let new = leaf(2032);
    let (half, _) = new.split_at(new.len() / 2);
    let steps: [(&str, Option<&[u8]>); 9] = [
        ("peer.crt", None),
        ("server.crt", None),
        ("ca.crt", None),
        ("ca.crt", Some(&ca)),
        ("peer.crt", Some(b"")),
        ("peer.crt", Some(new.as_bytes())),
        ("server.crt", Some(b"")),
        ("server.crt", Some(half.as_bytes())),
        ("server.crt", Some(new.as_bytes())),
    ];
    for (file, content) in steps {
        match content {
            None => host.remove(&pki(file)),
            Some(content) => host.write(&pki(file), content),
        }
        // Dropped at the end of each step, which is kill -9.
        let agent = Agent::start(&host, "");
        let report = agent.report();
        assert_eq!(report["settled"], false, "{file}: {report}");
        assert_eq!(agent.get("/readyz").status, 503);
    }
    let agent = Agent::start(&host, "settle = \"0s\"\n");
    let report = agent.report_when("a settled report", |report| report["settled"] == true);
    assert_eq!((report["status"].as_str(), year(&report).as_str()), (Some("ok"), "2032"));
    wait_for("readiness", || (agent.get("/readyz").status == 200).then_some(()));
}
