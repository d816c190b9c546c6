//! The server's process: it answers whoever asks with what the agent hands it, and can do nothing else.
//!
//! It has no file, no capability and no way to connect to anybody. When the agent's end of the channel is
//! closed it ends, whatever happened there.

mod endpoints;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error};

use crate::failure::Failure;
use crate::http::Answers;
use crate::privsep::{Channel, ToAgent, ToServer};
use crate::system::{limits, sandbox, signals::Signals};
use crate::tls::{Credentials, ServerTls, Tls};
use endpoints::Endpoints;

/// Within what time the agent's first beat is due.
const FIRST_BEAT: Duration = Duration::from_mins(1);

/// Bytes of memory that the process may have, so that a flood costs no other process any: several reports
/// on ten thousand certificates, of which clients still take the older ones.
const MEMORY: u64 = 96 << 20;

/// A server that has locked itself in.
#[derive(Debug)]
pub struct Server {
    channel: Channel,
    answers: Answers,
    endpoints: Endpoints,
    /// Its service manager, or a terminal, may signal every process; the agent alone says when to end.
    _signals: Signals,
}

/// The agent's end of the channel, as standard input.
///
/// # Errors
/// It is something else: somebody started the server by hand.
pub fn channel() -> Result<UnixStream, Failure> {
    let input = io::stdin().as_fd().try_clone_to_owned();
    let by_hand = || {
        Failure::System(
            "this is the process that answers for `expiryd run`, which starts it by itself; run that"
                .to_owned(),
        )
    };
    let stream = UnixStream::from(input.map_err(|_| by_hand())?);
    // Only a socket of this kind has a peer of this kind.
    if stream.peer_addr().is_ok() { Ok(stream) } else { Err(by_hand()) }
}

impl Server {
    /// Locks this process in and tells the agent how far that went.
    ///
    /// # Errors
    /// The kernel refuses what every process needs, or the agent is gone.
    pub async fn start(stream: UnixStream) -> Result<Self, Failure> {
        let system = |what: &str, error: io::Error| Failure::System(format!("{what}: {error}"));
        // It would be called "exe", by what it was started as.
        let _ = nix::sys::prctl::set_name(c"expiryd-server");
        // Also where it is stopped, and sees no end of the channel.
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
        let signals = Signals::listen().map_err(|e| system("signals cannot be handled", e))?;
        let channel =
            Channel::to_agent(stream).map_err(|e| system("the agent cannot be heard", e))?;
        let answers = Answers::new(FIRST_BEAT);
        let endpoints = Endpoints::new(answers.clone());
        limits::bound_memory(MEMORY);
        let layers = sandbox::enter(sandbox::Scope::Server).tell();
        let layers = layers.into_iter().map(|(layer, on)| (layer.to_owned(), on)).collect();
        let server = Self { channel, answers, endpoints, _signals: signals };
        server.tell(ToAgent::Started(layers)).await?;
        Ok(server)
    }

    /// Answers until the agent ends or says stop.
    ///
    /// # Errors
    /// What the agent says cannot be understood.
    pub async fn run(mut self) -> Result<(), Failure> {
        loop {
            let received = tokio::select! {
                received = self.channel.receive() => received,
                () = self.endpoints.watch() => continue,
            };
            let Some((frame, descriptor)) = received.map_err(|error| not_understood(&error))?
            else {
                debug!("the agent has ended");
                return Ok(());
            };
            match ToServer::from_frame(frame).map_err(|error| not_understood(&error))? {
                ToServer::Connections(most) => self.endpoints.limit(most),
                ToServer::Listen(address) => {
                    let socket =
                        descriptor.ok_or_else(|| not_understood(&"no socket came with it"))?;
                    let opened = self.endpoints.open(address, socket);
                    opened.map_err(|error| not_understood(&error))?;
                }
                ToServer::Close(address) => self.endpoints.close(address),
                ToServer::Plaintext => self.endpoints.set_tls(Tls::Plaintext),
                ToServer::NoCertificate => self.endpoints.set_tls(Tls::Missing),
                ToServer::Tls(credentials) => self.endpoints.set_tls(ready(&credentials)),
                ToServer::Show(snapshot) => self.answers.show(snapshot),
                ToServer::Beat(beat) => {
                    self.answers.beat(beat.next, beat.agent);
                    self.tell(ToAgent::Alive(beat.number)).await?;
                }
                ToServer::Stop => {
                    self.endpoints.end().await;
                    return Ok(());
                }
            }
        }
    }

    async fn tell(&self, message: ToAgent) -> Result<(), Failure> {
        let sent = self.channel.send(&message.into_frame(), None).await;
        sent.map_err(|error| Failure::System(format!("the agent cannot be told: {error}")))
    }
}

fn not_understood(error: &dyn std::fmt::Display) -> Failure {
    Failure::System(format!("what the agent says cannot be understood: {error}"))
}

/// The agent tried them before, so nothing is wrong with them.
fn ready(credentials: &Credentials) -> Tls<ServerTls> {
    match ServerTls::new(credentials) {
        Ok(server) => Tls::On(Arc::new(server)),
        Err(error) => {
            error!("only loopback addresses are answered: {error}");
            Tls::Missing
        }
    }
}
