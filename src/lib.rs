//! expiryd: when do the certificates of an EKS Anywhere control-plane or etcd machine end, and
//! who renews them?
//!
//! The modules are listed in the order in which data flows through them; each uses only those before it:
//!
//! ```text
//! layout  ->  scan  ->  pki  ->  rules  ->  inventory  ->  report  ->  render  ->  node
//! which       read      bytes    who        settle, last   earliest,   json, html  tell the Node
//! files?      bytes     to certs renews?    good kept      status      metrics
//! (I/O)       (I/O)     (pure)   (pure)     (pure)         (pure)      (pure)      (I/O)
//!                                                                         |
//!                                                                      privsep  ->  server, http
//!                                                                      hand over    answer
//!                                                                      (I/O)        (I/O, another process)
//! ```
//!
//! `served` looks at what the machine's servers show beside those files, for the report.
//!
//! There are two processes. `agent` is the loop of the one that reads: it observes, reports and waits, and keeps the
//! other one running. `server` is that other one, which listens and can read nothing. What delivers a report never reads
//! the certificates' files; the pure middle is handed the time, and reads no clock and no environment.

pub mod escape;
pub mod clock;
pub mod failure;
pub mod task;
pub mod host_root;
pub mod problem;
pub mod kubeconfig;
pub mod pki;
pub mod config;
pub mod layout;
pub mod scan;
pub mod rules;
pub mod inventory;
pub mod served;
pub mod report;
pub mod agent_status;
pub mod render;
pub mod tls;
pub mod privsep;
pub mod identity;
pub mod http;
pub mod node;
pub mod file_watch;
pub mod system;
pub mod server;
pub mod agent;
pub mod cli;
