//! How the agent itself is doing: whether its loop turns, what it counted, what the kernel shows of it.

mod heartbeat;
mod process;
mod stats;

pub use heartbeat::Heartbeat;
pub use process::{ProcessProbe, ProcessStats};
pub use stats::{AgentStats, ServerStatus};
