//! What expiryd-controller does among the real controllers. Minutes each, so only when asked for:
//! `cargo build && cargo test -p rig -- --ignored --test-threads 1`, with the folders that rig/build prints.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails so")]

mod applied;
mod client_pair;
mod crashes;
mod disturbances;
mod etcd_liars;
mod external;
mod hazards;
mod liars;
mod moved;
mod people;
mod stacked;

/// The annotation of a Cluster that opts it in, with days.
const OPT_IN: &str = "expiryd.dev/rollout-before-expiry";
