//! The pair that etcdadm-controller holds (E9).

use super::*;
use crate::facts::SecretPair;

fn pair(name: &str, ends: i64, seen: i64) -> ClientPair {
    ClientPair { sha256: name.to_owned(), not_after: day(ends), first_seen: day(seen) }
}

/// The Secret was refreshed ten days ago, and etcdadm-controller started before that: it holds the old pair,
/// which ends in so many days.
fn holding(ends: i64) -> Facts {
    let mut facts = external();
    let etcd = etcd(&mut facts);
    etcd.pairs = vec![pair("old", ends, -300), pair("new", 355, -10)];
    etcd.secret = Some(SecretPair { sha256: "new".to_owned(), not_after: day(355) });
    facts
}

#[test]
fn it_holds_the_earliest_of_the_pairs_that_the_secret_has_had_since_it_started() {
    let pairs = [pair("a", 5, -400), pair("b", 100, -200), pair("c", 300, -30)];
    let held = |started: Option<i64>| held_until(&pairs, started.map(day), 300).unwrap();
    assert_eq!(held(Some(-10)), day(300));
    assert_eq!(held(Some(-31)), day(100));
    assert_eq!(held(Some(-201)), day(5));
    assert_eq!(held(Some(-399)), day(5));
    assert_eq!(held(Some(-500)), day(-500), "of what it was started with nobody has seen the end");
    assert_eq!(held(None), day(5));
    assert_eq!(held_until(&[], None, 300), None);
    // Five minutes for clocks that differ.
    let started = |seconds| Some(Timestamp::from_unix(day(-30).unix() + seconds));
    assert_eq!(held_until(&pairs, started(300), 300), Some(day(100)));
    assert_eq!(held_until(&pairs, started(301), 300), Some(day(300)));
}

#[test]
fn where_nobody_can_see_when_it_started_a_person_can_say_that_it_was_restarted() {
    let mut facts = external();
    let held = etcd(&mut facts);
    held.pairs = vec![pair("a", -100, -400), pair("b", 100, -265)];
    held.secret = Some(SecretPair { sha256: "b".to_owned(), not_after: day(100) });
    held.controller = EtcdController::default();
    held.skipped_health_checks = true;
    assert_eq!(findings(&decided(&facts)), ["stale-pair"]);
    facts.cluster.acknowledged = Some("b".to_owned());
    let decision = decided(&facts);
    assert_eq!(
        (actions(&decision), findings(&decision)),
        (vec![Action::SkipHealthChecks(false)], vec![])
    );
    // What it was told of the pair before is none of it.
    facts.cluster.acknowledged = Some("a".to_owned());
    assert_eq!(findings(&decided(&facts)), ["stale-pair"]);
}

#[test]
fn it_is_restarted_where_the_newer_pair_is_known_and_the_secret_cannot_be_read() {
    let mut facts = external();
    etcd(&mut facts).pairs = vec![pair("a", 1, -300), pair("b", 355, -10)];
    etcd(&mut facts).secret = None;
    assert_eq!(
        actions(&decided(&facts)),
        [Action::SkipHealthChecks(true), Action::RestartEtcdController]
    );
}

#[test]
fn it_is_restarted_if_it_was_started_before_the_first_pair_that_anybody_saw_was_made() {
    let mut facts = external();
    let etcd = etcd(&mut facts);
    etcd.pairs = Vec::new();
    etcd.secret = Some(SecretPair { sha256: "one".to_owned(), not_after: day(355) });
    etcd.controller.started_at = Some(day(-11));
    // The end of that pair may be now, so its health checks are skipped until it was restarted.
    let [Action::RecordPairs(_), Action::SkipHealthChecks(true), Action::RestartEtcdController] =
        &actions(&decided(&facts))[..]
    else {
        panic!("{:?}", actions(&decided(&facts)))
    };
    let controller = |facts: &mut Facts, started| {
        let controller = &mut super::etcd(facts).controller;
        controller.started_at = Some(day(started));
        controller.may_restart = false;
    };
    controller(&mut facts, -11);
    assert!(actions(&decided(&facts)).contains(&Action::SkipHealthChecks(true)));
    controller(&mut facts, -10);
    assert!(matches!(actions(&decided(&facts))[..], [Action::RecordPairs(_)]));
    // A pair that lives for ten years says nothing of when it was made.
    super::etcd(&mut facts).secret =
        Some(SecretPair { sha256: "one".to_owned(), not_after: day(3_650) });
    controller(&mut facts, 0);
    assert!(matches!(actions(&decided(&facts))[..], [Action::RecordPairs(_)]));
}

#[test]
fn another_pair_in_the_secret_is_written_down() {
    let mut facts = external();
    etcd(&mut facts).secret = Some(SecretPair { sha256: "two".to_owned(), not_after: day(365) });
    let expected = vec![pair("one", 100, -265), pair("two", 365, 0)];
    assert_eq!(actions(&decided(&facts)), [Action::RecordPairs(expected)]);
    // Twenty of them, and no more.
    let many: Vec<_> = (0..25).map(|n| pair(&n.to_string(), 100 + n, n - 300)).collect();
    etcd(&mut facts).pairs = many;
    let [Action::RecordPairs(pairs), ..] = &actions(&decided(&facts))[..] else { panic!() };
    assert_eq!((pairs.len(), pairs[19].sha256.as_str()), (20, "two"));
}

#[test]
fn it_is_restarted_before_the_pair_that_it_holds_ends() {
    assert_eq!(actions(&decided(&holding(9))), []);
    let decision = decided(&holding(8));
    assert_eq!(actions(&decision), [Action::RestartEtcdController]);
    assert_eq!(decision.actions[0].reason, Reason::StalePair);
    // Also when it has ended, and whatever else stands still.
    let mut facts = holding(-1);
    facts.cluster.paused = true;
    assert_eq!(
        actions(&decided(&facts)),
        [Action::SkipHealthChecks(true), Action::RestartEtcdController]
    );
    let mut facts = holding(8);
    facts.cluster.hold = true;
    assert_eq!(actions(&decided(&facts)), [Action::RestartEtcdController]);
}

#[test]
fn it_is_not_restarted_twice_in_an_hour_nor_between_a_mark_and_its_nudge() {
    let mut facts = holding(8);
    etcd(&mut facts).controller.restarted_at = Some(hours(0));
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["stale-pair".to_owned()]));
    etcd(&mut facts).controller.restarted_at = Some(hours(-1));
    assert_eq!(actions(&decided(&facts)), [Action::RestartEtcdController]);
    let turn = Turn { marks_pending: true, ..Turn::ALONE };
    let decision = decide(&facts, &Parameters::default(), turn, NOW);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["stale-pair".to_owned()]));
}

#[test]
fn one_restart_is_enough_so_it_waits_until_the_start_can_be_told_from_one_before_the_new_pair() {
    let mut facts = holding(8);
    let seen = |seconds: i64| Timestamp::from_unix(NOW.unix() - seconds);
    etcd(&mut facts).pairs[1].first_seen = seen(300);
    assert_eq!(actions(&decided(&facts)), []);
    etcd(&mut facts).pairs[1].first_seen = seen(301);
    assert_eq!(actions(&decided(&facts)), [Action::RestartEtcdController]);
    // Once restarted it holds the new one.
    etcd(&mut facts).controller.started_at = Some(NOW);
    assert_eq!(actions(&decided(&facts)), []);
    // It does not wait for so long that the old one ends.
    let mut facts = holding(0);
    etcd(&mut facts).pairs[1].first_seen = NOW;
    assert!(actions(&decided(&facts)).contains(&Action::RestartEtcdController));
}

#[test]
fn where_no_restart_has_worked_two_days_before_the_end_the_health_checks_are_skipped_as_well() {
    let mut facts = holding(3);
    assert_eq!(actions(&decided(&facts)), [Action::RestartEtcdController]);
    etcd(&mut facts).pairs[0].not_after = day(2);
    assert_eq!(
        actions(&decided(&facts)),
        [Action::SkipHealthChecks(true), Action::RestartEtcdController]
    );
    // Also while the marks of another cluster keep it from being restarted.
    let turn = Turn { marks_pending: true, ..Turn::ALONE };
    let decision = decide(&facts, &Parameters::default(), turn, NOW);
    assert_eq!(actions(&decision), [Action::SkipHealthChecks(true)]);
    etcd(&mut facts).skipped_health_checks = true;
    assert_eq!(actions(&decided(&facts)), [Action::RestartEtcdController]);
    // Once it was restarted they are done again, also where the Secret has a later pair by then.
    etcd(&mut facts).controller.started_at = Some(NOW);
    assert_eq!(actions(&decided(&facts)), [Action::SkipHealthChecks(false)]);
}

#[test]
fn who_opts_out_has_the_health_checks_put_back_unless_they_would_remove_members() {
    let mut facts = holding(2);
    facts.cluster.opt_in = None;
    etcd(&mut facts).skipped_health_checks = true;
    let of_checks = |facts: &Facts| {
        let all = actions(&decided(facts));
        all.into_iter().filter(|a| matches!(a, Action::SkipHealthChecks(_))).collect::<Vec<_>>()
    };
    assert_eq!(of_checks(&facts), []);
    assert!(findings(&decided(&facts)).contains(&"stale-pair".to_owned()));
    etcd(&mut facts).controller.started_at = Some(NOW);
    assert_eq!(of_checks(&facts), [Action::SkipHealthChecks(false)]);
    // Of a Secret that cannot be read nothing is concluded.
    etcd(&mut facts).secret = None;
    etcd(&mut facts).pairs.clear();
    assert_eq!(of_checks(&facts), []);
}

#[test]
fn without_the_right_to_restart_it_the_health_checks_are_skipped_and_people_are_told() {
    let mut facts = holding(8);
    etcd(&mut facts).controller.may_restart = false;
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["stale-pair".to_owned()]));
    // A window before: we may be away for as long.
    etcd(&mut facts).pairs[0].not_after = day(7);
    let decision = decided(&facts);
    assert_eq!(actions(&decision), [Action::SkipHealthChecks(true)]);
    etcd(&mut facts).skipped_health_checks = true;
    assert_eq!(actions(&decided(&facts)), []);
    // Somebody restarted it.
    etcd(&mut facts).controller.started_at = Some(hours(-1));
    assert_eq!(actions(&decided(&facts)), [Action::SkipHealthChecks(false)]);
}

#[test]
fn who_did_not_opt_in_is_told_and_nothing_is_written() {
    let mut facts = holding(8);
    facts.cluster.opt_in = None;
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    for machine in &mut control_plane(&mut facts).machines {
        machine.published = Published::Nothing;
    }
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Nothing;
    }
    let decision = decided(&facts);
    assert_eq!(actions(&decision), []);
    assert_eq!(findings(&decision), ["not-opted-in", "stale-pair"]);
}

#[test]
fn an_opt_in_that_cannot_be_followed_leaves_those_protected_who_were() {
    let mut facts = holding(6);
    facts.cluster.opt_in = Some("7 days".to_owned());
    assert_eq!(actions(&decided(&facts)), [Action::RestartEtcdController]);
    // Who never was opted in, or no longer is, is written nothing.
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Nothing;
    }
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn nothing_is_concluded_of_an_etcdadm_controller_that_does_not_run_yet() {
    let mut facts = holding(1);
    etcd(&mut facts).controller =
        EtcdController { started_at: None, may_restart: true, restarted_at: Some(hours(-1)) };
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec![]));
    etcd(&mut facts).controller.restarted_at = Some(hours(-3));
    assert_eq!(findings(&decided(&facts)), ["etcd-controller-down"]);
    etcd(&mut facts).controller.restarted_at = Some(hours(-1));
    // And nothing is begun with it.
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Ours(ok(5));
        machine.report = Ok(Report { observed_at: hours(0), ..report(5) });
        machine.served = Some(day(5));
    }
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["not-quiet".to_owned()]));
}

#[test]
fn a_pair_that_is_put_back_again_and_again_is_told_and_has_nothing_rolled_or_made() {
    let mut facts = external();
    etcd(&mut facts).secret = Some(SecretPair { sha256: "old".to_owned(), not_after: hours(3) });
    let old = |seen| ClientPair { not_after: hours(3), ..pair("old", 0, seen) };
    etcd(&mut facts).pairs = vec![old(-300), pair("new", 360, -5), old(-4)];
    assert_eq!(actions(&decided(&facts)), [Action::RefreshSecret], "once may be a restore");
    etcd(&mut facts).pairs.extend([pair("newer", 362, -3), old(-1)]);
    let decision = decided(&facts);
    assert_eq!(actions(&decision), []);
    assert_eq!(findings(&decision), ["secret-put-back"]);
    // A person says that it was stopped, or nobody did it for two days.
    facts.cluster.acknowledged = Some("old".to_owned());
    assert_eq!(actions(&decided(&facts)), [Action::RefreshSecret]);
    facts.cluster.acknowledged = None;
    etcd(&mut facts).pairs[4].first_seen = day(-2);
    assert_eq!(actions(&decided(&facts)), [Action::RefreshSecret]);
}

#[test]
fn the_health_checks_are_done_again_once_the_pair_that_it_holds_is_good_for_long() {
    let mut facts = holding(200);
    etcd(&mut facts).skipped_health_checks = true;
    assert_eq!(actions(&decided(&facts)), [Action::SkipHealthChecks(false)]);
    // Of a Secret that cannot be read nothing is concluded.
    etcd(&mut facts).pairs.clear();
    etcd(&mut facts).secret = None;
    assert_eq!(actions(&decided(&facts)), []);
}
