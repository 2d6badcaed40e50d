//! The clients that are registered with the IdM (B.3, B.6).

use std::sync::Mutex;

use serde_json::Value;

use super::behaviour::Method;
use super::locked;
use crate::secret::Secret;

/// A registered client.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// How it may authenticate.
    pub methods: Vec<Method>,
    /// Its secret, for `client_secret_basic` and `client_secret_post`.
    pub secret: Option<Secret>,
    /// Its key set, for `private_key_jwt`.
    pub jwks: Option<Value>,
    /// Where authorization codes may go. A loopback address stands for all its ports (RFC 8252 §7.3).
    pub redirect_uris: Vec<String>,
    /// The scopes it may have; empty: every known one.
    pub scopes: Vec<String>,
    /// The grants it may use; empty: all.
    pub grants: Vec<String>,
    /// Where it is told of logouts (OpenID Connect Back-Channel Logout 1.0 §2.2).
    pub backchannel_logout_uri: Option<String>,
}

impl Client {
    fn new(id: &str, methods: &[Method]) -> Self {
        Self {
            id: id.to_owned(),
            methods: methods.to_vec(),
            secret: None,
            jwks: None,
            redirect_uris: Vec::new(),
            scopes: Vec::new(),
            grants: Vec::new(),
            backchannel_logout_uri: None,
        }
    }

    /// A native application without credential, with redirects to any loopback port.
    pub fn public(id: &str) -> Self {
        let redirects = ["http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback"];
        Self { redirect_uris: redirects.map(str::to_owned).into(), ..Self::new(id, &[Method::None]) }
    }

    /// A client with a secret, in the header or in the body.
    pub fn with_secret(id: &str, secret: impl Into<Secret>) -> Self {
        let methods = [Method::ClientSecretBasic, Method::ClientSecretPost];
        Self { secret: Some(secret.into()), ..Self::new(id, &methods) }
    }

    /// A client that signs client assertions with a key of `jwks`.
    pub fn with_keys(id: &str, jwks: Value) -> Self {
        Self { jwks: Some(jwks), ..Self::new(id, &[Method::PrivateKeyJwt]) }
    }

    /// A client that shows a certificate of the listener's client CA (RFC 8705 §2.1, presence only).
    pub fn with_certificate(id: &str) -> Self {
        Self::new(id, &[Method::TlsClientAuth])
    }

    /// `mcptt_client` (public); `mcx-broker` with secret `broker-secret`: the broker at the home IdM; `mcx-home` with
    /// secret `partner-secret`: the broker at the partner IdM.
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::public("mcptt_client"),
            Self::with_secret("mcx-broker", "broker-secret"),
            Self::with_secret("mcx-home", "partner-secret"),
        ]
    }

    /// Whether codes may be sent to `uri`: exact, except for the port of a loopback address.
    pub(super) fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known == uri || same_but_port(known, uri))
    }

    pub(super) fn may_use(&self, grant: &str) -> bool {
        self.grants.is_empty() || self.grants.iter().any(|known| known == grant)
    }

    /// Whether it has no credential at all.
    pub(super) fn is_public(&self) -> bool {
        self.methods == [Method::None]
    }
}

fn same_but_port(known: &str, uri: &str) -> bool {
    let (Ok(mut known), Ok(mut uri)) = (url::Url::parse(known), url::Url::parse(uri)) else { return false };
    let loopback = matches!(known.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    loopback && known.set_port(None).is_ok() && uri.set_port(None).is_ok() && known == uri
}

/// All clients.
pub(super) struct Clients(Mutex<Vec<Client>>);

impl Clients {
    pub(super) fn new(clients: Vec<Client>) -> Self {
        Self(Mutex::new(clients))
    }

    pub(super) fn find(&self, id: &str) -> Option<Client> {
        locked(&self.0).iter().find(|client| client.id == id).cloned()
    }

    /// The clients that are told of logouts, and where.
    pub(super) fn told_of_logouts(&self) -> Vec<(String, String)> {
        let clients = locked(&self.0);
        clients
            .iter()
            .filter_map(|client| Some((client.id.clone(), client.backchannel_logout_uri.clone()?)))
            .collect()
    }

    pub(super) fn add(&self, client: Client) {
        let mut clients = locked(&self.0);
        clients.retain(|known| known.id != client.id);
        clients.push(client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_redirect_may_have_any_port_and_nothing_else() {
        let client = Client::public("app");
        assert!(client.may_redirect_to("http://127.0.0.1:43210/callback"));
        for wrong in
            ["http://127.0.0.1:43210/other", "https://127.0.0.1/callback", "http://evil.example/callback"]
        {
            assert!(!client.may_redirect_to(wrong), "{wrong}");
        }
    }
}
