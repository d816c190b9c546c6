//! The names that a certificate is for, by which a TLS client may be known.

use std::net::IpAddr;
use std::panic::catch_unwind;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::name::Name;

/// The common names of the subject, and its alternative names that are DNS names, addresses, URIs or
/// e-mail addresses (RFC 5280 section 4.2.1.6). None if the certificate cannot be read.
pub fn subject_names(der: &[u8]) -> Vec<String> {
    // The bytes come from whoever connects, and no parser must be able to stop the agent.
    catch_unwind(|| read(der)).ok().flatten().unwrap_or_default()
}

fn read(der: &[u8]) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = Name::of(certificate.subject());
    let mut names: Vec<_> = subject.values("CN").map(str::to_owned).collect();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        names.extend(alternatives.value.general_names.iter().filter_map(text));
    }
    Some(names)
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(IpAddr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| IpAddr::from(v6).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_subject_is_known_by_common_name_and_alternative_names() {
        let alternatives = ["etcd-1.example", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let mut params = CertificateParams::new(alternatives).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "controller");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(
            subject_names(certificate.der()),
            ["controller", "etcd-1.example", "192.0.2.1", "2001:db8::1"]
        );
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        assert!(subject_names(b"").is_empty());
        assert!(subject_names(&[0x30, 0x80, 0, 0]).is_empty());
    }
}
