//! Real certificates with real keys, for TLS.

use std::io::Write;
use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use time::OffsetDateTime;

/// A CA and what it signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// With a key of RSA, which is all that Cluster API's and etcdadm's controllers sign with.
    pub fn rsa(name: &str) -> Self {
        let key = openssl(&["genrsa", "2048"], "");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        Self(CertifiedIssuer::self_signed(params, KeyPair::from_pem(&key).unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The key as Cluster API keeps it: PKCS#1 (`util/certs/certs.go`, `EncodePrivateKeyPEM`).
    pub fn key_pem(&self) -> String {
        openssl(&["rsa", "-traditional"], &self.0.key().serialize_pem())
    }

    /// For a server on 127.0.0.1.
    pub fn server(&self) -> Pair {
        let mut params =
            CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// For a kubelet of this common name, valid until the given year.
    pub fn client(&self, common_name: &str, year: i32) -> Pair {
        self.member("system:nodes", common_name, year)
    }

    /// For a client of this common name in this group, valid until the given year.
    pub fn member(&self, group: &str, common_name: &str, year: i32) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        self.sign(&params)
    }

    /// What is asked for, for a client, between these two; as PEM.
    pub fn sign_request(
        &self,
        request: &str,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.params.not_before = not_before;
        request.params.not_after = not_after;
        request.signed_by(&self.0).unwrap().pem()
    }

    pub fn sign(&self, params: &CertificateParams) -> Pair {
        assert!(params.not_after > OffsetDateTime::UNIX_EPOCH);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// What openssl makes of this.
fn openssl(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}
