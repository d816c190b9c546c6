//! Drives the real binary over real files and sockets.
#![expect(clippy::disallowed_methods, reason = "these tests make the nodes that are scanned")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails so")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod activation;
mod command_line;
mod documents;
mod etcdadm;
mod faults;
mod files;
mod flood;
mod hosts;
mod http;
mod kube_apiserver;
mod kubeadm;
mod kubelet;
mod memory;
mod metrics;
mod modules;
mod node;
mod node_recheck;
mod page;
mod processes;
mod properties;
mod renewal;
mod served;
mod shown;
mod signals;
mod soak;
mod tls;
mod untouched;
mod watching;
