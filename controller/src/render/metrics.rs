//! The fleet as metrics, made anew for each scrape.

use std::fmt;

use expiryd_api::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::fleet::{Fleet, State};
use crate::status::ClusterStatus;

/// The media type of [`render`]'s answer.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All of them, as OpenMetrics.
pub fn render(fleet: &Fleet) -> String {
    let mut registry = Registry::with_prefix("expiryd_controller");
    registry.register_collector(Box::new(Metrics(fleet.clone())));
    let mut text = String::new();
    // A String takes whatever is written to it.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Metrics(Fleet);

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.read(|state| Encoding(encoder).all(state))
    }
}

/// A row of a gauge: labels and value.
type Row<'a> = (Vec<(&'static str, &'a str)>, i64);

struct Encoding<'a>(DescriptorEncoder<'a>);

impl Encoding<'_> {
    fn all(&mut self, state: &State) -> fmt::Result {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        self.gauges("build_info", "The program, by its version; always 1.", vec![(version, 1)])?;
        let leads = vec![(Vec::new(), i64::from(state.leads))];
        self.gauges("leader", "Whether this instance leads; another knows no cluster.", leads)?;
        self.dates(state)?;
        self.machines(state)?;
        self.states(state)?;
        self.writes(state)
    }

    /// What belongs to a cluster and ends.
    fn dates(&mut self, state: &State) -> fmt::Result {
        type Date = fn(&ClusterStatus) -> Option<Timestamp>;
        let dates: [(&str, &str, Date); 5] = [
            (
                "cluster_expiry_timestamp_seconds",
                "When the first of the cluster's certificates ends that are not a CA's.",
                |status| status.earliest.as_ref().map(|end| end.not_after),
            ),
            (
                "etcd_client_secret_expiry_timestamp_seconds",
                "When the client pair in the Secret CLUSTER-apiserver-etcd-client ends.",
                |status| status.etcd_client_pair,
            ),
            (
                "ca_expiry_timestamp_seconds",
                "When the first of the cluster's CAs ends; no rollout renews one.",
                |status| status.ca,
            ),
            (
                "control_plane_rollout_start_timestamp_seconds",
                "When the first machine of the cluster's control plane is to be rolled.",
                |status| status.control_plane_rollout_from,
            ),
            (
                "etcd_rollout_start_timestamp_seconds",
                "When the cluster's etcd is to be rolled.",
                |status| status.etcd_rollout_from,
            ),
        ];
        for (name, help, date) in dates {
            let rows = state.clusters.values().filter_map(|status| {
                date(status).map(|date| (of_cluster(status).to_vec(), date.unix()))
            });
            self.gauges(name, help, rows.collect())?;
        }
        Ok(())
    }

    fn machines(&mut self, state: &State) -> fmt::Result {
        let machines = || {
            let clusters = state.clusters.values();
            clusters.flat_map(|status| {
                status.machines.iter().map(move |machine| {
                    let mut labels = of_cluster(status).to_vec();
                    labels.extend([
                        ("machine", machine.name.as_str()),
                        ("role", machine.role.as_str()),
                    ]);
                    (machine, labels)
                })
            })
        };
        let ends = machines().flat_map(|(machine, labels)| {
            machine.ends.iter().map(move |end| {
                let source = [("source", end.source.as_str())];
                (labels.iter().copied().chain(source).collect(), end.not_after.unix())
            })
        });
        self.gauges(
            "machine_expiry_timestamp_seconds",
            "When the first certificate ends that a rollout of the Machine renews, by who says so.",
            ends.collect(),
        )?;
        let carried = machines().filter_map(|(machine, labels)| {
            let by = machine.carried_by?.as_str();
            let labels = labels.into_iter().chain([("by", by)]).collect();
            Some((labels, machine.carried?.unix()))
        });
        self.gauges(
            "machine_carried_timestamp_seconds",
            "The date that the Machine carries, by who wrote it.",
            carried.collect(),
        )?;
        let observed =
            machines().filter_map(|(machine, labels)| Some((labels, machine.observed_at?.unix())));
        self.gauges(
            "report_timestamp_seconds",
            "When the Machine's agent looked last, as far as it is heard.",
            observed.collect(),
        )
    }

    fn states(&mut self, state: &State) -> fmt::Result {
        let clusters = || state.clusters.values();
        let read = clusters()
            .map(|status| (of_cluster(status).to_vec(), i64::from(status.error.is_none())));
        self.gauges("cluster_read", "Whether the cluster could be read.", read.collect())?;
        let observed = clusters()
            .filter_map(|status| Some((of_cluster(status).to_vec(), status.observed_at?.unix())));
        self.gauges(
            "cluster_read_timestamp_seconds",
            "When the cluster was read last.",
            observed.collect(),
        )?;
        let opted_in = clusters().map(|status| {
            let labels = of_cluster(status).into_iter().chain([("opt_in", status.opt_in.as_str())]);
            (labels.collect(), 1)
        });
        self.gauges(
            "cluster_opt_in",
            "Whether the cluster is opted in, and for what; always 1.",
            opted_in.collect(),
        )?;
        let rolling =
            clusters().map(|status| (of_cluster(status).to_vec(), i64::from(status.etcd_rolling)));
        self.gauges(
            "etcd_rollout_in_progress",
            "Whether an etcd rollout that this program began goes on.",
            rolling.collect(),
        )?;
        let guards = clusters().flat_map(|status| {
            status.findings.iter().map(|finding| {
                let mut labels = of_cluster(status).to_vec();
                labels.extend([
                    ("guard", finding.guard.as_str()),
                    ("concern", finding.concern.as_str()),
                ]);
                (labels, i64::try_from(finding.machines.len()).unwrap_or(i64::MAX).max(1))
            })
        });
        self.gauges(
            "guard_active",
            "Why something is not done, and who has to act; the value is how many Machines it is about.",
            guards.collect(),
        )
    }

    fn writes(&mut self, state: &State) -> fmt::Result {
        let help = "Writes to the management cluster, by what, why and how they ended.";
        let mut family = self.0.encode_descriptor("writes", help, None, MetricType::Counter)?;
        for ((action, reason, outcome), count) in &state.writes {
            let labels = [
                ("action", action.as_str()),
                ("reason", reason.as_str()),
                ("outcome", outcome.as_str()),
            ];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(count, None)?;
        }
        Ok(())
    }

    fn gauges(&mut self, name: &str, help: &str, rows: Vec<Row<'_>>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

fn of_cluster(status: &ClusterStatus) -> [(&'static str, &str); 2] {
    [("namespace", &status.namespace), ("cluster", &status.name)]
}
