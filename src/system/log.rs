//! Where log lines go: the journal with its fields, a terminal as text, or JSON on request.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::closed_list::closed_list;

closed_list! {
    /// How log lines are written.
    Format {
        /// To the journal when standard error leads there, else as text.
        Auto = "auto",
        /// One line of text each, on standard error.
        Text = "text",
        /// One JSON object each, on standard error.
        Json = "json",
    }
}

closed_list! {
    /// The least important lines that are written.
    Level {
        /// Only what keeps the agent from working.
        Error = "error",
        /// What somebody should look at, too.
        Warn = "warn",
        /// Every change of state, too.
        Info = "info",
        /// Every look at the machine, too.
        Debug = "debug",
    }
}

/// Sends this process's log lines where they belong, from now on.
pub fn start(format: Format, level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let registry = Registry::default().with(layer(format).with_filter(level));
    // Only a second call could fail, and the first one stands.
    let _ = registry.try_init();
}

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

fn layer<S>(format: Format) -> BoxedLayer<S>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let text = || fmt::layer().with_writer(io::stderr).with_target(false);
    match format {
        Format::Auto if stderr_is_the_journal() => match tracing_journald::layer() {
            Ok(journal) => journal
                .with_field_prefix(Some("EXPIRYD".to_owned()))
                .with_syslog_identifier("expiryd".to_owned())
                .boxed(),
            Err(_) => text().with_ansi(false).boxed(),
        },
        Format::Auto | Format::Text => text().with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => text().json().flatten_event(true).boxed(),
    }
}

/// systemd.exec(5): `JOURNAL_STREAM` holds device and inode of the journal's socket; a child whose
/// standard error was redirected inherits the variable, so both are compared.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    nix::sys::stat::fstat(io::stderr().as_fd())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
