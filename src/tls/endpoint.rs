//! How a connection to the endpoint is served: in plain text, encrypted, or not at all. It keeps what it began with.

use std::net::IpAddr;
use std::sync::Arc;

/// How addresses that other machines reach are served.
#[derive(Debug)]
pub enum Tls<T> {
    /// In plain text, which the configuration allows.
    Plaintext,
    /// Not at all: no certificate could be read yet.
    Missing,
    /// With this.
    On(Arc<T>),
}

impl<T> Clone for Tls<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Plaintext => Self::Plaintext,
            Self::Missing => Self::Missing,
            Self::On(with) => Self::On(Arc::clone(with)),
        }
    }
}

impl<T> Tls<T> {
    /// How to serve a connection between these addresses. What never leaves the machine is plain, for
    /// `curl` and the kubelet's probes. Both ends are looked at: with `route_localnet` another machine
    /// reaches a loopback address.
    #[must_use]
    pub fn for_connection(&self, local: IpAddr, peer: IpAddr) -> Self {
        let both = [local, peer].iter().all(|address| address.to_canonical().is_loopback());
        if both { Self::Plaintext } else { self.clone() }
    }

    /// Whether both are served in the same way: with the very same, where it is with something.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plaintext, Self::Plaintext) | (Self::Missing, Self::Missing) => true,
            (Self::On(one), Self::On(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_both_ends_on_the_machine_is_plain() {
        let plain = |local: &str, peer: &str| {
            let (local, peer) = (local.parse().unwrap(), peer.parse().unwrap());
            matches!(Tls::<()>::Missing.for_connection(local, peer), Tls::Plaintext)
        };
        assert!(plain("127.0.0.1", "127.0.0.1") && plain("::1", "::1"));
        assert!(plain("::ffff:127.0.0.1", "127.0.0.2"));
        assert!(!plain("127.0.0.1", "192.0.2.7"));
        assert!(!plain("192.0.2.1", "127.0.0.1"));
    }
}
