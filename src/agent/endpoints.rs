//! The addresses that are listened on; they may change with the configuration.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::config::{Config, refuse_plaintext};
use crate::failure::Failure;
use crate::http::{self, Answers, Connections};
use crate::system::limits;
use crate::tls::Tls;

/// How long open connections may take to end; within the second that a stop may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(700);

/// Connections that the kernel keeps for the agent to take. When there is no room the kernel lets a
/// client wait for a second, which a flood must not do to a probe; net.core.somaxconn bounds it too.
const BACKLOG: u32 = 4096;

/// Open connections of clients that have not said anything yet. The more there are, the longer a client has
/// for its first word while another one floods the agent.
const SILENT: usize = 3_072;

/// Those that have begun to speak. Each may have a TLS handshake going on and the head of a request in
/// memory.
const SPEAKING: usize = 192;

/// Descriptors for all but connections: a scan must not fail because somebody floods the endpoint.
const RESERVED: usize = 128;

#[derive(Debug)]
pub(super) struct Endpoints {
    answers: Answers,
    connections: Arc<Connections>,
    /// What the descriptors leave for those that ask something.
    most_asking: usize,
    /// By the address that was asked for; dropping the sender stops the server.
    open: BTreeMap<SocketAddr, watch::Sender<bool>>,
    /// Servers of sockets that the service manager bound; these stay.
    inherited: BTreeMap<SocketAddr, watch::Sender<bool>>,
    tls: watch::Sender<Tls>,
    servers: JoinSet<()>,
}

impl Endpoints {
    /// With room for as many connections as the process may have descriptors, up to a few thousand, of
    /// which `limit` may ask something.
    pub(super) fn new(answers: Answers, limit: usize) -> Self {
        let wanted = RESERVED.saturating_add(SILENT + SPEAKING).saturating_add(limit);
        let allowed = limits::allow_descriptors(wanted.try_into().unwrap_or(u64::MAX));
        let room = usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(RESERVED);
        let asking = limit.min(room / 2);
        let speaking = SPEAKING.min(room / 4);
        let silent = SILENT.min(room.saturating_sub(asking).saturating_sub(speaking));
        Self {
            answers,
            connections: Arc::new(Connections::new(asking, speaking, silent)),
            most_asking: room / 2,
            open: BTreeMap::new(),
            inherited: BTreeMap::new(),
            tls: watch::Sender::new(Tls::Missing),
            servers: JoinSet::new(),
        }
    }

    /// Serves a socket that the service manager bound. Once there is one, no address is bound
    /// besides.
    ///
    /// # Errors
    /// The socket or an address cannot be used, or the configuration forbids it.
    pub(super) fn serve_inherited(&mut self, socket: std::net::TcpListener) -> Result<(), Failure> {
        let inherited = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        let (listener, address) = inherited
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
            .map_err(|error| {
                Failure::Address(format!("the service manager's socket cannot be used: {error}"))
            })?;
        let stop = self.serve(listener);
        self.inherited.insert(address, stop);
        Ok(())
    }

    /// Listens on the configuration's addresses and no others, encrypted as `tls` says. All new ones
    /// are bound first: when one of them cannot be, everything stays as it was.
    ///
    /// # Errors
    /// The socket or an address cannot be used, or the configuration forbids it.
    pub(super) fn listen(&mut self, config: &Config, tls: Tls) -> Result<(), Failure> {
        let wanted = if self.inherited.is_empty() { &config.listen } else { &Vec::new() };
        if config.tls.is_none() && !config.allow_plaintext {
            let inherited: Vec<_> = self.inherited.keys().copied().collect();
            refuse_plaintext(&inherited).map_err(|why| {
                Failure::Configuration(format!("the service manager's socket: {why}"))
            })?;
        }
        let mut bound = Vec::new();
        for address in wanted.iter().filter(|address| !self.open.contains_key(address)) {
            let listener = bind(*address).map_err(|error| {
                let remedy = match error.kind() {
                    ErrorKind::AddrNotAvailable => {
                        "no interface of this machine has it, perhaps not yet"
                    }
                    _ => "free it",
                };
                Failure::Address(format!(
                    "listen: {address} cannot be bound: {error}; {remedy}, or name another address \
                     with --listen"
                ))
            })?;
            bound.push((*address, listener));
        }
        self.connections.limit(config.connections.min(self.most_asking));
        self.set_tls(tls);
        self.open.retain(|address, _| wanted.contains(address));
        for (address, listener) in bound {
            let stop = self.serve(listener);
            self.open.insert(address, stop);
        }
        Ok(())
    }

    /// Encrypts new connections in this way.
    pub(super) fn set_tls(&self, tls: Tls) {
        self.tls.send_replace(tls);
    }

    /// Serves until the returned sender is dropped.
    fn serve(&mut self, listener: TcpListener) -> watch::Sender<bool> {
        if let Ok(address) = listener.local_addr() {
            info!(%address, "listening");
        }
        let (stop, stopped) = watch::channel(false);
        let (tls, connections) = (self.tls.subscribe(), Arc::clone(&self.connections));
        self.servers.spawn(http::serve(listener, self.answers.clone(), tls, connections, stopped));
        stop
    }

    /// Waits for ever, and passes on the panic of a server that had one.
    pub(super) async fn watch(&mut self) {
        loop {
            match self.servers.join_next().await {
                Some(ended) => http::pass_on_panic(ended),
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all of them, giving running answers a moment.
    pub(super) async fn close(mut self) {
        self.open.clear();
        self.inherited.clear();
        let ended = async { while self.servers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, ended).await;
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // An agent that is started again must not wait for connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
