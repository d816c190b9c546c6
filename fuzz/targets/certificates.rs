//! Any bytes as a certificate file: every marker and every date is accounted for, and nothing panics.
#![no_main]

use expiryd::pki::holder::names;
use expiryd::pki::{Kind, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    names(bytes);
    let contents = read(Kind::File, bytes);
    assert!(!contents.certificates.is_empty() || !contents.faults.is_empty());
    for (index, certificate) in &contents.certificates {
        assert!(contents.certificates.iter().filter(|(other, _)| other == index).count() == 1);
        // What is shown of it can be shown.
        let shown = format!("{} {}", certificate.subject, certificate.issuer);
        assert!(!shown.chars().any(char::is_control));
        assert!(certificate.not_after.to_string().ends_with('Z'));
        certificate.serial_decimal();
    }
    // No line of a fault repeats what the file holds.
    assert!(contents.faults.iter().all(|fault| fault.message.len() < 400));
});
