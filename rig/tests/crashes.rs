//! Our controller is killed after every write, and the end is the same.

use std::thread;
use std::time::Duration;

use rig::{Ends, Etcd, Rig, Spans, in_days};
use serde_json::json;

use crate::OPT_IN;
use crate::external::{QUIET, UNTIL_DUE, both_are_rolled_once_and_stay_so_for, made};

/// Killed within so little of a write that is logged.
const LOOK: Duration = Duration::from_millis(1);

/// Six of every manager's periods.
const SHORT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn killed_after_every_write_it_rolls_both_once_all_the_same() {
    // Due after every machine's date was written.
    both_are_rolled_once_where_it_is_killed_after_every_write(UNTIL_DUE, QUIET);
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn killed_after_every_write_and_due_at_once_it_rolls_both_once_all_the_same() {
    both_are_rolled_once_where_it_is_killed_after_every_write(0, SHORT);
}

fn both_are_rolled_once_where_it_is_killed_after_every_write(until_due: i64, quiet: Duration) {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    // What is due at once counts all the same, and members that were made half a minute before are replaced as well.
    let spans = Spans::default().with("min-lifetime", 10).with("align", 5);
    let due = in_days(7, spans.get("lead") + until_due);
    let made = made(&rig, Ends { etcd: vec![due], ..Ends::default() });
    rig.annotate(OPT_IN, &json!("7d"));
    thread::scope(|scope| {
        let end = scope.spawn(|| both_are_rolled_once_and_stay_so_for(quiet, &rig, &made));
        while !end.is_finished() {
            let mut controller = rig.controller(&spans, &["--no-leader-elect"]);
            let before = controller.writes("");
            while !end.is_finished() && controller.writes("") == before {
                assert!(!controller.ended(), "{}", controller.log());
                thread::sleep(LOOK);
            }
            rig.timeline.act("killed expiryd-controller after a write");
        }
    });
}
