//! Spans of time on the command line, hidden: the defaults are for production, and tests among the real
//! controllers have only minutes.

use clap::Args;

use crate::parameters::Parameters;

/// Each field of [`Parameters`], in seconds.
#[derive(Debug, Clone, Args)]
pub(super) struct Spans {
    #[arg(long = "lead-seconds", hide = true, value_name = "SECONDS")]
    lead: Option<i64>,
    #[arg(long = "management-lead-seconds", hide = true, value_name = "SECONDS")]
    management_lead: Option<i64>,
    #[arg(long = "align-seconds", hide = true, value_name = "SECONDS")]
    align: Option<i64>,
    #[arg(long = "fresh-http-seconds", hide = true, value_name = "SECONDS")]
    fresh_http: Option<i64>,
    #[arg(long = "fresh-node-seconds", hide = true, value_name = "SECONDS")]
    fresh_node: Option<i64>,
    #[arg(long = "birth-seconds", hide = true, value_name = "SECONDS")]
    birth: Option<i64>,
    #[arg(long = "min-lifetime-seconds", hide = true, value_name = "SECONDS")]
    min_lifetime: Option<i64>,
    #[arg(long = "cool-seconds", hide = true, value_name = "SECONDS")]
    cool: Option<i64>,
    #[arg(long = "stuck-seconds", hide = true, value_name = "SECONDS")]
    stuck: Option<i64>,
    #[arg(long = "rollout-seconds", hide = true, value_name = "SECONDS")]
    rollout: Option<i64>,
    #[arg(long = "expected-rollout-seconds", hide = true, value_name = "SECONDS")]
    expected_rollout: Option<i64>,
    #[arg(long = "urgent-seconds", hide = true, value_name = "SECONDS")]
    urgent: Option<i64>,
    #[arg(long = "skew-seconds", hide = true, value_name = "SECONDS")]
    skew: Option<i64>,
    #[arg(long = "node-skew-seconds", hide = true, value_name = "SECONDS")]
    node_skew: Option<i64>,
    #[arg(long = "restart-pause-seconds", hide = true, value_name = "SECONDS")]
    restart_pause: Option<i64>,
}

impl Spans {
    /// The usual ones, save those that are given.
    pub(super) fn parameters(&self) -> Parameters {
        let usual = Parameters::default();
        Parameters {
            lead: self.lead.unwrap_or(usual.lead),
            management_lead: self.management_lead.unwrap_or(usual.management_lead),
            align: self.align.unwrap_or(usual.align),
            fresh_http: self.fresh_http.unwrap_or(usual.fresh_http),
            fresh_node: self.fresh_node.unwrap_or(usual.fresh_node),
            birth: self.birth.unwrap_or(usual.birth),
            min_lifetime: self.min_lifetime.unwrap_or(usual.min_lifetime),
            cool: self.cool.unwrap_or(usual.cool),
            stuck: self.stuck.unwrap_or(usual.stuck),
            rollout: self.rollout.unwrap_or(usual.rollout),
            expected_rollout: self.expected_rollout.unwrap_or(usual.expected_rollout),
            urgent: self.urgent.unwrap_or(usual.urgent),
            skew: self.skew.unwrap_or(usual.skew),
            node_skew: self.node_skew.unwrap_or(usual.node_skew),
            restart_pause: self.restart_pause.unwrap_or(usual.restart_pause),
        }
    }
}
