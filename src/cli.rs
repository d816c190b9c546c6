//! The command line: `expiryd run` and `expiryd check`, and what their exit codes mean.

mod arguments;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;

use crate::agent;
use crate::clock::{Moment, Timestamp};
use crate::config::{Config, ConfigError, read_file};
use crate::host_root::HostRoot;
use crate::inventory::Settling;
use crate::publish::json;
use crate::publish::table::{self, Style};
use crate::publish::verdict::{Thresholds, Verdict};
use crate::report::Report;
use crate::scan::Scanner;
use crate::system::{log, manager, sandbox};
pub use arguments::Arguments;
use arguments::{Check, ColorChoice, Command, Common, Output};

/// The command line cannot be understood (sysexits.h, `EX_USAGE`).
const USAGE: u8 = 64;

/// The configuration cannot work (sysexits.h, `EX_CONFIG`).
const CONFIG: u8 = 78;

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => {
            // Help and version are answers too; when nobody reads them there is nobody to tell.
            let _ = answer.print();
            return match answer.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    let done = match arguments.command {
        Command::Run(common) => run(common),
        Command::Check(arguments) => check(&arguments),
    };
    done.unwrap_or_else(|why| {
        let _ = writeln!(io::stderr(), "expiryd: {why}");
        ExitCode::from(CONFIG)
    })
}

fn run(common: Common) -> Result<ExitCode, String> {
    let config = configure(&common).map_err(|e| e.to_string())?;
    log::start(config.log_format, config.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let reload = move || configure(&common).map_err(|e| e.to_string());
    runtime.block_on(agent::run(config, manager::sockets()?, reload))?;
    Ok(ExitCode::SUCCESS)
}

fn configure(common: &Common) -> Result<Config, ConfigError> {
    let file = read_file(common.config.as_deref())?;
    common.settings().over(file).resolve()
}

fn check(arguments: &Check) -> Result<ExitCode, String> {
    let config = configure(&arguments.common).map_err(|e| e.to_string())?;
    let now = arguments.at.unwrap_or_else(Timestamp::now);
    let report = look_once(&config, now)?;
    let thresholds = Thresholds { warning: arguments.warning, critical: arguments.critical };
    let text = match arguments.output {
        Output::Json => json::write(&report) + "\n",
        Output::Yaml => serde_saphyr::to_string(&report).map_err(|e| e.to_string())?,
        Output::Table | Output::Wide => {
            let color = match arguments.color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => {
                    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
                }
            };
            let wide = arguments.output == Output::Wide;
            table::render(&report, Style { color, wide, thresholds }, now)
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough, as with `| head`; the exit code is still the verdict.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| format!("the report cannot be written: {error}"))?,
    }
    Ok(ExitCode::from(Verdict::of(&report, thresholds, now).exit_code()))
}

/// The report of a single look, which settles nothing.
fn look_once(config: &Config, now: Timestamp) -> Result<Report, String> {
    let root = Arc::new(HostRoot::open(&config.host_root)?);
    // A single look needs no more; what the kernel does not give is no reason not to look.
    let _ = sandbox::enter();
    let scan = Scanner::new(root, config.wishes.clone(), config.limits).look(now);
    let at = Moment { monotonic: std::time::Duration::ZERO, wall: now };
    let inventory = Settling::new(config.timing).take(scan, at);
    Ok(Report::of(inventory, Vec::new(), now))
}
