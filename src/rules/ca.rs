//! What is a CA: the one rule, with its reasons.
//!
//! A leaf taken for a CA is an outage; a CA taken for a leaf is a rollout that helps nobody. So:
//!
//! 1. A certificate is a CA only when basicConstraints is there once, can be parsed, and says CA:TRUE
//!    (RFC 5280 section 4.2.1.9). Never by name, keyUsage or self-signature: OpenSSL's
//!    `-purpose` takes every version 1 certificate for one.
//! 2. Without basicConstraints it is none: etcdadm's leaves have none. With one that cannot be
//!    read it is none either, with a warning, because it counts then.
//! 3. The first certificate of a file that is known to hold a leaf counts whatever it says;
//!    CA certificates behind it are its chain.
//! 4. A certificate in a CA's file that is not a CA counts, with a warning. No rollout renews it
//!    (see [`super::renewal`]): the file comes from a Secret.

use std::sync::Arc;

use expiryd_api::Warning;

use crate::layout::known_files::ExpectedContent;
use crate::pki::{BasicConstraints, Certificate};

/// What the rule says of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// Whether it is a CA certificate.
    pub is_ca: bool,
    /// Whether its expiry is one that ends something: all but CAs and what the rule excepts.
    pub counts: bool,
    /// What is odd about it, in the order of [`Warning`].
    pub warnings: Vec<Warning>,
}

/// Applies the rule to the certificates of one file, in order.
pub fn classify(
    expected: ExpectedContent,
    file: &[(usize, Arc<Certificate>)],
) -> Vec<Classification> {
    let leaf_ends = file
        .iter()
        .find(|(index, certificate)| counts(expected, *index, certificate))
        .map(|(_, leaf)| leaf.not_after);
    file.iter()
        .map(|(index, certificate)| {
            let is_ca = certificate.basic_constraints == BasicConstraints::Ca;
            let counts = counts(expected, *index, certificate);
            let suspect =
                (certificate.self_issued && certificate.version_1) || certificate.key_cert_sign;
            let odd = [
                (Warning::CaUnknown, certificate.basic_constraints == BasicConstraints::Unreadable),
                (Warning::CaFlagInLeafFile, is_ca && counts),
                (
                    Warning::ChainExpiresFirst,
                    expected == ExpectedContent::Leaf
                        && is_ca
                        && !counts
                        && leaf_ends.is_some_and(|end| certificate.not_after < end),
                ),
                (Warning::LeafInCaFile, expected == ExpectedContent::Ca && !is_ca),
                (Warning::SuspectCa, expected == ExpectedContent::Ca && !is_ca && suspect),
                (Warning::NonstandardTime, certificate.nonstandard_time),
                (Warning::RepairedPem, certificate.repaired_pem),
                (Warning::TrailingData, certificate.trailing_data),
            ];
            let warnings = odd.into_iter().filter_map(|(warning, is)| is.then_some(warning));
            Classification { is_ca, counts, warnings: warnings.collect() }
        })
        .collect()
}

fn counts(expected: ExpectedContent, index: usize, certificate: &Certificate) -> bool {
    certificate.basic_constraints != BasicConstraints::Ca
        || (expected == ExpectedContent::Leaf && index == 0)
}

#[cfg(test)]
mod tests;
