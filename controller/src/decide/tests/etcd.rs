//! When etcd ends, and when it has to be rolled (E0 to E4).

use super::*;
use crate::memory::Cause;

/// All of etcd, the Secret's pair and what every member serves end in so many days.
fn ends(days: i64) -> Facts {
    let mut facts = external();
    let etcd = etcd(&mut facts);
    for machine in &mut etcd.machines {
        set(machine, days);
        machine.published = Published::Ours(ok(days));
    }
    etcd.secret.as_mut().unwrap().not_after = day(days);
    etcd.pairs[0].not_after = day(days);
    // The control plane's are of no account.
    for machine in &mut control_plane(&mut facts).machines {
        machine.own = Some(day(900));
        machine.report = NodeReport::Of(report(900));
        machine.published = Published::Ours(ok(900));
    }
    facts
}

fn set(machine: &mut EtcdMachine, days: i64) {
    let expiry = Expiry { not_after: day(days), path: None };
    machine.report.as_mut().unwrap().machine_rollout = Some(expiry);
    machine.served = Some(day(days));
}

fn start(facts: &Facts) -> Option<(Timestamp, Timestamp)> {
    decided(facts).etcd_start.map(|start| (start.from, start.deadline))
}

fn member(change: impl FnOnce(&mut EtcdMachine)) -> (Vec<Action>, Vec<String>) {
    let mut facts = external();
    change(&mut etcd(&mut facts).machines[0]);
    let decision = decided(&facts);
    (actions(&decision), findings(&decision))
}

fn said(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("etcd-1: {word}")).collect()
}

#[test]
fn e0_a_machine_carries_the_earlier_of_what_its_agent_says_and_what_it_serves() {
    let renewed_on_disk_alone = |machine: &mut EtcdMachine| {
        set(machine, 300);
        machine.served = Some(day(90));
    };
    assert_eq!(member(renewed_on_disk_alone).0, [annotate("etcd-1", ok(90))]);
    let lying = |machine: &mut EtcdMachine| machine.served = Some(day(50));
    assert_eq!(member(lying).0, [annotate("etcd-1", ok(50))]);
    assert_eq!(member(|machine| set(machine, 300)).0, [annotate("etcd-1", ok(300))]);
}

#[test]
fn e0_where_one_is_lost_no_date_moves_later() {
    let without_agent = |days| {
        member(move |machine| {
            machine.report = Err(NotHeard::NoAnswer);
            machine.served = Some(day(days));
        })
    };
    assert_eq!(without_agent(300), (vec![], said(&["no-agent", "served-only"])));
    assert_eq!(without_agent(50).0, [annotate("etcd-1", ok(50))]);
    let not_served = |days| {
        member(move |machine| {
            set(machine, days);
            machine.served = None;
        })
    };
    assert_eq!(not_served(300), (vec![], said(&["not-served"])));
    assert_eq!(not_served(50).0, [annotate("etcd-1", ok(50))]);
    let neither =
        member(|machine| (machine.report, machine.served) = (Err(NotHeard::OtherName), None));
    assert_eq!(neither, (vec![], said(&["name-mismatch", "etcd-expiry-unknown"])));
}

#[test]
fn e0_an_old_or_implausible_report_counts_as_none() {
    let stale = member(|machine| {
        set(machine, 300);
        machine.report.as_mut().unwrap().observed_at = hours(-1);
    });
    assert_eq!(stale, (vec![], said(&["stale", "served-only"])));
    let implausible = member(|machine| set(machine, 9_000));
    assert_eq!(implausible, (vec![], said(&["etcd-expiry-unknown"])));
}

#[test]
fn e0_a_persons_date_is_left_and_counts() {
    let mut facts = ends(100);
    etcd(&mut facts).machines[0].published = Published::Foreign(Some(day(20)));
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], said(&["overridden"])));
    assert_eq!(start(&facts), Some((day(12), day(20))));
    assert_eq!(
        member(|machine| machine.published = Published::Foreign(None)),
        (vec![], said(&["overridden-by-no-date"]))
    );
}

#[test]
fn etcd_starts_a_window_and_a_lead_before_the_first_of_its_machines_and_the_secret() {
    assert_eq!(start(&ends(100)), Some((day(92), day(100))));
    let mut facts = ends(100);
    set(&mut etcd(&mut facts).machines[2], 60);
    assert_eq!(start(&facts), Some((day(52), day(60))));
    etcd(&mut facts).secret.as_mut().unwrap().not_after = day(50);
    assert_eq!(start(&facts), Some((day(42), day(50))));
}

/// The first machine of the control plane ends by KCP's own account.
fn says_own(facts: &mut Facts, days: i64) {
    let machine = first(facts);
    (machine.own, machine.published) = (Some(day(days)), Published::Ours(ok(days)));
}

#[test]
fn etcd_that_ends_soon_after_the_control_plane_starts_with_it() {
    let joined = |own: i64, etcd: i64| {
        let mut facts = ends(etcd);
        says_own(&mut facts, own);
        start(&facts)
    };
    assert_eq!(joined(90, 100), Some((day(82), day(90))));
    assert_eq!(joined(90, 150), Some((day(82), day(90))), "sixty days after it");
    assert_eq!(joined(90, 151), Some((day(143), day(151))));
    // KCP's window may be longer than ours.
    let mut facts = ends(100);
    says_own(&mut facts, 90);
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (Some(30), None);
    assert_eq!(start(&facts), Some((day(59), day(90))));
}

#[test]
fn e1_an_agent_of_the_control_plane_starts_no_rollout_of_etcd() {
    let mut facts = ends(100);
    let lie = Expiry { not_after: day(2), path: Some(APISERVER.to_owned()) };
    first_report(&mut facts).machine_rollout = Some(lie);
    first_report(&mut facts).etcd_rollout = Some(day(2));
    assert_eq!(start(&facts), Some((day(92), day(100))));
}

#[test]
fn e4_a_machine_whose_replacement_would_be_due_as_soon_is_left_out() {
    let left_out = |change: fn(&mut EtcdMachine)| {
        let mut facts = ends(100);
        change(&mut etcd(&mut facts).machines[0]);
        let findings = findings(&decided(&facts));
        (start(&facts), findings.contains(&"etcd-1: left-out".to_owned()))
    };
    let rest = Some((day(92), day(100)));
    assert_eq!(left_out(|m| (m.born, m.served) = (day(-2), Some(day(20)))), (rest, true));
    assert_eq!(left_out(|m| (m.born, m.served) = (hours(-1), Some(day(60)))), (rest, true));
    let counted = left_out(|m| (m.born, m.served) = (day(-2), Some(day(28))));
    assert_eq!(counted, (Some((day(27), day(28))), false));
}

#[test]
fn e4_a_liar_has_no_more_rollouts_where_the_window_is_wide() {
    // Old enough to be heard, and it says what is always within the window.
    let start = |age: i64| {
        let mut facts = ends(300);
        facts.cluster.opt_in = Some("60d".to_owned());
        let machine = &mut etcd(&mut facts).machines[0];
        machine.born = day(-age);
        machine.served = Some(day(31));
        start(&facts).map(|(from, _)| from)
    };
    assert_eq!(start(1), Some(day(29)));
    assert_eq!(start(29), Some(day(1)));
    assert_eq!(start(30), Some(day(0)));
}

#[test]
fn e4_is_not_asked_for_the_secret_nor_for_a_start_with_the_control_plane() {
    let mut facts = ends(20);
    for machine in &mut etcd(&mut facts).machines {
        machine.born = day(-2);
    }
    assert_eq!(start(&facts), Some((day(12), day(20))));
    says_own(&mut facts, 15);
    assert_eq!(start(&facts), Some((day(7), day(15))));
}

#[test]
fn a_control_plane_that_was_renewed_in_place_since_has_etcd_rolled_at_its_own_time() {
    let mut facts = ends(50);
    for machine in &mut control_plane(&mut facts).machines {
        (machine.own, machine.published) = (Some(day(-5)), Published::Ours(ok(345)));
    }
    assert_eq!(start(&facts), Some((day(42), day(50))));
}

#[test]
fn where_the_secret_cannot_be_read_the_last_pair_has_etcd_rolled() {
    let mut facts = ends(100);
    etcd(&mut facts).pairs[0].not_after = day(50);
    etcd(&mut facts).secret = None;
    assert_eq!(start(&facts), Some((day(42), day(50))));
}

#[test]
fn only_a_full_opt_in_has_etcd_rolled() {
    let mut facts = ends(2);
    facts.cluster.opt_in = None;
    control_plane(&mut facts).our_days = None;
    for machine in &mut etcd(&mut facts).machines {
        machine.published = Published::Nothing;
    }
    let decision = decided(&facts);
    assert_eq!((actions(&decision), decision.etcd_start), (vec![], None));
}

#[test]
fn the_cause_is_what_starts_first() {
    let cause = |facts: &Facts| {
        let found = actions(&decided(facts)).into_iter().find_map(|action| match action {
            Action::RecordIntent(intent) => Some(intent.cause),
            _ => None,
        });
        found.unwrap()
    };
    let mut facts = ends(8);
    assert_eq!(cause(&facts), Cause::MachineDue);
    etcd(&mut facts).secret.as_mut().unwrap().not_after = day(7);
    assert_eq!(cause(&facts), Cause::SecretDue);
    says_own(&mut facts, 6);
    assert_eq!(cause(&facts), Cause::Joined);
}

#[test]
fn a_machine_that_was_just_made_need_not_be_heard_yet() {
    let made = |born| {
        member(move |machine| {
            machine.born = born;
            machine.published = Published::Nothing;
            (machine.report, machine.served) = (Err(NotHeard::NoAnswer), None);
        })
        .1
    };
    assert_eq!(made(hours(-1)), said(&["starting"]));
    assert_eq!(made(hours(-2)), said(&["no-agent", "etcd-expiry-unknown"]));
}

#[test]
fn the_management_cluster_begins_three_days_before_its_window() {
    let mut facts = ends(100);
    let start = |facts: &Facts| decided(facts).etcd_start.unwrap().from;
    assert_eq!(start(&facts), day(100 - 7 - 1));
    facts.cluster.is_management = true;
    assert_eq!(start(&facts), day(100 - 7 - 3));
    assert!(decided(&facts).goes_alone);
}

#[test]
fn where_many_are_due_the_schedule_has_one_begin_earlier() {
    let facts = ends(20);
    let begins = |early| {
        let turn = Turn { early, ..Turn::ALONE };
        let decision = decide(&facts, &Parameters::default(), turn, NOW);
        actions(&decision).iter().any(|action| matches!(action, Action::RecordIntent(_)))
    };
    assert!(!begins(12 * DAY - 1));
    assert!(begins(12 * DAY));
}
