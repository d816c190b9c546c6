//! Keeps everything up until it is told to end: `rig/up` starts this program, and `rig/down` ends it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "rig/up and its log read it")]

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use rig::{Ends, Etcd, Rig};

fn main() -> ExitCode {
    let etcd = match std::env::args().nth(1).as_deref() {
        Some("external") | None => Etcd::External,
        Some("stacked") => Etcd::Stacked,
        Some(other) => {
            eprintln!("rig: {other} is neither external nor stacked");
            return ExitCode::from(2);
        }
    };
    // Before there is another thread, so that all of them leave the signals to this one.
    let ends: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    let blocked = ends.thread_block();
    let Some(rig) = blocked.ok().and_then(|()| Rig::start(etcd)) else { return ExitCode::FAILURE };
    let made = match etcd {
        Etcd::External => {
            let (hosts, agents) = rig.external(Ends::default());
            (Some(hosts), agents)
        }
        Etcd::Stacked => (None, rig.stacked(Vec::new())),
    };
    println!("{}", rig.kubeconfig().display());
    let ended = ends.wait();
    drop((made, rig));
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
