//! `[server]`: the public listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::findings::Findings;
use super::tls::{ListenerTls, TlsTable};
use super::value;

/// Paths of the public listener that the token endpoint must not hide.
const TAKEN: [&str; 6] = [
    "/revoke",
    "/backchannel-logout",
    "/jwks",
    "/openapi.json",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
];

/// The public listener.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The broker's own issuer identifier: in its metadata, in what it mints, and the `aud` of its clients' assertions.
    pub issuer: String,
    /// The path of the token endpoint, with its slash.
    pub token_path: String,
    /// Longest request body, in bytes. Bounds what one anonymous request costs.
    pub max_body_bytes: usize,
    /// Longest token taken from anybody, in bytes.
    pub max_token_bytes: usize,
    /// Overall deadline of one exchange, both legs.
    pub request_timeout: Duration,
    /// Requests to the token, revocation and logout endpoints, of everybody together; `None`: as many as come.
    pub requests_per_second: Option<NonZeroU32>,
    /// Connections of each worker that are served at once.
    pub max_connections: usize,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// How long requests in flight may go on after the signal to stop.
    pub shutdown_grace: Duration,
    /// Worker threads; `None`: one per core.
    pub workers: Option<usize>,
    /// `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
}

/// The public listener.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct ServerTable {
    /// The public listener.
    #[serde(with = "value::Address")]
    listen: SocketAddr,
    /// Who the broker is: its metadata, `iss` of what it mints, `aud` of its clients' assertions.
    issuer: String,
    /// The token endpoint.
    token_path: String,
    /// Longest request body.
    max_body_bytes: u32,
    /// Longest token taken from anybody, at least 256, at most `max_body_bytes`.
    max_token_bytes: u32,
    /// Deadline of one exchange, both legs.
    #[serde(with = "value::Period")]
    request_timeout: Duration,
    /// Requests to the token, revocation and logout endpoints of everybody together, by each replica, counted before
    /// anything is read; more are answered 429, with a burst of one second's worth.
    requests_per_second: u32,
    /// Connections of each worker that are served at once; more wait in the kernel. Whoever sends bodies slowly can
    /// make each take `max_body_bytes` of memory.
    max_connections: u32,
    /// How long a connection without a whole request is kept, and 5 s at least (less with a shorter
    /// `request_timeout`), to the second.
    #[serde(with = "value::Period")]
    keep_alive: Duration,
    /// How long requests in flight go on after the signal to stop.
    #[serde(with = "value::Period")]
    shutdown_grace: Duration,
    /// Worker threads.
    workers: Option<u16>,
    /// TLS of this listener; absent: plain HTTP, behind a proxy.
    tls: Option<TlsTable>,
}

impl Default for ServerTable {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            issuer: "http://127.0.0.1:8080".into(),
            token_path: "/token".into(),
            max_body_bytes: 65_536,
            max_token_bytes: 16_384,
            request_timeout: Duration::from_secs(15),
            requests_per_second: 0,
            max_connections: 25_000,
            keep_alive: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(10),
            workers: None,
            tls: None,
        }
    }
}

impl ServerTable {
    pub(super) fn resolve(self, findings: &mut Findings<'_>) -> Server {
        if findings.required("server.issuer", &self.issuer, "write the URL that clients reach the broker at")
        {
            findings.endpoint("server.issuer", &self.issuer, true);
        }
        findings.demand(
            self.issuer.starts_with("https://") || self.listen.ip().is_loopback(),
            "server.issuer",
            "is plain http, while server.listen is reachable from other machines",
            "write the https URL that clients use; TLS may end here ([server.tls]) or at a proxy",
        );
        let path_fits = self.token_path.starts_with('/')
            && self.token_path.len() > 1
            && self.token_path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte));
        findings.demand(path_fits, "server.token_path", "is not a path", "write a path such as \"/token\"");
        findings.demand(
            !TAKEN.contains(&self.token_path.as_str()),
            "server.token_path",
            "is the path of another endpoint",
            "write a path such as \"/token\" or \"/as/token.oauth2\"",
        );
        findings.demand(
            self.max_token_bytes >= 256,
            "server.max_token_bytes",
            "is smaller than any signed token",
            "write at least 256",
        );
        findings.demand(
            self.max_body_bytes >= self.max_token_bytes,
            "server.max_body_bytes",
            "is smaller than server.max_token_bytes",
            "write more than the longest token, which travels in the body",
        );
        findings.between(
            "server.request_timeout",
            self.request_timeout,
            Duration::from_millis(100),
            Duration::from_secs(300),
        );
        findings.demand(
            self.max_connections > 0,
            "server.max_connections",
            "is zero",
            "remove it, or write at least 1",
        );
        findings.between(
            "server.keep_alive",
            self.keep_alive,
            Duration::from_secs(1),
            Duration::from_secs(600),
        );
        findings.demand(
            self.workers != Some(0),
            "server.workers",
            "is zero",
            "remove it, or write at least 1",
        );
        let tls = self.tls.and_then(|tls| tls.resolve("server.tls", findings));
        Server {
            listen: self.listen,
            issuer: self.issuer,
            token_path: self.token_path,
            max_body_bytes: self.max_body_bytes as usize,
            max_token_bytes: self.max_token_bytes as usize,
            request_timeout: self.request_timeout,
            requests_per_second: NonZeroU32::new(self.requests_per_second),
            max_connections: self.max_connections as usize,
            keep_alive: self.keep_alive,
            shutdown_grace: self.shutdown_grace,
            workers: self.workers.map(usize::from),
            tls,
        }
    }
}
