//! Certificates for tests: DER written by hand, so that every field can be wrong on purpose.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Builds a certificate. Its signature and key are no real ones: nothing here looks at them.
#[derive(Debug, Clone)]
pub struct CertificateBuilder {
    /// DER of the version field, or nothing for version 1.
    pub version: Vec<u8>,
    /// Content of the serial number.
    pub serial: Vec<u8>,
    /// Content of the issuer's common name.
    pub issuer: Vec<u8>,
    /// Content of the subject's common name.
    pub subject: Vec<u8>,
    /// DER of notBefore.
    pub not_before: Vec<u8>,
    /// DER of notAfter.
    pub not_after: Vec<u8>,
    /// DER of the extensions.
    pub extensions: Vec<Vec<u8>>,
}

pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
pub const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];

/// Content of basicConstraints with `cA` TRUE.
pub const CA_TRUE: &[u8] = &[0x30, 0x03, 0x01, 0x01, 0xFF];
/// Content of basicConstraints with `cA` at its default, FALSE.
pub const CA_FALSE: &[u8] = &[0x30, 0x00];
/// Content of keyUsage with keyCertSign alone.
pub const KEY_CERT_SIGN: &[u8] = &[0x03, 0x02, 0x02, 0x04];

impl CertificateBuilder {
    /// A leaf as etcdadm makes them, without basicConstraints, that ends at `YYYYMMDDHHMMSSZ`.
    pub fn leaf(not_after: &str) -> Self {
        Self {
            version: vec![0xA0, 0x03, 0x02, 0x01, 0x02],
            serial: vec![0x01],
            issuer: b"test-ca".to_vec(),
            subject: b"leaf".to_vec(),
            not_before: time("20250101000000Z"),
            not_after: time(not_after),
            extensions: Vec::new(),
        }
    }

    /// A CA that ends at `YYYYMMDDHHMMSSZ`.
    pub fn ca(not_after: &str) -> Self {
        Self { subject: b"test-ca".to_vec(), ..Self::leaf(not_after) }
            .with(BASIC_CONSTRAINTS, CA_TRUE)
    }

    /// With one extension more.
    #[must_use]
    pub fn with(mut self, oid: &[u8], content: &[u8]) -> Self {
        self.extensions.push(element(0x30, &[element(0x06, oid), element(0x04, content)].concat()));
        self
    }

    /// For another subject.
    #[must_use]
    pub fn named(mut self, subject: &str) -> Self {
        self.subject = subject.as_bytes().to_vec();
        self
    }

    /// As DER.
    pub fn der(&self) -> Vec<u8> {
        let algorithm =
            element(0x30, &element(0x06, &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]));
        let key = element(0x30, &[algorithm.clone(), element(0x03, &[0; 66])].concat());
        let mut tbs = self.version.clone();
        tbs.extend(element(0x02, &self.serial));
        tbs.extend(&algorithm);
        tbs.extend(name(&self.issuer));
        tbs.extend(element(0x30, &[self.not_before.clone(), self.not_after.clone()].concat()));
        tbs.extend(name(&self.subject));
        tbs.extend(key);
        if !self.extensions.is_empty() {
            tbs.extend(element(0xA3, &element(0x30, &self.extensions.concat())));
        }
        element(0x30, &[element(0x30, &tbs), algorithm, element(0x03, &[0; 65])].concat())
    }

    /// As one PEM block.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der())
    }
}

/// A PEM block with lines of 64 characters.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A date as RFC 5280 wants it: UTCTime through 2049, GeneralizedTime after it.
pub fn time(text: &str) -> Vec<u8> {
    if ("1950".."2050").contains(&text) { utc_time(&text[2..]) } else { generalized_time(text) }
}

pub fn utc_time(text: &str) -> Vec<u8> {
    element(0x17, text.as_bytes())
}

pub fn generalized_time(text: &str) -> Vec<u8> {
    element(0x18, text.as_bytes())
}

/// One DER element.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    if length < 0x80 {
        der.push(length.to_le_bytes()[0]);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        der.push(0x80 | bytes.len().to_le_bytes()[0]);
        der.extend(bytes);
    }
    der.extend(content);
    der
}

fn name(common_name: &[u8]) -> Vec<u8> {
    let attribute = [element(0x06, &[0x55, 0x04, 0x03]), element(0x0C, common_name)].concat();
    element(0x30, &element(0x31, &element(0x30, &attribute)))
}
