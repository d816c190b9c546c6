//! What is read out of a certificate here: when it ends, and which one it is.

use expiryd_api::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// When it ends.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Timestamp::from_unix(certificate.validity().not_after.timestamp()))
}

/// The certificates of a PEM.
pub(super) fn from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    // The parser's own words would quote what it read, and that may be a key.
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "it is no PEM".to_owned())
}

/// When the first of them ends.
pub(super) fn first_end(certificates: &[impl AsRef<[u8]>]) -> Option<Timestamp> {
    certificates.iter().filter_map(|der| not_after(der.as_ref())).min()
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(der: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(der).into();
    let (first, last) = digest.split_at(16);
    let half = |half: &[u8]| half.iter().fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    format!("{:032x}{:032x}", half(first), half(last))
}
