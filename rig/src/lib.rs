//! The controllers that people run, unmodified and as plain processes on loopback, with what they act on:
//! Cluster API's managers over its in-memory infrastructure, etcdadm's over real members of etcd, and a real
//! agent on every machine.
#![expect(clippy::disallowed_methods, reason = "these tests make the machines that are watched")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a test fails so, and shows what happened"
)]

mod worker;
mod programs;
mod definitions;
mod managers;
mod timeline;
mod etcd_hosts;
mod etcd_controller;
mod fake_etcd;
mod node_agents;
mod objects;
mod controller;
mod management;
mod by_hand;
mod disturbances;
mod moved;

pub use by_hand::EtcdMachine;
pub use controller::{Controller, Spans};
pub use etcd_hosts::EtcdHosts;
pub use management::{CLUSTER, Ends, Etcd, Rig};
pub use node_agents::NodeAgents;
pub use programs::{Programs, programs};
pub use testkit::dates::{in_days, now, rfc3339};
pub use testkit::lying_agent::Lie;
pub use timeline::Timeline;
