//! Dates, names and serial numbers, odd ones above all.

use testkit::certificate::{
    BASIC_CONSTRAINTS, CA_FALSE, CA_TRUE, CertificateBuilder, KEY_CERT_SIGN, KEY_USAGE,
    SUBJECT_ALT_NAME, generalized_time, utc_time,
};

use super::{BasicConstraints, Certificate};

fn ends(not_after: Vec<u8>) -> Result<(String, bool), String> {
    let builder = CertificateBuilder { not_after, ..CertificateBuilder::leaf("20300101000000Z") };
    Certificate::from_der(&builder.der()).map(|c| (c.not_after.to_string(), c.nonstandard_time))
}

fn basic_constraints(builder: &CertificateBuilder) -> BasicConstraints {
    Certificate::from_der(&builder.der()).unwrap().basic_constraints
}

fn leaf() -> CertificateBuilder {
    CertificateBuilder::leaf("20300101000000Z")
}

#[test]
fn utc_time_turns_at_fifty() {
    assert_eq!(ends(utc_time("491231235959Z")), Ok(("2049-12-31T23:59:59Z".into(), false)));
    assert_eq!(ends(utc_time("500101000000Z")), Ok(("1950-01-01T00:00:00Z".into(), false)));
}

#[test]
fn generalized_time_before_2050_means_what_it_says_with_a_remark() {
    assert_eq!(
        ends(generalized_time("20500101000000Z")),
        Ok(("2050-01-01T00:00:00Z".into(), false))
    );
    assert_eq!(
        ends(generalized_time("20300101000000Z")),
        Ok(("2030-01-01T00:00:00Z".into(), true))
    );
}

#[test]
fn the_end_of_time_is_a_date() {
    let last = ends(generalized_time("99991231235959Z"));
    assert_eq!(last, Ok(("9999-12-31T23:59:59Z".into(), false)));
}

#[test]
fn dates_before_1970_and_the_year_0_do_not_panic() {
    assert_eq!(ends(utc_time("690101000000Z")).unwrap().0, "1969-01-01T00:00:00Z");
    assert!(
        ends(generalized_time("00000101000000Z")).is_ok_and(|(date, _)| date.starts_with("0000-"))
    );
}

#[test]
fn a_date_with_an_offset_is_the_right_instant_or_none() {
    for der in [utc_time("300101120000+0200"), generalized_time("20300101120000+0200")] {
        match ends(der) {
            Ok((date, nonstandard)) => {
                assert_eq!((date.as_str(), nonstandard), ("2030-01-01T10:00:00Z", true));
            }
            Err(why) => assert!(why.contains("not a valid X.509 certificate")),
        }
    }
}

#[test]
fn an_offset_that_no_clock_has_is_an_error_as_it_is_to_openssl() {
    for offset in ["+2400", "-1300", "+0060", "-1299"] {
        for der in [
            utc_time(&format!("300101120000{offset}")),
            generalized_time(&format!("20300101120000{offset}")),
        ] {
            assert!(ends(der).is_err(), "{offset}");
        }
    }
    assert_eq!(ends(utc_time("300101120000-1200")).unwrap().0, "2030-01-02T00:00:00Z");
    assert_eq!(ends(utc_time("300101120000+0059")).unwrap().0, "2030-01-01T11:01:00Z");
}

#[test]
fn a_fraction_is_dropped_and_missing_seconds_are_zero_with_a_remark() {
    let odd = |date: &str| Ok((date.to_owned(), true));
    assert_eq!(ends(generalized_time("20500101000000.5Z")), odd("2050-01-01T00:00:00Z"));
    assert_eq!(ends(generalized_time("205001010000Z")), odd("2050-01-01T00:00:00Z"));
    assert_eq!(ends(utc_time("3001010000Z")), odd("2030-01-01T00:00:00Z"));
}

#[test]
fn dates_that_do_not_exist_are_errors() {
    for text in [
        "301301000000Z",
        "300230000000Z",
        "300101240000Z",
        "300101006000Z",
        "300101000060Z",
        "300101000000",
        "300101000000z",
        "30010100000xZ",
        "",
    ] {
        assert!(ends(utc_time(text)).is_err(), "{text}");
    }
}

#[test]
fn basic_constraints_count_only_when_they_are_there_once_and_readable() {
    assert_eq!(basic_constraints(&leaf()), BasicConstraints::Absent);
    assert_eq!(
        basic_constraints(&leaf().with(BASIC_CONSTRAINTS, CA_FALSE)),
        BasicConstraints::NotCa
    );
    assert_eq!(basic_constraints(&leaf().with(BASIC_CONSTRAINTS, CA_TRUE)), BasicConstraints::Ca);
    let path_length = [0x30, 0x06, 0x01, 0x01, 0xFF, 0x02, 0x01, 0x00];
    assert_eq!(
        basic_constraints(&leaf().with(BASIC_CONSTRAINTS, &path_length)),
        BasicConstraints::Ca
    );
    let twice = leaf().with(BASIC_CONSTRAINTS, CA_TRUE).with(BASIC_CONSTRAINTS, CA_TRUE);
    assert_eq!(basic_constraints(&twice), BasicConstraints::Unreadable);
    for malformed in [
        &[][..],
        b"\x30\x05\x01",
        b"CA:TRUE",
        // pathLen of nine bytes
        &[0x30, 0x0E, 0x01, 0x01, 0xFF, 0x02, 0x09, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        // TRUE as BER allows it, and a length in more bytes than it needs
        &[0x30, 0x03, 0x01, 0x01, 0x01],
        &[0x30, 0x81, 0x03, 0x01, 0x01, 0xFF],
        // pathLen 0 in two bytes, and -1
        &[0x30, 0x07, 0x01, 0x01, 0xFF, 0x02, 0x02, 0x00, 0x00],
        &[0x30, 0x06, 0x01, 0x01, 0xFF, 0x02, 0x01, 0xFF],
        // something behind the extension's value
        &[0x30, 0x03, 0x01, 0x01, 0xFF, 0x05, 0x00],
    ] {
        let builder = leaf().with(BASIC_CONSTRAINTS, malformed);
        assert_eq!(basic_constraints(&builder), BasicConstraints::Unreadable, "{malformed:?}");
    }
}

#[test]
fn a_malformed_extension_hides_neither_the_date_nor_the_ca_flag() {
    let builder = leaf().with(SUBJECT_ALT_NAME, b"garbage").with(BASIC_CONSTRAINTS, CA_TRUE);
    let certificate = Certificate::from_der(&builder.der()).unwrap();
    assert_eq!(certificate.basic_constraints, BasicConstraints::Ca);
    assert_eq!(certificate.not_after.to_string(), "2030-01-01T00:00:00Z");
}

#[test]
fn serial_numbers_may_be_negative_zero_or_long() {
    for serial in [vec![0x00], vec![0xFF], vec![0x7F; 40]] {
        let builder = CertificateBuilder { serial: serial.clone(), ..leaf() };
        let certificate = Certificate::from_der(&builder.der()).unwrap();
        assert_eq!(certificate.serial_hex().len(), serial.len() * 2);
    }
}

#[test]
fn a_serial_number_is_shown_in_decimal_and_in_hexadecimal() {
    let builder = CertificateBuilder { serial: vec![0x01, 0x0A, 0xFF], ..leaf() };
    let certificate = Certificate::from_der(&builder.der()).unwrap();
    assert_eq!(certificate.serial_decimal(), "68351");
    assert_eq!(certificate.serial_hex(), "010aff");
}

#[test]
fn only_key_usage_with_its_sixth_bit_signs_certificates() {
    const DIGITAL_SIGNATURE: &[u8] = &[0x03, 0x02, 0x07, 0x80];
    let signs = |oid: &[u8], content: &[u8]| {
        Certificate::from_der(&leaf().with(oid, content).der()).unwrap().key_cert_sign
    };
    assert!(signs(KEY_USAGE, KEY_CERT_SIGN));
    assert!(!signs(KEY_USAGE, DIGITAL_SIGNATURE));
    assert!(!signs(SUBJECT_ALT_NAME, KEY_CERT_SIGN));
}

#[test]
fn a_version_1_certificate_is_read_and_known_as_such() {
    let builder = CertificateBuilder { version: Vec::new(), ..leaf() };
    assert!(Certificate::from_der(&builder.der()).unwrap().version_1);
}

#[test]
fn a_name_cannot_play_tricks_on_a_terminal() {
    let subject = b"evil\n\x1b[31m\xE2\x80\xAEtxt\xFF,CN=x".to_vec();
    let certificate =
        Certificate::from_der(&CertificateBuilder { subject, ..leaf() }.der()).unwrap();
    let shown = certificate.subject.to_string();
    assert!(!shown.contains(['\n', '\x1b', '\u{202e}']), "{shown:?}");
    assert!(
        shown.contains("\\x0a") && shown.contains("\\xff") && shown.contains("\\,CN=x"),
        "{shown}"
    );
}

#[test]
fn a_name_of_64_kib_is_cut_and_an_empty_one_is_empty() {
    let long = CertificateBuilder { subject: vec![b'x'; 65_536], ..leaf() };
    assert!(Certificate::from_der(&long.der()).unwrap().subject.to_string().len() < 4_096);
    let empty = CertificateBuilder { subject: Vec::new(), ..leaf() };
    assert_eq!(Certificate::from_der(&empty.der()).unwrap().subject.to_string(), "CN=");
}

#[test]
fn the_node_name_is_what_follows_system_node_in_the_common_name() {
    let of = |cn: &str| {
        let certificate = Certificate::from_der(&leaf().named(cn).der()).unwrap();
        certificate.node_name().map(str::to_owned)
    };
    assert_eq!(of("system:node:cp-1").as_deref(), Some("cp-1"));
    assert_eq!(of("kubernetes-admin"), None);
}

#[test]
fn the_fingerprint_is_that_of_the_der() {
    use sha2::{Digest, Sha256};
    let der = leaf().der();
    let digest: [u8; 32] = Sha256::digest(&der).into();
    let certificate = Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.sha256, digest);
    let hex: Vec<_> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(certificate.sha256_hex(), hex.concat());
}
