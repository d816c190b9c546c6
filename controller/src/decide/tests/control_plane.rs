//! The dates of the control plane's Machines (C1 to C11).

use super::*;

fn with_first(change: impl FnOnce(&mut ControlPlaneMachine)) -> Facts {
    let mut facts = stacked();
    change(first(&mut facts));
    facts
}

fn with_report(change: impl FnOnce(&mut Report)) -> Facts {
    let mut facts = stacked();
    change(first_report(&mut facts));
    facts
}

#[test]
fn the_agents_date_is_carried_to_the_machine() {
    for published in [Published::Nothing, Published::Ours(ok(200)), Published::Lost(ok(200))] {
        let facts = with_first(|machine| machine.published = published.clone());
        assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(100))], "{published:?}");
    }
}

#[test]
fn g6_a_certificate_of_the_control_plane_that_has_ended_is_told() {
    let mut facts = stacked();
    says(&mut facts, -1);
    let decision = decided(&facts);
    assert_eq!(findings(&decision), ["cp-1: expired"]);
    assert!(actions(&decision).contains(&annotate("cp-1", ok(-1))));
}

#[test]
fn c1_to_c4_without_a_report_to_use_a_machine_keeps_what_it_carries() {
    type Change = fn(&mut Report);
    let reports: [(&str, Change); 5] = [
        ("stale", |report| report.observed_at = hours(-27)),
        ("unsettled", |report| report.settled = false),
        ("waiting", |report| report.status = Status::Waiting),
        ("waiting", |report| report.machine_rollout = None),
        ("role-mismatch", |report| report.status = Status::None),
    ];
    for (word, change) in reports {
        let facts = with_report(|report| {
            report.machine_rollout.as_mut().unwrap().not_after = day(50);
            change(report);
        });
        let decision = decided(&facts);
        assert_eq!(
            (actions(&decision), findings(&decision)),
            (vec![], vec![format!("cp-1: {word}")])
        );
    }
    let states = [
        ("no-node", NodeReport::NoNode),
        ("unreachable", NodeReport::Unreachable),
        ("no-agent", NodeReport::NoAgent),
    ];
    for (word, state) in states {
        let decision = decided(&with_first(|machine| machine.report = state));
        assert_eq!(
            (actions(&decision), findings(&decision)),
            (vec![], vec![format!("cp-1: {word}")])
        );
    }
}

#[test]
fn c2_what_somebody_removed_is_put_back_without_a_report() {
    let facts = with_first(|machine| {
        machine.published = Published::Lost(ok(90));
        machine.report = NodeReport::Unreachable;
    });
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(90))]);
}

#[test]
fn c3_a_machine_that_was_born_with_an_old_pair_is_replaced_once_the_secret_has_a_later_one() {
    let mut facts = external();
    let born_with = day(7);
    first(&mut facts).born = hours(-1);
    first_report(&mut facts).etcd_rollout = Some(born_with);
    first_report(&mut facts).machine_rollout.as_mut().unwrap().not_after = day(364);
    let newer = |facts: &mut Facts, ends| {
        let secret = SecretPair { sha256: "two".to_owned(), not_after: ends };
        etcd(facts).pairs.push(ClientPair {
            sha256: "two".to_owned(),
            not_after: ends,
            first_seen: hours(0),
        });
        etcd(facts).secret = Some(secret);
    };
    newer(&mut facts, day(365));
    let record = Record { date: born_with, degraded: false };
    let expected = Action::Annotate { machine: "cp-1".to_owned(), record };
    assert!(actions(&decided(&facts)).contains(&expected));
    // One that was made since has the later one, whatever its agent says.
    etcd(&mut facts).pairs[1].first_seen = hours(-3);
    let decision = decided(&facts);
    assert!(!actions(&decision).contains(&expected));
    assert_eq!(findings(&decision), ["cp-1: born-due"]);
    etcd(&mut facts).pairs[1].first_seen = hours(0);
    // Unless the later one would be due at birth as well.
    newer(&mut facts, hours(7 * 24 + 25));
    etcd(&mut facts).secret.as_mut().unwrap().not_after = Timestamp::from_unix(day(8).unix());
    assert!(!actions(&decided(&facts)).contains(&expected));
}

#[test]
fn c3_the_etcd_client_counts_once_the_secret_has_a_later_pair() {
    let with = |file: i64, secret: i64| {
        let mut facts = external();
        first_report(&mut facts).etcd_rollout = Some(day(file));
        etcd(&mut facts).secret.as_mut().unwrap().not_after = day(secret);
        etcd(&mut facts).pairs[0].not_after = day(secret);
        actions(&decided(&facts))
    };
    // The same pair: rolling the machine would install it again.
    assert_eq!(with(60, 60), []);
    assert_eq!(with(60, 61), []);
    assert_eq!(with(60, 62), [annotate("cp-1", ok(60))]);
    // It is not the first to end.
    assert_eq!(with(120, 300), []);
}

#[test]
fn c3_where_the_secret_cannot_be_read_the_last_pair_counts_and_no_date_moves_later() {
    let mut facts = external();
    first_report(&mut facts).etcd_rollout = Some(day(30));
    first(&mut facts).published = Published::Ours(ok(30));
    etcd(&mut facts).secret = None;
    etcd(&mut facts).pairs[0].not_after = day(300);
    let decision = decided(&facts);
    assert_eq!(
        (actions(&decision), findings(&decision)),
        (vec![], vec!["secret-unread".to_owned()])
    );
    // Where none was seen either, the machine may be one that waits for it.
    etcd(&mut facts).pairs.clear();
    let decision = decided(&facts);
    assert_eq!(actions(&decision), []);
    assert_eq!(findings(&decision), ["secret-unread", "cp-1: secret-unread"]);
}

#[test]
fn c4_a_degraded_report_brings_a_date_forward_and_moves_none_later() {
    let degraded = |days, published| {
        let mut facts = with_report(|report| report.status = Status::Degraded);
        says(&mut facts, days);
        first(&mut facts).own = Some(day(300));
        first(&mut facts).published = Published::Ours(published);
        let decision = decided(&facts);
        (actions(&decision), findings(&decision))
    };
    let record = |days| Record { date: day(days), degraded: true };
    assert_eq!(degraded(90, ok(100)), (vec![annotate("cp-1", record(90))], vec![]));
    assert_eq!(degraded(110, ok(100)), (vec![], vec!["cp-1: degraded".to_owned()]));
    // One that was published from a report as degraded follows a renewal.
    assert_eq!(degraded(110, record(100)), (vec![annotate("cp-1", record(110))], vec![]));
}

#[test]
fn c4_a_degraded_report_may_lack_the_certificate_whose_date_is_kcps_own() {
    let mut facts = with_report(|report| report.status = Status::Degraded);
    first(&mut facts).own = Some(day(80));
    let record = Record { date: day(80), degraded: true };
    for published in
        [Published::Nothing, Published::Ours(Record { date: day(100), degraded: true })]
    {
        first(&mut facts).published = published;
        assert_eq!(actions(&decided(&facts)), [annotate("cp-1", record)]);
    }
    // It was renewed in place since, which an agent has seen that saw everything; that stays known when a degraded
    // report brings the date forward.
    first(&mut facts).published = Published::Ours(ok(100));
    assert_eq!(actions(&decided(&facts)), []);
    says(&mut facts, 90);
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(90))]);
}

#[test]
fn c4_a_degraded_report_with_the_same_date_does_not_give_leave_to_the_next() {
    let mut facts = with_report(|report| report.status = Status::Degraded);
    assert_eq!(actions(&decided(&facts)), []);
    says(&mut facts, 200);
    first(&mut facts).own = None;
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn c7_a_report_from_the_future_may_bring_a_date_forward_and_no_more() {
    let from_the_future = |days| {
        let mut facts = with_report(|report| report.observed_at = hours(2));
        says(&mut facts, days);
        let decision = decided(&facts);
        (actions(&decision), findings(&decision))
    };
    assert_eq!(from_the_future(90), (vec![annotate("cp-1", ok(90))], vec![]));
    assert_eq!(from_the_future(110), (vec![], vec!["cp-1: implausible".to_owned()]));
    for days in [-4_000, 8_000] {
        let mut facts = stacked();
        says(&mut facts, days);
        let decision = decided(&facts);
        assert_eq!(actions(&decision), [], "{days}");
        assert_eq!(findings(&decision), ["cp-1: implausible"]);
    }
}

#[test]
fn c8_no_date_moves_later_and_none_is_taken_back_while_the_control_plane_is_rolled() {
    type Change = fn(&mut ControlPlane);
    let rolling: [Change; 4] = [
        |control_plane| control_plane.progress.moving = true,
        |control_plane| control_plane.progress.outdated = true,
        |control_plane| control_plane.replicas = 2,
        |control_plane| control_plane.machines[2].deleting = true,
    ];
    for change in rolling {
        let mut facts = stacked();
        says(&mut facts, 110);
        change(control_plane(&mut facts));
        let decision = decided(&facts);
        assert_eq!(actions(&decision), []);
        assert_eq!(findings(&decision), ["cp-1: rolling"]);
        // The first value of a new machine is not later than any.
        first(&mut facts).published = Published::Nothing;
        assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(110))]);
        // Nor is what is ours taken back.
        first(&mut facts).published = Published::Ours(ok(7));
        first(&mut facts).born = day(-1);
        says(&mut facts, 7);
        control_plane(&mut facts).our_days = None;
        assert_eq!(actions(&decided(&facts)), []);
    }
}

#[test]
fn c8_holds_for_a_degraded_report_that_follows_a_degraded_one_as_well() {
    let mut facts = stacked();
    says(&mut facts, 300);
    first(&mut facts).published = Published::Ours(Record { date: day(50), degraded: true });
    let NodeReport::Of(report) = &mut first(&mut facts).report else { panic!("a report") };
    report.status = Status::Degraded;
    assert_eq!(actions(&decided(&facts)).len(), 1, "at rest it does");
    control_plane(&mut facts).progress.moving = true;
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn c9_a_persons_value_is_left_alone() {
    let values = [("overridden", Some(day(3))), ("overridden-by-no-date", None)];
    for (word, value) in values {
        let decision = decided(&with_first(|m| m.published = Published::Foreign(value)));
        assert_eq!(
            (actions(&decision), findings(&decision)),
            (vec![], vec![format!("cp-1: {word}")])
        );
    }
    let mut facts = stacked();
    says(&mut facts, 50);
    control_plane(&mut facts).template_has_key = true;
    let decision = decided(&facts);
    assert_eq!(actions(&decision), []);
    assert_eq!(findings(&decision), ["cp-1", "cp-2", "cp-3"].map(|m| format!("{m}: overridden")));
}

#[test]
fn c11_a_late_opt_in_rolls_etcd_first_and_the_control_plane_with_it() {
    let mut facts = external();
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    for machine in &mut control_plane(&mut facts).machines {
        machine.published = Published::Nothing;
        machine.own = Some(day(5));
        machine.report = NodeReport::Of(report(5));
    }
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Ours(ok(6));
        machine.served = Some(day(6));
        machine.report.as_mut().unwrap().machine_rollout.as_mut().unwrap().not_after = day(6);
    }
    let decision = decided(&facts);
    assert!(!actions(&decision).iter().any(|action| matches!(action, Action::Annotate { .. })));
    assert!(!actions(&decision).contains(&Action::SetDays(Some(7))));
    assert!(findings(&decision).contains(&"etcd-first".to_owned()));
    assert!(actions(&decision).iter().any(|action| matches!(action, Action::RecordIntent(_))));
    // With less than two days left it waits for nothing.
    for machine in &mut control_plane(&mut facts).machines {
        machine.own = Some(day(1));
        machine.report = NodeReport::Of(report(1));
    }
    let decision = decided(&facts);
    assert!(actions(&decision).contains(&annotate("cp-1", ok(1))));
}

#[test]
fn an_external_etcd_that_nobody_manages_is_told() {
    let mut facts = external();
    facts.etcd = None;
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["etcd-unmanaged".into()]));
}

#[test]
fn the_end_of_a_ca_within_the_life_of_a_leaf_is_told() {
    let ends = |cluster: Option<i64>, etcd_ends: Option<i64>| {
        let mut facts = external();
        facts.cluster.ca_not_after = cluster.map(day);
        etcd(&mut facts).ca_not_after = etcd_ends.map(day);
        findings(&decided(&facts)).contains(&"ca-ends".to_owned())
    };
    assert!(!ends(Some(366), Some(3_650)) && !ends(None, None));
    assert!(ends(Some(365), Some(3_650)) && ends(Some(3_650), Some(365)));
}
