//! What a process and its surroundings agree on: signals, readiness, the log, limits, the sandbox, and the program
//! that it is.

pub mod descriptors;
pub mod limits;
pub mod log;
pub mod manager;
pub mod program;
pub mod sandbox;
pub mod signals;
