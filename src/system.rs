//! What the process and its service manager agree on: signals, readiness and the log.

pub mod log;
pub mod manager;
pub mod signals;
