//! Our controller is killed after every write, and the end is the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rig::{Ends, Etcd, Rig, Spans, in_days};
use serde_json::json;

use crate::OPT_IN;
use crate::external::{UNTIL_DUE, both_are_rolled_once, made};

/// Killed within so little of a write that is logged.
const LOOK: Duration = Duration::from_millis(1);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn killed_after_every_write_it_rolls_both_once_all_the_same() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let spans = Spans::default();
    let due = in_days(7, spans.get("lead") + UNTIL_DUE);
    let made = made(&rig, Ends { etcd: vec![due], ..Ends::default() });
    rig.annotate(OPT_IN, &json!("7d"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let mut controller = rig.controller(&spans, &["--no-leader-elect"]);
                let before = writes(&controller.log());
                while !over.load(Ordering::Relaxed) && writes(&controller.log()) == before {
                    assert!(!controller.ended(), "{}", controller.log());
                    thread::sleep(LOOK);
                }
                rig.timeline.act("killed expiryd-controller after a write");
            }
        });
        both_are_rolled_once(&rig, &made);
        over.store(true, Ordering::Relaxed);
    });
}

fn writes(log: &str) -> usize {
    log.lines().filter(|line| line.contains("INFO done: ")).count()
}
