//! The report as metrics, for Prometheus and what speaks its formats.
//!
//! What follows from the report is rendered once per report and form; only what moves with time,
//! the process's own figures, is rendered for a scrape, and that at most once a second.

mod certificates;
mod exposition;
mod family;
mod machine;
mod process;

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use prometheus_client::registry::Registry;

use crate::clock::Timestamp;
use crate::report::Report;
use crate::vitals::Vitals;
pub use exposition::{Coding, Form};

/// For how long the process's own figures stand.
const FRESH: Duration = Duration::from_secs(1);

/// A report's metrics, rendered when they are first asked for.
#[derive(Debug, Clone, Default)]
pub struct Rendered([[OnceLock<Bytes>; Coding::COUNT]; Form::COUNT]);

impl Rendered {
    fn get(&self, report: &Report, vitals: &Vitals, form: Form, coding: Coding) -> Bytes {
        let [text, open] = &self.0;
        let [plain, gzip] = match form {
            Form::Text => text,
            Form::OpenMetrics => open,
        };
        let rendered = || plain.get_or_init(|| form.write(&of_report(report, vitals)).into());
        match coding {
            Coding::Plain => rendered().clone(),
            Coding::Gzip => gzip.get_or_init(|| exposition::gzip(rendered()).into()).clone(),
        }
    }
}

/// What was written, and when.
type Written = Option<(Instant, Bytes)>;

/// The process's own figures as they were written last, for each form and coding.
#[derive(Debug, Default)]
pub struct Gauge(Mutex<[[Written; Coding::COUNT]; Form::COUNT]>);

impl Gauge {
    fn read(&self, form: Form, coding: Coding) -> Bytes {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [text, open] = &mut *kept;
        let [plain, gzip] = match form {
            Form::Text => text,
            Form::OpenMetrics => open,
        };
        let kept = match coding {
            Coding::Plain => plain,
            Coding::Gzip => gzip,
        };
        if let Some((at, bytes)) = kept
            && at.elapsed() < FRESH
        {
            return bytes.clone();
        }
        let text = form.write(&of_process(Timestamp::now())) + form.end();
        let bytes: Bytes = match coding {
            Coding::Plain => text.into(),
            Coding::Gzip => exposition::gzip(text.as_bytes()).into(),
        };
        *kept = Some((Instant::now(), bytes.clone()));
        bytes
    }
}

/// The answer to a scrape. Before the first look there is only the process to tell of.
pub fn scrape(
    page: Option<(&Report, &Vitals, &Rendered)>,
    gauge: &Gauge,
    form: Form,
    coding: Coding,
) -> Bytes {
    let report = page.map(|(report, vitals, rendered)| rendered.get(report, vitals, form, coding));
    let process = gauge.read(form, coding);
    // Two gzip members one behind the other are one gzip file (RFC 1952 section 2.2).
    report.map_or_else(|| process.clone(), |report| [report, process.clone()].concat().into())
}

/// The report alone in the text format, for `node_exporter`'s textfile collector.
pub fn textfile(report: &Report) -> String {
    let mut registry = Registry::default();
    certificates::register(&mut registry, report);
    machine::register_report(&mut registry, report);
    Form::Text.write(&registry)
}

fn of_report(report: &Report, vitals: &Vitals) -> Registry {
    let mut registry = Registry::default();
    certificates::register(&mut registry, report);
    machine::register_report(&mut registry, report);
    machine::register_vitals(&mut registry, report, vitals);
    registry
}

fn of_process(now: Timestamp) -> Registry {
    let mut registry = Registry::default();
    process::register(&mut registry, now);
    registry
}
