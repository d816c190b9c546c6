//! Nothing is written and no private key is opened.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use testkit::{Agent, Host, NOW, expiryd, nodes, signal, strace};

/// Every file beneath a directory with its content, mode, owner and times; access times are left
/// out, reading may change those.
fn fingerprint(root: &Path) -> Vec<String> {
    let entries = WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
    let describe = |path: &Path| {
        let m = fs::symlink_metadata(path).unwrap();
        let content =
            fs::read(path).map(|bytes| Sha256::digest(bytes).to_vec()).unwrap_or_default();
        format!(
            "{} {:o} {}:{} {} {}.{} {}.{} {content:?}",
            path.display(),
            m.mode(),
            m.uid(),
            m.gid(),
            m.ino(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec()
        )
    };
    entries.filter(|e| !e.file_type().is_symlink()).map(|e| describe(e.path())).collect()
}

#[test]
fn neither_run_nor_check_changes_anything_on_the_node() {
    let host = Host::like("rhel-control-plane-external-etcd");
    fs::write(host.configuration(), "").unwrap();
    let mut command = expiryd();
    command.arg("run").arg("--host-root").arg(host.root());
    let before = fingerprint(host.root());
    host.check(&["--at", NOW]);
    let mut agent = Agent::spawn(command);
    agent.report();
    agent.signal("HUP");
    agent.report();
    agent.signal("TERM");
    agent.ended();
    assert_eq!(fingerprint(host.root()), before);
}

/// The paths that a run of `check` opens, as strace sees it; `None` where there is no strace.
fn opened(node: &str) -> Option<Vec<String>> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let traced = strace()?
        .args([
            "-f",
            "-y",
            "-e",
            "trace=file,ftruncate,fchmod,fchown,write,openat2",
            "-s",
            "4096",
            "-o",
        ])
        .arg(log.path())
        .arg(env!("CARGO_BIN_EXE_expiryd"))
        .args(["check", "--at", NOW, "--host-root"])
        .arg(nodes().join(node))
        .output();
    traced.unwrap();
    let text = fs::read_to_string(log.path()).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn no_key_is_opened_and_no_call_could_write() {
    for node in ["rhel-control-plane-external-etcd", "ubuntu-etcd", "bottlerocket-etcd"] {
        let Some(calls) = opened(node) else { return };
        assert!(
            calls.iter().any(|call| call.contains("server.crt") || call.contains("apiserver.crt"))
        );
        let opens = |call: &&String| call.contains("open");
        for call in calls.iter().filter(opens) {
            // What is opened through its descriptor shows behind the call.
            let keys = [".key\"", ".key>", "sa.pub\"", "sa.pub>", "kubelet-client-2025"];
            let by_path_alone = call.contains("O_PATH");
            assert!(by_path_alone || !keys.iter().any(|key| call.contains(key)), "{call}");
            for flag in ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"] {
                assert!(!call.contains(flag), "{call}");
            }
        }
        for call in &calls {
            for name in
                ["unlink", "rename", "chmod", "chown", "mkdir", "truncate", "utime", "link("]
            {
                assert!(!call.contains(&format!(" {name}")) || call.contains("readlink"), "{call}");
            }
        }
    }
}

#[test]
fn with_tls_the_servers_key_is_the_only_one_that_is_opened() {
    let host = Host::like("ubuntu-etcd");
    for key in ["ca.key", "server.key", "peer.key"] {
        host.write(&format!("etc/etcd/pki/{key}"), "no key");
    }
    let log = tempfile::NamedTempFile::new().unwrap();
    let Some(mut command) = strace() else { return };
    command.args(["-f", "-y", "-e", "trace=openat,openat2", "-s", "4096", "-o"]).arg(log.path());
    command.arg(env!("CARGO_BIN_EXE_expiryd")).args(["run", "--tls", "etcd", "--host-root"]);
    command.arg(host.root());
    let mut traced = Agent::spawn(command);
    traced.report();
    let calls = fs::read_to_string(log.path()).unwrap();
    // strace ends with what it traces, and not the other way round.
    let pid = calls.split_whitespace().next().unwrap();
    signal(pid.parse().unwrap(), "TERM");
    traced.ended();
    let keys = calls.lines().filter(|call| call.contains(".key>") && !call.contains("O_PATH"));
    let keys: Vec<_> = keys.collect();
    assert!(!keys.is_empty());
    assert!(keys.iter().all(|call| call.ends_with("/etc/etcd/pki/server.key>")), "{keys:?}");
}
