//! The command line as clap reads it; help, completions and the manual page come from here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use expiryd_api::{EtcdTopology, Role, Timestamp};

use crate::config::{
    LayoutSettings, LogFormat, LogLevel, Settings, SourceSettings, TlsFrom, TlsSettings,
    parse_source,
};
use crate::system::program::SERVER;

const EXAMPLES: &str = "\
Examples:
  expiryd check                          what ends when on this node, and who renews it
  expiryd check -o json | jq .earliest   the same for a script
  expiryd check --warning 60d            exit 1 when something ends within 60 days
  expiryd run                            serve http://127.0.0.1:9797/expiry
  curl -s localhost:9797/expiry          ask a running expiryd";

/// Tells when the certificates of an EKS Anywhere control-plane or etcd machine expire, and who
/// renews them. Never modifies anything.
#[derive(Debug, Parser)]
#[command(name = "expiryd", version, about, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Arguments {
    /// Refuses what no option says by itself.
    ///
    /// # Errors
    /// Shown as clap shows its own.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        match &self.command {
            Command::Check(Check { warning: Some(warning), critical, .. })
                if warning < critical =>
            {
                Err(Self::command().error(
                    ErrorKind::ValueValidation,
                    format!(
                        "--warning {} is below --critical {}, so there would never be a warning",
                        days(*warning),
                        days(*critical)
                    ),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// A span as it is typed, where it is one of whole days.
fn days(span: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match span.as_secs() {
        seconds if seconds.is_multiple_of(DAY) => format!("{}d", seconds / DAY),
        _ => humantime::format_duration(span).to_string(),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Watch the certificates and serve the report until told to stop
    #[command(after_help = "\
Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT stop.
Exit codes: 0 stopped, 64 wrong command line, 66 the host root cannot be opened, 69 an address cannot
be listened on, 71 the system refuses, 75 start me again: the sandbox was closed before something was
there that has to be read, 78 wrong configuration. Only 64 and 78 are for good.")]
    Run(Common),
    /// Scan once and print the report
    #[command(after_help = "\
Exit codes: 0 ok, 1 warning, 2 critical, 3 something could not be read or is not there yet,
64 wrong command line, 66 the host root cannot be opened, 73 --output-file cannot be made,
74 the report cannot be written, 78 wrong configuration.")]
    Check(Check),
}

/// Answers for the agent, which starts this by itself.
#[derive(Debug, Parser)]
#[command(name = SERVER)]
pub(super) struct ServerArguments {
    #[arg(long)]
    pub(super) log_format: LogFormat,
    #[arg(long)]
    pub(super) log_level: LogLevel,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// How to print it: a table, a table with more columns, the report as in GET /expiry, or metrics
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
    /// Put it into this file instead, as a whole, as Prometheus's textfile collector needs it
    #[arg(long, value_name = "FILE")]
    pub(super) output_file: Option<PathBuf>,
    /// Exit 1 when less than this is left [default: 30d, or --critical if that is more]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) warning: Option<Duration>,
    /// Exit 2 when less than this is left
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    pub(super) critical: Duration,
    /// Judge as if it were this time, such as 2027-03-09T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    pub(super) at: Option<Timestamp>,
    /// Colour near ends in the table
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub(super) color: ColorChoice,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Wide,
    Json,
    Yaml,
    Prom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// What `run` and `check` share. Each option outweighs its environment variable, and that the
/// configuration file.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Configuration file [default: /etc/expiryd/expiryd.toml if it is there]
    #[arg(long, value_name = "FILE", env = "EXPIRYD_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Directory that stands for the node's / [default: /.bottlerocket/rootfs if it is there, else /]
    #[arg(long, value_name = "DIRECTORY", env = "EXPIRYD_HOST_ROOT")]
    host_root: Option<PathBuf>,
    /// What this machine is, instead of what is found
    #[arg(long, env = "EXPIRYD_ROLE")]
    role: Option<Role>,
    /// Where its etcd runs, instead of what is found
    #[arg(long, value_name = "TOPOLOGY", env = "EXPIRYD_ETCD_TOPOLOGY")]
    etcd_topology: Option<EtcdTopology>,
    /// One more source, of kind file, directory, glob or kubeconfig; can be repeated
    #[arg(long = "source", value_name = "[KIND:]PATH[@RENEWER]", value_parser = parse_source)]
    sources: Vec<SourceSettings>,
    /// Address of the HTTP endpoint; can be repeated [default: 127.0.0.1:9797]
    #[arg(long, value_name = "ADDRESS:PORT", env = "EXPIRYD_LISTEN", value_delimiter = ',')]
    listen: Vec<SocketAddr>,
    /// Serve addresses that other machines reach although nothing is encrypted
    #[arg(long, env = "EXPIRYD_ALLOW_PLAINTEXT")]
    allow_plaintext: bool,
    /// Encrypt what other machines reach with this machine's own server.crt, server.key and ca.crt
    #[arg(long, value_name = "FROM", env = "EXPIRYD_TLS")]
    tls: Option<TlsFrom>,
    /// Look at what the machine's servers show [default: true]
    #[arg(long, value_name = "BOOLEAN", env = "EXPIRYD_SERVED")]
    served: Option<bool>,
    /// How log lines are written: auto, text or json
    #[arg(long, value_name = "FORMAT", env = "EXPIRYD_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Which log lines are written: error, warn, info or debug
    #[arg(long, value_name = "LEVEL", env = "EXPIRYD_LOG_LEVEL")]
    log_level: Option<LogLevel>,
}

impl Common {
    /// What the command line and the environment set.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            host_root: self.host_root.clone(),
            listen: (!self.listen.is_empty()).then(|| self.listen.clone()),
            allow_plaintext: self.allow_plaintext.then_some(true),
            tls: self.tls.map(TlsSettings::From),
            served: self.served,
            log_format: self.log_format,
            log_level: self.log_level,
            layout: LayoutSettings {
                role: self.role,
                etcd_topology: self.etcd_topology,
                ..LayoutSettings::default()
            },
            sources: self.sources.clone(),
            ..Settings::default()
        }
    }
}
