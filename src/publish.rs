//! Everything that sees the report: the HTTP endpoint, and the table and verdict of `check`.

pub mod http;
pub mod json;
pub mod page;
pub mod table;
pub mod verdict;
