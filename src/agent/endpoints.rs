//! The addresses that are listened on; they may change with the configuration. The agent binds them and keeps
//! the sockets, so that nobody is refused while its server starts again; it takes no connection itself.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::net::TcpSocket;
use tokio::sync::watch;
use tracing::info;

use crate::config::{Config, refuse_plaintext};
use crate::failure::Failure;
use crate::privsep::ToServer;
use crate::tls::{Credentials, Tls};

/// Connections that the kernel keeps for the server to take. When there is no room the kernel lets a
/// client wait for a second, which a flood must not do to a probe; net.core.somaxconn bounds it too.
const BACKLOG: u32 = 4096;

/// Where the server answers, and how.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    /// Connections that may ask something.
    pub(super) connections: usize,
    /// By the address that was asked for.
    pub(super) sockets: BTreeMap<SocketAddr, Arc<TcpListener>>,
    pub(super) tls: Tls<Credentials>,
}

impl Serving {
    /// What a server that was told `told` has to be told: where to answer no more before how to answer elsewhere,
    /// which may be in plain text; and where to answer at last.
    pub(super) fn since(&self, told: Option<&Self>) -> Vec<ToServer> {
        let before = |address| told.and_then(|told| told.sockets.get(address));
        let known = told.into_iter().flat_map(|told| told.sockets.keys());
        let gone = known.filter(|address| !self.sockets.contains_key(address));
        let mut messages: Vec<_> = gone.map(|address| ToServer::Close(*address)).collect();
        if told.is_none_or(|told| told.connections != self.connections) {
            messages.push(ToServer::Connections(self.connections));
        }
        if told.is_none_or(|told| !told.tls.is_same(&self.tls)) {
            messages.push(match &self.tls {
                Tls::Plaintext => ToServer::Plaintext,
                Tls::Missing => ToServer::NoCertificate,
                Tls::On(credentials) => ToServer::Tls((**credentials).clone()),
            });
        }
        let new = self.sockets.iter().filter(|(address, socket)| {
            before(address).is_none_or(|before| !Arc::ptr_eq(before, socket))
        });
        messages.extend(new.map(|(address, _)| ToServer::Listen(*address)));
        messages
    }
}

#[derive(Debug)]
pub(super) struct Endpoints {
    /// Whether the service manager bound the sockets; these stay.
    inherited: bool,
    serving: watch::Sender<Serving>,
}

impl Endpoints {
    /// Those of the sockets that the service manager bound; none otherwise. Once there is one, no address is
    /// bound besides.
    ///
    /// # Errors
    /// A socket cannot be used.
    pub(super) fn new(sockets: Vec<TcpListener>, connections: usize) -> Result<Self, Failure> {
        let inherited = !sockets.is_empty();
        let sockets = sockets.into_iter().map(|socket| {
            let address = socket.local_addr().and_then(|address| {
                // Which is the only way in which a program that is executed gets one.
                rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
                // The server may not set that.
                socket.set_nonblocking(true)?;
                Ok(address)
            });
            let address = address.map_err(|error| {
                Failure::Address(format!("the service manager's socket cannot be used: {error}"))
            })?;
            info!(%address, "listening");
            Ok((address, Arc::new(socket)))
        });
        let sockets = sockets.collect::<Result<_, Failure>>()?;
        let serving = Serving { connections, sockets, tls: Tls::Missing };
        Ok(Self { inherited, serving: watch::Sender::new(serving) })
    }

    /// What the server is to be told, from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<Serving> {
        self.serving.subscribe()
    }

    /// Listens on the configuration's addresses and no others, encrypted as `tls` says. All new ones
    /// are bound first: when one of them cannot be, everything stays as it was.
    ///
    /// # Errors
    /// An address cannot be used, or the configuration forbids it.
    pub(super) fn listen(&self, config: &Config, tls: Tls<Credentials>) -> Result<(), Failure> {
        let before = self.serving.borrow().sockets.clone();
        if config.tls.is_none() && !config.allow_plaintext && self.inherited {
            let inherited: Vec<_> = before.keys().copied().collect();
            refuse_plaintext(&inherited).map_err(|why| {
                Failure::Configuration(format!("the service manager's socket: {why}"))
            })?;
        }
        let sockets = if self.inherited { before } else { bind_all(&config.listen, &before)? };
        self.serving.send_replace(Serving { connections: config.connections, sockets, tls });
        Ok(())
    }

    /// Encrypts new connections in this way.
    pub(super) fn set_tls(&self, tls: Tls<Credentials>) {
        self.serving.send_if_modified(|serving| {
            let modified = !serving.tls.is_same(&tls);
            serving.tls = tls;
            modified
        });
    }
}

/// A socket for each address: the one that there was, or a new one.
fn bind_all(
    addresses: &[SocketAddr],
    before: &BTreeMap<SocketAddr, Arc<TcpListener>>,
) -> Result<BTreeMap<SocketAddr, Arc<TcpListener>>, Failure> {
    let socket = |address: &SocketAddr| match before.get(address) {
        Some(socket) => Ok((*address, Arc::clone(socket))),
        None => Ok((*address, Arc::new(bind(*address).map_err(|e| not_bound(*address, &e))?))),
    };
    let sockets: BTreeMap<_, _> = addresses.iter().map(socket).collect::<Result<_, Failure>>()?;
    for (_, new) in sockets.iter().filter(|(address, _)| !before.contains_key(address)) {
        if let Ok(address) = new.local_addr() {
            info!(%address, "listening");
        }
    }
    Ok(sockets)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // An agent that is started again must not wait for connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn not_bound(address: SocketAddr, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        ErrorKind::AddrNotAvailable => "no interface of this machine has it, perhaps not yet",
        _ => "free it",
    };
    Failure::Address(format!(
        "listen: {address} cannot be bound: {error}; {remedy}, or name another address with --listen"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_what_differs_from_what_it_was_told() {
        let socket = || Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, other] = ["127.0.0.1:1", "127.0.0.1:2"].map(|address| address.parse().unwrap());
        let first =
            Serving { connections: 64, sockets: [(one, socket())].into(), tls: Tls::Missing };
        let said = |told: Option<&Serving>, now: &Serving| -> Vec<String> {
            now.since(told).iter().map(|message| format!("{message:?}")).collect()
        };
        assert_eq!(
            said(None, &first),
            ["Connections(64)", "NoCertificate", "Listen(127.0.0.1:1)"],
            "one that knows nothing is told everything, and where to answer last"
        );
        assert!(said(Some(&first), &first).is_empty());
        let moved = Serving { sockets: [(other, socket())].into(), ..first.clone() };
        assert_eq!(said(Some(&first), &moved), ["Close(127.0.0.1:1)", "Listen(127.0.0.1:2)"]);
        let bound_again = Serving { sockets: [(one, socket())].into(), ..first.clone() };
        assert_eq!(said(Some(&first), &bound_again), ["Listen(127.0.0.1:1)"]);
        let plain = Serving { tls: Tls::Plaintext, connections: 8, ..moved };
        assert_eq!(
            said(Some(&first), &plain),
            ["Close(127.0.0.1:1)", "Connections(8)", "Plaintext", "Listen(127.0.0.1:2)"],
            "nothing is plain where it was not meant to be"
        );
    }
}
