//! What a person types, and what they are told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use testkit::certificate::CertificateBuilder;
use testkit::{Host, NOW, expiryd, is_root, nodes, skip};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = expiryd().args(arguments).output().unwrap();
    (status.code().unwrap(), text(&stderr))
}

/// The message of a wrong configuration file.
fn refused(configuration: &str) -> String {
    let host = Host::bare("ubuntu");
    host.write("c.toml", configuration);
    let file = host.path("c.toml");
    let (code, message) = run(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 78, "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn the_table_names_each_certificate_its_end_its_authority_and_its_renewer() {
    let host = Host::like("rhel-control-plane-external-etcd");
    let table = text(&host.check(&["--at", NOW]).stdout);
    let row = |path: &str| table.lines().rfind(|line| line.starts_with(path)).unwrap().to_owned();
    let client = row("/etc/kubernetes/pki/apiserver-etcd-client.crt");
    for word in ["2027-02-01T06:00:00Z", "69d", "etcd-ca", "etcd-rollout"] {
        assert!(client.contains(word), "{client}");
    }
    let position = |text: &str| table.find(text).unwrap();
    assert!(position("\nCERTIFICATE ") < position("\nCERTIFICATE AUTHORITY"));
    assert!(
        position("\nCERTIFICATE AUTHORITY") < table.rfind("/etc/kubernetes/pki/ca.crt").unwrap()
    );
    assert!(!table.contains('\x1b'));
}

#[test]
fn problems_come_last_and_say_what_to_do() {
    let host = Host::like("ubuntu-etcd");
    host.write("etc/etcd/pki/server.crt", "");
    let output = host.check(&["--at", NOW]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3));
    let last = table.lines().last().unwrap();
    assert_eq!(last, "/etc/etcd/pki/server.crt: it is empty (no-certificate)");
}

#[test]
fn wide_adds_serial_numbers_and_subjects_and_color_can_be_had_in_a_pipe() {
    let host = Host::like("ubuntu-etcd");
    assert!(text(&host.check(&["-o", "wide", "--at", NOW]).stdout).contains("SUBJECT"));
    let colored = host.check(&["--color", "always", "--at", "2027-03-09T00:00:00Z"]);
    assert!(text(&colored.stdout).contains("\x1b[31m/etc/etcd/pki/server.crt"));
}

#[test]
fn yaml_and_json_are_the_same_report() {
    let host = Host::like("bottlerocket-etcd");
    // A serial number that looks like a number of YAML is still text.
    for (name, serial) in [("a.crt", vec![0x12, 0xE4]), ("b.crt", vec![0x01])] {
        let odd = CertificateBuilder { serial, ..CertificateBuilder::leaf("20300101000000Z") };
        host.write(&format!("var/lib/etcd/pki/{name}"), odd.pem());
    }
    let yaml = host.check(&["-o", "yaml", "--at", NOW]);
    let yaml: serde_json::Value = serde_saphyr::from_str(&text(&yaml.stdout)).unwrap();
    assert_eq!(yaml, host.report(&[]));
}

#[test]
fn the_exit_code_says_how_near_the_nearest_end_is() {
    // server.crt ends on 2027-03-09T09:00:00Z.
    let host = Host::like("ubuntu-etcd");
    let code = |arguments: &[&str]| host.check(arguments).status.code().unwrap();
    assert_eq!(code(&["--at", NOW]), 0);
    assert_eq!(code(&["--at", "2027-02-20T00:00:00Z"]), 1);
    assert_eq!(code(&["--at", "2027-03-08T00:00:00Z"]), 2);
    assert_eq!(code(&["--at", "2027-03-09T09:00:01Z"]), 2);
    assert_eq!(code(&["--at", NOW, "--warning", "200d"]), 1);
    assert_eq!(code(&["--at", NOW, "--critical", "200d"]), 2);
    assert_eq!(Host::like("ubuntu-worker").check(&["--at", NOW]).status.code(), Some(0));
    assert_eq!(Host::bare("ubuntu").check(&["--at", NOW]).status.code(), Some(3));
}

#[test]
fn what_is_critical_stays_so_when_something_else_cannot_be_read() {
    let host = Host::like("ubuntu-etcd");
    host.write("etc/etcd/pki/peer.crt", "");
    assert_eq!(host.check(&["--at", "2027-03-08T00:00:00Z"]).status.code(), Some(2));
}

#[test]
fn a_ca_that_has_ended_is_critical_and_does_not_hide_the_leaves() {
    let host = Host::bare("ubuntu");
    host.write("etc/etcd/pki/ca.crt", CertificateBuilder::ca("20260101000000Z").pem());
    host.write("etc/etcd/pki/peer.crt", CertificateBuilder::leaf("20280101000000Z").pem());
    assert_eq!(host.check(&["--at", NOW]).status.code(), Some(2));
    let report = host.report(&[]);
    assert_eq!(report["earliest"]["path"], "/etc/etcd/pki/peer.crt");
    assert_eq!(report["earliestCA"]["notAfter"], "2026-01-01T00:00:00Z");
}

#[test]
fn the_date_does_not_depend_on_the_clock() {
    let host = Host::like("ubuntu-etcd");
    for clock in ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
        let output = host.check(&["-o", "json", "--at", clock]);
        assert!(text(&output.stdout).contains("\"notAfter\": \"2027-03-09T09:00:00Z\""));
    }
}

#[test]
fn a_wrong_command_line_is_64_and_names_the_argument() {
    for (arguments, word) in [
        (&["check", "--frobnicate"][..], "--frobnicate"),
        (&["check", "--warning", "soon"], "--warning"),
        (&["check", "--at", "tomorrow"], "2027-03-09T09:00:00Z"),
        (&["check", "--role", "king"], "control-plane, etcd, worker, unknown"),
        (&["check", "--source", "zip:/x"], "file, directory, glob or kubeconfig"),
        (&["run", "--listen", "here"], "--listen"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let (code, message) = run(arguments);
        assert_eq!(code, 64, "{message}");
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn help_shows_examples() {
    let output = expiryd().arg("--help").output().unwrap();
    assert!(output.status.success() && text(&output.stdout).contains("Examples:"));
}

#[test]
fn a_wrong_configuration_is_78_and_one_sentence_that_names_the_key() {
    for (configuration, words) in [
        ("frobnicate = 1", "line 1: unknown field `frobnicate`"),
        ("tick = 5", "line 1"),
        (
            "\n\ntick = \"5 parsecs\"",
            "line 3: \"5 parsecs\" is not a duration; write it as in 250ms, 10s or 5m",
        ),
        ("tick = \"0s\"", "tick: 0s is not between 1s and 1day"),
        ("listen = [\"0.0.0.0:9797\"]", "listen: 0.0.0.0:9797 can be reached by other machines"),
        ("[limits]\nfiles = 0", "limits.files"),
        ("[layout]\nrole = \"king\"", "line 2"),
        ("[layout]\netcd-pki = \"pki\"", "layout.etcd-pki: \"pki\" is not an absolute path"),
        (
            "[[source]]\nfile = \"/a\"\nglob = \"/b\"",
            "exactly one of file, directory, glob and kubeconfig",
        ),
        ("[[source]]\nglob = \"/a[\"", "source"),
        ("= 1", "line 1"),
    ] {
        let message = refused(configuration);
        assert!(message.contains(words), "{message}");
        assert!(message.starts_with("expiryd: "), "{message}");
    }
}

#[test]
fn a_configuration_file_or_host_root_that_is_not_there_is_named() {
    let (code, message) = run(&["check", "--config", "/nowhere.toml"]);
    assert!(code == 78 && message.contains("/nowhere.toml cannot be read"), "{message}");
    let (code, message) = run(&["check", "--host-root", "/nowhere"]);
    assert!(code == 66 && message.contains("host root /nowhere cannot be opened"), "{message}");
}

#[test]
fn a_configuration_that_is_no_regular_file_or_has_no_end_is_refused_at_once() {
    let host = Host::bare("ubuntu");
    let fifo = host.path("fifo.toml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    host.write("large.toml", "#".repeat((1 << 20) + 1));
    for (file, words) in [
        (fifo, "it is not a regular file"),
        ("/dev/zero".into(), "it is not a regular file"),
        (host.path("."), "it is not a regular file"),
        (host.path("large.toml"), "it has more than 1048576 bytes"),
    ] {
        let (code, message) = run(&["check", "--config", file.to_str().unwrap()]);
        assert!(code == 78 && message.contains(words), "{message}");
    }
}

#[test]
fn a_warning_that_could_never_be_given_is_refused() {
    let (code, message) = run(&["check", "--warning", "1d", "--critical", "7d"]);
    assert!(code == 64 && message.contains("--warning 1d is below --critical 7d"), "{message}");
}

#[test]
fn a_limit_without_which_nothing_works_is_named() {
    let host = Host::bare("ubuntu");
    fs::set_permissions(host.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = host.path("expiryd");
    // By another process: what a thread of this one has open for writing a child of another may have as well, and
    // then it cannot be run.
    let copied = Command::new("cp").arg(expiryd().get_program()).arg(&binary).status().unwrap();
    assert!(copied.success());
    let started = |by: &[&str]| {
        let (first, rest) = by.split_first().unwrap();
        let mut command = Command::new(first);
        command.args(rest).arg(&binary).args(["run", "--host-root", "/nowhere"]);
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code(), text(&stderr))
    };
    let (code, message) = started(&["prlimit", "--nofile=191"]);
    assert!(code == Some(71) && message.contains("LimitNOFILE"), "{code:?}: {message}");
    if is_root() {
        // root may have any number of processes.
        let user = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"];
        for processes in ["--nproc=1", "--nproc=3"] {
            let (code, message) = started(&[&user[..], &["prlimit", processes]].concat());
            assert!(code == Some(71) && message.contains("TasksMax"), "{code:?}: {message}");
        }
        let (code, message) = started(&[&user[..], &["prlimit", "--nproc=4"]].concat());
        assert!(message.contains("/nowhere"), "{code:?}: {message}");
    } else {
        skip("only root can become a user without processes");
    }
}

#[test]
fn an_address_that_is_taken_is_named_and_nothing_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let root = nodes().join("ubuntu-etcd");
    let (code, message) =
        run(&["run", "--host-root", root.to_str().unwrap(), "--listen", &address]);
    assert_eq!(code, 69, "it may be free at the next try");
    assert!(message.contains(&format!("listen: {address} cannot be bound")), "{message}");
}

#[test]
fn sources_can_be_added_on_the_command_line_and_in_the_file() {
    let host = Host::like("ubuntu-etcd");
    host.write("opt/a.pem", CertificateBuilder::leaf("20270101000000Z").pem());
    host.write("opt/b.der", CertificateBuilder::leaf("20270102000000Z").der());
    host.write("opt/deep/c.crt", CertificateBuilder::leaf("20270103000000Z").pem());
    host.write("c.toml", "[[source]]\nglob = \"/opt/*/*.crt\"\nrenewed-by = \"etcd-rollout\"\n");
    let file = host.path("c.toml");
    let report = host.report(&[
        "--config",
        file.to_str().unwrap(),
        "--source",
        "/opt/b.der@machine-rollout",
        "--source",
        "directory:/opt",
    ]);
    let of = |path: &str| {
        let certificates = report["certificates"].as_array().unwrap();
        certificates.iter().find(|c| c["path"] == path).map(|c| c["renewedBy"].clone())
    };
    assert_eq!(of("/opt/a.pem"), Some("operator".into()));
    assert_eq!(of("/opt/b.der"), Some("machine-rollout".into()));
    assert_eq!(of("/opt/deep/c.crt"), Some("etcd-rollout".into()));
    assert_eq!(report["machineRollout"]["path"], "/opt/b.der");
}

#[test]
fn options_outweigh_the_environment_and_that_the_file() {
    let host = Host::like("ubuntu-control-plane-stacked-etcd");
    host.write("c.toml", "[layout]\nrole = \"worker\"\n");
    let role = |environment: Option<&str>, option: &[&str]| {
        let mut command = expiryd();
        command.args(["check", "-o", "json", "--at", NOW]).arg("--host-root").arg(host.root());
        command.arg("--config").arg(host.path("c.toml")).args(option);
        if let Some(role) = environment {
            command.env("EXPIRYD_ROLE", role);
        }
        let report: serde_json::Value =
            serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        report["node"]["role"].as_str().unwrap().to_owned()
    };
    assert_eq!(role(None, &[]), "worker");
    assert_eq!(role(Some("etcd"), &[]), "etcd");
    assert_eq!(role(Some("etcd"), &["--role", "unknown"]), "unknown");
}

#[test]
fn only_a_regular_file_is_replaced() {
    let host = Host::like("ubuntu-etcd");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("file"), "before").unwrap();
    std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
    std::os::unix::fs::symlink(path("nothing"), path("dangling")).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let written = |name: &str| host.check(&["-o", "prom", "--output-file", &path(name)]);
    for name in ["link", "dangling", "directory", "socket"] {
        let output = written(name);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(73), "{name}: {error}");
        assert!(error.contains("not a regular file"), "{name}: {error}");
    }
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "before");
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
    drop(socket);
    assert!(written("file").stderr.is_empty());
    assert!(fs::read_to_string(path("file")).unwrap().contains("expiryd_status"));
}
