//! The report as metrics, for Prometheus and what speaks its formats.
//!
//! What follows from the report is rendered once per report and form; only what moves with time,
//! the process's own figures, is rendered for a scrape, and that at most once a second.

mod certificates;
mod exposition;
mod family;
mod machine;
mod process;

use std::iter::once;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;

use crate::clock::Timestamp;
use crate::report::Report;
use crate::vitals::Vitals;
pub use exposition::{Coding, Form};
use family::Family;
use process::Process;

/// For how long the process's own figures stand.
const FRESH: Duration = Duration::from_secs(1);

/// A report's metrics, rendered when they are first asked for.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The certificates', which are the same in both forms.
    certificates: [OnceLock<Vec<Bytes>>; Coding::COUNT],
    machine: [[OnceLock<Vec<Bytes>>; Coding::COUNT]; Form::COUNT],
}

impl Rendered {
    fn get(&self, report: &Report, vitals: &Vitals, form: Form, coding: Coding) -> Vec<Bytes> {
        let machine = coding.pick(form.pick(self.machine.each_ref()).each_ref());
        let certificates = coding.pick(self.certificates.each_ref()).get_or_init(|| {
            coding.encode(certificates::families(report).map(|family| family.write(form)))
        });
        let machine = machine
            .get_or_init(|| coding.encode(once(text_of(of_machine(report, Some(vitals)), form))));
        [certificates.as_slice(), machine].concat()
    }
}

/// What was written, and when.
type Written = Option<(Instant, Vec<Bytes>)>;

/// The process's own figures, and as they were written last, for each form and coding.
#[derive(Debug)]
pub struct Gauge {
    process: Process,
    kept: Mutex<[[Written; Coding::COUNT]; Form::COUNT]>,
}

impl Gauge {
    /// Opens what the figures are read from.
    pub fn open() -> Self {
        Self { process: Process::open(), kept: Mutex::default() }
    }

    fn read(&self, form: Form, coding: Coding) -> Vec<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = coding.pick(form.pick(kept.each_mut()).each_mut());
        if let Some((at, parts)) = kept
            && at.elapsed() < FRESH
        {
            return parts.clone();
        }
        let text = text_of(self.process.families(Timestamp::now()), form) + form.end();
        let parts = coding.encode(once(text));
        *kept = Some((Instant::now(), parts.clone()));
        parts
    }
}

/// The answer to a scrape, in parts. Before the first look there is only the process to tell of.
pub fn scrape(
    page: Option<(&Report, &Vitals, &Rendered)>,
    gauge: &Gauge,
    form: Form,
    coding: Coding,
) -> Vec<Bytes> {
    let report = page.map(|(report, vitals, rendered)| rendered.get(report, vitals, form, coding));
    // Gzip members one behind the other are one gzip file (RFC 1952 section 2.2).
    [report.unwrap_or_default(), gauge.read(form, coding)].concat()
}

/// The report alone in the text format, for `node_exporter`'s textfile collector.
pub fn textfile(report: &Report) -> String {
    let certificates = certificates::families(report).map(|family| family.write(Form::Text));
    certificates.chain(once(text_of(of_machine(report, None), Form::Text))).collect()
}

/// What is said of the machine, and of the agent if there is one.
fn of_machine(report: &Report, vitals: Option<&Vitals>) -> Vec<Family> {
    let mut families = Vec::new();
    certificates::register_source(&mut families, report);
    machine::register_report(&mut families, report);
    if let Some(vitals) = vitals {
        machine::register_vitals(&mut families, report, vitals);
    }
    families
}

fn text_of(families: Vec<Family>, form: Form) -> String {
    families.into_iter().map(|family| family.write(form)).collect()
}
