//! An address on which nobody listens yet, and which nobody else is given meanwhile.

use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
};

/// See the module. Connections to it are refused.
pub struct ReservedAddress {
    socket: OwnedFd,
    pub address: SocketAddr,
}

impl ReservedAddress {
    pub fn new() -> Self {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let name: SockaddrIn = getsockname(socket.as_raw_fd()).unwrap();
        Self { socket, address: SocketAddrV4::from(name).into() }
    }

    /// Takes connections from now on.
    pub fn listen(self) -> TcpListener {
        listen(&self.socket, Backlog::new(128).unwrap()).unwrap();
        self.socket.into()
    }
}

impl Default for ReservedAddress {
    fn default() -> Self {
        Self::new()
    }
}
