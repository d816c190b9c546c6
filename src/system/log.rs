//! Where log lines go: the journal with its fields, a terminal as text, or JSON on request.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, LogLevel};

/// Sends this process's log lines where they belong, from now on.
pub fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let registry = Registry::default().with(layer(format).with_filter(level));
    // Only a second call could fail, and the first one stands.
    let _ = registry.try_init();
}

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

fn layer<S>(format: LogFormat) -> BoxedLayer<S>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let text = || fmt::layer().with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Auto if stderr_is_the_journal() => match tracing_journald::layer() {
            Ok(journal) => journal
                .with_field_prefix(Some("EXPIRYD".to_owned()))
                .with_syslog_identifier("expiryd".to_owned())
                .boxed(),
            Err(_) => text().with_ansi(false).boxed(),
        },
        LogFormat::Auto | LogFormat::Text => text().with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => text().json().flatten_event(true).boxed(),
    }
}

/// systemd.exec(5): `JOURNAL_STREAM` holds device and inode of the journal's socket; a child whose
/// standard error was redirected inherits the variable, so both are compared.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    nix::sys::stat::fstat(io::stderr().as_fd())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
