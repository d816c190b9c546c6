//! Any bytes as a certificate file: every marker and every date is accounted for, and nothing panics.
#![no_main]

use expiryd::host_root::HostPath;
use expiryd::pki::read;
use expiryd::pki::subject_names::subject_names;
use expiryd_api::SourceKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    subject_names(bytes);
    let contents = read(&HostPath::root(), SourceKind::File, bytes);
    assert!(!contents.certificates.is_empty() || !contents.problems.is_empty());
    for (index, certificate) in &contents.certificates {
        assert!(contents.certificates.iter().filter(|(other, _)| other == index).count() == 1);
        // What is shown of it can be shown.
        let shown = format!("{} {}", certificate.subject, certificate.issuer);
        assert!(!shown.chars().any(char::is_control));
        assert!(certificate.not_after.to_string().ends_with('Z'));
        certificate.serial_decimal();
    }
    // No message repeats what the file holds.
    assert!(contents.problems.iter().all(|problem| problem.message.len() < 400));
});
