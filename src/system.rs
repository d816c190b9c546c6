//! What the process and its surroundings agree on: signals, readiness, the log and the sandbox.

pub mod limits;
pub mod log;
pub mod manager;
pub mod program;
pub mod sandbox;
pub mod signals;
