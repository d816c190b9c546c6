//! Whose turn it is, as statements.

use super::*;

const NOW: Timestamp = Timestamp::from_unix(1_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

/// A cluster whose etcd is due from `from` on and ends at `deadline`.
fn due(from: i64, deadline: i64) -> Decision {
    let start = Start { from: at(from), deadline: at(deadline) };
    Decision { etcd_start: Some(start), ..Decision::default() }
}

fn rolling() -> Decision {
    Decision { etcd_rolling: true, ..Decision::default() }
}

fn schedule(limit: usize, decisions: &[(&'static str, Decision)]) -> Schedule<&'static str> {
    let policy = Policy { rollouts: limit, ..Policy::default() };
    let mut schedule = Schedule::new(policy, &Parameters::default());
    schedule.clusters(decisions.iter().map(|(key, _)| *key));
    for (key, decision) in decisions {
        schedule.decided(key, decision);
    }
    schedule
}

fn turns(schedule: &Schedule<&'static str>, keys: &[&'static str]) -> Vec<bool> {
    keys.iter().map(|key| schedule.turn(key, NOW).etcd).collect()
}

#[test]
fn the_earliest_deadline_of_those_that_are_due_goes_first() {
    let all = [("a", due(900, 3_000)), ("b", due(999, 2_000)), ("c", due(9_001, 9_500))];
    assert_eq!(turns(&schedule(1, &all), &["a", "b", "c"]), [false, true, false]);
    assert_eq!(turns(&schedule(2, &all), &["a", "b", "c"]), [true, true, false]);
}

#[test]
fn a_rollout_that_goes_on_keeps_the_others_waiting_and_not_itself() {
    let all = [("a", rolling()), ("b", due(0, 2_000))];
    assert_eq!(turns(&schedule(1, &all), &["b"]), [false]);
    assert_eq!(turns(&schedule(2, &all), &["b"]), [true]);
}

#[test]
fn nobody_has_a_turn_before_every_cluster_was_looked_at() {
    let mut schedule = schedule(1, &[("a", due(0, 2_000))]);
    schedule.clusters(["a", "b"]);
    assert_eq!(turns(&schedule, &["a"]), [false]);
    schedule.decided(&"b", &Decision::default());
    assert_eq!(turns(&schedule, &["a"]), [true]);
    // One that is gone is waited for no longer.
    schedule.decided(&"b", &rolling());
    schedule.clusters(["a"]);
    assert_eq!(turns(&schedule, &["a"]), [true]);
}

#[test]
fn where_many_are_due_at_once_the_first_begin_so_early_that_the_last_has_its_time() {
    const DAYS: i64 = 86_400;
    let all = [("a", 0), ("b", 0), ("c", 0)].map(|(key, _)| (key, due(90 * DAYS, 100 * DAYS)));
    let hours = |n: i64| Timestamp::from_unix(90 * DAYS - n * 3_600);
    let turn = |limit, now| {
        let schedule = schedule(limit, &all);
        ["a", "b", "c"].map(|key| schedule.turn(&key, now).etcd)
    };
    assert_eq!(turn(1, hours(3)), [false, false, false]);
    assert_eq!(turn(1, hours(2)), [true, false, false]);
    // Two at a time: the last needs the place of the first.
    assert_eq!(turn(2, hours(2)), [false, false, false]);
    assert_eq!(turn(2, hours(1)), [true, false, false]);
    assert_eq!(turn(2, hours(0)), [true, true, false]);
    // Those that end far apart wait for their own time.
    let far = [("a", due(90 * DAYS, 100 * DAYS)), ("b", due(190 * DAYS, 200 * DAYS))];
    assert!(!schedule(1, &far).turn(&"a", hours(1)).etcd);
}

#[test]
fn nobody_begins_earlier_than_a_control_plane_is_aligned_with_its_etcd() {
    const DAYS: i64 = 86_400;
    let keys: Vec<String> = (0..5_000).map(|i| format!("{i:04}")).collect();
    let mut schedule = Schedule::new(Policy::default(), &Parameters::default());
    schedule.clusters(keys.iter().cloned());
    for key in &keys {
        schedule.decided(key, &due(900 * DAYS, 910 * DAYS));
    }
    let first = keys.first().unwrap();
    assert!(!schedule.turn(first, at(840 * DAYS - 1)).etcd);
    assert!(schedule.turn(first, at(840 * DAYS)).etcd);
}

#[test]
fn the_management_cluster_goes_before_all_others_and_alone() {
    let alone = |decision| Decision { goes_alone: true, ..decision };
    let all = [("a", due(0, 1_500)), ("m", alone(due(0, 9_000)))];
    assert_eq!(turns(&schedule(2, &all), &["a", "m"]), [false, true]);
    let all = [("a", due(0, 1_500)), ("m", alone(rolling()))];
    assert_eq!(turns(&schedule(2, &all), &["a", "m"]), [false, false]);
    let all = [("a", rolling()), ("b", due(0, 1_500)), ("m", alone(due(0, 9_000)))];
    assert_eq!(turns(&schedule(2, &all), &["b", "m"]), [false, false]);
}

#[test]
fn one_that_is_stuck_gives_its_place_up_and_two_stop_all_others() {
    let stuck = || Decision { etcd_stuck: true, ..Decision::default() };
    let one = [("a", stuck()), ("b", due(0, 2_000))];
    assert_eq!(turns(&schedule(1, &one), &["b"]), [true]);
    let two = [("a", stuck()), ("b", due(0, 2_000)), ("c", stuck())];
    assert_eq!(turns(&schedule(1, &two), &["b"]), [false]);
}

#[test]
fn marks_of_any_cluster_are_told_to_all() {
    let pending = Decision { marks_pending: true, ..Decision::default() };
    let schedule = schedule(1, &[("a", pending), ("b", Decision::default())]);
    assert!(schedule.turn(&"b", NOW).marks_pending);
}

#[test]
fn who_waits_for_itself_or_cannot_be_read_keeps_nobody_waiting() {
    let waits = |decision| Decision { etcd_start_waits: true, ..decision };
    let all = [("a", waits(due(0, 1_500))), ("b", due(0, 2_000))];
    assert_eq!(turns(&schedule(1, &all), &["a", "b"]), [false, true]);
    let mut schedule = schedule(1, &[("a", rolling()), ("b", due(0, 2_000))]);
    assert_eq!(turns(&schedule, &["b"]), [false]);
    schedule.unread(&"a");
    assert_eq!(turns(&schedule, &["b"]), [true]);
}

#[test]
fn who_is_refused_what_it_writes_leaves_its_turn_to_others_for_a_while() {
    let mut schedule = schedule(1, &[("a", due(900, 1_500)), ("b", due(900, 2_000))]);
    schedule.refused(&"a", NOW);
    // Also after it was looked at again.
    schedule.decided(&"a", &due(900, 1_500));
    assert_eq!(turns(&schedule, &["a", "b"]), [false, true]);
    assert!(schedule.turn(&"a", at(NOW.unix() + REFUSED)).etcd);
}

#[test]
fn a_cluster_that_was_not_looked_at_yet_may_have_marks() {
    let mut schedule = schedule(1, &[("a", Decision::default())]);
    schedule.clusters(["a", "b"]);
    assert!(schedule.turn(&"a", NOW).marks_pending);
    schedule.decided(&"b", &Decision::default());
    assert!(!schedule.turn(&"a", NOW).marks_pending);
}
