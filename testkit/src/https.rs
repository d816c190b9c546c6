//! One request over TLS to a server that a test knows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::authority::Pair;

/// Who is asked.
pub struct Answerer<'a> {
    pub address: (&'a str, u16),
    /// What its certificate has to be for.
    pub name: &'a str,
    /// Who has to have signed it, as PEM.
    pub authority: &'a str,
    /// What to show it.
    pub pair: Option<&'a Pair>,
}

/// What it is asked.
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub content_type: &'a str,
    pub token: Option<&'a str>,
    /// Nothing is sent for null.
    pub body: &'a Value,
}

impl Answerer<'_> {
    /// The status and the JSON of the answer; `None` when there is none.
    pub fn ask(&self, ask: &Ask<'_>) -> Option<(u16, Value)> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).ok()?).ok()?;
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match self.pair {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).ok()?];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).ok()?;
                config.with_client_auth_cert(chain, key).ok()?
            }
        };
        let name = ServerName::try_from(self.name.to_owned()).ok()?;
        let connection = ClientConnection::new(Arc::new(config), name).ok()?;
        let stream = TcpStream::connect(self.address).ok()?;
        let mut stream = StreamOwned::new(connection, stream);
        let Ask { method, path, content_type, token, body } = ask;
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}:{}\r\nContent-Type: {content_type}\r\n\
             {}Content-Length: {}\r\n\r\n{body}",
            self.name,
            self.address.1,
            token.unwrap_or_default(),
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = Vec::new();
        // A server that closes without goodbye has answered all the same.
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }
}
