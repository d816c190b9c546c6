//! The messages, and each as a frame.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::frame::Frame;
use crate::agent_status::ProcessStats;
use crate::render::{Body, PageTemplate, Snapshot};
use crate::tls::Credentials;

/// What the agent tells its server.
#[derive(Debug, Clone)]
pub enum ToServer {
    /// So many connections may ask something.
    Connections(usize),
    /// Answer on the socket that comes with it, which listens on this address.
    Listen(SocketAddr),
    /// Answer there no more.
    Close(SocketAddr),
    /// Serve other machines in plain text, which the configuration allows.
    Plaintext,
    /// Serve no other machine: there is no certificate yet.
    NoCertificate,
    /// Serve other machines with these.
    Tls(Credentials),
    /// Answer with this.
    Show(Snapshot),
    /// The agent's loop turned.
    Beat(Beat),
    /// Let running answers finish and end.
    Stop,
}

/// One turn of the agent's loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Which turn it was.
    pub number: u64,
    /// Within what time the next one is due.
    pub next: Duration,
    /// What the kernel showed of the agent.
    pub agent: ProcessStats,
}

/// What the server tells the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// It is there, with each layer of its sandbox, and whether it is on.
    Started(Vec<(String, bool)>),
    /// It took in everything up to this beat.
    Alive(u64),
}

/// What a message to the server is, without what it carries.
#[derive(Debug, Serialize, Deserialize)]
enum Head {
    Connections(usize),
    Listen(SocketAddr),
    Close(SocketAddr),
    Plaintext,
    NoCertificate,
    Tls { client_names: Vec<String> },
    Show { available: bool, settled: bool, json_etag: String, text_etag: String },
    Beat(Beat),
    Stop,
}

/// A frame that is none of the messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Its head cannot be understood.
    #[error("its head cannot be understood: {0}")]
    Head(String),
    /// It carries too little or too much.
    #[error("it carries {0} parts, which is not what such a message has")]
    Parts(usize),
}

impl ToServer {
    /// It as a frame.
    pub fn into_frame(self) -> Frame {
        let descriptor = matches!(self, Self::Listen(_));
        let (head, parts) = match self {
            Self::Connections(most) => (Head::Connections(most), Vec::new()),
            Self::Listen(address) => (Head::Listen(address), Vec::new()),
            Self::Close(address) => (Head::Close(address), Vec::new()),
            Self::Plaintext => (Head::Plaintext, Vec::new()),
            Self::NoCertificate => (Head::NoCertificate, Vec::new()),
            Self::Tls(credentials) => {
                let Credentials { certificate, key, client_ca, client_names } = credentials;
                let files = [Some(certificate), Some(key), client_ca].into_iter().flatten();
                let parts = files.map(|file| Bytes::copy_from_slice(&file)).collect();
                (Head::Tls { client_names }, parts)
            }
            Self::Show(snapshot) => {
                let Snapshot { available, settled, json, text, page, .. } = snapshot;
                let (json_etag, text_etag) = (json.etag, text.etag);
                let [plain, open] = snapshot.machine_metrics;
                let mut parts = vec![json.bytes, text.bytes, page.into_bytes(), plain, open];
                parts.extend(snapshot.certificate_metrics);
                (Head::Show { available, settled, json_etag, text_etag }, parts)
            }
            Self::Beat(beat) => (Head::Beat(beat), Vec::new()),
            Self::Stop => (Head::Stop, Vec::new()),
        };
        Frame { head: json(&head), parts, descriptor }
    }

    /// The message that a frame is.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn from_frame(frame: Frame) -> Result<Self, MessageError> {
        let count = frame.parts.len();
        let wrong = MessageError::Parts(count);
        let head = read(&frame.head)?;
        let mut parts = frame.parts.into_iter();
        let mut part = || parts.next().ok_or_else(|| wrong.clone());
        let message = match head {
            Head::Connections(most) => Self::Connections(most),
            Head::Listen(address) => Self::Listen(address),
            Head::Close(address) => Self::Close(address),
            Head::Plaintext => Self::Plaintext,
            Head::NoCertificate => Self::NoCertificate,
            Head::Tls { client_names } => {
                let file = |bytes: Bytes| Zeroizing::new(bytes.to_vec());
                Self::Tls(Credentials {
                    certificate: file(part()?),
                    key: file(part()?),
                    client_ca: parts.next().map(file),
                    client_names,
                })
            }
            Head::Show { available, settled, json_etag, text_etag } => Self::Show(Snapshot {
                available,
                settled,
                json: Body { bytes: part()?, etag: json_etag },
                text: Body { bytes: part()?, etag: text_etag },
                page: PageTemplate::new(part()?),
                machine_metrics: [part()?, part()?],
                certificate_metrics: parts.by_ref().collect(),
            }),
            Head::Beat(beat) => Self::Beat(beat),
            Head::Stop => Self::Stop,
        };
        if parts.next().is_some() { Err(wrong) } else { Ok(message) }
    }
}

impl ToAgent {
    /// It as a frame.
    pub fn into_frame(self) -> Frame {
        Frame { head: json(&self), ..Frame::default() }
    }

    /// The message that a frame is.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn from_frame(frame: &Frame) -> Result<Self, MessageError> {
        match frame.parts.len() {
            0 => read(&frame.head),
            more => Err(MessageError::Parts(more)),
        }
    }
}

/// Memory takes every byte and no key of a map is anything but text, so nothing can fail here.
fn json(head: &impl Serialize) -> Bytes {
    serde_json::to_vec(head).unwrap_or_default().into()
}

fn read<T: for<'a> Deserialize<'a>>(head: &[u8]) -> Result<T, MessageError> {
    serde_json::from_slice(head).map_err(|error| MessageError::Head(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        Snapshot {
            available: true,
            settled: false,
            json: Body { bytes: bytes("{}\n"), etag: "\"1\"".to_owned() },
            text: Body { bytes: bytes("none\n"), etag: "\"2\"".to_owned() },
            page: PageTemplate::new(bytes("<html>")),
            machine_metrics: [bytes("text"), bytes("open")],
            certificate_metrics: vec![bytes("a"), bytes("b")],
        }
    }

    #[test]
    fn a_snapshot_arrives_as_it_was_sent() {
        let arrived = ToServer::from_frame(ToServer::Show(snapshot()).into_frame());
        assert!(matches!(arrived, Ok(ToServer::Show(same)) if same == snapshot()));
    }

    #[test]
    fn credentials_arrive_with_and_without_the_cas_of_clients() {
        let file = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        for client_ca in [None, Some(file("ca"))] {
            let sent = Credentials {
                certificate: file("certificate"),
                key: file("key"),
                client_ca,
                client_names: vec!["one".to_owned()],
            };
            let arrived = ToServer::from_frame(ToServer::Tls(sent.clone()).into_frame());
            let Ok(ToServer::Tls(arrived)) = arrived else { panic!("{arrived:?}") };
            assert_eq!(arrived.fingerprint(), sent.fingerprint());
            assert_eq!(arrived.client_names, sent.client_names);
        }
    }

    #[test]
    fn a_message_that_carries_too_little_or_too_much_is_refused() {
        let with = |message: ToServer, parts: usize| {
            let frame = message.into_frame();
            ToServer::from_frame(Frame { parts: vec![Bytes::new(); parts], ..frame })
        };
        for (message, parts) in
            [(ToServer::Show(snapshot()), 4), (ToServer::Stop, 1), (ToServer::Plaintext, 1)]
        {
            let refused = with(message, parts);
            assert!(matches!(&refused, Err(MessageError::Parts(n)) if *n == parts), "{refused:?}");
        }
        let head = Bytes::from_static(b"{\"Obey\": 1}");
        let refused = ToServer::from_frame(Frame { head, ..Frame::default() });
        assert!(matches!(refused, Err(MessageError::Head(_))));
    }
}
