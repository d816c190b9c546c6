//! Agents of etcd's machines that lie: too early, too late, no report at all, or one thing and then another.

use std::time::Duration;

use rig::{Ends, Etcd, Lie, Rig, Spans};
use serde_json::Value;
use testkit::wait_up_to;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::external::{both_are_replaced, both_are_rolled_once, intent, made, opted_in, soon_due};

const DAY: i64 = 24 * 3_600;

/// Everything that is no earlier than the truth.
const LATER: [Lie; 3] = [
    Lie::EndsIn(9 * 365 * DAY),
    Lie::Garbage,
    Lie::Flapping(&[Lie::EndsIn(9 * 365 * DAY), Lie::Garbage, Lie::EndsIn(40 * 365 * DAY)]),
];

/// Everything that would have etcd rolled at once: within the window always, by turns, and long ended.
const EARLIER: [Lie; 3] = [
    Lie::EndsIn(7 * DAY),
    Lie::Flapping(&[Lie::EndsIn(300 * DAY), Lie::EndsIn(7 * DAY), Lie::Garbage]),
    Lie::EndsIn(-DAY),
];

/// How long a machine lives at least before a date of its own has it replaced, here.
const LEAST: i64 = 240;

/// What a rollout of etcd may take until it begins.
const BEGUN: Duration = Duration::from_mins(8);

/// What a rollout of etcd, and then of the control plane, may take.
const ROLLED: Duration = Duration::from_mins(8);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn agents_that_say_later_or_garbage_do_not_delay_what_etcd_serves() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let due = soon_due(&spans);
    let made = made(&rig, Ends { etcd: vec![due; 3], lies: LATER.to_vec(), ..Ends::default() });
    let _controller = opted_in(&rig, &spans, &[]);
    let intent = both_are_rolled_once(&rig, &made);
    assert_eq!(intent["cause"], "machine-due");
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn nor_do_they_delay_the_client_pair() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default().with("node-skew", 10).with("restart-pause", 20);
    let due = soon_due(&spans);
    let ends = Ends { client_pair: Some(due), lies: LATER.to_vec(), ..Ends::default() };
    let _made = made(&rig, ends);
    let _controller = opted_in(&rig, &spans, &[]);
    let intent = wait_up_to(BEGUN, "a rollout", || intent(&rig));
    assert_eq!(intent["cause"], "secret-due");
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn agents_that_say_always_due_get_one_rollout_for_each_least_lifetime() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    // The window is wider by far, as 60 days are in production.
    let spans = Spans::default().with("min-lifetime", LEAST);
    let made = made(&rig, Ends { lies: EARLIER.to_vec(), ..Ends::default() });
    let _controller = opted_in(&rig, &spans, &[]);
    let first = begun(&rig, |_| true);
    wait_up_to(ROLLED, "both to be replaced", || both_are_replaced(&rig, &made).then_some(()));
    rig.timeline.act("all are replaced, and all say that they are due");
    let second = begun(&rig, |intent| intent["id"] != first["id"]);
    assert_eq!([&first["cause"], &second["cause"]], ["machine-due"; 2]);
    assert_eq!(rig.timeline.control_plane_machines(), 6, "rolled once, until then");
}

/// Waits for a rollout, which begins no sooner than the oldest member is old enough.
fn begun(rig: &Rig, is: impl Fn(&Value) -> bool) -> Value {
    wait_up_to(BEGUN, "a rollout", || {
        let oldest = rig.etcd_members().into_iter().map(|member| member.born).min().unwrap();
        let intent = intent(rig).filter(&is)?;
        let at = OffsetDateTime::parse(intent["at"].as_str().unwrap(), &Rfc3339).unwrap();
        rig.timeline.act(&format!("the oldest member is of {oldest}, and a rollout began at {at}"));
        assert!(at - oldest >= time::Duration::seconds(LEAST));
        Some(intent)
    })
}
