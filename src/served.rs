//! What the servers on this machine show, beside the files that they were configured with: a renewed file helps
//! nobody while the process still serves the old certificate.
//!
//! A look is a TLS handshake on loopback that sends no client certificate and trusts nothing. What it was shown
//! counts only if a CA of this machine signed it and the server proved to have its key: anybody may listen on a
//! port that is free.

mod comparison;
mod handshake;
mod look;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use expiryd_api::Timestamp;

use crate::host_root::HostPath;
use crate::inventory::Inventory;
use crate::pki::Certificate;
pub use comparison::{differences, served};
pub use look::look;
pub use watch::{Wanted, watch};

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What people call the server.
    pub name: &'static str,
    /// Where it listens, on loopback.
    pub address: SocketAddr,
    /// The file that it was configured with.
    pub path: HostPath,
    /// The leaf in that file.
    pub leaf: Arc<Certificate>,
    /// The CAs of this machine.
    pub authorities: Vec<Arc<Certificate>>,
}

/// What was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What was looked at, as it was then.
    pub target: Target,
    /// The leaf, or why none was seen.
    pub shown: Result<Shown, String>,
    /// When.
    pub at: Timestamp,
}

/// The leaf that a server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// It.
    pub leaf: Arc<Certificate>,
    /// Whether the server has its key.
    pub has_key: bool,
    /// Whether a CA of this machine signed it.
    pub is_ours: bool,
}

impl Sighting {
    /// Whether it showed what was in its file then; `None` where it showed nothing.
    pub fn matches(&self) -> Option<bool> {
        self.shown.as_ref().ok().map(|shown| shown.leaf.sha256 == self.target.leaf.sha256)
    }
}

impl Shown {
    /// Whether its end is one that clients of this machine's servers meet.
    pub const fn counts(&self) -> bool {
        self.has_key && self.is_ours
    }
}

/// What to look at on a machine: each server whose file has a leaf.
pub fn targets(inventory: &Inventory) -> Vec<Target> {
    let certificates = &inventory.certificates;
    let authorities: Vec<_> = certificates
        .iter()
        .filter(|c| c.is_ca && !c.counted)
        .map(|c| Arc::clone(&c.certificate))
        .collect();
    let target = |server: &crate::layout::Server| {
        let leaf = certificates.iter().find(|c| c.path == server.path && c.index == 0)?;
        Some(Target {
            name: server.name,
            address: (std::net::Ipv4Addr::LOCALHOST, server.port).into(),
            path: server.path.clone(),
            leaf: Arc::clone(&leaf.certificate),
            authorities: authorities.clone(),
        })
    };
    inventory.servers.iter().filter_map(target).collect()
}
