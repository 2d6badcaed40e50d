//! The connection below HTTP: to cut it, and to see a client's certificate.

use std::any::Any;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream as AsyncStream;

/// What is remembered of a connection.
pub(super) struct Wire {
    socket: Option<TcpStream>,
    tls: bool,
    certificate: bool,
}

impl Wire {
    /// Called by the server for each new connection.
    pub(super) fn remember(connection: &dyn Any, extensions: &mut Extensions) {
        let duplicate = |stream: &AsyncStream| stream.as_fd().try_clone_to_owned().ok().map(TcpStream::from);
        let wire = if let Some(stream) = connection.downcast_ref::<AsyncStream>() {
            Self { socket: duplicate(stream), tls: false, certificate: false }
        } else if let Some(stream) = connection.downcast_ref::<TlsStream<AsyncStream>>() {
            let (stream, session) = stream.get_ref();
            let certificate = session.peer_certificates().is_some_and(|chain| !chain.is_empty());
            Self { socket: duplicate(stream), tls: true, certificate }
        } else {
            return;
        };
        extensions.insert(wire);
    }

    /// Whether the client showed a certificate; the listener verified it against its client CA.
    pub(super) fn certificate(&self) -> bool {
        self.certificate
    }

    /// Writes these bytes, then closes the connection. Under TLS it is only closed.
    pub(super) fn cut_after(&self, bytes: &[u8]) {
        let Some(socket) = &self.socket else { return };
        if !self.tls && (&*socket).write_all(bytes).is_err() {
            // The caller has gone already, which is what this is about.
            tracing::debug!("nobody reads what is cut");
        }
        if socket.shutdown(Shutdown::Both).is_err() {
            tracing::debug!("the connection was closed already");
        }
    }
}
