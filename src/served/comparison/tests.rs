//! What is told of a server, by what it shows and what is in its file.

use std::sync::Arc;

use testkit::certificate::CertificateBuilder;

use super::*;
use crate::host_root::HostPath;
use crate::pki::Certificate;

const SOON: &str = "20270301000000Z";
const LATE: &str = "20280301000000Z";
const AT: Timestamp = Timestamp::from_unix(1_800_000_000);

fn leaf(end: &str) -> Arc<Certificate> {
    Arc::new(Certificate::from_der(&CertificateBuilder::leaf(end).der()).unwrap())
}

fn target(end: &str) -> Target {
    Target {
        name: "kube-apiserver",
        address: "127.0.0.1:6443".parse().unwrap(),
        path: HostPath::new("/etc/kubernetes/pki/apiserver.crt").unwrap(),
        leaf: leaf(end),
        authorities: Vec::new(),
    }
}

/// A server whose file had a leaf of this end, and that shows one of the other.
fn shows(file: &str, end: &str) -> Sighting {
    let shown = Shown { leaf: leaf(end), has_key: true, is_ours: true };
    Sighting { target: target(file), shown: Ok(shown), at: AT }
}

#[test]
fn a_server_that_shows_what_is_in_its_file_matches_and_is_no_problem() {
    let (targets, sightings) = ([target(LATE)], [shows(LATE, LATE)]);
    let [served] = &served(&targets, &sightings)[..] else { panic!("one server") };
    assert_eq!((served.matches, served.counted, &served.message), (Some(true), true, &None));
    assert_eq!(differences(&targets, &sightings), []);
}

#[test]
fn a_server_that_shows_another_one_is_a_problem_that_names_what_to_restart() {
    let (targets, sightings) = ([target(LATE)], [shows(LATE, SOON)]);
    let [served] = &served(&targets, &sightings)[..] else { panic!("one server") };
    assert_eq!((served.matches, served.counted), (Some(false), true));
    assert_eq!(
        served.not_after.map(|end| end.to_string()).as_deref(),
        Some("2027-03-01T00:00:00Z")
    );
    let [problem] = &differences(&targets, &sightings)[..] else { panic!("one problem") };
    assert_eq!(
        problem.message,
        "kube-apiserver on 127.0.0.1:6443 shows a certificate that ends at 2027-03-01T00:00:00Z, and this file \
         has one that ends at 2028-03-01T00:00:00Z; restart kube-apiserver, which then reads the file"
    );
}

#[test]
fn a_file_that_was_changed_since_the_look_is_no_problem_until_the_next_one() {
    assert_eq!(differences(&[target(LATE)], &[shows(SOON, SOON)]), []);
}

#[test]
fn what_no_ca_of_the_machine_signed_does_not_count() {
    for (is_ours, has_key, why) in [
        (false, true, "no CA of this machine signed it, so its date does not count"),
        (true, false, "the server did not show that it has its key, so its date does not count"),
    ] {
        let shown = Shown { leaf: leaf(SOON), has_key, is_ours };
        let sighting = Sighting { target: target(LATE), shown: Ok(shown), at: AT };
        let (targets, sightings) = ([target(LATE)], [sighting]);
        let served = served(&targets, &sightings).remove(0);
        assert_eq!((served.counted, served.message.as_deref()), (false, Some(why)));
        let problem = differences(&targets, &sightings).remove(0);
        assert_eq!(
            problem.message,
            format!(
                "what listens on 127.0.0.1:6443 shows another certificate than this file has: {why}; see what \
                 listens there"
            )
        );
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_told_and_is_no_problem() {
    let sighting =
        Sighting { target: target(LATE), shown: Err("has no server".to_owned()), at: AT };
    let (targets, sightings) = ([target(LATE)], [sighting]);
    let served = &served(&targets, &sightings)[0];
    assert_eq!(served.message.as_deref(), Some("127.0.0.1:6443 has no server"));
    assert_eq!((served.matches, served.not_after, served.observed_at), (None, None, Some(AT)));
    assert_eq!(differences(&targets, &sightings), []);
}

#[test]
fn before_the_first_look_nothing_is_known() {
    let served = &served(&[target(LATE)], &[])[0];
    assert_eq!((served.matches, served.observed_at, served.counted), (None, None, false));
}
