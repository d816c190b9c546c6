//! How the agent itself is doing: what it counted, and what the kernel shows of it and its server.

mod process;
mod stats;

pub use process::{ProcessProbe, ProcessStats};
pub use stats::{AgentStats, ServerStatus};
