//! The report in every form in which it is shown: pure.

mod cached;
mod display;
pub mod html;
pub mod json;
pub mod metrics;
mod rendered_report;
pub mod table;
pub mod yaml;

pub use cached::Cached;
pub use rendered_report::{Body, JSON, RenderedReport, TEXT};
