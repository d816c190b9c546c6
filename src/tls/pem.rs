//! Certificates, keys and CAs from PEM, as rustls wants them. Every error is the second half of a
//! sentence about the file, and says nothing of its content.

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::host_root::{HostPath, HostRoot, ReadError};

/// Bytes of a credential's file beyond which it is not read.
const LIMIT: u64 = 1 << 20;

/// Reads a file of the host; it is erased from memory when dropped.
///
/// # Errors
/// See [`ReadError`].
pub fn read(root: &HostRoot, path: &HostPath) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    root.stat(path)?.read(LIMIT).map(|(_, bytes)| bytes)
}

/// Reads the private key of the endpoint.
///
/// # Errors
/// See [`ReadError`].
pub fn read_key(root: &HostRoot, path: &HostPath) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    root.stat(path)?.read_key(LIMIT)
}

/// The CAs of a bundle. What cannot be read in it is left out, as long as something is left.
///
/// # Errors
/// Nothing is left.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 { Err("it holds no usable CA certificate") } else { Ok(roots) }
}

/// A certificate and its chain.
///
/// # Errors
/// One of them cannot be read, or there is none.
pub fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "its PEM cannot be read; it may be truncated")?;
    if chain.is_empty() { Err("it holds no certificate") } else { Ok(chain) }
}

/// A private key: PKCS#1, PKCS#8 or SEC1.
///
/// # Errors
/// There is none that can be read without a password.
pub fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "no unencrypted private key can be read in it; it may be truncated")
}
