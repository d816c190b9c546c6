//! Whether a CA signed a certificate: asked of what a server shows, never of a file.

use std::panic::catch_unwind;

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Certificate;

/// Whether `authority` signed this certificate (RFC 5280, section 4.1.1.3). Dates and names are not looked at.
pub fn is_signed_by(der: &[u8], authority: &Certificate) -> bool {
    let Some(key) = authority.authority_key.as_deref() else { return false };
    // The bytes come from whoever listens, and no parser must be able to stop the agent.
    catch_unwind(|| verifies(der, key)).unwrap_or(false)
}

fn verifies(der: &[u8], key: &[u8]) -> bool {
    let certificate = X509Certificate::from_der(der);
    let key = SubjectPublicKeyInfo::from_der(key);
    let (Ok((_, certificate)), Ok((_, key))) = (certificate, key) else { return false };
    certificate.verify_signature(Some(&key)).is_ok()
}
