//! Certificates, keys and CAs for TLS: read from the host, for the endpoint and for the API server.

mod credentials;
mod endpoint;
pub mod pem;
mod reloader;

pub use credentials::{Credentials, ServerTls, Unusable};
pub use endpoint::Tls;
pub use reloader::CertificateReloader;
