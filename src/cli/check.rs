//! `expiryd check`: one scan, printed for a person, a script or Prometheus, and an exit code.

use std::fmt;
use std::fs::Permissions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use expiryd_api::Timestamp;

use super::arguments::{Check, ColorChoice, Output};
use super::{configure, runtime};
use crate::clock::{self, Moment};
use crate::config::Config;
use crate::failure::Failure;
use crate::host_root::HostRoot;
use crate::inventory::{Inventory, Stabilizer};
use crate::problem::ActiveProblem;
use crate::render::table::{self, Style};
use crate::render::{json, metrics, yaml};
use crate::report::severity::{CheckStatus, Thresholds};
use crate::report::{self, Besides, Report};
use crate::scan::Scanner;
use crate::served;
use crate::system::sandbox;

/// Scans, prints, and concludes.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn check(arguments: &Check) -> Result<ExitCode, Failure> {
    let config = configure(&arguments.common)?;
    let now = arguments.at.unwrap_or_else(clock::now);
    let inventory = in_thread(|| scan_once(&config, now))?;
    let report = report(inventory, config.served, now)?;
    let critical = arguments.critical;
    let warning = arguments.warning.unwrap_or(Thresholds::DEFAULT.warning).max(critical);
    let thresholds = Thresholds { warning, critical };
    let text = match arguments.output {
        Output::Json => json::write(&report) + "\n",
        Output::Yaml => yaml::write(&report).map_err(Failure::Output)?,
        Output::Prom => metrics::textfile(&report),
        Output::Table | Output::Wide => {
            let wide = arguments.output == Output::Wide;
            table::render(&report, Style { color: colored(arguments), wide, thresholds }, now)
        }
    };
    match &arguments.output_file {
        Some(file) => replace(file, &text)?,
        None => print(&text)?,
    }
    Ok(ExitCode::from(CheckStatus::new(&report, thresholds, now).exit_code()))
}

fn colored(arguments: &Check) -> bool {
    match arguments.color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            arguments.output_file.is_none()
                && io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none()
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough, as with `| head`; the exit code is still the verdict.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written
            .map_err(|error| Failure::Output(format!("the report cannot be written: {error}"))),
    }
}

/// Puts `text` in the place of the file: whoever reads it sees the old one or the new one, whole.
fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let says = |why: &dyn fmt::Display| {
        format!("--output-file {} cannot be written: {why}", file.display())
    };
    // A device, a FIFO or a link would be replaced as well, /dev/null by root among them.
    if file.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let why = "it is there and is not a regular file; name the file itself, or leave the option \
                   out to print";
        return Err(Failure::OutputFile(says(&why)));
    }
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut new = tempfile::Builder::new()
        .prefix(".expiryd")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(parent.unwrap_or(Path::new(".")))
        .map_err(|error| Failure::OutputFile(says(&error)))?;
    new.write_all(text.as_bytes())
        .and_then(|()| new.as_file().sync_all())
        .map_err(|error| Failure::Output(says(&error)))?;
    new.persist(file).map(drop).map_err(|error| Failure::OutputFile(says(&error.error)))
}

/// Runs what reads the machine in a thread that can lock itself in, while this one may still write
/// the file that it was asked for.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// What a single scan finds, which settles nothing.
fn scan_once(config: &Config, now: Timestamp) -> Result<Inventory, Failure> {
    let root = HostRoot::open(&config.host_root).map_err(Failure::HostRoot)?;
    let root = Arc::new(root);
    // A single scan needs no more; what the kernel does not give is no reason not to scan.
    let _ = sandbox::enter(sandbox::Scope::Thread);
    let scan = Scanner::new(root, config.layout.clone(), config.limits).scan(now);
    let at = Moment { monotonic: std::time::Duration::ZERO, wall: now };
    Ok(Stabilizer::new(config.timing).observe(scan, at))
}

/// The report on it, with what the machine's servers show where that is wanted.
fn report(inventory: Inventory, look: bool, now: Timestamp) -> Result<Report, Failure> {
    let targets = if look { served::targets(&inventory) } else { Vec::new() };
    let sightings = if targets.is_empty() {
        Vec::new()
    } else {
        runtime()?.block_on(served::look(targets.clone()))
    };
    let problems = served::differences(&targets, &sightings);
    let besides = Besides {
        problems: ActiveProblem::date(problems, &[], now),
        served: served::served(&targets, &sightings),
        ..Besides::default()
    };
    Ok(report::build(inventory, besides, now))
}
