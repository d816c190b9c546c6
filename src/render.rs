//! Everything that sees the report: the HTTP endpoint, the Node, and what `check` prints.

mod credentials;
pub mod html;
pub mod http;
pub mod json;
pub mod metrics;
pub mod node;
pub mod page;
pub mod table;
pub mod verdict;
mod words;
