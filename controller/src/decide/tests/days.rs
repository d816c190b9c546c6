//! The control plane's days before expiry (C0, C5).

use super::*;

#[test]
fn c0_the_days_are_set_once_every_machine_has_a_date() {
    let mut facts = stacked();
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    assert_eq!(actions(&decided(&facts)), [Action::SetDays(Some(7))]);
    first(&mut facts).own = None;
    first(&mut facts).published = Published::Nothing;
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(100))]);
    // A date of KCP's own that is not due does not wait for ours, and one that is does.
    first(&mut facts).own = Some(day(90));
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(100)), Action::SetDays(Some(7))]);
    first(&mut facts).own = Some(day(-5));
    let decision = decided(&facts);
    assert_eq!((actions(&decision), decision.is_near), (vec![annotate("cp-1", ok(100))], true));
    first(&mut facts).published = Published::Ours(ok(100));
    control_plane(&mut facts).topology_owned = true;
    let decision = decided(&facts);
    assert_eq!((actions(&decision), findings(&decision)), (vec![], vec!["days-owned".to_owned()]));
}

#[test]
fn c0_a_date_of_kcps_own_that_is_due_and_that_no_agent_confirms_has_no_days_set_before_it_is_urgent()
 {
    let silent = |own| {
        let mut facts = stacked();
        (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
        *first(&mut facts) = ControlPlaneMachine {
            born: day(-365 + own),
            own: Some(day(own)),
            published: Published::Nothing,
            report: NodeReport::NoAgent,
            ..machine("cp-1")
        };
        let decision = decided(&facts);
        (actions(&decision), findings(&decision))
    };
    let says = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    // A renewal in place leaves it as it was, also in the past.
    assert_eq!(silent(-20), (vec![], says(&["own-date-unconfirmed", "cp-1: no-agent"])));
    assert_eq!(silent(5), (vec![], says(&["own-date-unconfirmed", "cp-1: no-agent"])));
    assert_eq!(silent(2), (vec![Action::SetDays(Some(7))], says(&["cp-1: no-agent"])));
    assert_eq!(silent(90), (vec![Action::SetDays(Some(7))], says(&["cp-1: no-agent"])));
}

#[test]
fn c0_one_that_nobody_confirms_does_not_cost_the_others_their_certificates() {
    let mut facts = stacked();
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    (first(&mut facts).own, first(&mut facts).published) = (Some(day(-20)), Published::Nothing);
    first(&mut facts).report = NodeReport::NoAgent;
    for machine in &mut control_plane(&mut facts).machines[1..] {
        machine.published = Published::Ours(ok(1));
        machine.report = NodeReport::Of(report(1));
    }
    assert!(actions(&decided(&facts)).contains(&Action::SetDays(Some(7))));
}

#[test]
fn c0_the_first_that_is_about_to_end_has_the_days_set_whatever_is_known_of_the_others() {
    let silent = |own: [i64; 3]| {
        let mut facts = stacked();
        let control_plane = control_plane(&mut facts);
        (control_plane.days, control_plane.our_days) = (None, None);
        for (machine, own) in control_plane.machines.iter_mut().zip(own) {
            machine.born = day(-365 + own);
            machine.own = Some(day(own));
            (machine.published, machine.report) = (Published::Nothing, NodeReport::NoAgent);
        }
        facts
    };
    let set = [Action::SetDays(Some(7))];
    assert_eq!(actions(&decided(&silent([3, 5, 6]))), []);
    assert_eq!(actions(&decided(&silent([2, 5, 6]))), set);
    // One of a renewal in place, or one that has ended, does not hide another that is about to.
    assert_eq!(actions(&decided(&silent([-20, 2, 6]))), set);
    assert_eq!(actions(&decided(&silent([-20, -10, -1]))), []);
    // A person wants one replaced.
    let mut facts = silent([-20, 5, 300]);
    control_plane(&mut facts).machines[2].published = Published::Foreign(Some(day(1)));
    assert_eq!(actions(&decided(&facts)), set);
}

#[test]
fn c5_a_date_in_the_template_that_is_due_would_have_it_rolled_for_ever() {
    let mut facts = stacked();
    let from_template = |facts: &mut Facts, date: i64| {
        control_plane(facts).template_has_key = true;
        for machine in &mut control_plane(facts).machines {
            machine.published = Published::Foreign(Some(day(date)));
        }
    };
    from_template(&mut facts, 9);
    assert_eq!(actions(&decided(&facts)), []);
    // A day before it is due.
    from_template(&mut facts, 8);
    let decision = decided(&facts);
    assert_eq!(actions(&decision), [Action::SetDays(None)]);
    assert!(findings(&decision).contains(&"cp-1: born-due".to_owned()));
    // In mid-rollout, too, and where somebody opts out of it.
    control_plane(&mut facts).progress.moving = true;
    for opt_in in [Some("7d"), None] {
        facts.cluster.opt_in = opt_in.map(str::to_owned);
        assert_eq!(actions(&decided(&facts)), [Action::SetDays(None)]);
    }
    // None are set while it is there.
    facts.cluster.opt_in = Some("7d".to_owned());
    control_plane(&mut facts).progress.moving = false;
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn c0_a_degraded_report_confirms_no_date_of_kcps_own() {
    let mut facts = stacked();
    (control_plane(&mut facts).days, control_plane(&mut facts).our_days) = (None, None);
    let record = Record { date: day(5), degraded: true };
    (first(&mut facts).own, first(&mut facts).published) = (Some(day(5)), Published::Ours(record));
    first_report(&mut facts).status = Status::Degraded;
    let decision = decided(&facts);
    assert_eq!(actions(&decision), []);
    assert_eq!(findings(&decision), ["own-date-unconfirmed"]);
    assert_eq!(decision.control_plane_from, None);
    // Nor one that has passed.
    let record = Record { date: day(-5), degraded: true };
    (first(&mut facts).own, first(&mut facts).published) = (Some(day(-5)), Published::Ours(record));
    assert!(!actions(&decided(&facts)).contains(&Action::SetDays(Some(7))));
}

#[test]
fn c0_days_of_somebody_else_are_kept_and_ours_follow() {
    let mut facts = stacked();
    facts.cluster.opt_in = Some("14d".to_owned());
    assert_eq!(actions(&decided(&facts)), [Action::SetDays(Some(14))]);
    control_plane(&mut facts).our_days = None;
    assert_eq!(actions(&decided(&facts)), []);
}

#[test]
fn c5_a_machine_that_was_born_due_carries_nothing_and_where_kcp_says_so_our_days_are_taken_back() {
    let mut facts = stacked();
    first(&mut facts).born = day(-1);
    says(&mut facts, 6);
    first(&mut facts).published = Published::Nothing;
    // What its agent says takes nobody else's protection.
    let decision = decided(&facts);
    assert_eq!(actions(&decision), []);
    assert_eq!(findings(&decision), ["cp-1: born-due"]);
    first(&mut facts).own = Some(day(6));
    for report in [NodeReport::Unreachable, first(&mut facts).report.clone()] {
        first(&mut facts).report = report;
        let decision = decided(&facts);
        assert_eq!(actions(&decision), [Action::SetDays(None)]);
        assert!(findings(&decision).contains(&"cp-1: born-due".to_owned()));
    }
    // A person's date hides KCP's own.
    first(&mut facts).published = Published::Foreign(Some(day(300)));
    assert_eq!(actions(&decided(&facts)), []);
    first(&mut facts).published = Published::Nothing;
    says(&mut facts, 6);
    // In mid-rollout, too: it would never be over.
    control_plane(&mut facts).progress.moving = true;
    assert_eq!(actions(&decided(&facts)), [Action::SetDays(None)]);
    control_plane(&mut facts).progress.moving = false;
    // With a day more to live than the window and a day, it is not.
    (first(&mut facts).born, first(&mut facts).own) = (hours(-1), None);
    says(&mut facts, 9);
    assert_eq!(actions(&decided(&facts)), [annotate("cp-1", ok(9))]);
}

#[test]
fn days_that_would_have_it_rolled_for_ever_are_taken_back_in_mid_rollout_too() {
    let with = |set: i64, opt_in: Option<&str>| {
        let mut facts = stacked();
        facts.cluster.opt_in = opt_in.map(str::to_owned);
        let control_plane = control_plane(&mut facts);
        control_plane.lifetime_days = Some(100);
        (control_plane.days, control_plane.our_days) = (Some(set), Some(set));
        control_plane.progress.moving = true;
        actions(&decided(&facts))
    };
    assert_eq!(with(60, Some("60d")), [Action::SetDays(None)]);
    assert_eq!(with(60, None), [Action::SetDays(None)]);
    // Those that are good stay, whatever somebody typed.
    assert_eq!(with(7, Some("700d")), []);
    assert_eq!(with(7, None), []);
}

#[test]
fn when_the_control_plane_is_rolled_follows_from_what_its_machines_carry_then() {
    let mut facts = stacked();
    let from = |facts: &Facts| decided(facts).control_plane_from;
    assert_eq!(from(&facts), Some(day(93)));
    says(&mut facts, 50);
    assert_eq!(from(&facts), Some(day(43)), "which is only being written");
    first(&mut facts).published = Published::Foreign(Some(day(20)));
    assert_eq!(from(&facts), Some(day(13)));
    facts.cluster.opt_in = None;
    assert_eq!(from(&facts), None);
}
