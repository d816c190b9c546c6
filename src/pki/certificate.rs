//! One X.509 certificate: what of it matters to expiry, and nothing that needs its signature.

use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{Any, FromDer, Tag};
use x509_parser::certificate::{TbsCertificate, X509CertificateParser};
use x509_parser::extensions::{BasicConstraints as ParsedBasicConstraints, KeyUsage};
use x509_parser::nom::Parser as _;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::{OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::name::Name;
use crate::clock::Timestamp;
use crate::closed_list::closed_list;

closed_list! {
    /// Something odd about a certificate that was read.
    Warning {
        /// basicConstraints is malformed, doubled or has an unreadable pathLen: it counts.
        CaUnknown = "ca-unknown",
        /// CA:TRUE in the first certificate of a file that holds a leaf: it counts.
        CaFlagInLeafFile = "ca-flag-in-leaf-file",
        /// A CA certificate behind a leaf ends before the leaf does.
        ChainExpiresFirst = "chain-expires-first",
        /// A certificate in a CA's file says that it is no CA: it counts.
        LeafInCaFile = "leaf-in-ca-file",
        /// The same, and it looks like a CA of old: it counts, and drives no roll-out.
        SuspectCa = "suspect-ca",
        /// notBefore is still to come.
        NotYetValid = "not-yet-valid",
        /// A date is not written as RFC 5280 wants it; the value is right all the same.
        NonstandardTime = "nonstandard-time",
        /// A strict PEM reader, such as kubeadm's, would refuse or miss this block.
        RepairedPem = "repaired-pem",
        /// Bytes follow the certificate in its PEM block.
        TrailingData = "trailing-data",
    }
}

/// What basicConstraints says (RFC 5280 section 4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasicConstraints {
    /// The extension is not there: so are all leaves that etcdadm makes.
    Absent,
    /// There once, readable, `cA` FALSE.
    NotCa,
    /// There once, readable, `cA` TRUE.
    Ca,
    /// Malformed, there more than once, or with a pathLen that cannot be read.
    Unreadable,
}

/// One certificate, as far as expiry goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Who it is for.
    pub subject: Name,
    /// Who signed it.
    pub issuer: Name,
    /// The serial number's bytes, big-endian, as encoded.
    pub serial: Box<[u8]>,
    /// SHA-256 over the DER.
    pub sha256: [u8; 32],
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid, inclusive.
    pub not_after: Timestamp,
    /// What it says about being a CA.
    pub basic_constraints: BasicConstraints,
    /// Whether subject and issuer are the same name.
    pub self_issued: bool,
    /// Whether it is of X.509 version 1, which had no extensions.
    pub version_1: bool,
    /// Whether keyUsage has keyCertSign.
    pub key_cert_sign: bool,
    /// See [`Warning::NonstandardTime`].
    pub nonstandard_time: bool,
    /// See [`Warning::RepairedPem`].
    pub repaired_pem: bool,
    /// See [`Warning::TrailingData`].
    pub trailing_data: bool,
}

impl Certificate {
    /// Reads exactly one DER certificate.
    ///
    /// Neither the signature nor the key is looked at, and of the extensions only
    /// basicConstraints and keyUsage: whatever else is odd about a certificate, its dates count.
    ///
    /// # Errors
    /// A sentence that says which part cannot be read.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509CertificateParser::new()
            .with_deep_parse_extensions(false)
            .parse(der)
            .map_err(|error| match error {
                x509_parser::nom::Err::Incomplete(_) => "its DER is torn".to_owned(),
                x509_parser::nom::Err::Error(e) | x509_parser::nom::Err::Failure(e) => {
                    format!("its DER is no readable X.509 certificate ({e})")
                }
            })?;
        let tbs = &certificate.tbs_certificate;
        Ok(Self {
            subject: Name::of(&tbs.subject),
            issuer: Name::of(&tbs.issuer),
            serial: tbs.raw_serial().into(),
            sha256: Sha256::digest(der).into(),
            not_before: timestamp(tbs.validity.not_before),
            not_after: timestamp(tbs.validity.not_after),
            basic_constraints: basic_constraints(tbs),
            self_issued: tbs.subject.as_raw() == tbs.issuer.as_raw(),
            version_1: tbs.version == X509Version::V1,
            key_cert_sign: key_cert_sign(tbs),
            nonstandard_time: !standard_times(tbs.as_ref()).unwrap_or(false),
            repaired_pem: false,
            trailing_data: false,
        })
    }

    /// The serial number in decimal digits.
    pub fn serial_decimal(&self) -> String {
        BigUint::from_bytes_be(&self.serial).to_string()
    }

    /// The serial number in hexadecimal, as openssl prints it but in lower case.
    pub fn serial_hex(&self) -> String {
        hex(&self.serial)
    }

    /// The name of the Node whose kubelet this is the client certificate of: its CN is
    /// `system:node:NAME` (Kubernetes, Node authorizer).
    pub fn node_name(&self) -> Option<&str> {
        self.subject.values("CN").next()?.strip_prefix("system:node:")
    }

    /// The fingerprint in hexadecimal.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The instant a date means. `timestamp()` is the one accessor of x509-parser that heeds the
/// date's own offset.
fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_unix(time.timestamp())
}

fn basic_constraints(tbs: &TbsCertificate<'_>) -> BasicConstraints {
    let mut found = tbs.extensions().iter().filter(|e| e.oid == OID_X509_EXT_BASIC_CONSTRAINTS);
    match (found.next(), found.next()) {
        (None, _) => BasicConstraints::Absent,
        (Some(_), Some(_)) => BasicConstraints::Unreadable,
        (Some(extension), None) => match ParsedBasicConstraints::from_der(extension.value) {
            Ok(([], parsed)) if parsed.ca => BasicConstraints::Ca,
            Ok(([], _)) => BasicConstraints::NotCa,
            _ => BasicConstraints::Unreadable,
        },
    }
}

fn key_cert_sign(tbs: &TbsCertificate<'_>) -> bool {
    tbs.extensions().iter().any(|e| {
        e.oid == OID_X509_EXT_KEY_USAGE
            && KeyUsage::from_der(e.value).is_ok_and(|(_, usage)| usage.key_cert_sign())
    })
}

/// Whether both dates are written as RFC 5280 section 4.1.2.5 wants them: UTCTime
/// `YYMMDDHHMMSSZ` through 2049, GeneralizedTime `YYYYMMDDHHMMSSZ` from 2050 on.
///
/// `None` when the dates cannot be found again in the DER.
fn standard_times(tbs: &[u8]) -> Option<bool> {
    let (_, tbs) = Any::from_der(tbs).ok()?;
    let (mut rest, first) = Any::from_der(tbs.data).ok()?;
    // version is optional, then come serialNumber, signature, issuer.
    let before = if first.tag() == Tag(0) { 3 } else { 2 };
    for _ in 0..before {
        (rest, _) = Any::from_der(rest).ok()?;
    }
    let (_, validity) = Any::from_der(rest).ok()?;
    let (rest, not_before) = Any::from_der(validity.data).ok()?;
    let (_, not_after) = Any::from_der(rest).ok()?;
    let standard = |time: &Any<'_>| {
        let [digits @ .., b'Z'] = time.data else { return false };
        digits.iter().all(u8::is_ascii_digit)
            && match time.tag() {
                Tag::UtcTime => digits.len() == 12,
                Tag::GeneralizedTime => digits.len() == 14 && digits >= b"2050".as_slice(),
                _ => false,
            }
    };
    Some(standard(&not_before) && standard(&not_after))
}

#[cfg(test)]
mod tests;
