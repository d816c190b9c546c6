//! PEM and DER as they are met in the wild (the cases of RFC 7468 and of real files).

use expiryd_api::{Reason, Timestamp, Warning};
use testkit::certificate::{CertificateBuilder, element, pem};

use crate::host_root::HostPath;
use crate::layout::known_files::ExpectedContent;
use crate::pki::Contents;
use crate::rules::ca::classify;

fn read(bytes: impl AsRef<[u8]>) -> Contents {
    super::read(&HostPath::root(), bytes.as_ref())
}

fn leaf(year: u16) -> CertificateBuilder {
    CertificateBuilder::leaf(&format!("{year}0101000000Z"))
}

/// The years in which the certificates end, by index.
fn years(contents: &Contents) -> Vec<(usize, String)> {
    let year = |t: Timestamp| t.to_string().get(..4).map(str::to_owned).unwrap_or_default();
    contents.certificates.iter().map(|(i, c)| (*i, year(c.not_after))).collect()
}

fn ends(contents: &Contents) -> Vec<u16> {
    years(contents).into_iter().map(|(_, year)| year.parse().unwrap()).collect()
}

fn problems(contents: &Contents) -> Vec<(Option<usize>, Reason)> {
    contents.problems.iter().map(|f| (f.index, f.reason)).collect()
}

fn warnings(contents: &Contents) -> Vec<Warning> {
    let classified = classify(ExpectedContent::Anything, &contents.certificates);
    classified.into_iter().flat_map(|s| s.warnings).collect()
}

/// Reads the one certificate and says whether it had to be repaired.
fn one(bytes: impl AsRef<[u8]>) -> Vec<Warning> {
    let contents = read(bytes);
    assert_eq!((ends(&contents), problems(&contents)), (vec![2030], vec![]));
    warnings(&contents)
}

#[test]
fn a_plain_block_is_read_without_remark() {
    assert_eq!(one(leaf(2030).pem()), []);
}

#[test]
fn line_ends_may_be_crlf_or_cr_and_the_last_one_may_be_missing() {
    let text = leaf(2030).pem();
    assert_eq!(one(text.replace('\n', "\r\n")), []);
    assert_eq!(one(text.trim_end()), []);
    assert_eq!(one(text.replace('\n', "\r")), [Warning::RepairedPem]);
}

#[test]
fn a_byte_order_mark_does_not_hide_the_first_block() {
    assert_eq!(one(format!("\u{feff}{}", leaf(2030).pem())), [Warning::RepairedPem]);
}

#[test]
fn text_before_the_begin_marker_on_its_line_and_indentation_are_repaired() {
    let text = leaf(2030).pem();
    assert_eq!(one(format!("cert: {text}")), [Warning::RepairedPem]);
    let indented: String = text.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    assert_eq!(one(indented), [Warning::RepairedPem]);
}

#[test]
fn blanks_and_empty_lines_inside_a_block_do_not_matter() {
    let text = leaf(2030).pem();
    let spaced: String = text.lines().flat_map(|line| [line, " \t\n"]).collect();
    assert_eq!(one(spaced), []);
    assert_eq!(one(text.replacen("-----\n", "-----\n\n\n", 1)), []);
}

#[test]
fn lines_may_be_of_any_length() {
    let text = leaf(2030).pem();
    let lines: Vec<_> = text.lines().collect();
    let body = lines[1..lines.len() - 1].concat();
    let single = format!("{}\n{body}\n{}\n", lines[0], lines[lines.len() - 1]);
    assert_eq!(one(&single), []);
    let narrow: String = body.chars().flat_map(|c| [c, '\n']).collect();
    assert_eq!(one(format!("{}\n{narrow}{}\n", lines[0], lines[lines.len() - 1])), []);
}

#[test]
fn the_older_labels_name_certificates_too() {
    let der = leaf(2030).der();
    assert_eq!(one(pem("X509 CERTIFICATE", &der)), []);
    assert_eq!(one(pem("TRUSTED CERTIFICATE", &der)), []);
    // What OpenSSL appends to a trusted certificate is not a second one.
    let trust = element(0x30, &element(0x30, &element(0x06, &[0x2B, 6, 1, 5, 5, 7, 3, 1])));
    assert_eq!(one(pem("TRUSTED CERTIFICATE", &[der, trust].concat())), []);
}

#[test]
fn text_keys_and_other_blocks_between_certificates_lose_none() {
    let key = pem("PRIVATE KEY", b"not a key");
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                     AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let text = format!(
        "{encrypted}subject=CN = one\n{}{key}Certificate:\n    Data:\n{}some text\n{}",
        leaf(2031).pem(),
        leaf(2032).pem(),
        leaf(2029).pem()
    );
    let contents = read(text);
    assert_eq!(ends(&contents), [2031, 2032, 2029]);
    assert_eq!(problems(&contents), []);
}

#[test]
fn a_thousand_lines_of_text_before_the_block_are_skipped() {
    let dump = "        Signature Algorithm: ecdsa-with-SHA256\n".repeat(1_000);
    assert_eq!(one(format!("{dump}{}", leaf(2030).pem())), []);
}

#[test]
fn markers_glued_together_are_two_blocks() {
    let glued = format!("{}{}", leaf(2030).pem().trim_end(), leaf(2031).pem());
    let contents = read(glued);
    assert_eq!((ends(&contents), problems(&contents)), (vec![2030, 2031], vec![]));
    assert!(warnings(&contents).contains(&Warning::RepairedPem));
}

#[test]
fn a_block_without_end_does_not_swallow_the_next() {
    let torn = leaf(2030).pem().replace("-----END CERTIFICATE-----\n", "");
    let contents = read(format!("{torn}{}", leaf(2031).pem()));
    assert_eq!(years(&contents), [(1, "2031".to_owned())]);
    assert_eq!(problems(&contents), [(Some(0), Reason::BadPem)]);
    assert_eq!(problems(&read(torn)), [(Some(0), Reason::BadPem)]);
}

#[test]
fn a_block_without_begin_is_a_problem_and_the_next_is_read() {
    let torn = leaf(2030).pem().replace("-----BEGIN CERTIFICATE-----\n", "");
    let contents = read(format!("{torn}{}", leaf(2031).pem()));
    assert_eq!(ends(&contents), [2031]);
    assert_eq!(problems(&contents), [(None, Reason::BadPem)]);
}

#[test]
fn garbage_between_two_good_blocks_keeps_its_index() {
    let garbage = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let contents = read(format!("{}{garbage}{}", leaf(2030).pem(), leaf(2031).pem()));
    assert_eq!(years(&contents), [(0, "2030".to_owned()), (2, "2031".to_owned())]);
    assert_eq!(problems(&contents), [(Some(1), Reason::BadPem)]);
}

#[test]
fn the_block_of_a_private_key_is_never_decoded_whatever_is_in_it() {
    let certificate = leaf(2030).der();
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
        let contents = read(pem(label, &certificate));
        assert_eq!(
            (ends(&contents), problems(&contents)),
            (vec![], vec![(None, Reason::NoCertificate)])
        );
    }
}

#[test]
fn a_block_whose_end_belongs_to_a_key_is_a_problem() {
    let text = leaf(2030).pem().replace("END CERTIFICATE", "END PRIVATE KEY");
    assert_eq!(problems(&read(text)), [(Some(0), Reason::BadPem)]);
}

#[test]
fn a_key_whose_end_belongs_to_a_certificate_has_hidden_one() {
    let text = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert_eq!(problems(&read(text)), [(None, Reason::BadPem)]);
}

#[test]
fn rfc_1421_headers_in_a_certificate_are_a_problem_and_not_a_silence() {
    let text = leaf(2030).pem().replacen("-----\n", "-----\nComment: hello\n\n", 1);
    assert_eq!(problems(&read(text)), [(Some(0), Reason::BadPem)]);
}

#[test]
fn a_damaged_label_is_a_problem() {
    for label in ["CERTIFCATE", "CERTIFICATE\u{e9}"] {
        let text = leaf(2030).pem().replace("CERTIFICATE", label);
        assert_eq!(problems(&read(text)), [(Some(0), Reason::BadPem)], "{label}");
    }
}

#[test]
fn latin_1_in_a_comment_is_text_and_in_a_body_is_a_problem() {
    let text = leaf(2030).pem();
    assert_eq!(one([b"# caf\xE9\n", text.as_bytes()].concat()), []);
    let mut body = text.into_bytes();
    body[60] = 0xE9;
    assert_eq!(problems(&read(body)), [(Some(0), Reason::BadPem)]);
}

#[test]
fn nul_bytes_around_blocks_do_not_matter_and_inside_are_a_problem() {
    let text = leaf(2030).pem();
    assert!(one([b"\0\0\n", text.as_bytes(), b"\0\0"].concat()).is_empty());
    let mut body = text.into_bytes();
    body[60] = 0;
    assert_eq!(problems(&read(body)), [(Some(0), Reason::BadPem)]);
}

#[test]
fn raw_der_is_read_whatever_the_file_is_called() {
    let (one_der, other) = (leaf(2030).der(), leaf(2031).der());
    assert_eq!(one(&one_der), []);
    assert_eq!(one([one_der.as_slice(), b"\n"].concat()), []);
    for padding in [b"\n".as_slice(), b"\0\0", b" \0\t"] {
        assert_eq!(one([padding, one_der.as_slice(), padding].concat()), [], "{padding:?}");
    }
    assert_eq!(ends(&read([one_der.as_slice(), &other].concat())), [2030, 2031]);
    let mixed = [one_der.as_slice(), b"\n", leaf(2029).pem().as_bytes(), &other].concat();
    assert_eq!(ends(&read(mixed)), [2030, 2029, 2031]);
}

#[test]
fn der_whose_subject_spells_a_pem_marker_is_one_certificate() {
    let der = leaf(2030).named("-----BEGIN CERTIFICATE-----").der();
    assert_eq!(one(der), []);
}

#[test]
fn two_certificates_in_one_block_are_both_read() {
    let both = [leaf(2030).der(), leaf(2029).der()].concat();
    assert_eq!(ends(&read(pem("CERTIFICATE", &both))), [2030, 2029]);
}

#[test]
fn bytes_behind_a_certificate_in_its_block_are_a_remark() {
    let der = [leaf(2030).der().as_slice(), b"\x05\x00"].concat();
    assert_eq!(one(pem("CERTIFICATE", &der)), [Warning::TrailingData]);
}

#[test]
fn torn_der_is_a_problem() {
    let der = leaf(2030).der();
    let torn = &der[..der.len() - 5];
    assert_eq!(problems(&read(torn)), [(Some(0), Reason::BadCertificate)]);
    assert_eq!(problems(&read(pem("CERTIFICATE", torn))), [(Some(0), Reason::BadCertificate)]);
}

#[test]
fn a_file_without_any_certificate_is_a_problem_that_says_what_it_is() {
    let says = |bytes: &[u8], words: &str| {
        let contents = read(bytes);
        assert_eq!(problems(&contents), [(None, Reason::NoCertificate)]);
        assert!(contents.problems[0].message.contains(words), "{}", contents.problems[0].message);
    };
    says(b"", "empty");
    says(&[0; 300], "NUL");
    says(b"<html>404</html>", "neither PEM nor DER");
    says(b"\xFF\xFE-\0-\0", "UTF-16");
    says(pem("PRIVATE KEY", b"secret").as_bytes(), "no certificate");
    says(pem("CERTIFICATE REQUEST", b"request").as_bytes(), "no certificate");
}

#[test]
fn containers_that_expiryd_does_not_open_are_named() {
    let signed_data = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
    let p7 = element(0x30, &[&signed_data[..], &element(0xA0, &[0x30; 200])].concat());
    let p12 = element(0x30, &[&[0x02, 0x01, 0x03][..], &element(0x30, &[0; 200])].concat());
    for (bytes, index, name) in [
        (p7.clone(), Some(0), "PKCS#7"),
        (p12, Some(0), "PKCS#12"),
        (pem("CERTIFICATE", &p7).into_bytes(), Some(0), "PKCS#7"),
        (pem("PKCS7", &p7).into_bytes(), None, "PKCS#7"),
    ] {
        let contents = read(bytes);
        assert_eq!(problems(&contents), [(index, Reason::UnsupportedContainer)]);
        assert!(contents.problems[0].message.contains(name), "{}", contents.problems[0].message);
    }
    let neither = element(0x30, &element(0x30, &[0x30; 200]));
    assert_eq!(problems(&read(neither)), [(Some(0), Reason::BadCertificate)]);
}

#[test]
fn a_file_with_more_certificates_than_the_limit_says_so() {
    let text = leaf(2030).pem().repeat(super::LIMIT + 3);
    let contents = read(text);
    assert_eq!(contents.certificates.len(), super::LIMIT);
    assert_eq!(problems(&contents), [(None, Reason::TooMany)]);
}

#[test]
fn no_message_repeats_what_is_in_the_file() {
    let text = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    assert!(read(text).problems.iter().all(|fault| !fault.message.contains("c2VjcmV0")));
}

#[test]
fn torn_der_does_not_hide_the_pem_behind_it() {
    let der = leaf(2031).der();
    for cut in [40, der.len() / 2, der.len() - 60] {
        let contents = read([&der[..cut], b"\n", leaf(2030).pem().as_bytes()].concat());
        assert_eq!(years(&contents), [(1, "2030".to_owned())], "cut after {cut}");
        assert_eq!(problems(&contents), [(Some(0), Reason::BadCertificate)], "cut after {cut}");
    }
    // Without anything behind it, its inner pieces are no certificates of their own.
    assert_eq!(problems(&read(&der[..der.len() - 1])), [(Some(0), Reason::BadCertificate)]);
}

#[test]
fn a_certificate_with_a_label_that_nobody_knows_is_a_problem_beside_a_good_one() {
    let der = leaf(2031).der();
    for label in
        ["CERTIFICATE KEY", "MY CERTIFICATE", "X509 CRL CERTIFICATE", "CERTIFICATE PARAMETERS"]
    {
        let contents = read(leaf(2030).pem() + &pem(label, &der));
        assert_eq!(
            (ends(&contents), problems(&contents)),
            (vec![2030], vec![(Some(1), Reason::BadPem)])
        );
    }
    for label in ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", "PRIVATE KEY", "X509 CRL"] {
        let contents = read(leaf(2030).pem() + &pem(label, &der));
        assert_eq!((ends(&contents), problems(&contents)), (vec![2030], vec![]), "{label}");
    }
}

#[test]
fn a_marker_with_another_blank_in_it_is_repaired() {
    for blank in ["\t", "\u{a0}", "  "] {
        let text = leaf(2030).pem();
        for marker in ["BEGIN ", "END "] {
            let odd = text.replace(marker, &marker.replace(' ', blank));
            assert_eq!(one(odd), [Warning::RepairedPem], "{blank:?} in {marker}");
        }
    }
}

#[test]
fn text_of_another_encoding_behind_a_good_certificate_is_a_problem() {
    let other = leaf(2031).pem();
    for encode in [u16::to_le_bytes, u16::to_be_bytes] {
        let utf_16: Vec<u8> = other.encode_utf16().flat_map(encode).collect();
        let contents = read([leaf(2030).pem().as_bytes(), &utf_16].concat());
        assert_eq!(
            (ends(&contents), problems(&contents)),
            (vec![2030], vec![(None, Reason::BadPem)])
        );
    }
}

#[test]
fn of_ten_thousand_problems_a_hundred_are_listed_and_the_rest_is_counted() {
    for part in ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"] {
        let contents = read(part.repeat(10_000));
        assert_eq!(contents.problems.len(), 101);
        let rest = contents.problems.last().unwrap();
        assert_eq!(rest.reason, Reason::TooMany);
        assert!(rest.message.starts_with("9900 more"), "{}", rest.message);
    }
}

#[test]
fn der_amid_text_is_read_once_and_what_only_begins_like_it_hides_nothing() {
    let text = [b"text\n".to_vec(), leaf(2030).der(), b"\nmore text\n".to_vec()].concat();
    let read_once = read([text.clone(), leaf(2031).pem().into_bytes()].concat());
    assert_eq!((ends(&read_once), problems(&read_once)), (vec![2030, 2031], vec![]));
    // The start of a long length, and the end of the text before anything could follow it.
    let begins = read([text, b"0\x84".to_vec()].concat());
    assert_eq!((ends(&begins), problems(&begins)), (vec![2030], vec![]));
}

#[test]
fn a_second_certificate_in_a_block_that_is_cut_off_is_a_problem() {
    let both = [leaf(2030).der(), leaf(2031).der()].concat();
    let cut = read(pem("CERTIFICATE", &both[..both.len() - 10]));
    assert_eq!(ends(&cut), [2030]);
    assert_eq!(problems(&cut), [(Some(1), Reason::BadCertificate)]);
    assert_eq!(warnings(&cut), []);
}
