//! HTTP without a client: one `GET` over a fresh connection, for what is asked while something else is measured.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Nothing on loopback takes longer, however busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shorter than the broker keeps a connection: none is used in the moment in which it ends.
const IDLE: Duration = Duration::from_secs(2);

/// Body of a 200 response; `None`: no connection, or another status.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

/// A port of loopback that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address")
}

/// A client as the broker has one: keep-alive, no proxy; and no certificates, because all is plain HTTP here.
#[expect(clippy::disallowed_methods, reason = "crate::http has limits that a stampede shall not meet")]
pub(crate) fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE * 3);
    client.pool_idle_timeout(IDLE).build().expect("a plain HTTP client has nothing to fail on")
}
