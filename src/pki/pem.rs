//! PEM as it is found in practice: finds every certificate marker in a file and decodes its block.
//!
//! RFC 7468 with what operators' tools really write: text around the blocks, CRLF or CR, a byte
//! order mark, indentation, markers glued together, missing padding, the older labels. A block
//! without END never swallows the next one, and only blocks with a certificate's label are
//! decoded: a private key beside them stays text.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::problem::Reason;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One thing found in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A decoded certificate block.
    Block {
        /// The decoded bytes.
        der: Vec<u8>,
        /// Whether a strict reader, such as Go's encoding/pem, would have refused or missed it.
        repaired: bool,
        /// Whether OpenSSL's trust settings may follow the certificate (`TRUSTED CERTIFICATE`).
        trusted: bool,
    },
    /// A certificate's BEGIN marker whose block cannot be read.
    Malformed(&'static str),
    /// A sign of a certificate or container that has no BEGIN marker of a certificate.
    Unmatched(Reason, &'static str),
    /// What lies between blocks, or behind a BEGIN without END, to look for raw DER in.
    Between(&'a [u8]),
}

/// Walks through the text and hands over what it finds, in order.
pub(super) fn scan<'a>(text: &'a [u8], mut found: impl FnMut(Item<'a>)) {
    let mut markers = Markers::new(text).peekable();
    let mut at = 0;
    while let Some(marker) = markers.next() {
        found(Item::Between(text.get(at..marker.start).unwrap_or_default()));
        at = marker.end;
        if !marker.begin {
            if marker.label() == Label::Certificate {
                found(Item::Unmatched(
                    Reason::BadPem,
                    "a PEM block ends here whose BEGIN line is lost",
                ));
            }
            continue;
        }
        // Without its own END, a block ends where the next one begins.
        let end = markers.next_if(|next| !next.begin);
        match (marker.label(), &end) {
            (Label::Certificate, Some(end)) if end.label() != Label::Other => {
                found(decode(text, &marker, end));
            }
            (Label::Certificate, Some(_)) => {
                found(Item::Malformed("the END line of its PEM block belongs to something else"));
            }
            (Label::Certificate, None) => found(Item::Malformed("its PEM block has no END line")),
            (Label::Unclear, _) => found(Item::Malformed(
                "the BEGIN line of its PEM block is damaged, or names a kind of certificate that \
                 expiryd does not know",
            )),
            (Label::Container, _) => found(Item::Unmatched(
                Reason::UnsupportedContainer,
                "it holds a PKCS#7 container, which expiryd does not open; write the certificates \
                 as PEM (openssl pkcs7 -print_certs)",
            )),
            (Label::Other, Some(end)) if end.label() == Label::Certificate => {
                found(Item::Unmatched(
                    Reason::BadPem,
                    "a PEM block ends here whose BEGIN line is lost",
                ));
            }
            (Label::Other, _) => {}
        }
        if let Some(end) = end {
            at = end.end;
        }
    }
    found(Item::Between(text.get(at..).unwrap_or_default()));
}

/// Whether any PEM block begins in the text.
pub(super) fn begins_in(text: &[u8]) -> bool {
    Markers::new(text).any(|marker| marker.begin)
}

/// Whether a PEM block ends in the text that began before it.
pub(super) fn ends_in(text: &[u8]) -> bool {
    Markers::new(text).next().is_some_and(|marker| !marker.begin)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// RFC 7468 section 5, and OpenSSL's `PEM_STRING_X509*`.
    Certificate,
    /// PKCS#7 and CMS, which may hold certificates.
    Container,
    /// Known not to be a certificate: keys, requests, revocation lists, parameters.
    Other,
    /// It might have been a certificate's label.
    Unclear,
}

/// A `-----BEGIN …-----` or `-----END …-----`.
#[derive(Debug)]
struct Marker<'a> {
    start: usize,
    end: usize,
    begin: bool,
    /// What stands between the dashes; `closed` when dashes follow it on its line.
    text: &'a [u8],
    closed: bool,
}

impl Marker<'_> {
    fn label(&self) -> Label {
        let text = words(self.text);
        let has = |part: &[u8]| text.windows(part.len()).any(|w| w == part);
        match text.as_slice() {
            b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" if self.closed => {
                Label::Certificate
            }
            b"PKCS7" | b"PKCS #7 SIGNED DATA" | b"CMS" => Label::Container,
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Label::Other,
            _ if has(b"CERT") => Label::Unclear,
            _ if has(b"KEY") || has(b"REQUEST") || has(b"CRL") || has(b"PARAM") => Label::Other,
            text if !self.closed || !text.is_ascii() => Label::Unclear,
            _ => Label::Other,
        }
    }
}

/// A label in upper case, its words one blank apart, whatever blanks its writer used.
fn words(label: &[u8]) -> Vec<u8> {
    const NO_BREAK_SPACE: &[u8] = "\u{a0}".as_bytes();
    let mut text = Vec::with_capacity(label.len());
    let mut rest = label;
    while let [first, after @ ..] = rest {
        let space = rest.strip_prefix(NO_BREAK_SPACE);
        if space.is_some() || first.is_ascii_whitespace() {
            if text.last().is_some_and(|last| *last != b' ') {
                text.push(b' ');
            }
        } else {
            text.push(first.to_ascii_uppercase());
        }
        rest = space.unwrap_or(after);
    }
    text.trim_ascii_end().to_vec()
}

/// The markers of a text, in order. They do not overlap, and a label is read only as far as its
/// marker reaches: whatever the text, no byte is read more than twice.
struct Markers<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Markers<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl<'a> Iterator for Markers<'a> {
    type Item = Marker<'a>;

    fn next(&mut self) -> Option<Marker<'a>> {
        loop {
            let start = self.at + self.text.get(self.at..)?.iter().position(|&b| b == b'-')?;
            if let Some(marker) = marker_at(self.text, start) {
                self.at = marker.end;
                return Some(marker);
            }
            self.at = start + 1;
        }
    }
}

const DASHES: &[u8] = b"-----";

/// The marker that begins at this place, if one does.
fn marker_at(text: &[u8], start: usize) -> Option<Marker<'_>> {
    let word = text.get(start..)?.strip_prefix(DASHES)?;
    let behind = |keyword: &[u8]| {
        let (found, label) = word.split_at_checked(keyword.len())?;
        let ends = label.first().is_some_and(|next| !next.is_ascii_alphanumeric());
        (ends && found.eq_ignore_ascii_case(keyword)).then_some(label)
    };
    let (begin, label) = match behind(b"BEGIN") {
        Some(label) => (true, label),
        None => (false, behind(b"END")?),
    };
    let head = text.len() - label.len();
    let ends = |at: &usize| {
        let rest = label.get(*at..).unwrap_or_default();
        matches!(rest.first(), None | Some(b'\n' | b'\r')) || rest.starts_with(DASHES)
    };
    let length = (0..=label.len()).find(ends)?;
    let closed = label.get(length..)?.starts_with(DASHES);
    let end = head + length + if closed { DASHES.len() } else { 0 };
    Some(Marker { start, end, begin, text: label.get(..length)?, closed })
}

fn decode(text: &[u8], begin: &Marker<'_>, end: &Marker<'_>) -> Item<'static> {
    let body = text.get(begin.end..end.start).unwrap_or_default();
    let mut digits = Vec::with_capacity(body.len());
    digits.extend(body.iter().filter(|b| !b.is_ascii_whitespace()));
    if digits.is_empty() {
        return Item::Malformed("its PEM block is empty");
    }
    let Ok(der) = LENIENT.decode(&digits) else {
        return Item::Malformed("the base64 of its PEM block is damaged");
    };
    let strict = at_line_start(text, begin.start)
        && at_line_start(text, end.start)
        && line_ends(text, begin.end)
        && line_ends(text, end.end)
        && digits.len().is_multiple_of(4)
        && begin.text == end.text
        && text.get(begin.start..).is_some_and(|t| t.starts_with(b"-----BEGIN "))
        && text.get(end.start..).is_some_and(|t| t.starts_with(b"-----END "));
    let trusted = begin.text.trim_ascii().eq_ignore_ascii_case(b"TRUSTED CERTIFICATE");
    Item::Block { der, repaired: !strict, trusted }
}

fn at_line_start(text: &[u8], at: usize) -> bool {
    at == 0 || text.get(at - 1) == Some(&b'\n')
}

fn line_ends(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let blank = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
    matches!(rest.get(blank), None | Some(b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_do_not_overlap_whatever_the_text_is_made_of() {
        for part in ["-----BEGIN ", "-----END ", "-", "-----BEGIN -----END ", "-----BEGIN\n"] {
            let text = part.repeat(10_000);
            let mut end = 0;
            for marker in Markers::new(text.as_bytes()) {
                assert!(marker.start >= end && marker.end > marker.start, "{part:?}");
                let span = marker.end - marker.start;
                assert!(marker.text.len() < span && span <= part.len() + 16, "{part:?}: {span}");
                end = marker.end;
            }
        }
    }

    #[test]
    fn a_label_says_whether_a_certificate_may_be_in_its_block() {
        let label = |line: &str| {
            let mut markers = Markers::new(line.as_bytes());
            let label = markers.next().map(|marker| marker.label());
            assert!(markers.next().is_none(), "{line}");
            label
        };
        let named = |name: &str| label(&format!("-----BEGIN {name}-----"));
        for name in ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"] {
            assert_eq!(named(name), Some(Label::Certificate), "{name}");
            assert_eq!(label(&format!("-----BEGIN {name}")), Some(Label::Unclear), "{name}");
        }
        for name in ["PKCS7", "PKCS #7 SIGNED DATA", "CMS"] {
            assert_eq!(named(name), Some(Label::Container), "{name}");
        }
        for name in ["PRIVATE KEY", "NEW REQUEST", "X509 CRL", "DH PARAMETERS"] {
            assert_eq!(named(name), Some(Label::Other), "{name}");
            assert_eq!(label(&format!("-----BEGIN {name}")), Some(Label::Other), "{name}");
        }
        assert_eq!(named("CERTIFICATE REQUEST"), Some(Label::Other));
        assert_eq!(named("ATTRIBUTE CERTIFICATE"), Some(Label::Unclear));
        assert_eq!(named("MESSAGE"), Some(Label::Other));
        assert_eq!(named("MESS\u{e4}GE"), Some(Label::Unclear));
        assert_eq!(label("-----BEGIN MESSAGE"), Some(Label::Unclear));
        for none in ["-----BEGINNER-----", "-----STOP CERTIFICATE-----", "-----FINAL-----"] {
            assert_eq!(label(none), None, "{none}");
        }
    }

    #[test]
    fn a_label_is_the_same_with_any_blanks() {
        for label in ["X509 CERTIFICATE", " x509\tcertificate ", "X509\u{a0}CERTIFICATE"] {
            assert_eq!(words(label.as_bytes()), b"X509 CERTIFICATE", "{label:?}");
        }
    }
}
