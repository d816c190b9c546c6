//! A file of certificates: PEM blocks, raw DER, one or many, in any mixture.
//!
//! Whether a file is DER or PEM is decided by its bytes, never by its name.

use std::sync::Arc;

use x509_parser::asn1_rs::{FromDer, Header};

use super::pem::{self, Item};
use super::{Certificate, Contents};
use crate::host_root::HostPath;
use crate::problem::{Problem, Reason};

/// Certificates of one file beyond which the rest is one `too-many` problem.
const LIMIT: usize = 10_000;

/// Problems of one file beyond which the rest is only counted.
const PROBLEMS: usize = 100;

pub(super) fn read(path: &HostPath, bytes: &[u8]) -> Contents {
    let mut bundle = Bundle { path, contents: Contents::default(), next: 0, left_out: 0 };
    let Der { mut truncated, rest } = bundle.raw_der(bytes);
    pem::scan(rest, |item| match item {
        Item::Block { der, repaired, trusted } => bundle.block(&der, repaired, trusted),
        Item::Malformed(why) => bundle.unreadable(Reason::BadPem, why),
        Item::Unmatched(reason, why) => bundle.problem(None, reason, why),
        // What is left of truncated DER holds pieces that look like DER of their own.
        Item::Between(_) if std::mem::take(&mut truncated) => {}
        Item::Between(text) => bundle.between(text),
    });
    bundle.finish(bytes)
}

struct Bundle<'a> {
    path: &'a HostPath,
    contents: Contents,
    /// The index of the next certificate.
    next: usize,
    /// Problems that are left out because there are too many.
    left_out: usize,
}

/// What follows the DER at a place.
struct Der<'a> {
    /// Whether it is what is left of a certificate that is not whole.
    truncated: bool,
    rest: &'a [u8],
}

impl Bundle<'_> {
    /// Reads the DER certificates at the start of `bytes`, and says what follows them.
    fn raw_der<'a>(&mut self, bytes: &'a [u8]) -> Der<'a> {
        let mut rest = bytes;
        loop {
            let trimmed = skip_padding(rest);
            let Some(length) = element_length(trimmed) else {
                return Der { truncated: false, rest };
            };
            let whole = trimmed.split_at_checked(length);
            let Some((der, after)) = whole.filter(|(der, after)| !overwritten(der, after)) else {
                self.unreadable(
                    Reason::BadCertificate,
                    "its DER ends in the middle; it is truncated or still being written",
                );
                return Der { truncated: true, rest: trimmed };
            };
            self.certificate(der, false);
            rest = after;
        }
    }

    /// Reads the DER certificates anywhere between two PEM blocks, and tells of text that is none.
    /// Text cannot be mistaken for DER: no UTF-8 has the byte of a long length behind a `0`.
    fn between(&mut self, mut rest: &[u8]) {
        const BEGIN_IN_UTF_16: &[u8] = b"B\0E\0G\0I\0N";
        if rest.windows(BEGIN_IN_UTF_16.len()).any(|w| w == BEGIN_IN_UTF_16) {
            self.problem(None, Reason::BadPem, "it holds PEM as UTF-16 text; write it as UTF-8");
        }
        while let Some(at) = rest.windows(2).position(|w| matches!(w, [0x30, 0x81..=0x84])) {
            let from = rest.get(at..).unwrap_or_default();
            let Der { truncated, rest: after } = self.raw_der(from);
            if truncated {
                return;
            }
            rest = if after.len() < from.len() { after } else { from.get(1..).unwrap_or_default() };
        }
    }

    /// Reads one PEM block: a certificate, and whatever its writer put behind it.
    fn block(&mut self, der: &[u8], repaired: bool, trusted: bool) {
        let length = element_length(der).unwrap_or(der.len());
        let Some((first, mut rest)) = der.split_at_checked(length) else {
            self.unreadable(
                Reason::BadCertificate,
                "its DER is shorter than it says; it is truncated",
            );
            return;
        };
        let read = self.certificate(first, repaired);
        // RFC 7468 allows one certificate a block; more than one have been seen.
        while let Some((more, after)) =
            element_length(rest).filter(|_| !trusted).and_then(|n| rest.split_at_checked(n))
        {
            self.certificate(more, true);
            rest = after;
        }
        if !rest.is_empty() && !trusted && element_length(rest).is_some() {
            self.unreadable(
                Reason::BadCertificate,
                "its DER is shorter than it says; it is truncated",
            );
        } else if !rest.is_empty()
            && !trusted
            && read
            && let Some((_, last)) = self.contents.certificates.last_mut()
        {
            Arc::make_mut(last).trailing_data = true;
        }
    }

    /// Reads the DER of one certificate; says whether it could be read.
    fn certificate(&mut self, der: &[u8], repaired: bool) -> bool {
        if self.next >= LIMIT {
            self.next += 1;
            return false;
        }
        match Certificate::from_der(der) {
            Ok(mut certificate) => {
                certificate.repaired_pem = repaired;
                self.contents.certificates.push((self.next, Arc::new(certificate)));
                self.next += 1;
                true
            }
            Err(why) => {
                if let Some(container) = container(der) {
                    self.unreadable(
                        Reason::UnsupportedContainer,
                        format!(
                            "it is a {container} container, which expiryd does not open; write \
                             the certificates in it as PEM"
                        ),
                    );
                } else {
                    self.unreadable(Reason::BadCertificate, why);
                }
                false
            }
        }
    }

    /// A place where a certificate ought to be.
    fn unreadable(&mut self, reason: Reason, message: impl Into<String>) {
        let index = Some(self.next);
        self.next += 1;
        self.problem(index, reason, message);
    }

    /// Without an index it may have been a certificate, in no place of its own.
    fn problem(&mut self, index: Option<usize>, reason: Reason, message: impl Into<String>) {
        if self.contents.problems.len() < PROBLEMS {
            let problem = Problem { index, ..Problem::new(self.path, reason, message) };
            self.contents.problems.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    fn finish(mut self, bytes: &[u8]) -> Contents {
        let over = self.next.saturating_sub(LIMIT);
        if over > 0 {
            self.contents.problems.push(Problem::new(
                self.path,
                Reason::TooMany,
                format!(
                    "it holds {} certificates; those after the first {LIMIT} are not read",
                    self.next
                ),
            ));
        }
        if self.left_out > 0 {
            self.contents.problems.push(Problem::new(
                self.path,
                Reason::TooMany,
                format!("{} more places in it cannot be read and are not listed", self.left_out),
            ));
        }
        if self.contents.certificates.is_empty() && self.contents.problems.is_empty() {
            let message = match bytes {
                [] => "it is empty".to_owned(),
                [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
                    "it is UTF-16 text; write it as UTF-8".to_owned()
                }
                _ if bytes.iter().all(|&b| b == 0) => {
                    "it has nothing but NUL bytes in it, as after a crash during a write".to_owned()
                }
                _ => "no certificate was found in it, neither PEM nor DER".to_owned(),
            };
            self.contents.problems.push(Problem::new(self.path, Reason::NoCertificate, message));
        }
        self.contents
    }
}

/// The bytes that the DER SEQUENCE at the start takes, header included; `None` when there is none.
///
/// Only the long form of the length counts (X.690 section 8.1.3.5): no certificate is shorter than
/// 128 bytes, and with the short form every text that begins with a `0` would look like DER.
fn element_length(bytes: &[u8]) -> Option<usize> {
    let [0x30, 0x81..=0x84, ..] = bytes else { return None };
    let (rest, header) = Header::from_der(bytes).ok()?;
    (bytes.len() - rest.len()).checked_add(header.length().definite().ok()?)
}

/// Whether PEM was written over the second half of a DER certificate: it begins inside, and either
/// nothing else can be read there or it ends behind. A name may spell a marker and be whole.
fn overwritten(der: &[u8], after: &[u8]) -> bool {
    pem::begins_in(der) && (pem::ends_in(after) || Certificate::from_der(der).is_err())
}

fn skip_padding(bytes: &[u8]) -> &[u8] {
    let padding = bytes.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0).count();
    bytes.get(padding..).unwrap_or_default()
}

/// Names the containers that certificates are also delivered in (RFC 5652, RFC 7292).
fn container(der: &[u8]) -> Option<&'static str> {
    const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
    const PFX_VERSION: &[u8] = &[0x02, 0x01, 0x03, 0x30];
    let (body, _) = Header::from_der(der).ok()?;
    if body.starts_with(SIGNED_DATA) {
        Some("PKCS#7")
    } else if body.starts_with(PFX_VERSION) {
        Some("PKCS#12")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
