//! What holds for every file, however it was shuffled, cut or damaged.

use expiryd::host_root::HostPath;
use expiryd::pki::{Contents, read};
use expiryd_api::{SourceKind, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use testkit::certificate::{CertificateBuilder, pem};

/// A part of a file, as operators and their tools write them.
#[derive(Debug, Clone)]
enum Piece {
    Good(u16),
    Der(u16),
    WithoutEnd(u16),
    Damaged(u16),
    Key,
    Text(String),
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        let leaf = |year: &u16| CertificateBuilder::leaf(&format!("{year}0101000000Z"));
        match self {
            Self::Good(year) => leaf(year).pem().into_bytes(),
            Self::Der(year) => leaf(year).der(),
            Self::WithoutEnd(year) => {
                leaf(year).pem().replace("-----END CERTIFICATE-----\n", "").into_bytes()
            }
            Self::Damaged(year) => leaf(year).pem().replacen("-----\n", "-----\n!", 1).into_bytes(),
            Self::Key => pem("EC PRIVATE KEY", b"no certificate").into_bytes(),
            Self::Text(text) => format!("# {text}\n").into_bytes(),
        }
    }

    /// Whether it is a certificate, or the rest of one, that must not disappear.
    fn must_show(&self) -> bool {
        !matches!(self, Self::Key | Self::Text(_))
    }

    fn readable(&self) -> Option<u16> {
        match self {
            Self::Good(year) | Self::Der(year) => Some(*year),
            _ => None,
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let year = 2030_u16..2040;
    prop_oneof![
        3 => year.clone().prop_map(Piece::Good),
        1 => year.clone().prop_map(Piece::Der),
        1 => year.clone().prop_map(Piece::WithoutEnd),
        1 => year.prop_map(Piece::Damaged),
        1 => Just(Piece::Key),
        1 => "[ -,.-~]{0,60}".prop_map(Piece::Text),
    ]
}

fn file(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().flat_map(Piece::bytes).collect()
}

fn ends(contents: &Contents) -> Vec<Timestamp> {
    contents.certificates.iter().map(|(_, c)| c.not_after).collect()
}

fn end_of(year: u16) -> Timestamp {
    Timestamp::parse(&format!("{year}-01-01T00:00:00Z")).unwrap()
}

/// Certificates and problems that have a place among them.
fn shown(contents: &Contents) -> usize {
    contents.certificates.len() + contents.problems.iter().filter(|f| f.index.is_some()).count()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_123),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_certificate_of_a_file_is_read_or_named(pieces in prop::collection::vec(piece(), 0..12)) {
        let contents = read(&HostPath::root(), SourceKind::File, &file(&pieces));
        prop_assert_eq!(shown(&contents), pieces.iter().filter(|p| p.must_show()).count());
        let readable: Vec<_> = pieces.iter().filter_map(Piece::readable).map(end_of).collect();
        prop_assert_eq!(ends(&contents), readable);
    }

    #[test]
    fn indexes_are_distinct_and_count_from_0(pieces in prop::collection::vec(piece(), 1..12)) {
        let contents = read(&HostPath::root(), SourceKind::File, &file(&pieces));
        let mut indexes: Vec<_> = contents.certificates.iter().map(|(i, _)| *i)
            .chain(contents.problems.iter().filter_map(|f| f.index)).collect();
        indexes.sort_unstable();
        prop_assert_eq!(&indexes, &(0..indexes.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_cut_anywhere_shows_no_other_certificate_and_names_the_torn_one(
        years in prop::collection::vec(2030_u16..2040, 1..5), cut in any::<prop::sample::Index>(),
    ) {
        let whole = file(&years.iter().copied().map(Piece::Good).collect::<Vec<_>>());
        let at = cut.index(whole.len());
        let contents = read(&HostPath::root(), SourceKind::File, &whole[..at]);
        let expected: Vec<_> = years.iter().copied().map(end_of).collect();
        let complete = ends(&contents);
        prop_assert_eq!(&complete[..], &expected[..complete.len()]);
        let block = whole.len() / years.len();
        let begun = at / block + usize::from(at % block >= "-----BEGIN ".len());
        prop_assert_eq!(shown(&contents), begun, "cut at {}", at);
    }

    #[test]
    fn damage_never_panics_and_never_silences_a_file(
        pieces in prop::collection::vec(piece(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = file(&pieces);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for kind in [SourceKind::File, SourceKind::Kubeconfig, SourceKind::Kubelet] {
            let contents = read(&HostPath::root(), kind, &bytes);
            prop_assert!(!contents.certificates.is_empty() || !contents.problems.is_empty());
        }
    }

    #[test]
    fn noise_is_a_problem_and_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let contents = read(&HostPath::root(), SourceKind::File, &bytes);
        prop_assert!(contents.certificates.is_empty() && !contents.problems.is_empty());
    }
}
