//! The models do what the real controllers did.

use super::{Part, Step, Steps, modelled, real};
use crate::trace::{Line, Millis, actions_on, read, read_machines};

const ACTIONS: &str = include_str!("../../traces/actions.log");

/// How much later or earlier than the real one a model may be: the real ones try again after 20 seconds, and
/// KCP's after up to a minute.
const ETCD: Millis = 25_000;
const CONTROL_PLANE: Millis = 60_000;

fn at(time: &str) -> Millis {
    read(&format!("{time} M x DELETED"))[0].at
}

fn replay(seen: &[Line], done: &[Line], from: &str, until: &str) {
    let part = Part { seen, done, from: at(from), until: at(until) };
    let (real, modelled) = (real(&part), modelled(&part));
    assert!(real.etcd.len() + real.control_plane.len() > 1, "{real:?}");
    compare(real.etcd, modelled.etcd, ETCD);
    compare(real.control_plane, modelled.control_plane, CONTROL_PLANE);
}

/// Members are removed in any order.
fn ordered(mut steps: Vec<(Millis, Step)>) -> Vec<(Millis, Step)> {
    for run in steps.chunk_by_mut(|(_, one), (_, next)| {
        matches!((one, next), (Step::Deleted(_), Step::Deleted(_)))
    }) {
        run.sort_by(|(_, one), (_, next)| one.cmp(next));
    }
    steps
}

fn compare(real: Vec<(Millis, Step)>, modelled: Vec<(Millis, Step)>, within: Millis) {
    let (real, modelled) = (ordered(real), ordered(modelled));
    let steps = |of: &[(Millis, Step)]| of.iter().map(|(_, step)| step.clone()).collect::<Vec<_>>();
    assert_eq!(steps(&modelled), steps(&real), "\n{modelled:?}\n{real:?}");
    for ((model, step), (was, _)) in modelled.iter().zip(&real) {
        assert!((model - was).abs() <= within, "{step:?} at {model}, really at {was}");
    }
}

macro_rules! etcd {
    ($($name:ident: $cluster:literal $from:literal to $until:literal;)+) => {$(
        #[test]
        fn $name() {
            let seen = include_str!(concat!("../../traces/etcd-", $cluster, ".log"));
            replay(&read(seen), &actions_on(ACTIONS, $cluster), $from, $until);
        }
    )+};
}

etcd! {
    marks_alone_start_nothing_and_leftovers_pile_up: "c1" "22:52:57.000" to "23:12:20.000";
    one_marked_is_one_replaced_and_a_replacement_may_be_marked_too: "c2" "22:52:58.000" to "23:12:20.000";
    upgrade_complete_removes_whatever_stands: "c4" "22:52:59.000" to "23:12:20.000";
    a_pause_holds_it_and_a_kill_does_not: "c5" "22:52:59.000" to "23:12:20.000";
    killed_at_the_wrong_moment_it_forgets_the_secret: "c6" "23:06:23.000" to "23:12:20.000";
    a_rollout_of_all_refreshes_the_secret: "c7" "22:55:32.000" to "22:59:00.000";
    a_single_one_is_replaced_before_it_goes: "c8" "23:01:55.000" to "23:12:20.000";
    with_a_pair_that_has_ended_it_stalls_until_it_is_restarted: "c9" "23:08:49.000" to "23:12:45.000";
}

#[test]
fn the_control_plane_follows_etcd() {
    let seen = include_str!("../../traces/chain.log");
    let done = actions_on(include_str!("../../traces/chain-actions.log"), "p2");
    replay(&read(seen), &done, "23:16:50.000", "23:28:30.000");
}

#[test]
fn a_date_that_moves_later_wastes_a_replacement_and_one_that_stays_due_rolls_for_ever() {
    let seen = read_machines(include_str!("../../traces/kcp-machines.log"), "c1");
    replay(&seen, &[], "22:56:38.000", "22:57:35.000");
    replay(&seen, &[], "22:57:38.000", "22:59:30.000");
}

#[test]
fn what_is_compared_can_differ() {
    let step = |at| vec![(at, Step::Made)];
    let caught = std::panic::catch_unwind(|| compare(step(0), step(ETCD + 1), ETCD));
    assert!(caught.is_err());
    assert_ne!(Steps::default(), Steps { etcd: step(0), ..Steps::default() });
}
