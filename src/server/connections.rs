//! The connections of a listener, and the end of those that hold their place for nothing.

use std::any::Any;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream as ActixStream;

use crate::api::{Connection, Ticks};
use crate::client::ClientCertificate;

/// Open files that one connection takes: its socket, and the handle to cut it.
pub(super) const FILES: usize = 2;
/// Between two looks: a tick.
const INTERVAL: Duration = Duration::from_secs(1);

/// All that are open.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
    /// In ticks.
    longest_idle: u64,
    ticks: Arc<Ticks>,
}

#[derive(Debug)]
struct Open {
    connection: Weak<Connection>,
    /// A second handle of its socket: the first one is the server's own, and does not leave it.
    socket: TcpStream,
}

/// Takes a connection off the list when the server drops it.
struct Listed {
    connections: Arc<Connections>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.connections.open().remove(&self.number);
    }
}

impl Connections {
    /// `longest_idle`: without a whole request head, since the last answer.
    pub(super) fn new(longest_idle: Duration) -> Arc<Self> {
        // The one that is under way when a connection falls idle is not whole.
        let longest_idle = longest_idle.as_secs() / INTERVAL.as_secs() + 1;
        Arc::new(Self {
            open: Mutex::default(),
            next: AtomicU64::new(0),
            longest_idle,
            ticks: Arc::default(),
        })
    }

    /// Takes note of one that was accepted, for actix-web's `on_connect`.
    pub(super) fn accepted(self: &Arc<Self>, stream: &dyn Any, data: &mut Extensions) {
        let tls = stream.downcast_ref::<TlsStream<ActixStream>>().map(|stream| stream.get_ref());
        if let Some(certificate) = tls.and_then(|(_, session)| session.peer_certificates()?.first()) {
            match ClientCertificate::read(certificate) {
                Ok(certificate) => drop(data.insert(certificate)),
                // It is served as if it had none.
                Err(error) => tracing::warn!("{error}"),
            }
        }
        let tcp = stream.downcast_ref::<ActixStream>();
        let Some(stream) = tcp.or(tls.map(|(tcp, _)| tcp)) else { return };
        // Without a second handle (no open files are left) it is served all the same, and not watched.
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
        let connection = Connection::accepted(&self.ticks);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let open = Open { connection: Arc::downgrade(&connection), socket: TcpStream::from(socket) };
        self.open().insert(number, open);
        data.insert(connection);
        data.insert(Listed { connections: Arc::clone(self), number });
    }

    /// Cuts those that are too long without a request, until nobody has the list any more.
    pub(super) async fn watch(connections: Weak<Self>) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let Some(connections) = connections.upgrade() else { return };
            connections.ticks.tick();
            let cut = connections.cut();
            if cut > 0 {
                tracing::info!(connections = cut, "cut: no whole request came in time");
            }
        }
    }

    fn cut(&self) -> usize {
        let open = self.open();
        let is_idle =
            |open: &&Open| open.connection.upgrade().is_some_and(|it| it.idle_for() > self.longest_idle);
        // The server sees the end of the connection and drops it, which takes it off the list.
        open.values().filter(is_idle).filter(|open| open.socket.shutdown(Shutdown::Both).is_ok()).count()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
