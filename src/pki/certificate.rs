//! One X.509 certificate: what of it matters to expiry, and nothing that needs its signature.

use expiryd_api::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{Any, FromDer, Tag};
use x509_parser::certificate::{TbsCertificate, X509CertificateParser};
use x509_parser::extensions::KeyUsage;
use x509_parser::nom::Parser as _;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::{OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::name::Name;

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
    /// A CA's public key, as `SubjectPublicKeyInfo`: what tells whether it signed another one.
    pub authority_key: Option<Box<[u8]>>,
    /// See [`expiryd_api::Warning::NonstandardTime`].
    pub nonstandard_time: bool,
    /// See [`expiryd_api::Warning::RepairedPem`].
    pub repaired_pem: bool,
    /// See [`expiryd_api::Warning::TrailingData`].
    pub trailing_data: bool,
}

impl Certificate {
    /// Reads exactly one DER certificate.
    ///
    /// Neither the signature nor the key is checked, and of the extensions only
    /// basicConstraints and keyUsage: whatever else is odd about a certificate, its dates count.
    ///
    /// # Errors
    /// A sentence that says which part cannot be read.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509CertificateParser::new()
            .with_deep_parse_extensions(false)
            .parse(der)
            .map_err(|error| match error {
                x509_parser::nom::Err::Incomplete(_) => "its DER is truncated".to_owned(),
                x509_parser::nom::Err::Error(e) | x509_parser::nom::Err::Failure(e) => {
                    format!("its DER is not a valid X.509 certificate ({e})")
                }
            })?;
        let tbs = &certificate.tbs_certificate;
        let times = times(tbs.as_ref());
        if times.iter().flatten().any(has_impossible_offset) {
            return Err("one of its dates has an offset from UTC that no clock has".to_owned());
        }
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
            authority_key: authority_key(tbs),
            nonstandard_time: !times.is_some_and(|times| times.iter().all(is_standard)),
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
        (Some(extension), None) => {
            ca_flag(extension.value).map_or(BasicConstraints::Unreadable, |ca| {
                if ca { BasicConstraints::Ca } else { BasicConstraints::NotCa }
            })
        }
    }
}

/// `cA` of a basicConstraints in DER and nothing looser: what other readers take for CA:TRUE in BER
/// they may as well take for FALSE. `None` for anything else.
fn ca_flag(value: &[u8]) -> Option<bool> {
    const TRUE: &[u8] = &[0x01, 0x01, 0xFF];
    const FALSE: &[u8] = &[0x01, 0x01, 0x00];
    let [0x30, length, content @ ..] = value else { return None };
    if usize::from(*length) != content.len() {
        return None;
    }
    // X.690 section 11.5: a default is not encoded; who does so means FALSE all the same.
    let (ca, path_length) = match content.strip_prefix(TRUE) {
        Some(rest) => (true, rest),
        None => (false, content.strip_prefix(FALSE).unwrap_or(content)),
    };
    // pathLenConstraint, an INTEGER from 0 on in as few bytes as it needs.
    let is_readable = matches!(
        path_length,
        [] | [0x02, 0x01, 0x00..=0x7F]
            | [0x02, 0x02, 0x00, 0x80..=0xFF]
            | [0x02, 0x02, 0x01..=0x7F, _]
    );
    is_readable.then_some(ca)
}

fn key_cert_sign(tbs: &TbsCertificate<'_>) -> bool {
    tbs.extensions().iter().any(|e| {
        e.oid == OID_X509_EXT_KEY_USAGE
            && KeyUsage::from_der(e.value).is_ok_and(|(_, usage)| usage.key_cert_sign())
    })
}

fn authority_key(tbs: &TbsCertificate<'_>) -> Option<Box<[u8]>> {
    (basic_constraints(tbs) == BasicConstraints::Ca).then(|| tbs.subject_pki.raw.into())
}

/// How the two dates are written; `None` when they cannot be found again in the DER.
fn times(tbs: &[u8]) -> Option<[Any<'_>; 2]> {
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
    Some([not_before, not_after])
}

/// Whether a date is written as RFC 5280 section 4.1.2.5 wants it: UTCTime `YYMMDDHHMMSSZ` through
/// 2049, GeneralizedTime `YYYYMMDDHHMMSSZ` from 2050 on.
fn is_standard(time: &Any<'_>) -> bool {
    let [digits @ .., b'Z'] = time.data else { return false };
    digits.iter().all(u8::is_ascii_digit)
        && match time.tag() {
            Tag::UtcTime => digits.len() == 12,
            Tag::GeneralizedTime => digits.len() == 14 && digits >= b"2050".as_slice(),
            _ => false,
        }
}

/// Whether a date ends with an offset that no clock has. OpenSSL (`asn1_time_to_tm`) refuses more
/// than 12 hours or 59 minutes.
fn has_impossible_offset(time: &Any<'_>) -> bool {
    match time.data.last_chunk() {
        Some([b'+' | b'-', h, hh, m, mm]) => [*h, *hh] > *b"12" || [*m, *mm] > *b"59",
        _ => false,
    }
}

#[cfg(test)]
mod tests;
