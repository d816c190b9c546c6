//! Looking: one server after the other, one connection at a time.

use std::panic::catch_unwind;
use std::sync::Arc;

use super::handshake::{Leaf, leaf};
use super::{Shown, Sighting, Target};
use crate::clock;
use crate::pki::Certificate;
use crate::pki::signature::is_signed_by;

/// Looks at each.
pub async fn look(targets: Vec<Target>) -> Vec<Sighting> {
    let mut sightings = Vec::with_capacity(targets.len());
    for target in targets {
        let shown = leaf(target.address).await.and_then(|leaf| shown(&target, &leaf));
        sightings.push(Sighting { target, shown, at: clock::now() });
    }
    sightings
}

fn shown(target: &Target, leaf: &Leaf) -> Result<Shown, String> {
    // The bytes come from whoever listens, and no parser must be able to stop the agent.
    let read = catch_unwind(|| Certificate::from_der(&leaf.der));
    let certificate = read
        .unwrap_or_else(|_| Err("the parser failed on it".to_owned()))
        .map_err(|why| format!("showed a certificate that cannot be read: {why}"))?;
    Ok(Shown {
        leaf: Arc::new(certificate),
        has_key: leaf.has_key,
        is_ours: target.authorities.iter().any(|authority| is_signed_by(&leaf.der, authority)),
    })
}
