//! expiryd: when do the certificates of an EKS Anywhere control-plane or etcd machine end, and
//! who renews them?
//!
//! The modules stand in the order in which data flows through them, in one direction:
//!
//! ```text
//! layout  ->  scan  ->  pki  ->  inventory  ->  report  ->  publish
//! which       read      bytes    settle: last   earliest,   http | node | table
//! files?      bytes     to certs good kept      status
//! (I/O)       (I/O)     (pure)   (pure)         (pure)      (I/O)
//! ```
//!
//! `agent` is the only loop: a change or a tick, a scan, a report, every publisher. Publishers
//! see the report and never the disk; the pure middle is handed the time and knows no clock.

pub mod clock;
mod closed_list;
pub mod escape;
pub mod failure;
pub mod host_root;
pub mod kubeconfig;
pub mod problem;
pub mod publication;
pub mod vitals;

pub mod layout;
pub mod scan;
pub mod pki;
pub mod inventory;
pub mod report;
pub mod publish;

pub mod watch;
pub mod agent;
pub mod system;

pub mod config;
pub mod cli;
