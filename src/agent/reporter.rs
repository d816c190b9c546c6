//! From an observation to what is published: neither waits nor touches the disk.

use std::sync::Arc;
use std::time::Duration;

use expiryd_api::Publication;
use tokio::sync::watch;
use tracing::debug;

use super::log_changes;
use super::observer::Observation;
use super::server_process::Told;
use crate::agent_status::{AgentStats, ServerStatus};
use crate::clock::Moment;
use crate::config::Config;
use crate::file_watch::POLL;
use crate::host_root::HostPath;
use crate::inventory::Stabilizer;
use crate::problem::ActiveProblem;
use crate::report::{self, Besides, Report};
use crate::served::{self, Sighting, Target, Wanted};

/// Where reports go.
pub(super) struct Outputs {
    /// To the Node publisher.
    pub(super) reports: watch::Sender<Option<Arc<Report>>>,
    /// To the server.
    pub(super) told: watch::Sender<Option<Told>>,
    /// To whoever looks at the machine's servers.
    pub(super) wanted: watch::Sender<Wanted>,
}

/// See the module.
pub(super) struct Reporter {
    stabilizer: Stabilizer,
    outputs: Outputs,
    report: Option<Arc<Report>>,
    /// What is wrong with the agent itself.
    problems: Vec<ActiveProblem>,
    publications: Vec<Publication>,
    /// What the machine's servers showed when they were last looked at.
    sightings: Vec<Sighting>,
    /// Whether they are looked at.
    looks: bool,
    settle: Duration,
    /// How often somebody asked for a look at once.
    asked: u64,
    stats: AgentStats,
    /// How long the service manager lets the loop be silent.
    watchdog: Option<Duration>,
    /// How often the machine is scanned when nothing seems to change.
    tick: Duration,
}

impl Reporter {
    pub(super) fn new(
        config: &Config,
        outputs: Outputs,
        stats: AgentStats,
        watchdog: Option<Duration>,
    ) -> Self {
        Self {
            stabilizer: Stabilizer::new(config.timing),
            outputs,
            report: None,
            problems: Vec::new(),
            publications: Vec::new(),
            sightings: Vec::new(),
            looks: config.served,
            settle: config.timing.settle,
            asked: 0,
            stats,
            watchdog,
            tick: config.tick,
        }
    }

    /// Goes on with another configuration than the one before.
    pub(super) fn reconfigure(&mut self, config: &Config, before: &Config) {
        let same_host = config.host_root == before.host_root;
        let same_layout = config.layout.is_as(&before.layout);
        if same_host {
            let covers = |path: &HostPath| config.layout.covers(path);
            self.stabilizer.reconfigure(config.timing, same_layout, covers);
        } else {
            self.stabilizer = Stabilizer::new(config.timing);
        }
        self.tick = config.tick;
        self.looks = config.served;
        self.settle = config.timing.settle;
        self.asked += 1;
    }

    /// Takes in what the machine's servers show, for the next report.
    pub(super) fn set_sightings(&mut self, sightings: &[Sighting]) {
        self.sightings = sightings.to_vec();
    }

    /// Publishes what follows from an observation; returns how long to wait for the next one.
    pub(super) fn report(&mut self, observation: Observation) -> Duration {
        let Observation { scan, at, took, polling, mut problems, tls: _, not_granted: _ } =
            observation;
        debug!(files = scan.files.len(), parsed = scan.parsed, "scanned");
        let inventory = self.stabilizer.observe(scan, at);
        let targets = if self.looks { served::targets(&inventory) } else { Vec::new() };
        problems.extend(served::differences(&targets, &self.sightings));
        self.problems = ActiveProblem::date(problems, &self.problems, at.wall);
        let besides = Besides {
            problems: self.problems.clone(),
            served: served::served(&targets, &self.sightings),
            publications: self.publications.clone(),
            server_restarts: self.stats.server.restarts.clone(),
        };
        self.want(targets);
        let report = report::build(inventory, besides, at.wall);
        log_changes::log(self.report.as_deref(), &report);
        self.count(&report, took, polling);
        self.publish(report);
        self.wait(at, polling)
    }

    /// Publishes how the publishers get on.
    pub(super) fn set_publications(&mut self, publications: &[Publication]) {
        self.publications = publications.to_vec();
        let publications = self.publications.clone();
        self.publish_again(|report| Report { publications, ..report });
    }

    /// Publishes how the server gets on.
    pub(super) fn set_server(&mut self, server: ServerStatus) {
        let server_restarts = server.restarts.clone();
        self.stats.server = server;
        self.publish_again(|report| Report { server_restarts, ..report });
    }

    /// Publishes the last report with something else that needs no scan.
    fn publish_again(&mut self, with: impl FnOnce(Report) -> Report) {
        if let Some(report) = self.report.take() {
            self.publish(with(Arc::unwrap_or_clone(report)));
        }
    }

    /// The state in one line, for the service manager.
    pub(super) fn status(&self) -> String {
        let report = self.report.as_ref();
        report.map_or_else(String::new, |report| format!("{}: {}", report.status, report.date()))
    }

    fn publish(&mut self, report: Report) {
        let report = Arc::new(report);
        self.outputs.told.send_replace(Some((Arc::clone(&report), self.stats.clone())));
        self.outputs.reports.send_replace(Some(Arc::clone(&report)));
        self.report = Some(report);
    }

    /// Has the machine's servers looked at, once that differs from what is looked at already.
    fn want(&self, targets: Vec<Target>) {
        let wanted = Wanted { targets, settle: self.settle, asked: self.asked };
        self.outputs.wanted.send_if_modified(|before| {
            let changed = *before != wanted;
            *before = wanted;
            changed
        });
    }

    fn count(&mut self, report: &Report, took: Duration, polling: bool) {
        if self.report.as_ref().is_none_or(|before| !same_findings(before, report)) {
            self.stats.last_change = Some(report.observed_at);
        }
        self.stats.scans += 1;
        self.stats.scanning += took;
        self.stats.last_scan = took;
        self.stats.polling = polling;
        for active in &report.problems {
            *self.stats.problems_met.entry(active.problem.reason).or_default() += 1;
        }
    }

    fn wait(&self, at: Moment, polling: bool) -> Duration {
        let deadline = self.stabilizer.deadline(at.monotonic);
        let deadline = deadline.map(|deadline| deadline.saturating_sub(at.monotonic));
        let watchdog = self.watchdog.map(|watchdog| watchdog / 2);
        let polling = polling.then_some(POLL);
        let others = [deadline, watchdog, polling].into_iter().flatten();
        others.fold(self.tick, Duration::min)
    }
}

fn same_findings(one: &Report, other: &Report) -> bool {
    one.certificates == other.certificates && one.problems == other.problems
}
