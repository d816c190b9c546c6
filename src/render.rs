//! The report in every form in which it is shown: pure.

mod display;
pub mod html;
pub mod json;
pub mod metrics;
mod page_template;
mod snapshot;
pub mod table;
pub mod yaml;

pub use page_template::PageTemplate;
pub use snapshot::{Body, Snapshot};
