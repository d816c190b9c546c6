//! The command line: `expiryd run`, `expiryd check`, and `expiryd-server`, which the first starts; and what their exit
//! codes mean.

mod arguments;
mod check;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tokio::runtime::Runtime;
use tracing::error;

use crate::agent::{self, Reload};
use crate::config::{Config, files, read_file};
use crate::failure::Failure;
use crate::server::{self, Server};
use crate::system::program::SERVER;
use crate::system::{descriptors, limits, log, manager};
pub use arguments::Arguments;
use arguments::{Command, Common, ServerArguments};
use check::check;

/// The command line cannot be understood (sysexits.h, `EX_USAGE`).
const USAGE: u8 = 64;

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let done = match ask() {
        Ok(Asked::Serve(arguments)) => serve(&arguments),
        Ok(Asked::Command(Command::Run(common))) => run(common),
        Ok(Asked::Command(Command::Check(arguments))) => check(&arguments),
        Err(answer) => {
            // Help and version are answers too; when nobody reads them there is nobody to tell.
            let _ = answer.print();
            return match answer.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    done.unwrap_or_else(|failure| {
        let _ = writeln!(io::stderr(), "expiryd: {failure}");
        ExitCode::from(failure.exit_code())
    })
}

/// What the command line asks for.
enum Asked {
    Command(Command),
    /// To be the agent's server.
    Serve(ServerArguments),
}

fn ask() -> Result<Asked, clap::Error> {
    if std::env::args_os().next().is_some_and(|name| name == SERVER) {
        return ServerArguments::try_parse().map(Asked::Serve);
    }
    let arguments = Arguments::try_parse()?;
    arguments.check()?;
    Ok(Asked::Command(arguments.command))
}

fn run(common: Common) -> Result<ExitCode, Failure> {
    let sockets = manager::sockets().map_err(Failure::System)?;
    descriptors::close_all_but(&sockets);
    let config = configure(&common)?;
    log::start(config.log_format, config.log_level);
    limits::check().map_err(Failure::System)?;
    let runtime = runtime()?;
    let files = files(common.config.as_deref());
    let reload = Reload { files, read: move || configure(&common) };
    runtime.block_on(async { agent::start(config, sockets, reload)?.run().await })?;
    Ok(ExitCode::SUCCESS)
}

fn serve(arguments: &ServerArguments) -> Result<ExitCode, Failure> {
    let agent = server::channel()?;
    log::start(arguments.log_format, arguments.log_level);
    let served = runtime()
        .and_then(|runtime| runtime.block_on(async { Server::start(agent).await?.run().await }));
    if let Err(failure) = served {
        // A line of the agent's log, and in its form.
        error!("{failure}");
        return Ok(ExitCode::from(failure.exit_code()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What everything runs on that waits: one thread.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()
        .map_err(|error| Failure::System(format!("the runtime cannot be started: {error}")))
}

fn configure(common: &Common) -> Result<Config, Failure> {
    let resolved =
        read_file(common.config.as_deref()).and_then(|file| common.settings().over(file).resolve());
    resolved.map_err(|error| Failure::Configuration(error.to_string()))
}
