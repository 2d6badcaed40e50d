//! `[admin]`: the listener for operators.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::NamedFile;
use super::findings::Findings;
use super::tls::{ListenerTls, TlsTable};
use super::value;
use crate::secret::Secret;

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What requests must bear, or else show a certificate of [`ListenerTls::client_ca`]. One of the two is always there
    /// when the listener is reachable from other machines: purging tokens and reading who talks to whom is not for
    /// everybody on the network.
    pub bearer_token: Option<Secret>,
    /// `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
}

/// The listener for operators.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct AdminTable {
    /// `/live`, `/ready`, `/metrics`, `/api/partners`, `/api/purge`, `/api/reload`.
    #[serde(with = "value::Address")]
    listen: SocketAddr,
    /// What requests for anything but `/live` and `/ready` bear. This or `tls.client_ca_file` is required when
    /// `listen` is not loopback; with both, either will do.
    bearer_token: Option<Secret>,
    /// The same from a file.
    bearer_token_file: Option<NamedFile>,
    /// TLS of this listener; absent: plain HTTP.
    tls: Option<TlsTable>,
}

impl Default for AdminTable {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            bearer_token: None,
            bearer_token_file: None,
            tls: None,
        }
    }
}

impl AdminTable {
    pub(super) fn resolve(self, findings: &mut Findings<'_>) -> Admin {
        let stated = self.bearer_token.is_some()
            || self.bearer_token_file.is_some()
            || findings.is_stated("admin.tls.client_ca_file");
        let bearer_token = findings.secret(
            "admin.bearer_token",
            self.bearer_token.as_ref(),
            self.bearer_token_file.as_ref(),
        );
        findings.demand(
            stated || self.listen.ip().is_loopback(),
            "admin.bearer_token",
            "is missing, while admin.listen is reachable from other machines",
            "state bearer_token_file, or client_ca_file in [admin.tls], or listen on 127.0.0.1",
        );
        if self.tls.is_none() && !self.listen.ip().is_loopback() {
            let remedy = "state [admin.tls], unless nobody else is on that network";
            findings.warn(
                "admin.listen",
                "is plain http, and the bearer token is read by whoever is on the way",
                remedy,
            );
        }
        let tls = self.tls.and_then(|tls| tls.resolve("admin.tls", findings));
        Admin { listen: self.listen, bearer_token, tls }
    }
}
