//! Files that are not what they seem: each is a problem with a reason, and the rest stands.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use testkit::certificate::{CertificateBuilder, pem};
use testkit::{Host, NOW, earliest, expiryd, is_root, problems, strace};

const SERVER: &str = "2027-03-09T09:00:00Z /etc/etcd/pki/server.crt";

/// An etcd node with one thing more in its PKI directory.
fn node_with(make: impl FnOnce(&Host)) -> Host {
    let host = Host::like("ubuntu-etcd");
    make(&host);
    host
}

/// The problems, once it is sure that the rest of the report stands.
fn problems_beside_the_rest(host: &Host) -> Vec<String> {
    let report = host.report(&[]);
    assert_eq!(earliest(&report), SERVER);
    assert_eq!(report["status"], "degraded");
    problems(&report)
}

fn mkfifo(host: &Host, path: &str) {
    assert!(Command::new("mkfifo").arg(host.path(path)).status().unwrap().success());
}

#[test]
fn a_fifo_a_directory_and_a_device_are_not_read() {
    let host = node_with(|host| {
        mkfifo(host, "etc/etcd/pki/fifo.crt");
        fs::create_dir(host.path("etc/etcd/pki/dir.crt")).unwrap();
        host.link("etc/etcd/pki/self.crt", "/etc/etcd/pki");
    });
    assert_eq!(
        problems_beside_the_rest(&host),
        [
            "/etc/etcd/pki/dir.crt not-a-regular-file",
            "/etc/etcd/pki/fifo.crt not-a-regular-file",
            "/etc/etcd/pki/self.crt not-a-regular-file",
        ]
    );
}

#[test]
fn links_that_lead_nowhere_or_in_a_circle_are_named() {
    let host = node_with(|host| {
        host.link("etc/etcd/pki/dangling.crt", "/nowhere");
        host.link("etc/etcd/pki/loop.crt", "loop.crt");
    });
    assert_eq!(
        problems_beside_the_rest(&host),
        ["/etc/etcd/pki/dangling.crt dangling-link", "/etc/etcd/pki/loop.crt link-loop",]
    );
}

#[test]
fn an_absolute_link_leads_to_the_nodes_own_file_and_dots_cannot_climb_out() {
    let host = node_with(|host| {
        host.write("data/new.crt", CertificateBuilder::leaf("20270101000000Z").pem());
        host.link("etc/etcd/pki/linked.crt", "/data/new.crt");
        host.link("etc/etcd/pki/out.crt", "../../../../../../../../../../etc/passwd");
    });
    let report = host.report(&[]);
    assert_eq!(earliest(&report), "2027-01-01T00:00:00Z /etc/etcd/pki/linked.crt");
    assert_eq!(problems(&report), ["/etc/etcd/pki/out.crt dangling-link"]);
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let host = node_with(|host| {
        let file = fs::File::create(host.path("etc/etcd/pki/huge.crt")).unwrap();
        file.set_len(100 << 20).unwrap();
    });
    assert_eq!(problems_beside_the_rest(&host), ["/etc/etcd/pki/huge.crt too-large"]);
}

#[test]
fn more_files_than_the_limit_are_a_problem_and_not_a_silence() {
    let host = Host::like("ubuntu-etcd");
    host.write("c.toml", "[limits]\nfiles = 3\n");
    let file = host.path("c.toml");
    let report = host.report(&["--config", file.to_str().unwrap()]);
    assert_eq!(report["certificates"].as_array().unwrap().len(), 3);
    assert_eq!(problems(&report), ["/etc/etcd/pki/peer.crt too-many"]);
}

#[test]
fn files_without_a_certificate_are_problems() {
    let host = node_with(|host| {
        host.write("etc/etcd/pki/empty.crt", "");
        host.write("etc/etcd/pki/key.crt", pem("PRIVATE KEY", b"secret"));
        host.write("etc/etcd/pki/nul.crt", [0; 512]);
        host.write(
            "etc/etcd/pki/torn.crt",
            &CertificateBuilder::leaf("20270101000000Z").der()[..100],
        );
    });
    assert_eq!(
        problems_beside_the_rest(&host),
        [
            "/etc/etcd/pki/empty.crt no-certificate",
            "/etc/etcd/pki/key.crt no-certificate",
            "/etc/etcd/pki/nul.crt no-certificate",
            "/etc/etcd/pki/torn.crt bad-certificate",
        ]
    );
}

#[test]
fn keys_requests_backups_and_old_kubelet_certificates_are_not_sources() {
    let early = CertificateBuilder::leaf("20260101000000Z").pem();
    let host = node_with(|host| {
        for name in
            ["pki/x.key", "pki/sa.pub", "pki/x.csr", "pki.bak_1/server.crt", "pki/x.crt.bak"]
        {
            host.write(&format!("etc/etcd/{name}"), &early);
        }
        host.write("etc/etcd/pki/deeper/x.crt", &early);
        host.write("var/lib/kubelet/pki/kubelet-client-2025-01-01.pem", &early);
    });
    let report = host.report(&[]);
    assert_eq!((earliest(&report).as_str(), problems(&report)), (SERVER, vec![]));
}

#[test]
fn an_upper_case_suffix_is_one_too() {
    let host = node_with(|host| {
        host.write("etc/etcd/pki/EXTRA.CRT", CertificateBuilder::leaf("20270101000000Z").pem());
    });
    let report = host.report(&[]);
    assert_eq!(earliest(&report), "2027-01-01T00:00:00Z /etc/etcd/pki/EXTRA.CRT");
    assert_eq!(report["earliest"]["renewedBy"], "operator");
}

#[test]
fn a_file_name_that_is_no_text_is_shown_byte_by_byte() {
    let host = node_with(|host| {
        let name = std::ffi::OsStr::from_bytes(b"a\xFF\nb.crt");
        fs::write(host.path("etc/etcd/pki").join(name), "").unwrap();
    });
    assert_eq!(problems_beside_the_rest(&host), ["/etc/etcd/pki/a\\xff\\x0ab.crt no-certificate"]);
    let table = String::from_utf8(host.check(&["--at", NOW]).stdout).unwrap();
    assert!(table.contains("/etc/etcd/pki/a\\xff\\x0ab.crt"), "{table}");
}

#[test]
fn the_same_certificate_in_two_files_is_listed_twice_and_ties_go_to_the_first_path() {
    let host = Host::bare("ubuntu");
    let text = CertificateBuilder::leaf("20270101000000Z").pem();
    host.write("etc/etcd/pki/server.crt", &text);
    fs::hard_link(host.path("etc/etcd/pki/server.crt"), host.path("etc/etcd/pki/peer.crt"))
        .unwrap();
    let report = host.report(&[]);
    assert_eq!(report["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(report["earliest"]["path"], "/etc/etcd/pki/peer.crt");
}

#[test]
fn a_certificate_that_ended_long_ago_is_still_the_earliest() {
    let host = node_with(|host| {
        host.write("etc/etcd/pki/old.crt", CertificateBuilder::leaf("19600101000000Z").pem());
    });
    let report = host.report(&[]);
    assert_eq!(earliest(&report), "1960-01-01T00:00:00Z /etc/etcd/pki/old.crt");
}

#[test]
fn a_certificate_that_never_ends_is_in_the_report() {
    let host = Host::bare("ubuntu");
    host.write("etc/etcd/pki/server.crt", CertificateBuilder::leaf("99991231235959Z").pem());
    assert_eq!(host.report(&[])["earliest"]["notAfter"], "9999-12-31T23:59:59Z");
}

#[test]
fn a_certificate_that_is_not_yet_valid_counts_with_a_warning() {
    let host = Host::bare("ubuntu");
    let builder = CertificateBuilder {
        not_before: testkit::certificate::time("20270101000000Z"),
        ..CertificateBuilder::leaf("20280101000000Z")
    };
    host.write("etc/etcd/pki/server.crt", builder.pem());
    let report = host.report(&[]);
    assert_eq!(report["earliest"]["notAfter"], "2028-01-01T00:00:00Z");
    assert_eq!(report["certificates"][0]["warnings"], serde_json::json!(["not-yet-valid"]));
}

#[test]
fn cas_alone_are_no_answer() {
    let host = Host::bare("ubuntu");
    host.write("etc/etcd/pki/ca.crt", CertificateBuilder::ca("20280101000000Z").pem());
    let report = host.report(&[]);
    assert_eq!((report["status"].as_str(), earliest(&report).as_str()), (Some("waiting"), ""));
}

#[test]
fn a_kubeconfig_is_read_for_all_its_users_and_its_faults_are_named() {
    let host = Host::like("ubuntu-control-plane-stacked-etcd");
    let data = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let one = data(&CertificateBuilder::leaf("20270101000000Z").pem());
    let two = data(&CertificateBuilder::leaf("20270601000000Z").pem());
    let user = |data: &str| format!("- name: x\n  user: {{client-certificate-data: {data}}}\n");
    host.write("etc/kubernetes/admin.conf", format!("users:\n{}{}", user(&two), user(&one)));
    host.write(
        "etc/kubernetes/scheduler.conf",
        "users:\n- name: x\n  user: {client-certificate-data: '!'}\n",
    );
    host.write("etc/kubernetes/controller-manager.conf", "{[");
    host.write("etc/kubernetes/super-admin.conf", "users:\n- name: x\n  user: {token: abc}\n");
    let report = host.report(&[]);
    assert_eq!(earliest(&report), "2027-01-01T00:00:00Z /etc/kubernetes/admin.conf");
    assert_eq!(report["earliest"]["index"], 1);
    assert_eq!(
        problems(&report),
        [
            "/etc/kubernetes/controller-manager.conf bad-kubeconfig",
            "/etc/kubernetes/scheduler.conf bad-kubeconfig",
        ]
    );
}

/// Root may read everything, so this one is for others: with setpriv, as nobody.
#[test]
fn what_may_not_be_read_is_a_problem_with_owner_and_mode() {
    let host = node_with(|host| {
        host.write("etc/etcd/pki/closed.crt", "");
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(host.path("etc/etcd/pki/closed.crt"), closed).unwrap();
        fs::set_permissions(host.root(), fs::Permissions::from_mode(0o755)).unwrap();
    });
    let binary = host.path("expiryd");
    fs::copy(env!("CARGO_BIN_EXE_expiryd"), &binary).unwrap();
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--clear-groups"]).arg(&binary);
        command
    } else {
        expiryd()
    };
    command.args(["check", "-o", "json", "--at", NOW, "--host-root"]).arg(host.root());
    let output = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(earliest(&report), SERVER);
    assert_eq!(problems(&report), ["/etc/etcd/pki/closed.crt permission-denied"]);
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("mode 0000") && message.contains("CAP_DAC_READ_SEARCH"), "{message}");
}

/// A kubeconfig whose user has these fields.
fn kubeconfig(user: &str) -> String {
    format!("users: [{{name: u, user: {{{user}}}}}]\n")
}

#[test]
fn a_certificate_that_a_kubeconfig_names_instead_of_holding_it_is_a_source_of_its_own() {
    let host = Host::like("rhel-control-plane-external-etcd");
    let named = "client-certificate: client.pem, client-certificate-data: ''";
    host.write("etc/kubernetes/scheduler.conf", kubeconfig(named));
    host.write("etc/kubernetes/client.pem", CertificateBuilder::leaf("20261201000000Z").pem());
    let report = host.report(&[]);
    assert_eq!(earliest(&report), "2026-12-01T00:00:00Z /etc/kubernetes/client.pem");
    assert_eq!(report["earliest"]["renewedBy"], "machine-rollout");
    assert_eq!(report["status"], "ok");
}

#[test]
fn a_kubeconfig_without_a_certificate_is_a_problem_unless_it_has_another_credential() {
    for (user, problem) in [
        ("client-certificate: /nowhere.crt", Some("/etc/kubernetes/scheduler.conf not-found")),
        (
            "client-certificate: pki/apiserver.key",
            Some("/etc/kubernetes/pki/apiserver.key private-key"),
        ),
        ("client-certificate-data: ''", Some("/etc/kubernetes/scheduler.conf no-certificate")),
        ("token: ''", Some("/etc/kubernetes/scheduler.conf no-certificate")),
        ("token: secret", None),
        ("exec: {command: x}", None),
    ] {
        let host = Host::like("rhel-control-plane-external-etcd");
        host.write("etc/kubernetes/scheduler.conf", kubeconfig(user));
        assert_eq!(problems(&host.report(&[])), Vec::from_iter(problem), "{user}");
    }
}

#[test]
fn ten_thousand_other_files_hide_none_that_matters() {
    let host = Host::like("rhel-control-plane-external-etcd");
    for n in 0..10_001 {
        host.write(&format!("etc/kubernetes/pki/aaa-{n}.crt"), "");
    }
    let report = host.report(&[]);
    assert_eq!(
        earliest(&report),
        "2027-02-01T06:00:00Z /etc/kubernetes/pki/apiserver-etcd-client.crt"
    );
    assert_eq!(report["machineRollout"]["notAfter"], "2027-11-23T18:00:07Z");
    assert!(problems(&report).iter().any(|problem| problem.ends_with(" too-many")));
}

#[test]
fn a_file_whose_name_is_its_suffix_is_one_too() {
    let host = Host::like("ubuntu-etcd");
    host.write("etc/etcd/pki/.crt", CertificateBuilder::leaf("20261201000000Z").pem());
    assert_eq!(earliest(&host.report(&[])), "2026-12-01T00:00:00Z /etc/etcd/pki/.crt");
}

#[test]
fn a_private_key_is_opened_under_no_name() {
    let host = Host::like("ubuntu-etcd");
    host.write("etc/etcd/pki/server.key", CertificateBuilder::leaf("20261201000000Z").pem());
    host.write("opt/upper.KEY", "");
    host.link("etc/etcd/pki/zzz.crt", "server.key");
    host.link("opt/link.pem", "/etc/etcd/pki/zzz.crt");
    let log = tempfile::NamedTempFile::new().unwrap();
    let Some(mut command) = strace() else { return };
    command.args(["-f", "-y", "-e", "trace=open,openat,openat2,read", "-o"]).arg(log.path());
    command.arg(expiryd().get_program()).args(["check", "-o", "json", "--at", NOW, "--host-root"]);
    command.arg(host.root());
    for source in [
        "glob:/etc/etcd/pki/*",
        "file:/etc/etcd/pki/server.key",
        "kubeconfig:/opt/upper.KEY",
        "directory:/opt",
    ] {
        command.args(["--source", source]);
    }
    let report: serde_json::Value =
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(
        problems(&report),
        [
            "/etc/etcd/pki/apiserver-etcd-client.key private-key",
            "/etc/etcd/pki/ca.key private-key",
            "/etc/etcd/pki/etcdctl-etcd-client.key private-key",
            "/etc/etcd/pki/peer.key private-key",
            "/etc/etcd/pki/server.key private-key",
            "/etc/etcd/pki/zzz.crt private-key",
            "/opt/link.pem private-key",
            "/opt/upper.KEY private-key",
        ]
    );
    let calls = fs::read_to_string(log.path()).unwrap();
    let reads = calls.lines().filter(|call| call.contains(" read(") && call.contains('<'));
    assert!(reads.clone().any(|call| call.contains("server.crt>")));
    assert!(!reads.clone().any(|call| call.to_ascii_lowercase().contains(".key>")), "{calls}");
}

#[test]
fn names_and_targets_that_would_play_tricks_are_shown_as_bytes_everywhere() {
    let host = Host::like("ubuntu-etcd");
    let leaf =
        CertificateBuilder::leaf("20261201000000Z").named("x\u{202e}\u{200b}\x1b[2J\\").pem();
    for name in ["a\u{202e}b", "c\u{61c}d", "e\u{200b}f", "\u{feff}g", "h\\x1bi", "h\x1bi"] {
        host.write(&format!("etc/etcd/pki/{name}.crt"), &leaf);
    }
    host.link("etc/etcd/pki/dangling.crt", "/no\x1b[31m\x07\nwhere");
    for output in ["table", "wide", "json", "yaml", "prom"] {
        let shown = host.check(&["-o", output, "--at", NOW]).stdout;
        let shown = String::from_utf8(shown).unwrap();
        let tricks = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{61c}' | '\u{200b}' | '\u{202e}' | '\u{feff}')
        };
        assert!(!shown.contains(tricks), "{output}: {shown:?}");
        // Nothing that came from outside begins a line of its own.
        assert!(!shown.lines().any(|line| line.starts_with("where")), "{output}: {shown}");
    }
    let metrics = String::from_utf8(host.check(&["-o", "prom"]).stdout).unwrap();
    let series =
        metrics.lines().filter(|l| l.starts_with("x509_cert_not_after{") && l.contains("x1bi"));
    let series: std::collections::BTreeSet<_> = series.collect();
    assert_eq!(series.len(), 2, "two names are two series");
}

#[test]
fn a_kubeconfig_with_more_fields_than_any_has_is_not_read() {
    let host = node_with(|host| {
        for (name, text) in [
            ("users", format!("users: [{}]\n", "{},".repeat(340_000))),
            ("list", format!("[{}", "a,".repeat(500_000))),
            ("map", format!("[{}", "a: b,".repeat(170_000))),
            ("lines", "- a\n".repeat(250_000)),
            ("keys", "? a\n".repeat(250_000)),
        ] {
            host.write(&format!("opt/{name}.conf"), text);
        }
    });
    let report = host.report(&[
        "--source",
        "kubeconfig:/opt/users.conf",
        "--source",
        "kubeconfig:/opt/list.conf",
        "--source",
        "kubeconfig:/opt/map.conf",
        "--source",
        "kubeconfig:/opt/lines.conf",
        "--source",
        "kubeconfig:/opt/keys.conf",
    ]);
    let names = ["keys", "lines", "list", "map", "users"];
    assert_eq!(problems(&report), names.map(|name| format!("/opt/{name}.conf bad-kubeconfig")));
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("more fields than any kubeconfig has"), "{message}");
}
