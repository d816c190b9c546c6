//! Each case of the CA rule.

use super::standings;
use crate::pki::renewal::Holds;
use crate::pki::specimen::{
    BASIC_CONSTRAINTS, CA_FALSE, CA_TRUE, KEY_CERT_SIGN, KEY_USAGE, Specimen,
};
use crate::pki::{Kind, Warning, read};

const END: &str = "20300101000000Z";

/// For each certificate of a file: is it a CA, does it count, what is odd.
fn judge(holds: Holds, specimens: &[Specimen]) -> Vec<(bool, bool, Vec<Warning>)> {
    let text: String = specimens.iter().map(Specimen::pem).collect();
    let contents = read(Kind::File, text.as_bytes());
    assert_eq!(contents.certificates.len(), specimens.len());
    let standings = standings(holds, &contents.certificates);
    standings.into_iter().map(|s| (s.is_ca, s.counts, s.warnings)).collect()
}

#[test]
fn a_ca_is_what_says_so_in_basic_constraints() {
    assert_eq!(judge(Holds::Anything, &[Specimen::ca(END)]), [(true, false, vec![])]);
    assert_eq!(judge(Holds::Ca, &[Specimen::ca(END)]), [(true, false, vec![])]);
}

#[test]
fn without_basic_constraints_it_is_a_leaf_whatever_its_key_may_sign() {
    assert_eq!(judge(Holds::Leaf, &[Specimen::leaf(END)]), [(false, true, vec![])]);
    let signs = Specimen::leaf(END).with(KEY_USAGE, KEY_CERT_SIGN);
    assert_eq!(judge(Holds::Anything, &[signs]), [(false, true, vec![])]);
    let self_issued = Specimen::leaf(END).named("test-ca").with(BASIC_CONSTRAINTS, CA_FALSE);
    assert_eq!(judge(Holds::Anything, &[self_issued]), [(false, true, vec![])]);
}

#[test]
fn basic_constraints_that_cannot_be_read_count_with_a_warning() {
    let malformed = Specimen::leaf(END).with(BASIC_CONSTRAINTS, b"?");
    let doubled = Specimen::ca(END).with(BASIC_CONSTRAINTS, CA_TRUE);
    for odd in [malformed, doubled] {
        assert_eq!(judge(Holds::Anything, &[odd]), [(false, true, vec![Warning::CaUnknown])]);
    }
}

#[test]
fn the_first_certificate_of_a_leaf_file_counts_whatever_it_says() {
    let standing = judge(Holds::Leaf, &[Specimen::ca(END)]);
    assert_eq!(standing, [(true, true, vec![Warning::CaFlagInLeafFile])]);
}

#[test]
fn cas_behind_a_leaf_are_its_chain_and_a_short_one_is_remarked() {
    let chain =
        [Specimen::leaf(END), Specimen::ca("20400101000000Z"), Specimen::ca("20290101000000Z")];
    assert_eq!(
        judge(Holds::Leaf, &chain),
        [
            (false, true, vec![]),
            (true, false, vec![]),
            (true, false, vec![Warning::ChainExpiresFirst]),
        ]
    );
}

#[test]
fn a_second_leaf_in_a_leaf_file_counts_too() {
    let both = [Specimen::leaf(END), Specimen::leaf("20280101000000Z")];
    assert_eq!(judge(Holds::Leaf, &both), [(false, true, vec![]), (false, true, vec![])]);
}

#[test]
fn a_leaf_in_a_ca_file_counts_with_a_warning() {
    let standing = judge(Holds::Ca, &[Specimen::ca(END), Specimen::leaf(END)]);
    assert_eq!(standing, [(true, false, vec![]), (false, true, vec![Warning::LeafInCaFile])]);
}

#[test]
fn what_looks_like_a_ca_of_old_in_a_ca_file_is_suspect() {
    let version_1 = Specimen { version: Vec::new(), ..Specimen::leaf(END).named("test-ca") };
    let signs = Specimen::leaf(END).named("test-ca").with(KEY_USAGE, KEY_CERT_SIGN);
    for old in [version_1, signs] {
        let warnings = vec![Warning::LeafInCaFile, Warning::SuspectCa];
        assert_eq!(judge(Holds::Ca, &[old]), [(false, true, warnings)]);
    }
}
