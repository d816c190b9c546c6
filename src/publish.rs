//! Everything that sees the report: the HTTP endpoint, the Node, and what `check` prints.

pub mod http;
pub mod json;
pub mod node;
pub mod page;
pub mod table;
pub mod verdict;
