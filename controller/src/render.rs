//! The fleet in the forms that people and programs read; all of them are made from [`ClusterStatus`].
//!
//! [`ClusterStatus`]: crate::status::ClusterStatus

pub mod metrics;
pub mod page;
pub mod table;
