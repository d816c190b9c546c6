//! Certificates, keys and CAs for TLS: read from the host, for the endpoint and for the API server.

pub mod pem;
mod reloader;

pub use reloader::{CertificateReloader, ServerTls, Tls};
