//! The real program over a real API server, with real agents; Cluster API's controllers are played.
#![expect(clippy::disallowed_methods, reason = "these tests write the kubeconfig that is read")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails so")]

mod bounds;
mod control_plane;
mod endpoint;
mod etcd;
mod etcd_rollout;
mod faults;
mod install;
mod leader;
mod openapi;
