//! The command line: `expiryd-controller run`, `plan` and `rbac`.

mod election;
mod plan;
mod rbac;
mod spans;

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{Level, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::fleet::Fleet;
use crate::objects::{Kinds, why};
use crate::observe::Scope;
use crate::parameters::Parameters;
use crate::run::{self, Options};
use crate::schedule::Policy;
use crate::serve::{Bounds, Endpoint, ServeError, TlsFiles, serve};

/// How long the management cluster's API server may take for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// sysexits.h.
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const SYSTEM: u8 = 71;
const OUTPUT: u8 = 74;
const TRY_AGAIN: u8 = 75;
const CONFIG: u8 = 78;

/// Carries the dates of expiryd's agents to the Machines of Cluster API, and has etcd rolled first and each
/// machine once.
#[derive(Debug, Parser)]
#[command(name = "expiryd-controller", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work, in the management cluster.
    Run(Box<Work>),
    /// Show every cluster and what would be done about it, and write nothing.
    Plan(plan::Plan),
    /// Print the right to read the Secrets of the clusters there are, by their names, for kubectl apply.
    Rbac(rbac::Rbac),
}

/// What all commands take.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Only clusters in this namespace; may be given more than once.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Vec<String>,
    /// Only clusters with this value of the label cluster.x-k8s.io/watch-filter.
    #[arg(long, value_name = "VALUE")]
    watch_filter: Option<String>,
    /// The kubeconfig of the management cluster; in a pod its ServiceAccount.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<std::path::PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Common {
    fn scope(&self) -> Scope {
        Scope { namespaces: self.namespace.clone(), watch_filter: self.watch_filter.clone() }
    }
}

#[derive(Debug, Args)]
struct Work {
    #[command(flatten)]
    common: Common,
    /// Where to serve the page, /clusters and /metrics; beyond loopback over TLS, to whom the API server lets.
    #[arg(long, default_value = "127.0.0.1:9799", value_name = "ADDRESS:PORT")]
    listen: std::net::SocketAddr,
    /// The certificate of that address, with its chain, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<std::path::PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<std::path::PathBuf>,
    /// Where to serve /healthz and /readyz alone, for the kubelet; at :: by IPv4 as well.
    #[arg(long, value_name = "ADDRESS:PORT")]
    health: Option<std::net::SocketAddr>,
    /// Write nothing, and log what would be written.
    #[arg(long)]
    dry_run: bool,
    /// How many clusters are worked on at once.
    #[arg(long, default_value_t = 10, value_name = "N")]
    concurrency: usize,
    /// How often a cluster is looked at where nothing is near.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    sync_period: Duration,
    #[command(flatten)]
    election: election::Election,
    /// How many etcd rollouts go on at a time.
    #[arg(long, default_value_t = 1, value_name = "N")]
    etcd_rollouts: usize,
    /// Where only the client pair in the Secret is due, have it made anew without rolling etcd.
    #[arg(long)]
    refresh_secret: bool,
    /// Finish upgrades of etcd that were over an hour ago and that nobody finished.
    #[arg(long)]
    finish_upgrades: bool,
    /// Never evict etcdadm-controller's pods.
    #[arg(long)]
    no_restarts: bool,
    #[command(flatten)]
    spans: spans::Spans,
}

/// As `kubectl-expiry`, which kubectl runs for `kubectl expiry`, it shows the plan.
fn as_plugin(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    if name == Some(OsStr::new("kubectl-expiry")) {
        arguments.insert(1, "plan".into());
    }
    arguments
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(as_plugin(std::env::args_os().collect())) {
        Ok(arguments) => arguments,
        Err(answer) => {
            let _ = answer.print();
            let code = if answer.use_stderr() { USAGE } else { 0 };
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(SYSTEM, &format!("the runtime cannot be started: {error}")),
    };
    runtime.block_on(async {
        match arguments.command {
            Command::Run(run) => work(*run).await,
            Command::Plan(plan) => plan::plan(plan).await,
            Command::Rbac(rbac) => rbac::rbac(rbac).await,
        }
    })
}

fn failed(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "expiryd-controller: {why}");
    ExitCode::from(code)
}

/// A client of the management cluster.
async fn client(common: &Common) -> Result<Client, String> {
    let options =
        KubeConfigOptions { context: common.context.clone(), ..KubeConfigOptions::default() };
    let config = match &common.kubeconfig {
        Some(file) => {
            let read = kube::config::Kubeconfig::read_from(file);
            let read = read.map_err(|error| format!("--kubeconfig {}: {error}", file.display()))?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(|e| e.to_string())
        }
        None => Config::infer().await.map_err(|error| error.to_string()),
    };
    let mut config = config.map_err(|why| {
        format!("the management cluster is not known: {why}; name its kubeconfig with --kubeconfig")
    })?;
    // A write that hangs longer than this is given up: what it rests on grows old.
    // Nor is it tried again before that was read again, as a client would by itself.
    config.default_retry = false;
    config.read_timeout = Some(REQUEST_TIMEOUT);
    config.write_timeout = Some(REQUEST_TIMEOUT);
    Client::try_from(config)
        .map_err(|error| format!("the management cluster cannot be used: {error}"))
}

/// A client of the management cluster, and what that serves of Cluster API.
async fn discovered(common: &Common) -> Result<(Client, Kinds), String> {
    let client = client(common).await?;
    match Kinds::discover(&client).await {
        Ok(Some(kinds)) => Ok((client, kinds)),
        Ok(None) => {
            Err("this cluster serves no Cluster API; name the management cluster's kubeconfig"
                .into())
        }
        Err(error) => Err(format!("the API server was not heard: {}", why(&error))),
    }
}

async fn work(arguments: Work) -> ExitCode {
    let ansi = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_target(false);
    // A silent agent is told with its cluster, once for each change; the library has an error of it at each look.
    let ours = filter_fn(|about| {
        *about.level() <= Level::INFO && !about.target().starts_with("kube_client")
    });
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
    let parameters = arguments.spans.parameters();
    if parameters != Parameters::default() {
        warn!("spans of time are not the usual ones, which is for tests: {parameters:?}");
    }
    let lease = match arguments.election.lease() {
        Ok(lease) => lease,
        Err(why) => return failed(USAGE, &why),
    };
    let client = match client(&arguments.common).await {
        Ok(client) => client,
        Err(why) => return failed(UNAVAILABLE, &why),
    };
    let (stop, stopped) = watch::channel(false);
    let signals =
        signal(SignalKind::terminate()).and_then(|t| Ok((t, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => return failed(SYSTEM, &format!("signals cannot be handled: {error}")),
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    let fleet = Fleet::default();
    let tls = arguments.tls_certificate.zip(arguments.tls_key);
    let endpoint = Endpoint {
        address: arguments.listen,
        tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
        health: arguments.health,
        bounds: Bounds::default(),
    };
    if let Err(error) = serve(&endpoint, fleet.clone(), client.clone()).await {
        let code = match error {
            ServeError::PlainText(_) | ServeError::Tls { .. } => CONFIG,
            ServeError::Listen { .. } => UNAVAILABLE,
        };
        return failed(code, &error.to_string());
    }
    let options = Options {
        scope: arguments.common.scope(),
        identity: arguments.election.identity(),
        concurrency: arguments.concurrency.max(1),
        period: arguments.sync_period.max(Duration::from_secs(1)),
        dry_run: arguments.dry_run,
        lease,
        parameters,
        policy: Policy {
            rollouts: arguments.etcd_rollouts.max(1),
            refresh_secret_alone: arguments.refresh_secret,
            finish_upgrades: arguments.finish_upgrades,
        },
        may_restart_etcd_controller: !arguments.no_restarts,
    };
    match run::run(client, options, fleet, stopped).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(TRY_AGAIN, &error.to_string()),
    }
}
