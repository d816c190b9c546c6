//! The command line: `expiryd run` and `expiryd check`, and what their exit codes mean.

mod arguments;
mod check;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::agent;
use crate::config::{Config, ConfigError, read_file};
use crate::system::{log, manager};
pub use arguments::Arguments;
use arguments::{Command, Common};
use check::check;

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
