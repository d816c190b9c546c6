//! The sockets that are answered on; the agent binds them and says which.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{self, Answers, Connections};
use crate::system::limits;
use crate::task::pass_on_panic;
use crate::tls::{ServerTls, Tls};

/// How long open connections may take to end; within the second that a stop may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(600);

/// Open connections of clients that have not said anything yet. The more there are, the longer a client has
/// for its first word while another one floods the server.
const SILENT: usize = 3_072;

/// Those that have begun to speak. Each may have a TLS handshake going on and the head of a request in
/// memory.
const SPEAKING: usize = 192;

/// Descriptors for all but connections: listening sockets, the channel, standard error and the runtime's.
const RESERVED: usize = 64;

#[derive(Debug)]
pub(super) struct Endpoints {
    answers: Answers,
    connections: Arc<Connections>,
    /// Descriptors for connections.
    room: usize,
    /// Dropping the sender stops answering there.
    open: BTreeMap<SocketAddr, watch::Sender<bool>>,
    tls: watch::Sender<Tls<ServerTls>>,
    servers: JoinSet<()>,
}

impl Endpoints {
    /// None yet, with as many descriptors as the process may have.
    pub(super) fn new(answers: Answers) -> Self {
        let allowed = limits::allow_descriptors(u64::MAX);
        let room = usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(RESERVED);
        Self {
            answers,
            connections: Arc::new(Connections::new(0, 0, 0)),
            room,
            open: BTreeMap::new(),
            tls: watch::Sender::new(Tls::Missing),
            servers: JoinSet::new(),
        }
    }

    /// Lets so many connections ask something, as far as there is room beside those that have not yet.
    pub(super) fn limit(&self, wanted: usize) {
        let asking = wanted.min(self.room / 2);
        let speaking = SPEAKING.min(self.room / 4);
        let silent = SILENT.min(self.room.saturating_sub(asking).saturating_sub(speaking));
        self.connections.limit(asking, speaking, silent);
    }

    /// Encrypts new connections in this way.
    pub(super) fn set_tls(&self, tls: Tls<ServerTls>) {
        self.tls.send_replace(tls);
    }

    /// Answers on a socket that listens on this address and does not block.
    ///
    /// # Errors
    /// It is no such socket.
    pub(super) fn open(&mut self, address: SocketAddr, socket: OwnedFd) -> io::Result<()> {
        let socket = std::net::TcpListener::from(socket);
        let listener = TcpListener::from_std(socket)?;
        let (stop, stopped) = watch::channel(false);
        let (tls, connections) = (self.tls.subscribe(), Arc::clone(&self.connections));
        self.servers.spawn(http::serve(listener, self.answers.clone(), tls, connections, stopped));
        self.open.insert(address, stop);
        Ok(())
    }

    /// Takes no more connections there.
    pub(super) fn close(&mut self, address: SocketAddr) {
        self.open.remove(&address);
    }

    /// Waits for ever, and passes on the panic of a server that had one.
    pub(super) async fn watch(&mut self) {
        loop {
            match self.servers.join_next().await {
                Some(ended) => pass_on_panic(ended),
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all of them, giving running answers a moment.
    pub(super) async fn end(mut self) {
        self.open.clear();
        let ended = async { while self.servers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, ended).await;
    }
}
