//! Who asked for what, and what stops everything (G1 to G4).

use super::*;

fn opt_in(text: Option<&str>) -> OptIn {
    let mut facts = stacked();
    facts.cluster.opt_in = text.map(str::to_owned);
    OptIn::of(&facts)
}

#[test]
fn days_are_a_number_from_seven_on() {
    assert_eq!(opt_in(Some("7d")), OptIn::Full(7));
    assert_eq!(opt_in(Some("30")), OptIn::Full(30));
    assert_eq!(opt_in(Some("true")), OptIn::Full(7));
    assert_eq!(opt_in(Some("false")), OptIn::No);
    assert_eq!(opt_in(None), OptIn::No);
    for wrong in ["6d", "0", "-7d", "week", "7days", "9999999999999999999d", "7 d"] {
        assert_eq!(opt_in(Some(wrong)), OptIn::Invalid, "{wrong}");
    }
}

#[test]
fn days_are_no_more_than_half_of_a_lifetime() {
    let mut facts = stacked();
    facts.control_plane.as_mut().unwrap().lifetime_days = Some(100);
    facts.cluster.opt_in = Some("50d".to_owned());
    assert_eq!(OptIn::of(&facts), OptIn::Full(50));
    facts.cluster.opt_in = Some("51d".to_owned());
    assert_eq!(OptIn::of(&facts), OptIn::Invalid);
}

#[test]
fn with_an_etcd_of_its_own_days_are_no_more_than_half_of_the_year_that_its_certificates_live() {
    let asked = |days: &str| {
        let mut facts = external();
        control_plane(&mut facts).lifetime_days = Some(1_000);
        facts.cluster.opt_in = Some(days.to_owned());
        OptIn::of(&facts)
    };
    assert_eq!([asked("182d"), asked("183d")], [OptIn::Full(182), OptIn::Invalid]);
}

#[test]
fn who_says_no_gets_nothing_also_where_somebody_else_set_the_days() {
    let mut facts = external();
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (Some(30), None);
    facts.cluster.opt_in = Some("false".to_owned());
    let all = ["cp-1", "cp-2", "cp-3", "etcd-1", "etcd-2", "etcd-3"].map(unannotate);
    assert_eq!(actions(&decided(&facts)), all);
    // But a date that hides one of before a renewal in place, on which Cluster API would act.
    first(&mut facts).own = Some(day(20));
    assert_eq!(actions(&decided(&facts)), all[1..]);
    // Who says nothing has the control plane's dates, and no longer etcd's.
    facts.cluster.opt_in = None;
    assert_eq!(actions(&decided(&facts)), all[3..]);
}

#[test]
fn where_nobody_is_heard_days_are_no_more_than_half_of_a_year_or_what_was_found_good_before() {
    let mut facts = stacked();
    for machine in &mut control_plane(&mut facts).machines {
        machine.report = NodeReport::Unreachable;
    }
    let mut asked = |days: &str, set| {
        facts.cluster.opt_in = Some(days.to_owned());
        control_plane(&mut facts).days = set;
        OptIn::of(&facts)
    };
    assert_eq!(asked("182d", None), OptIn::Full(182));
    assert_eq!(asked("200d", None), OptIn::Invalid);
    assert_eq!(asked("200d", Some(200)), OptIn::Full(200));
    // So many days are more seconds than can be counted.
    assert_eq!(asked("106751991167301d", None), OptIn::Invalid);
}

#[test]
fn of_another_kind_of_control_plane_only_those_are_told_who_opted_it_in() {
    let mut facts = stacked();
    facts.control_plane = None;
    facts.cluster.opt_in = None;
    assert_eq!(findings(&decided(&facts)), ["not-opted-in"]);
    facts.cluster.opt_in = Some("7d".to_owned());
    assert_eq!(findings(&decided(&facts)), ["unsupported-control-plane"]);
}

#[test]
fn days_of_somebody_else_on_the_control_plane_opt_in_its_dates_alone() {
    let mut facts = external();
    facts.cluster.opt_in = None;
    control_plane(&mut facts).days = Some(21);
    control_plane(&mut facts).our_days = None;
    assert_eq!(OptIn::of(&facts), OptIn::ControlPlaneOnly(21));
    control_plane(&mut facts).our_days = Some(21);
    assert_eq!(OptIn::of(&facts), OptIn::No);
}

#[test]
fn a_cluster_that_nobody_opted_in_is_never_written_to() {
    for mut facts in [stacked(), external()] {
        facts.cluster.opt_in = None;
        let control_plane = control_plane(&mut facts);
        (control_plane.days, control_plane.our_days) = (None, None);
        for machine in &mut control_plane.machines {
            machine.published = Published::Nothing;
            machine.report = NodeReport::Of(report(1));
        }
        for machine in facts.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines) {
            machine.published = Published::Nothing;
            machine.served = Some(day(1));
        }
        let decision = decided(&facts);
        assert_eq!(
            (actions(&decision), findings(&decision)),
            (vec![], vec!["not-opted-in".into()])
        );
    }
}

#[test]
fn who_opts_out_has_what_is_ours_taken_back_once() {
    let mut facts = external();
    facts.cluster.opt_in = None;
    first(&mut facts).published = Published::Foreign(Some(day(3)));
    let all = ["cp-2", "cp-3", "etcd-1", "etcd-2", "etcd-3"].map(unannotate).to_vec();
    // The days first: KCP would act on its own dates where ours are gone.
    assert_eq!(actions(&decided(&facts)), [Action::SetDays(None)]);
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    assert_eq!(actions(&decided(&facts)), all);
    // Not while the control plane is rolled.
    control_plane(&mut facts).progress.moving = true;
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn an_opt_in_that_cannot_be_followed_takes_nothing_back() {
    let mut facts = external();
    facts.cluster.opt_in = Some("7 days".to_owned());
    let decision = decided(&facts);
    assert_eq!(
        (actions(&decision), findings(&decision)),
        (vec![], vec!["invalid-opt-in".to_owned()])
    );
}

#[test]
fn what_is_paused_held_or_deleted_is_left_as_it_is() {
    type Change = fn(&mut Facts);
    let changes: [(&str, Change); 7] = [
        ("paused", |facts| facts.cluster.paused = true),
        ("paused", |facts| control_plane(facts).paused = true),
        ("paused", |facts| etcd(facts).paused = true),
        ("deleting", |facts| facts.cluster.deleting = true),
        ("deleting", |facts| control_plane(facts).deleting = true),
        ("deleting", |facts| etcd(facts).deleting = true),
        ("hold", |facts| facts.cluster.hold = true),
    ];
    for (word, change) in changes {
        let mut facts = external();
        first_report(&mut facts).machine_rollout.as_mut().unwrap().not_after = day(9);
        for machine in &mut etcd(&mut facts).machines {
            machine.published = Published::Ours(ok(5));
        }
        change(&mut facts);
        let decision = decided(&facts);
        assert_eq!((actions(&decision), findings(&decision)), (vec![], vec![word.to_owned()]));
    }
}

#[test]
fn a_control_plane_that_replaces_no_machine_carries_nothing_of_ours() {
    let mut facts = stacked();
    control_plane(&mut facts).in_place = true;
    assert_eq!(actions(&decided(&facts)), [Action::SetDays(None)]);
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    let decision = decided(&facts);
    assert_eq!(actions(&decision), ["cp-1", "cp-2", "cp-3"].map(unannotate));
    assert_eq!(findings(&decision), ["in-place"]);
}

#[test]
fn a_control_plane_of_another_kind_is_told() {
    let mut facts = stacked();
    facts.control_plane = None;
    let decision = decided(&facts);
    assert_eq!(
        (actions(&decision), findings(&decision)),
        (vec![], vec!["unsupported-control-plane".into()])
    );
}
