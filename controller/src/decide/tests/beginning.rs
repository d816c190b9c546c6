//! When a rollout of etcd is begun, and what it waits for (E2, E5, E8 to E10).

use super::rollout::{Change, begins, due, intent, of_etcd};
use super::*;

#[test]
fn a_rollout_is_written_down_before_anything_else() {
    let decision = decided(&due());
    assert_eq!(actions(&decision), [Action::RecordIntent(intent())]);
    assert!(decision.etcd_rolling);
}

#[test]
fn where_the_secrets_own_pair_would_end_in_mid_rollout_it_is_made_anew_first() {
    let mut facts = due();
    let etcd = etcd(&mut facts);
    etcd.pairs[0].not_after = hours(4);
    etcd.secret = Some(SecretPair { sha256: "one".to_owned(), not_after: hours(4) });
    let decision = decided(&facts);
    assert_eq!(actions(&decision), [Action::RefreshSecret]);
    assert!(!decision.etcd_rolling);
}

#[test]
fn a_day_before_it_is_due_nothing_is_begun() {
    let mut facts = due();
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Ours(ok(9));
        machine.report.as_mut().unwrap().machine_rollout =
            Some(Expiry { not_after: day(9), path: None });
        machine.served = Some(day(9));
    }
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn e2_nothing_is_begun_unless_etcd_and_the_control_plane_are_at_rest() {
    let changes: [Change; 13] = [
        |facts| etcd(facts).ready = false,
        |facts| etcd(facts).replicas = 4,
        |facts| etcd(facts).machines[2].owned = false,
        |facts| etcd(facts).machines[2].deleting = true,
        |facts| etcd(facts).upgrade_complete = true,
        |facts| etcd(facts).upgrading = true,
        |facts| etcd(facts).endpoints.push("https://192.0.2.9:2379".to_owned()),
        |facts| control_plane(facts).progress.moving = true,
        |facts| control_plane(facts).progress.outdated = true,
        |facts| control_plane(facts).progress.ready = false,
        |facts| control_plane(facts).progress.observed = false,
        |facts| control_plane(facts).machines[2].deleting = true,
        |facts| control_plane(facts).replicas = 2,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut facts = due();
        change(&mut facts);
        let decision = decided(&facts);
        assert_eq!(of_etcd(&decision), [], "change {n}");
        assert!(findings(&decision).contains(&"not-quiet".to_owned()), "change {n}");
    }
}

#[test]
fn g6_what_has_ended_and_cannot_be_rolled_is_for_people() {
    let mut facts = due();
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Ours(ok(-1));
        machine.report.as_mut().unwrap().machine_rollout =
            Some(Expiry { not_after: day(-1), path: None });
        machine.served = Some(day(-1));
    }
    etcd(&mut facts).ready = false;
    let decision = decided(&facts);
    assert_eq!((of_etcd(&decision), findings(&decision)), (vec![], vec!["expired".to_owned()]));
}

#[test]
fn e5_two_rollouts_are_a_day_apart() {
    let mut facts = due();
    etcd(&mut facts).intent = Some(Intent { closed: Some(hours(-23)), ..intent() });
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["cooling".to_owned()]));
    etcd(&mut facts).intent = Some(Intent { closed: Some(hours(-24)), ..intent() });
    assert_eq!(actions(&decided(&facts))[0], Action::RecordIntent(intent()));
}

#[test]
fn only_one_cluster_has_its_turn_unless_less_than_two_days_are_left() {
    let not_yet = Turn { etcd: false, ..Turn::ALONE };
    let decision = decide(&due(), &Parameters::default(), not_yet, NOW);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["queued".to_owned()]));
    let mut facts = due();
    etcd(&mut facts).machines[0].served = Some(day(2));
    let decision = decide(&facts, &Parameters::default(), not_yet, NOW);
    assert!(begins(&decision));
}

#[test]
fn e8_the_secret_alone_can_be_refreshed_alone() {
    let mut facts = due();
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Ours(ok(100));
        machine.report = etcd_machine("x").report;
        machine.served = Some(day(100));
    }
    etcd(&mut facts).secret.as_mut().unwrap().not_after = day(8);
    etcd(&mut facts).pairs[0].not_after = day(8);
    assert!(begins(&decided(&facts)));
    let alone = Turn { refresh_secret_alone: true, ..Turn::ALONE };
    let decision = decide(&facts, &Parameters::default(), alone, NOW);
    assert_eq!(actions(&decision), [Action::RefreshSecret]);
}

#[test]
fn e9_nothing_is_begun_with_a_pair_that_ends_before_the_rollout_can_be_over() {
    let mut facts = due();
    etcd(&mut facts).pairs[0].not_after = hours(4);
    let newer = ClientPair { sha256: "two".to_owned(), not_after: day(365), first_seen: NOW };
    etcd(&mut facts).pairs.push(newer);
    etcd(&mut facts).secret = Some(SecretPair { sha256: "two".to_owned(), not_after: day(365) });
    assert_eq!(
        actions(&decided(&facts)),
        [Action::SkipHealthChecks(true), Action::RestartEtcdController]
    );
    etcd(&mut facts).controller.may_restart = false;
    let decision = decided(&facts);
    assert_eq!(actions(&decision), [Action::SkipHealthChecks(true)]);
    assert_eq!(findings(&decision), ["stale-pair"]);
    // Without a Secret nothing is known of the pair.
    etcd(&mut facts).secret = None;
    etcd(&mut facts).pairs.clear();
    assert_eq!(of_etcd(&decided(&facts)), []);
}

#[test]
fn e10_an_etcd_of_one_machine_is_not_rolled_unless_somebody_allows_it() {
    let mut facts = due();
    etcd(&mut facts).replicas = 1;
    etcd(&mut facts).machines.truncate(1);
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["single-etcd".to_owned()]));
    etcd(&mut facts).allow_single = true;
    assert!(begins(&decided(&facts)));
}

#[test]
fn e6_all_machines_are_replaced_together_but_for_those_that_were_just_made() {
    let mut facts = due();
    let replaced = |facts: &Facts| match actions(&decided(facts)).as_slice() {
        [.., Action::RecordIntent(Intent { machines, .. })] => machines.clone(),
        other => panic!("{other:?}"),
    };
    let renew = |facts: &mut Facts, born| {
        let machine = &mut etcd(facts).machines[0];
        machine.born = born;
        machine.report = Ok(Report { observed_at: NOW, ..report(330) });
        machine.served = Some(day(330));
        machine.published = Published::Ours(ok(330));
    };
    renew(&mut facts, day(-61));
    assert_eq!(replaced(&facts), ["etcd-1", "etcd-2", "etcd-3"]);
    renew(&mut facts, day(-59));
    assert_eq!(replaced(&facts), ["etcd-2", "etcd-3"]);
}

#[test]
fn a_cluster_that_waits_for_itself_says_so_and_one_that_waits_for_its_turn_does_not() {
    let waits = |change: &dyn Fn(&mut Facts)| {
        let mut facts = due();
        change(&mut facts);
        let decision =
            decide(&facts, &Parameters::default(), Turn { etcd: false, ..Turn::ALONE }, NOW);
        assert!(decision.etcd_start.is_some());
        decision.etcd_start_waits
    };
    assert!(!waits(&|_| ()));
    assert!(waits(&|facts| facts.cluster.hold = true));
    assert!(waits(&|facts| etcd(facts).replicas = 1));
    assert!(waits(&|facts| etcd(facts).ready = false));
    // A pair that has to be taken or made first.
    assert!(waits(&|facts| etcd(facts).pairs[0].not_after = hours(4)));
}

#[test]
fn who_only_has_the_secret_made_anew_needs_no_turn_and_keeps_nobody_waiting() {
    let mut facts = due();
    etcd(&mut facts).secret.as_mut().unwrap().not_after = day(7);
    etcd(&mut facts).pairs[0].not_after = day(7);
    let turn = Turn { etcd: false, refresh_secret_alone: true, ..Turn::ALONE };
    let decide = |facts: &Facts| decide(facts, &Parameters::default(), turn, NOW);
    let decision = decide(&facts);
    assert_eq!(
        (actions(&decision), decision.etcd_start_waits),
        (vec![Action::RefreshSecret], true)
    );
    // Where it does not happen, people are told.
    etcd(&mut facts).refresh_asked = true;
    let decision = decide(&facts);
    assert_eq!(actions(&decision), []);
    assert_eq!(findings(&decision), ["secret-not-refreshed"]);
}

#[test]
fn nothing_is_begun_while_etcdadm_controller_comes_up_again() {
    let mut facts = due();
    etcd(&mut facts).pairs.insert(
        0,
        ClientPair { sha256: "zero".to_owned(), not_after: day(5), first_seen: day(-300) },
    );
    etcd(&mut facts).pairs[1].first_seen = day(-20);
    let decision = decided(&facts);
    assert_eq!(actions(&decision), [Action::RestartEtcdController]);
    assert_eq!(
        (findings(&decision), decision.etcd_rolling),
        (vec!["stale-pair".to_owned()], false)
    );
    assert!(decision.etcd_start_waits);
    // A restart that never works keeps nothing from being rolled in time.
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Ours(ok(2));
        machine.served = Some(day(2));
    }
    assert!(begins(&decided(&facts)));
}
