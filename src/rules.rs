//! The rules that judge a certificate: what is a CA, and who renews it. Nothing else does.

pub mod ca;
pub mod renewal;
