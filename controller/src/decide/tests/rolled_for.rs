//! What the control plane was rolled for, and is not rolled for again (C6).

use super::*;

/// What the first machine of the control plane was rolled for.
fn rolled_for(not_after: Timestamp, at: Timestamp) -> RolledFor {
    RolledFor { path: APISERVER.to_owned(), not_after, at, machine: "cp-1".to_owned() }
}

#[test]
fn c6_what_it_is_rolled_for_is_written_down_before_it_is_due() {
    let mut facts = stacked();
    says(&mut facts, 7);
    let entry = rolled_for(day(7), NOW);
    assert_eq!(
        actions(&decided(&facts)),
        [Action::RecordRolledFor(vec![entry.clone()]), annotate("cp-1", ok(7))]
    );
    // Once is enough.
    first(&mut facts).published = Published::Ours(ok(7));
    control_plane(&mut facts).rolled_for = vec![entry];
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn c6_what_is_written_down_has_bounds_that_one_machine_cannot_fill() {
    let mut facts = stacked();
    let of_another = RolledFor { machine: "cp-2".to_owned(), ..rolled_for(day(3), day(-9)) };
    control_plane(&mut facts).rolled_for = vec![of_another.clone()];
    for n in 0..80 {
        let path = Some(format!("/{n}"));
        first_report(&mut facts).machine_rollout = Some(Expiry { not_after: day(7), path });
        for action in actions(&decided(&facts)) {
            if let Action::RecordRolledFor(entries) = action {
                control_plane(&mut facts).rolled_for = entries;
            }
        }
    }
    let entries = &control_plane(&mut facts).rolled_for;
    assert_eq!((entries.len(), &entries[0], &*entries[8].path), (9, &of_another, "/79"));
}

#[test]
fn c6_certificates_of_a_month_are_renewed_by_a_rollout() {
    let mut facts = stacked();
    control_plane(&mut facts).lifetime_days = Some(30);
    control_plane(&mut facts).rolled_for = vec![rolled_for(day(7), hours(-2))];
    first(&mut facts).born = hours(-1);
    first(&mut facts).published = Published::Nothing;
    says(&mut facts, 30);
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(30))]);
}

#[test]
fn c6_what_is_written_down_takes_the_place_of_what_is_too_old_to_matter() {
    let mut facts = stacked();
    says(&mut facts, 7);
    let old = rolled_for(day(-890), day(-900));
    control_plane(&mut facts).rolled_for = vec![old];
    let new = rolled_for(day(7), NOW);
    assert_eq!(actions(&decided(&facts))[0], Action::RecordRolledFor(vec![new]));
}

#[test]
fn c6_a_machine_that_was_rolled_for_a_certificate_and_has_it_still_is_not_rolled_again() {
    let mut facts = stacked();
    first(&mut facts).born = day(-40);
    says(&mut facts, 7);
    let mut entry = rolled_for(day(7), day(-41));
    control_plane(&mut facts).rolled_for = vec![entry.clone()];
    let decision = decided(&facts);
    assert_eq!(actions(&decision), [unannotate("cp-1")]);
    assert_eq!(findings(&decision), ["cp-1: not-renewed"]);
    // A person has seen to it.
    facts.cluster.acknowledged = Some(entry.id());
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(7))]);
    // An older machine is the one to be rolled.
    facts.cluster.acknowledged = None;
    entry.at = day(-39);
    control_plane(&mut facts).rolled_for = vec![entry.clone()];
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(7))]);
    // One that ends so much later that it was worth a rollout is another matter.
    (entry.at, entry.not_after) = (day(-41), day(-23));
    control_plane(&mut facts).rolled_for = vec![entry.clone()];
    assert_eq!(actions(&decided(&facts)), [unannotate("cp-1")]);
    entry.not_after = day(-24);
    control_plane(&mut facts).rolled_for = vec![entry];
    assert!(actions(&decided(&facts)).contains(&annotate("cp-1", ok(7))));
}

#[test]
fn c6_a_date_that_moves_with_the_clock_is_written_down_once() {
    let mut facts = stacked();
    first_report(&mut facts).machine_rollout.as_mut().unwrap().not_after = day(7);
    let entry = rolled_for(day(5), day(-2));
    control_plane(&mut facts).rolled_for = vec![entry.clone()];
    let decision = decided(&facts);
    let is_record = |action: &Action| matches!(action, Action::RecordRolledFor(_));
    assert!(!actions(&decision).iter().any(is_record), "{decision:?}");
    assert!(!decision.is_followed_up());
    // Born after it, it was rolled in vain.
    first(&mut facts).born = day(-1);
    assert!(findings(&decided(&facts)).contains(&"cp-1: not-renewed".to_owned()));
    first_report(&mut facts).machine_rollout.as_mut().unwrap().not_after = day(36);
    assert!(!findings(&decided(&facts)).contains(&"cp-1: not-renewed".to_owned()));
}
