//! What was seen, beside what is in the files now: pure.

use std::borrow::Cow;

use expiryd_api::{Reason, Served, Timestamp};

use super::{Shown, Sighting, Target};
use crate::problem::Problem;

/// Each server with what was last seen of it.
pub fn served(targets: &[Target], sightings: &[Sighting]) -> Vec<Served> {
    let each = targets.iter().map(|target| match sighting_of(target, sightings) {
        None => nothing(target, None, "it was not looked at yet".into()),
        Some(Sighting { shown: Err(why), at, .. }) => {
            nothing(target, Some(*at), format!("{} {why}", target.address).into())
        }
        Some(sighting @ Sighting { shown: Ok(shown), at, .. }) => Served {
            not_after: Some(shown.leaf.not_after),
            sha256: Some(shown.leaf.sha256_hex()),
            matches: sighting.matches(),
            counted: shown.counts(),
            message: why_not_counted(shown).map(Cow::Borrowed),
            ..nothing(target, Some(*at), Cow::Borrowed(""))
        },
    });
    each.collect()
}

/// A server of which nothing is known, and why.
fn nothing(target: &Target, at: Option<Timestamp>, message: Cow<'static, str>) -> Served {
    Served {
        address: target.address,
        path: target.path.to_string(),
        not_after: None,
        sha256: None,
        matches: None,
        counted: false,
        observed_at: at,
        message: Some(message),
    }
}

const fn why_not_counted(shown: &Shown) -> Option<&'static str> {
    match (shown.is_ours, shown.has_key) {
        (false, _) => Some("no CA of this machine signed it, so its date does not count"),
        (true, false) => {
            Some("the server did not show that it has its key, so its date does not count")
        }
        (true, true) => None,
    }
}

/// A problem for each server that shows another certificate than is in its file; what a file was changed to since
/// is not known to be served or not.
pub fn differences(targets: &[Target], sightings: &[Sighting]) -> Vec<Problem> {
    let differs = |target: &Target| {
        let sighting = sighting_of(target, sightings)?;
        let shown = sighting.shown.as_ref().ok()?;
        let known = sighting.target.leaf.sha256 == target.leaf.sha256;
        (known && shown.leaf.sha256 != target.leaf.sha256).then(|| problem(target, shown))
    };
    targets.iter().filter_map(differs).collect()
}

fn problem(target: &Target, shown: &Shown) -> Problem {
    let Target { name, address, path, leaf, .. } = target;
    let (theirs, ours) = (shown.leaf.not_after, leaf.not_after);
    let message = match why_not_counted(shown) {
        Some(why) => format!(
            "what listens on {address} shows another certificate than this file has: {why}; see what \
             listens there"
        ),
        None => format!(
            "{name} on {address} shows a certificate that ends at {theirs}, and this file has one that ends \
             at {ours}; restart {name}, which then reads the file"
        ),
    };
    Problem::new(path, Reason::ServedDiffers, message)
}

fn sighting_of<'a>(target: &Target, sightings: &'a [Sighting]) -> Option<&'a Sighting> {
    sightings.iter().find(|s| s.target.address == target.address && s.target.path == target.path)
}

#[cfg(test)]
mod tests;
