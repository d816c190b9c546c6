//! One rollout of etcd that was begun, to its last write (E6, E7, E11, E12).

use super::*;
use crate::memory::{Cause, Nudge};

pub(super) type Change = fn(&mut Facts);

/// Etcd is due today, and nothing else is.
pub(super) fn due() -> Facts {
    let mut facts = external();
    let etcd = etcd(&mut facts);
    for machine in &mut etcd.machines {
        machine.published = Published::Ours(ok(8));
        machine.report.as_mut().unwrap().machine_rollout =
            Some(Expiry { not_after: day(8), path: None });
        machine.served = Some(day(8));
    }
    for machine in &mut control_plane(&mut facts).machines {
        machine.own = Some(day(900));
        machine.report = NodeReport::Of(report(900));
        machine.published = Published::Ours(ok(900));
    }
    facts
}

pub(super) fn intent() -> Intent {
    Intent {
        id: format!("{:x}", NOW.unix()),
        cause: Cause::MachineDue,
        machines: ["etcd-1", "etcd-2", "etcd-3"].map(str::to_owned).to_vec(),
        secret_not_after: Some(day(100)),
        at: NOW,
        closed: None,
    }
}

fn mark(machine: &str) -> Action {
    Action::Mark { machine: machine.to_owned(), id: intent().id }
}

fn unmark(machine: &str) -> Action {
    Action::Unmark { machine: machine.to_owned() }
}

fn nudge() -> Action {
    Action::Nudge { id: intent().id }
}

/// It was nudged so many seconds ago.
fn nudged(ago: i64) -> Nudge {
    Nudge { id: intent().id, at: Timestamp::from_unix(NOW.unix() - ago) }
}

fn closed() -> Action {
    Action::RecordIntent(Intent { closed: Some(NOW), ..intent() })
}

/// The intent is written, and so many of its machines are marked.
fn begun(marked: usize) -> Facts {
    let mut facts = due();
    let etcd = etcd(&mut facts);
    etcd.intent = Some(intent());
    for machine in etcd.machines.iter_mut().take(marked) {
        machine.mark = Some(intent().id);
    }
    facts
}

/// All were replaced, and the old ones are gone.
pub(super) fn replaced() -> Facts {
    let mut facts = begun(3);
    let etcd = etcd(&mut facts);
    for (n, machine) in etcd.machines.iter_mut().enumerate() {
        *machine = EtcdMachine { born: hours(0), ..etcd_machine(&format!("new-{n}")) };
        machine.published = Published::Nothing;
    }
    etcd.secret = Some(SecretPair { sha256: "two".to_owned(), not_after: day(365) });
    etcd.pairs.push(ClientPair { sha256: "two".to_owned(), not_after: day(365), first_seen: NOW });
    facts
}

/// Whether a rollout is begun.
pub(super) fn begins(decision: &Decision) -> bool {
    actions(decision).iter().any(|action| matches!(action, Action::RecordIntent(_)))
}

pub(super) fn of_etcd(decision: &Decision) -> Vec<Action> {
    let dates = |action: &Action| matches!(action, Action::Annotate { .. });
    actions(decision).into_iter().filter(|action| !dates(action)).collect()
}

#[test]
fn e7_after_a_crash_the_set_of_marks_is_completed() {
    for marked in 0..3 {
        let missing = ["etcd-1", "etcd-2", "etcd-3"][marked..].iter().map(|name| mark(name));
        let expected: Vec<_> = missing.chain([nudge()]).collect();
        assert_eq!(actions(&decided(&begun(marked))), expected);
    }
}

#[test]
fn e6_it_is_nudged_again_every_half_minute_until_a_machine_is_let_go_of() {
    let mut facts = begun(3);
    etcd(&mut facts).nudge = Some(nudged(29));
    assert_eq!(actions(&decided(&facts)), []);
    etcd(&mut facts).nudge = Some(nudged(30));
    assert_eq!(actions(&decided(&facts)), [nudge()]);
    etcd(&mut facts).machines[0].owned = false;
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn e7_a_nudge_without_effect_is_taken_back_with_the_marks() {
    let mut facts = begun(1);
    facts.cluster.hold = true;
    etcd(&mut facts).nudge = Some(nudged(5));
    let expected = [unmark("etcd-1"), Action::TakeBackNudge, closed()];
    assert_eq!(actions(&decided(&facts)), expected);
}

#[test]
fn e7_a_set_of_marks_that_may_not_take_effect_any_more_is_taken_back() {
    let changes: [Change; 5] = [
        |facts| facts.cluster.hold = true,
        |facts| facts.cluster.opt_in = Some("never".to_owned()),
        |facts| facts.cluster.paused = true,
        |facts| control_plane(facts).progress.moving = true,
        |facts| {
            let mut other = etcd_machine("other");
            other.owned = false;
            etcd(facts).machines.push(other);
        },
    ];
    for change in changes {
        let mut facts = begun(2);
        change(&mut facts);
        let all = actions(&decided(&facts));
        let expected = [unmark("etcd-1"), unmark("etcd-2"), closed()];
        assert!(all.ends_with(&expected), "{all:?}");
        assert!(!all.contains(&nudge()));
    }
}

#[test]
fn g1_nothing_is_written_while_etcdadm_controller_is_paused() {
    let mut facts = begun(2);
    etcd(&mut facts).paused = true;
    let decision = decided(&facts);
    assert_eq!(actions(&decision), []);
    assert!(decision.etcd_rolling);
}

#[test]
fn e7_once_one_is_let_go_of_what_is_not_marked_is_no_part_of_it() {
    let mut facts = begun(2);
    etcd(&mut facts).machines[0].owned = false;
    let machines = vec!["etcd-1".to_owned(), "etcd-2".to_owned()];
    assert_eq!(of_etcd(&decided(&facts)), [Action::RecordIntent(Intent { machines, ..intent() })]);
}

#[test]
fn e7_no_machine_outside_of_the_intent_is_ever_marked() {
    let mut facts = begun(3);
    etcd(&mut facts).machines[0].owned = false;
    let mut new = etcd_machine("new");
    new.born = hours(0);
    etcd(&mut facts).machines.push(new);
    assert_eq!(of_etcd(&decided(&facts)), []);
}

#[test]
fn e11_it_is_over_when_all_are_replaced_and_the_control_plane_has_followed() {
    assert_eq!(of_etcd(&decided(&replaced())), [closed()]);
    let changes: [Change; 6] = [
        |facts| etcd(facts).ready = false,
        |facts| etcd(facts).replicas = 4,
        |facts| etcd(facts).machines[0].owned = false,
        |facts| etcd(facts).upgrade_complete = true,
        |facts| control_plane(facts).progress.moving = true,
        |facts| etcd(facts).endpoints.clear(),
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut facts = replaced();
        change(&mut facts);
        let decision = decided(&facts);
        assert_eq!((of_etcd(&decision), decision.etcd_rolling), (vec![], true), "change {n}");
    }
}

#[test]
fn e11_a_secret_that_was_not_refreshed_is() {
    let mut facts = replaced();
    etcd(&mut facts).secret = Some(SecretPair { sha256: "one".to_owned(), not_after: day(100) });
    etcd(&mut facts).pairs.truncate(1);
    let decision = decided(&facts);
    assert_eq!(of_etcd(&decision), [Action::RefreshSecret]);
    assert_eq!(decision.actions.last().unwrap().reason, Reason::SecretNotRefreshed);
    // It is asked for once; and not where the Secret cannot be read, or nobody is opted in.
    etcd(&mut facts).refresh_asked = true;
    assert_eq!(of_etcd(&decided(&facts)), []);
    etcd(&mut facts).refresh_asked = false;
    etcd(&mut facts).secret = None;
    let decision = decided(&facts);
    assert_eq!(of_etcd(&decision), []);
    assert!(findings(&decision).contains(&"secret-not-refreshed".to_owned()));
}

#[test]
fn e11_another_pair_is_a_new_one_also_where_it_ends_before_the_one_that_somebody_made() {
    let mut facts = replaced();
    let at = etcd(&mut facts).intent.as_ref().unwrap().at;
    let end = etcd(&mut facts).intent.as_ref().unwrap().secret_not_after.unwrap();
    let sooner = Timestamp::from_unix(end.unix() - DAY);
    let seen = Timestamp::from_unix(at.unix() + 60);
    let pair = ClientPair { sha256: "made".to_owned(), not_after: sooner, first_seen: seen };
    etcd(&mut facts).pairs.push(pair);
    etcd(&mut facts).secret = Some(SecretPair { sha256: "made".to_owned(), not_after: sooner });
    assert!(!of_etcd(&decided(&facts)).contains(&Action::RefreshSecret));
}

#[test]
fn once_all_is_marked_and_nudged_a_restart_does_no_harm() {
    assert!(decided(&begun(0)).marks_pending && decided(&begun(3)).marks_pending);
    let mut facts = begun(3);
    etcd(&mut facts).nudge = Some(nudged(600));
    assert!(!decided(&facts).marks_pending);
}

#[test]
fn a_rollout_that_somebody_paused_for_long_gives_its_place_up_and_is_no_storm() {
    let mut facts = replaced();
    etcd(&mut facts).paused = true;
    let decision = decided(&facts);
    assert_eq!((decision.etcd_rolling, decision.etcd_stuck), (true, false));
    etcd(&mut facts).intent.as_mut().unwrap().at = day(-20);
    for machine in &mut etcd(&mut facts).machines {
        machine.born = day(-20);
    }
    let decision = decided(&facts);
    assert_eq!((decision.etcd_rolling, decision.etcd_stuck), (false, false));
}

#[test]
fn e11_what_keeps_kcp_from_the_new_endpoints_is_taken_away_where_nobody_else_does() {
    let mut facts = replaced();
    etcd(&mut facts).upgrading = true;
    etcd(&mut facts).nudge = Some(nudged(600));
    assert_eq!(of_etcd(&decided(&facts)), [Action::TakeBackNudge]);
}

#[test]
fn e11_without_progress_for_two_hours_its_place_in_the_queue_is_free() {
    let mut facts = begun(3);
    etcd(&mut facts).intent.as_mut().unwrap().at = hours(-3);
    etcd(&mut facts).machines[0].owned = false;
    let decision = decided(&facts);
    assert!(!decision.etcd_rolling && findings(&decision).contains(&"stuck".to_owned()));
    let mut new = etcd_machine("new");
    new.born = hours(-1);
    etcd(&mut facts).machines.push(new);
    assert!(decided(&facts).etcd_rolling);
}

#[test]
fn e12_members_that_stay_are_told_and_an_upgrade_that_is_over_can_be_finished() {
    let mut facts = due();
    let mut left = etcd_machine("left");
    left.owned = false;
    etcd(&mut facts).machines.push(left);
    let decision = decided(&facts);
    assert_eq!(findings(&decision), ["not-quiet", "leftovers"]);
    assert_eq!(actions(&decision), []);
    let finish = Turn { finish_upgrades: true, ..Turn::ALONE };
    let with = |facts: &Facts| actions(&decide(facts, &Parameters::default(), finish, NOW));
    assert_eq!(with(&facts), [Action::FinishUpgrade]);
    control_plane(&mut facts).progress.moving = true;
    assert_eq!(with(&facts), []);
}

#[test]
fn e12_so_can_one_of_ours_whose_upgrade_complete_was_lost() {
    let mut facts = replaced();
    let mut left = etcd_machine("left");
    left.owned = false;
    etcd(&mut facts).machines.push(left);
    for machine in &mut etcd(&mut facts).machines {
        machine.born = hours(-3);
    }
    let finish = Turn { finish_upgrades: true, ..Turn::ALONE };
    let decision = decide(&facts, &Parameters::default(), finish, NOW);
    assert!(actions(&decision).contains(&Action::FinishUpgrade), "{decision:?}");
}
