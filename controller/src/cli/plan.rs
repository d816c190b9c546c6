//! `expiryd-controller plan`: every cluster, its machines, and what would be done when and why not.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use futures::stream::{self, StreamExt};
use serde_json::json;

use super::{Common, OUTPUT, UNAVAILABLE, discovered, failed};
use crate::decide::{Turn, decide};
use crate::objects::why;
use crate::observe::{ClusterKey, Observation, Observer, cluster_uid};
use crate::parameters::Parameters;
use crate::render::table;
use crate::status::{ClusterStatus, Severity};

/// Clusters that are read at once.
const AT_ONCE: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    common: Common,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

pub(super) async fn plan(arguments: Plan) -> ExitCode {
    let (client, kinds) = match discovered(&arguments.common).await {
        Ok(discovered) => discovered,
        Err(why) => return failed(UNAVAILABLE, &why),
    };
    // Without it a row lacks what is said of the management cluster, and a person may have no right to it.
    let uid = cluster_uid(client.clone()).await.ok().flatten();
    let observer = Observer::new(client, kinds, true, uid);
    let keys = match observer.clusters(&arguments.common.scope()).await {
        Ok(keys) => keys,
        Err(error) => {
            return failed(UNAVAILABLE, &format!("the clusters cannot be listed: {}", why(&error)));
        }
    };
    let now = crate::clock::now();
    let status = async |key: ClusterKey| match observer.observe(&key).await {
        Ok(None) => None,
        Ok(Some(Observation { facts, unheard, .. })) => {
            let decision = decide(&facts, &Parameters::default(), Turn::ALONE, now);
            Some(ClusterStatus::of(key.names(), &facts, &decision, now).without(unheard))
        }
        Err(error) => Some(ClusterStatus::unread(key.names(), error.to_string())),
    };
    // One that is not heard keeps the others waiting for seconds.
    let read = stream::iter(keys).map(status).buffered(AT_ONCE);
    let fleet: Vec<_> = read.filter_map(std::future::ready).collect().await;
    let text = match arguments.output {
        Output::Table => {
            fleet.iter().map(|status| table::cluster(status, now)).collect::<Vec<_>>().join("\n")
        }
        Output::Json => format!("{:#}\n", json!({ "clusters": fleet })),
    };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return failed(OUTPUT, &format!("the plan cannot be written: {error}"));
    }
    let worst = fleet.iter().map(|status| status.severity(now)).max();
    ExitCode::from(worst.unwrap_or(Severity::Fine).exit_code())
}
