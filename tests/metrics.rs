//! What Prometheus sees.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use flate2::read::MultiGzDecoder;

use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Host, NOW};

const SOURCE: &str = r#"{source_kind="file",source_name="expiryd"}"#;

fn control_plane() -> (Host, Agent) {
    let host = Host::like("rhel-control-plane-external-etcd");
    let agent = Agent::start(&host, "settle = \"0s\"\n");
    agent.report_when("a settled report", |report| report["settled"] == true);
    (host, agent)
}

/// The value of a series, written as it is exposed.
fn value(metrics: &str, series: &str) -> Option<String> {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned);
    metrics.lines().find_map(value)
}

#[test]
fn a_certificate_has_the_names_and_labels_of_x509_certificate_exporter() {
    let (_host, agent) = control_plane();
    let metrics = agent.get("/metrics").body;
    let labels = "{serial_number=\"141127009207739936649171142067519905681897205239\",\
                  subject_O=\"system:masters\",subject_CN=\"prod-kube-apiserver-etcd-client\",\
                  issuer_CN=\"etcd-ca\",filename=\"apiserver-etcd-client.crt\",\
                  filepath=\"/etc/kubernetes/pki/apiserver-etcd-client.crt\"}";
    let of = |name: &str| value(&metrics, &format!("{name}{labels}"));
    assert_eq!(of("x509_cert_not_after").as_deref(), Some("1801461600.0"));
    assert_eq!(of("x509_cert_not_before").as_deref(), Some("1769925600.0"));
    assert!(of("x509_cert_expired").is_some());
    assert!(metrics.contains(
        "filename=\"admin.conf\",filepath=\"/etc/kubernetes/admin.conf\",embedded_kind=\"user\"} "
    ));
    assert_eq!(value(&metrics, &format!("x509_source_up{SOURCE}")).as_deref(), Some("1.0"));
    assert_eq!(value(&metrics, &format!("x509_source_bundles{SOURCE}")).as_deref(), Some("12.0"));
}

#[test]
fn the_machine_has_its_dates_and_who_renews_what() {
    let (_host, agent) = control_plane();
    let metrics = agent.get("/metrics").body;
    let of = |series: &str| value(&metrics, series).unwrap_or_default();
    assert_eq!(of("expiryd_earliest_expiry_timestamp_seconds"), "1801461600.0");
    assert_eq!(of("expiryd_machine_rollout_expiry_timestamp_seconds"), "1826992807.0");
    for (by, date) in [
        ("machine-rollout", "1826992807.0"),
        ("etcd-rollout", "1801461600.0"),
        ("kubelet", "1800000000.0"),
    ] {
        let series = format!("expiryd_renewer_expiry_timestamp_seconds{{renewed_by=\"{by}\"}}");
        assert_eq!(of(&series), date);
    }
    assert_eq!(of("expiryd_status{status=\"ok\"}"), "1.0");
    assert_eq!(of("expiryd_status{status=\"degraded\"}"), "0.0");
    assert_eq!(of("expiryd_watch_mode{mode=\"inotify\"}"), "1.0");
    assert_eq!(of("expiryd_stale_certificates"), "0.0");
    assert!(of("expiryd_scans_total").parse::<f64>().unwrap() >= 1.0);
    assert!(of("process_resident_memory_bytes{process=\"agent\"}").parse::<f64>().unwrap() > 0.0);
    assert!(metrics.contains("expiryd_certificate_info{serial_number=\"141127009207739936649171142067519905681897205239\",filepath=\"/etc/kubernetes/pki/apiserver-etcd-client.crt\",index=\"0\",renewed_by=\"etcd-rollout\",is_ca=\"false\",counted=\"true\",stale=\"false\"} 1.0\n"));
}

#[test]
fn a_problem_is_counted_by_its_reason_and_the_source_is_down() {
    let host = Host::like("ubuntu-etcd");
    host.write("etc/etcd/pki/server.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let agent = Agent::start(&host, "");
    agent.report();
    let metrics = agent.get("/metrics").body;
    let of = |series: &str| value(&metrics, series).unwrap_or_default();
    assert_eq!(of("expiryd_problems{reason=\"bad-pem\"}"), "1.0");
    assert_eq!(of("expiryd_problems{reason=\"too-large\"}"), "0.0");
    assert_eq!(of("expiryd_status{status=\"degraded\"}"), "1.0");
    assert_eq!(of(&format!("x509_source_up{SOURCE}")), "0.0");
    let series =
        r#"x509_source_errors_total{source_kind="file",source_name="expiryd",reason="bad_pem"}"#;
    assert!(of(series).parse::<f64>().unwrap() >= 1.0);
}

#[test]
fn no_series_is_exposed_twice_however_often_a_certificate_is_in_a_file() {
    let host = Host::like("ubuntu-etcd");
    let pem = CertificateBuilder::leaf("20300101000000Z").pem();
    host.write("etc/etcd/pki/server.crt", format!("{pem}{pem}"));
    let agent = Agent::start(&host, "");
    agent.report();
    let metrics = agent.get("/metrics").body;
    let mut series: Vec<_> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series))
        .collect();
    series.sort_unstable();
    let all = series.len();
    series.dedup();
    assert_eq!(series.len(), all);
}

#[test]
fn openmetrics_and_gzip_are_given_to_whoever_asks() {
    let (_host, agent) = control_plane();
    let text = agent.get("/metrics");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.body.contains("# TYPE expiryd_scans_total counter\n"));
    assert!(!text.body.contains("# EOF"));

    let open = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let open = agent.ask("GET", "/metrics", &[open, "Accept-Encoding: gzip"]);
    assert_eq!(
        (open.header("content-type"), open.header("content-encoding")),
        (Some("application/openmetrics-text; version=1.0.0; charset=utf-8"), Some("gzip"))
    );
    let mut body = String::new();
    MultiGzDecoder::new(&open.bytes[..]).read_to_string(&mut body).unwrap();
    assert!(body.contains("# TYPE expiryd_scans counter\nexpiryd_scans_total "));
    assert!(body.ends_with("# EOF\n"));

    let refused = agent.ask("GET", "/metrics", &["Accept-Encoding: gzip;q=0"]);
    assert_eq!(refused.header("content-encoding"), None);
}

#[test]
fn the_textfile_is_replaced_as_a_whole_and_can_be_read_by_all() {
    let host = Host::like("ubuntu-etcd");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("expiryd.prom");
    fs::write(&file, "what was there before").unwrap();
    let file = file.to_str().unwrap();
    let check = host.check(&["-o", "prom", "--output-file", file, "--at", NOW]);
    assert_eq!((check.status.code(), check.stdout.as_slice()), (Some(0), &b""[..]));
    let written = fs::read_to_string(file).unwrap();
    assert!(value(&written, "expiryd_earliest_expiry_timestamp_seconds").is_some());
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_textfile_that_cannot_be_written_is_named() {
    let host = Host::like("ubuntu-etcd");
    let check = host.check(&["-o", "prom", "--output-file", "/nowhere/expiryd.prom"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert_eq!(check.status.code(), Some(73));
    assert!(said.starts_with("expiryd: --output-file /nowhere/expiryd.prom cannot be written: "));
}
