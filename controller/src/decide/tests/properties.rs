//! What holds of every cluster, however odd.

mod odd;

use odd::any_facts;
use proptest::prelude::*;

use super::*;
use crate::memory::Nudge;

/// The cluster once the writes are made, before anybody else has acted on them.
fn written(facts: &Facts, actions: &[Action]) -> Facts {
    let mut facts = facts.clone();
    for action in actions {
        write(&mut facts, action);
    }
    facts
}

fn write(facts: &mut Facts, action: &Action) {
    let publish = |facts: &mut Facts, name: &str, to: &Published| {
        let machines = facts.control_plane.iter_mut().flat_map(|cp| &mut cp.machines);
        for machine in machines.filter(|machine| machine.name == name) {
            machine.published = to.clone();
        }
        let machines = facts.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines);
        for machine in machines.filter(|machine| machine.name == name) {
            machine.published = to.clone();
        }
    };
    let mark = |facts: &mut Facts, name: &str, to: Option<&String>| {
        let machines = facts.etcd.iter_mut().flat_map(|etcd| &mut etcd.machines);
        for machine in machines.filter(|machine| machine.name == name) {
            machine.mark = to.cloned();
        }
    };
    match action {
        Action::Annotate { machine, record } => {
            publish(facts, machine, &Published::Ours(*record));
        }
        Action::Unannotate { machine } => publish(facts, machine, &Published::Nothing),
        Action::SetDays(days) => {
            let control_plane = control_plane(facts);
            (control_plane.days, control_plane.our_days) = (*days, *days);
        }
        Action::RecordRolledFor(entries) => control_plane(facts).rolled_for.clone_from(entries),
        Action::RecordPairs(pairs) => etcd(facts).pairs.clone_from(pairs),
        Action::RecordIntent(intent) => etcd(facts).intent = Some(intent.clone()),
        Action::Mark { machine, id } => mark(facts, machine, Some(id)),
        Action::Unmark { machine } => mark(facts, machine, None),
        Action::Nudge { id } => {
            etcd(facts).nudge = Some(Nudge { id: id.clone(), at: NOW });
            etcd(facts).upgrading = true;
        }
        Action::TakeBackNudge => {
            etcd(facts).nudge = None;
            etcd(facts).upgrading = false;
        }
        Action::RestartEtcdController => {
            etcd(facts).controller.started_at = Some(NOW);
            etcd(facts).controller.restarted_at = Some(NOW);
        }
        Action::SkipHealthChecks(skip) => etcd(facts).skipped_health_checks = *skip,
        Action::FinishUpgrade => etcd(facts).upgrade_complete = true,
        // Only etcdadm-controller shows that it has taken effect.
        Action::RefreshSecret => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_not_written_again(facts in any_facts()) {
        let first = actions(&decided(&facts));
        let again = actions(&decided(&written(&facts, &first)));
        let twice = |action: &&Action| **action != Action::RefreshSecret && first.contains(action);
        prop_assert_eq!(again.iter().find(twice), None);
    }

    #[test]
    fn a_few_looks_later_nothing_is_left_to_write(facts in any_facts()) {
        let mut facts = facts;
        for _ in 0..6 {
            facts = written(&facts, &actions(&decided(&facts)));
        }
        let left = actions(&decided(&facts));
        let left: Vec<_> = left.iter().filter(|left| **left != Action::RefreshSecret).collect();
        prop_assert_eq!(left, Vec::<&Action>::new());
    }

    #[test]
    fn who_never_opted_in_has_nothing_written(facts in any_facts()) {
        let mut facts = facts;
        facts.cluster.opt_in = None;
        if let Some(control_plane) = &mut facts.control_plane {
            (control_plane.days, control_plane.our_days) = (None, None);
            control_plane.rolled_for.clear();
            for machine in &mut control_plane.machines {
                machine.published = Published::Nothing;
            }
        }
        if let Some(etcd) = &mut facts.etcd {
            (etcd.intent, etcd.nudge, etcd.skipped_health_checks) = (None, None, false);
            for machine in &mut etcd.machines {
                (machine.published, machine.mark) = (Published::Nothing, None);
            }
        }
        prop_assert_eq!(actions(&decided(&facts)), vec![]);
    }

    #[test]
    fn a_date_moves_later_only_by_a_report_that_is_fresh_settled_and_whole(facts in any_facts()) {
        for action in actions(&decided(&facts)) {
            let Action::Annotate { machine, record } = action else { continue };
            let nodes = facts.control_plane.iter().flat_map(|cp| &cp.machines);
            let nodes = nodes.map(|m| (&m.name, &m.published, match &m.report {
                NodeReport::Of(report) => Some(report),
                _ => None,
            }));
            let members = facts.etcd.iter().flat_map(|etcd| &etcd.machines);
            let members = members.map(|m| (&m.name, &m.published, m.report.as_ref().ok()));
            let (_, published, report) = nodes.chain(members).find(|(name, ..)| **name == machine).unwrap();
            let Some(before) = published.last() else { continue };
            if record.date > before.date {
                // What was degraded before has nothing to lose.
                let whole = |report: &&Report| {
                    let is_as_good = report.status == Status::Ok
                        || (report.status == Status::Degraded && before.degraded);
                    is_as_good && report.settled && report.machine_rollout.is_some()
                };
                let report = report.filter(whole);
                let says_so = report.is_some_and(|report| {
                    report.machine_rollout.as_ref().unwrap().not_after >= record.date
                        && report.observed_at >= hours(-26)
                });
                prop_assert!(says_so);
                prop_assert!(record.date <= day(20 * 366));
            }
        }
    }

    #[test]
    fn etcd_is_begun_only_where_it_may_be(facts in any_facts()) {
        for action in actions(&decided(&facts)) {
            let Action::RecordIntent(Intent { closed: None, at, .. }) = action else { continue };
            let (cluster, etcd) = (&facts.cluster, facts.etcd.as_ref().unwrap());
            // One that goes on is written again when it shrinks.
            if etcd.begun().is_some() || at != NOW {
                continue;
            }
            let control_plane = facts.control_plane.as_ref().unwrap();
            prop_assert!(cluster.opt_in.is_some() && !cluster.hold && !cluster.paused && !cluster.deleting);
            prop_assert!(!etcd.paused && !control_plane.paused && !control_plane.in_place);
            prop_assert!(etcd.ready && !etcd.upgrading && !etcd.upgrade_complete);
            prop_assert!(etcd.machines.iter().all(|machine| machine.owned && !machine.deleting));
            prop_assert_eq!(etcd.machines.len(), 3);
            let Progress { moving, outdated, ready, observed } = control_plane.progress;
            prop_assert!(!moving && !outdated && ready && observed);
            prop_assert_eq!(control_plane.machines.len(), control_plane.replicas);
        }
    }
}
