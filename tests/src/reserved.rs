//! Addresses for what starts later.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// An address on this host that nobody else is given while this lives. Whoever is told of it may listen there: both sockets
/// allow the address to be used again, and only one of them listens.
#[derive(Debug)]
pub struct Reserved {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Reserved {
    /// Takes a free port.
    ///
    /// # Errors
    /// When this host has none.
    pub fn new() -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }

    /// Returns the address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
