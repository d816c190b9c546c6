//! The report in every form in which it is shown: pure.

mod display;
pub mod html;
pub mod json;
pub mod metrics;
mod page_template;
mod snapshot;
pub mod table;
pub mod yaml;

use bytes::Bytes;

pub use page_template::PageTemplate;
pub use snapshot::{Body, Snapshot};

/// What was rendered, without the room that it grew into: it may be kept for long.
fn whole(text: String) -> Bytes {
    text.into_boxed_str().into_string().into()
}
