//! PEM as it is met in the wild: finds every certificate marker in a file and decodes its block.
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
    Torn(&'static str),
    /// A sign of a certificate or container that has no BEGIN marker of a certificate.
    Stray(Reason, &'static str),
    /// What lies between blocks, or behind a BEGIN without END, to look for raw DER in.
    Gap(&'a [u8]),
}

/// Walks through the text and hands over what it finds, in order.
pub(super) fn scan<'a>(text: &'a [u8], mut found: impl FnMut(Item<'a>)) {
    let mut at = 0;
    while let Some(marker) = next_marker(text, at) {
        found(Item::Gap(text.get(at..marker.start).unwrap_or_default()));
        if !marker.begin {
            if marker.label() == Label::Certificate {
                found(Item::Stray(
                    Reason::BadPem,
                    "a PEM block ends here whose BEGIN line is lost",
                ));
            }
            at = marker.end;
            continue;
        }
        let next = next_marker(text, marker.end);
        let end = next.as_ref().filter(|n| !n.begin);
        // Without its own END, a block ends where the next one begins.
        at = next.as_ref().map_or(text.len(), |n| if n.begin { n.start } else { n.end });
        match (marker.label(), end) {
            (Label::Certificate, Some(end)) if end.label() != Label::Other => {
                found(decode(text, &marker, end));
            }
            (Label::Certificate, Some(_)) => {
                found(Item::Torn("the END line of its PEM block belongs to something else"));
            }
            (Label::Certificate, None) => found(Item::Torn("its PEM block has no END line")),
            (Label::Unclear, _) => found(Item::Torn("the BEGIN line of its PEM block is damaged")),
            (Label::Container, _) => found(Item::Stray(
                Reason::UnsupportedContainer,
                "it holds a PKCS#7 container, which expiryd does not open; write the certificates \
                 as PEM (openssl pkcs7 -print_certs)",
            )),
            (Label::Other, Some(end)) if end.label() == Label::Certificate => {
                found(Item::Stray(
                    Reason::BadPem,
                    "a PEM block ends here whose BEGIN line is lost",
                ));
            }
            (Label::Other, _) => {}
        }
        if end.is_none() {
            found(Item::Gap(text.get(marker.end..at).unwrap_or_default()));
        }
    }
    found(Item::Gap(text.get(at..).unwrap_or_default()));
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
        let text = self.text.trim_ascii().to_ascii_uppercase();
        let has = |part: &[u8]| text.windows(part.len()).any(|w| w == part);
        match text.as_slice() {
            b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" if self.closed => {
                Label::Certificate
            }
            b"PKCS7" | b"PKCS #7 SIGNED DATA" | b"CMS" => Label::Container,
            _ if has(b"KEY") || has(b"REQUEST") || has(b"CRL") || has(b"PARAM") => Label::Other,
            text if !self.closed || has(b"CERT") || !text.is_ascii() => Label::Unclear,
            _ => Label::Other,
        }
    }
}

fn next_marker(text: &[u8], from: usize) -> Option<Marker<'_>> {
    const DASHES: &[u8] = b"-----";
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|&b| b == b'-')?;
        let rest = text.get(at..)?;
        let Some(word) = rest.strip_prefix(DASHES) else {
            at += 1;
            continue;
        };
        let starts = |w: &[u8]| word.get(..w.len()).is_some_and(|s| s.eq_ignore_ascii_case(w));
        let (begin, skip) = match (starts(b"BEGIN "), starts(b"END ")) {
            (true, _) => (true, 6),
            (_, true) => (false, 4),
            _ => {
                at += 1;
                continue;
            }
        };
        let label = word.get(skip..)?;
        let line = label.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(label.len());
        let line = label.get(..line)?;
        let close = line.windows(DASHES.len()).position(|w| w == DASHES);
        let head = at + DASHES.len() + skip;
        return Some(Marker {
            start: at,
            end: close.map_or(head + line.len(), |c| head + c + DASHES.len()),
            begin,
            text: line.get(..close.unwrap_or(line.len()))?,
            closed: close.is_some(),
        });
    }
}

fn decode(text: &[u8], begin: &Marker<'_>, end: &Marker<'_>) -> Item<'static> {
    let body = text.get(begin.end..end.start).unwrap_or_default();
    let mut digits = Vec::with_capacity(body.len());
    digits.extend(body.iter().filter(|b| !b.is_ascii_whitespace()));
    if digits.is_empty() {
        return Item::Torn("its PEM block is empty");
    }
    let Ok(der) = LENIENT.decode(&digits) else {
        return Item::Torn("the base64 of its PEM block is damaged");
    };
    let strict = at_line_start(text, begin.start)
        && at_line_start(text, end.start)
        && line_ends(text, begin.end)
        && line_ends(text, end.end)
        && digits.len().is_multiple_of(4)
        && begin.text == end.text
        && text.get(begin.start..).is_some_and(|t| t.starts_with(b"-----BEGIN "));
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
