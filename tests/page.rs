//! The page for a person.

use testkit::certificate::CertificateBuilder;
use testkit::{Agent, Host};

#[test]
fn it_shows_the_earliest_who_renews_it_and_loads_nothing() {
    let host = Host::like("rhel-control-plane-external-etcd");
    let agent = Agent::start(&host, "");
    agent.report();
    let page = agent.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"));
    assert!(page.body.contains("<title>Certificates of cp-ext-1</title>"));
    assert!(page.body.contains("2027-02-01T06:00:00Z"));
    assert_eq!(page.body.matches(">earliest</span>").count(), 2, "a leaf's and a CA's");
    for loaded in ["<script", "src=", "@import", "url("] {
        assert!(!page.body.contains(loaded), "{loaded}");
    }
}

#[test]
fn nothing_that_a_certificate_says_becomes_markup() {
    let host = Host::like("ubuntu-etcd");
    let hostile = "</style><script>alert(1)</script>\"'&";
    let issuer = hostile.as_bytes().to_vec();
    let certificate =
        CertificateBuilder { issuer, ..CertificateBuilder::leaf("20300101000000Z").named(hostile) };
    host.write("etc/etcd/pki/server.crt", certificate.pem());
    host.write("etc/etcd/pki/<img src=x onerror=alert(1)>.crt", "nothing");
    let agent = Agent::start(&host, "");
    agent.report();
    let page = agent.get("/").body;
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;.crt"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "the issuer is shown");
}

#[test]
fn it_is_whole_with_no_certificate_and_with_500() {
    let host = Host::bare("ubuntu");
    let agent = Agent::start(&host, "");
    agent.report();
    let none = agent.get("/").body;
    assert!(none.contains("there is no certificate to report yet") && none.ends_with("</html>"));

    let pem = CertificateBuilder::leaf("20300101000000Z").pem();
    for n in 0..500 {
        host.write(&format!("etc/etcd/pki/{n}.crt"), &pem);
    }
    agent.report_when("500 certificates", |r| r["certificates"].as_array().unwrap().len() == 500);
    let many = agent.get("/").body;
    assert_eq!(many.matches("<svg").count(), 500);
    assert!(many.ends_with("</html>"));
}
