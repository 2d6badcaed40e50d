//! A TCP proxy that does to connections what networks do: delays, cuts, resets, silence, a byte at a time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What goes wrong on the way. A fault meets open connections, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Fine,
    /// Everything takes so much longer, each way.
    Latency(Duration),
    /// Nobody listens; open connections are closed.
    Refuses,
    /// Connections are taken and stay open, and nothing comes through.
    HalfOpen,
    /// Connections are reset.
    Resets,
    /// Half an answer, and the end of the connection.
    Cuts,
    /// Answers come a byte at a time.
    Drips,
}

/// All but [`Network::Fine`] and delays.
pub(crate) const OUTAGES: [Network; 5] =
    [Network::Refuses, Network::HalfOpen, Network::Resets, Network::Cuts, Network::Drips];

/// Between two bytes of [`Network::Drips`].
const DRIP: Duration = Duration::from_millis(100);

/// Before one server; it ends with its test's runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    target: watch::Sender<SocketAddr>,
}

impl Proxy {
    /// `target`: as in an `http` or `redis` URL, or a bare address.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (network, watched) = watch::channel(Network::Fine);
        let (target, led) = watch::channel(address_in(target));
        tokio::spawn(listen(listener, led, watched));
        Self { address, network, target }
    }

    /// New connections go there from now on, as when a name leads elsewhere; open ones stay where they are.
    pub(crate) fn lead_to(&self, target: &str) {
        self.target.send_replace(address_in(target));
    }

    /// Where it listens, as `cache.redis` is written.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) async fn be(&self, network: Network) {
        self.network.send_replace(network);
        // A listener that is going, or coming back, is gone, or back, when this returns.
        let listens = network != Network::Refuses;
        while TcpStream::connect(self.address).await.is_ok() != listens {
            tokio::task::yield_now().await;
        }
    }
}

fn address_in(url: &str) -> SocketAddr {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().expect("an address").parse().expect("an address")
}

async fn listen(
    listener: TcpListener,
    target: watch::Receiver<SocketAddr>,
    mut network: watch::Receiver<Network>,
) {
    let address = listener.local_addr().expect("an address");
    let mut listener = Some(listener);
    loop {
        let now = *network.borrow_and_update();
        match (now, &listener) {
            (Network::Refuses, _) => {
                listener = None;
                if network.changed().await.is_err() {
                    return;
                }
            }
            (_, None) => listener = again(address),
            (_, Some(listening)) => tokio::select! {
                accepted = listening.accept() => {
                    if let Ok((client, _)) = accepted {
                        tokio::spawn(connection(client, *target.borrow(), network.clone()));
                    }
                }
                changed = network.changed() => if changed.is_err() { return },
            },
        }
    }
}

/// The same port once more, in spite of the connections that were there.
fn again(address: SocketAddr) -> Option<TcpListener> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_reuseaddr(true).ok()?;
    socket.bind(address).ok()?;
    socket.listen(128).ok()
}

async fn connection(client: TcpStream, target: SocketAddr, network: watch::Receiver<Network>) {
    let now = *network.borrow();
    if now == Network::Resets {
        return reset(client);
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, network.clone(), false) => {}
        () = pump(from_server, to_client, network, true) => {}
    }
}

/// Ends when the connection does, or the network has it so.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    answers: bool,
) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let ends = |network: &Network| matches!(network, Network::Refuses | Network::Resets);
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            // The one that reads from the client resets it.
            _ = network.wait_for(ends) => return,
        };
        let Ok(length) = read else { return };
        if length == 0 {
            return;
        }
        let bytes = &buffer[..length];
        let now = *network.borrow();
        let written = match now {
            Network::Fine => to.write_all(bytes).await,
            Network::Latency(delay) => {
                tokio::time::sleep(delay).await;
                to.write_all(bytes).await
            }
            Network::HalfOpen => {
                if network.wait_for(|network| *network != Network::HalfOpen).await.is_err() {
                    return;
                }
                to.write_all(bytes).await
            }
            Network::Cuts if answers => {
                let _ = to.write_all(&bytes[..length / 2]).await;
                return;
            }
            Network::Drips if answers => drip(bytes, &mut to).await,
            Network::Cuts | Network::Drips => to.write_all(bytes).await,
            Network::Refuses | Network::Resets => return,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn drip(bytes: &[u8], to: &mut OwnedWriteHalf) -> std::io::Result<()> {
    for byte in bytes {
        to.write_all(&[*byte]).await?;
        tokio::time::sleep(DRIP).await;
    }
    Ok(())
}

fn reset(stream: TcpStream) {
    // Closed without waiting for anything: the peer gets a reset.
    let _ = stream.set_zero_linger();
    drop(stream);
}
