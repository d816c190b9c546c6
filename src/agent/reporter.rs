//! The part of the loop that neither waits nor touches the disk: from a look to what is published.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use super::changes;
use super::lookout::Sighting;
use crate::clock::{Moment, Timestamp};
use crate::config::Config;
use crate::inventory::{Lasting, Settling};
use crate::problem::Problem;
use crate::publication::Publication;
use crate::publish::page::Page;
use crate::report::Report;
use crate::system::manager;
use crate::vitals::Vitals;
use crate::watch::POLL;

/// See the module.
pub(super) struct Core {
    pub(super) config: Config,
    settling: Settling,
    pages: watch::Sender<Option<Arc<Page>>>,
    report: Option<Arc<Report>>,
    /// What is wrong with the agent itself.
    problems: Vec<Lasting>,
    publications: Vec<Publication>,
    vitals: Vitals,
    /// The state in one line, for the service manager.
    pub(super) status: String,
}

impl Core {
    pub(super) fn new(
        config: Config,
        pages: watch::Sender<Option<Arc<Page>>>,
        vitals: Vitals,
    ) -> Self {
        let settling = Settling::new(config.timing);
        Self {
            config,
            settling,
            pages,
            report: None,
            problems: Vec::new(),
            publications: Vec::new(),
            vitals,
            status: String::new(),
        }
    }

    pub(super) fn reconfigure(&mut self, config: Config) {
        if config.host_root == self.config.host_root {
            self.settling.reconfigure(config.timing, |path| config.wishes.covers(path));
        } else {
            self.settling = Settling::new(config.timing);
        }
        self.config = config;
    }

    /// Takes in a look and publishes what follows; returns how long to wait for the next look.
    pub(super) fn take(&mut self, sighting: Sighting) -> Duration {
        let Sighting { scan, at, took, polling, problems, tls: _, beyond: _ } = sighting;
        debug!(files = scan.files.len(), parsed = scan.parsed, "looked");
        self.date(problems, at.wall);
        let inventory = self.settling.take(scan, at);
        let mut report = Report::of(inventory, self.problems.clone(), at.wall);
        report.publications.clone_from(&self.publications);
        changes::log(self.report.as_deref(), &report);
        if self.report.as_ref().is_none_or(|before| !same_findings(before, &report)) {
            self.vitals.last_change = Some(at.wall);
        }
        self.count(&report, took, polling);
        self.status = format!("{}: {}", report.status, report.date());
        self.serve(report);
        self.wait(at, polling)
    }

    /// Takes in how the publishers get on, which needs no look.
    pub(super) fn publications(&mut self, publications: &[Publication]) {
        self.publications = publications.to_vec();
        if let Some(report) = self.report.take() {
            self.serve(Report {
                publications: publications.to_vec(),
                ..Arc::unwrap_or_clone(report)
            });
        }
    }

    fn serve(&mut self, report: Report) {
        let report = Arc::new(report);
        let page = Page::of(Arc::clone(&report), self.vitals.clone());
        self.pages.send_replace(Some(Arc::new(page)));
        self.report = Some(report);
    }

    fn count(&mut self, report: &Report, took: Duration, polling: bool) {
        self.vitals.looks += 1;
        self.vitals.looking += took;
        self.vitals.last_look = took;
        self.vitals.polling = polling;
        for lasting in &report.problems {
            *self.vitals.problems_met.entry(lasting.problem.reason).or_default() += 1;
        }
    }

    fn wait(&self, at: Moment, polling: bool) -> Duration {
        let deadline = self.settling.deadline(at.monotonic).map(|d| d.saturating_sub(at.monotonic));
        let watchdog = manager::watchdog().map(|watchdog| watchdog / 2);
        let polling = polling.then_some(POLL);
        let others = [deadline, watchdog, polling].into_iter().flatten();
        others.fold(self.config.tick, Duration::min)
    }

    /// Keeps the problems there are now, each with the time since when it has been there.
    fn date(&mut self, problems: Vec<Problem>, now: Timestamp) {
        let before = std::mem::take(&mut self.problems);
        let dated = problems.into_iter().map(|problem| {
            let known = before.iter().find(|lasting| lasting.problem == problem);
            Lasting { since: known.map_or(now, |lasting| lasting.since), problem }
        });
        self.problems = dated.collect();
    }
}

fn same_findings(one: &Report, other: &Report) -> bool {
    one.certificates == other.certificates && one.problems == other.problems
}
