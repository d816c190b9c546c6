//! What the tests share: a host on disk, an agent at work on it, API servers, authorities and
//! certificates.
#![expect(clippy::disallowed_methods, reason = "these tests make the nodes that are scanned")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails so")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "the tests are its readers"
)]

mod agent;
pub mod api_server;
pub mod authority;
pub mod certificate;
pub mod cluster;
pub mod cluster_api;
mod host;
pub mod dates;
pub mod etcd_member;
pub mod etcd_pki;
pub mod etcdadm_program;
pub mod faulty_proxy;
pub mod kubeadm;
pub mod kubeadm_program;
pub mod kubeconfig;
mod http;
pub mod https;
pub mod kubelet;
pub mod kubelet_program;
pub mod lying_agent;
pub mod network;
pub mod observed;
mod reserved_address;
mod server;
pub mod tls_server;
mod wait;

pub use agent::{Agent, Answer, descendant, signal, status, status_text};
pub use host::{
    Host, NOW, earliest, expiryd, is_root, nodes, problems, program, project, skip, strace,
};
pub use reserved_address::ReservedAddress;
pub use server::Server;
pub use wait::{PATIENCE, wait_for, wait_up_to};
