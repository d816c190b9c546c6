//! Each case of the CA rule.

use expiryd_api::{SourceKind, Warning};
use testkit::certificate::{
    BASIC_CONSTRAINTS, CA_FALSE, CA_TRUE, CertificateBuilder, KEY_CERT_SIGN, KEY_USAGE,
};

use super::classify;
use crate::host_root::HostPath;
use crate::layout::known_files::ExpectedContent;
use crate::pki::read;

const END: &str = "20300101000000Z";

/// For each certificate of a file: is it a CA, does it count, what is odd.
fn judge(
    expected: ExpectedContent,
    builders: &[CertificateBuilder],
) -> Vec<(bool, bool, Vec<Warning>)> {
    let text: String = builders.iter().map(CertificateBuilder::pem).collect();
    let contents = read(&HostPath::root(), SourceKind::File, text.as_bytes());
    assert_eq!(contents.certificates.len(), builders.len());
    let classified = classify(expected, &contents.certificates);
    classified.into_iter().map(|s| (s.is_ca, s.counts, s.warnings)).collect()
}

#[test]
fn a_ca_is_what_says_so_in_basic_constraints() {
    assert_eq!(
        judge(ExpectedContent::Anything, &[CertificateBuilder::ca(END)]),
        [(true, false, vec![])]
    );
    assert_eq!(judge(ExpectedContent::Ca, &[CertificateBuilder::ca(END)]), [(true, false, vec![])]);
}

#[test]
fn without_basic_constraints_it_is_a_leaf_whatever_its_key_may_sign() {
    assert_eq!(
        judge(ExpectedContent::Leaf, &[CertificateBuilder::leaf(END)]),
        [(false, true, vec![])]
    );
    let signs = CertificateBuilder::leaf(END).with(KEY_USAGE, KEY_CERT_SIGN);
    assert_eq!(judge(ExpectedContent::Anything, &[signs]), [(false, true, vec![])]);
    let self_issued =
        CertificateBuilder::leaf(END).named("test-ca").with(BASIC_CONSTRAINTS, CA_FALSE);
    assert_eq!(judge(ExpectedContent::Anything, &[self_issued]), [(false, true, vec![])]);
}

#[test]
fn basic_constraints_that_cannot_be_read_count_with_a_warning() {
    let malformed = CertificateBuilder::leaf(END).with(BASIC_CONSTRAINTS, b"?");
    let doubled = CertificateBuilder::ca(END).with(BASIC_CONSTRAINTS, CA_TRUE);
    for odd in [malformed, doubled] {
        assert_eq!(
            judge(ExpectedContent::Anything, &[odd]),
            [(false, true, vec![Warning::CaUnknown])]
        );
    }
}

#[test]
fn the_first_certificate_of_a_leaf_file_counts_whatever_it_says() {
    let classification = judge(ExpectedContent::Leaf, &[CertificateBuilder::ca(END)]);
    assert_eq!(classification, [(true, true, vec![Warning::CaFlagInLeafFile])]);
}

#[test]
fn cas_behind_a_leaf_are_its_chain_and_a_short_one_is_remarked() {
    let chain = [
        CertificateBuilder::leaf(END),
        CertificateBuilder::ca("20400101000000Z"),
        CertificateBuilder::ca("20290101000000Z"),
    ];
    assert_eq!(
        judge(ExpectedContent::Leaf, &chain),
        [
            (false, true, vec![]),
            (true, false, vec![]),
            (true, false, vec![Warning::ChainExpiresFirst]),
        ]
    );
}

#[test]
fn a_second_leaf_in_a_leaf_file_counts_too() {
    let both = [CertificateBuilder::leaf(END), CertificateBuilder::leaf("20280101000000Z")];
    assert_eq!(judge(ExpectedContent::Leaf, &both), [(false, true, vec![]), (false, true, vec![])]);
}

#[test]
fn a_leaf_in_a_ca_file_counts_with_a_warning() {
    let classification =
        judge(ExpectedContent::Ca, &[CertificateBuilder::ca(END), CertificateBuilder::leaf(END)]);
    assert_eq!(classification, [(true, false, vec![]), (false, true, vec![Warning::LeafInCaFile])]);
}

#[test]
fn what_looks_like_a_ca_of_old_in_a_ca_file_is_suspect() {
    let version_1 = CertificateBuilder {
        version: Vec::new(),
        ..CertificateBuilder::leaf(END).named("test-ca")
    };
    let signs = CertificateBuilder::leaf(END).named("test-ca").with(KEY_USAGE, KEY_CERT_SIGN);
    for old in [version_1, signs] {
        let warnings = vec![Warning::LeafInCaFile, Warning::SuspectCa];
        assert_eq!(judge(ExpectedContent::Ca, &[old]), [(false, true, warnings)]);
    }
}

#[test]
fn a_leaf_in_a_ca_file_is_suspect_only_for_two_signs_of_an_old_ca_or_its_key_usage() {
    let self_issued = CertificateBuilder::leaf(END).named("test-ca");
    let version_1 = CertificateBuilder { version: Vec::new(), ..CertificateBuilder::leaf(END) };
    for leaf in [self_issued, version_1] {
        let judged = judge(ExpectedContent::Ca, &[leaf]);
        assert_eq!(judged, [(false, true, vec![Warning::LeafInCaFile])]);
    }
}

#[test]
fn a_chain_that_ends_with_its_leaf_is_long_enough() {
    let chain = [CertificateBuilder::leaf(END), CertificateBuilder::ca(END)];
    let judged = judge(ExpectedContent::Leaf, &chain);
    assert_eq!(judged, [(false, true, vec![]), (true, false, vec![])]);
}
