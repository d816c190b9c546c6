//! What stands in for the controllers of other projects where time or number is too much for the real ones:
//! models of etcdadm-controller and KubeadmControlPlane's controller, believed because they replay what the
//! real ones did, and two uses of them: an exhaustive search for an order of events that ends badly, and a
//! simulation of ten years.
//!
//! The way of the data: a [`world`], the models that change it, our own [`controller`] in it, the
//! [`state`] of a search, the [`trace`] of the real ones and its [`replay`], what must always
//! [`hold`](invariants), the [`scenarios`], and the [`search`].

pub mod world;
pub mod etcd_controller;
pub mod control_plane_controller;
pub mod controller;
pub mod state;
pub mod invariants;
pub mod trace;
pub mod replay;
pub mod settle;
pub mod search;
pub mod scenarios;
pub mod simulation;
