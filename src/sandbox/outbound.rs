//! Calls to others: key sets of trusted issuers, and clients that are told of a logout.

use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, redirect};

use super::SandboxError;
use crate::jose::{JoseError, KeySet};

const UNREACHABLE: JoseError = JoseError::Key("the key set cannot be fetched");

/// Who is believed to be the server that is called.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbound {
    /// Instead of the system's.
    roots: Option<Vec<Certificate>>,
}

impl Outbound {
    /// `ca_pem`: CA certificates that are trusted instead of the system's.
    pub(super) fn new(ca_pem: Option<&str>) -> Result<Self, SandboxError> {
        let read = |pem: &str| Certificate::from_pem_bundle(pem.as_bytes());
        let roots = ca_pem.map(read).transpose().map_err(|_| SandboxError::Tls("CA of other servers"))?;
        Ok(Self { roots })
    }

    /// The key set at `url`.
    pub(super) async fn key_set(&self, url: &str) -> Result<KeySet, JoseError> {
        let client = self.client(url).map_err(|_| UNREACHABLE)?;
        let response = client.get(url).send().await.map_err(|_| UNREACHABLE)?;
        KeySet::parse(&response.bytes().await.map_err(|_| UNREACHABLE)?)
    }

    /// Posts a logout token (OpenID Connect Back-Channel Logout 1.0 §2.5); the status of the answer, if there is one.
    pub(super) async fn log_out(&self, url: &str, logout_token: &str) -> Option<u16> {
        let client = self.client(url).ok()?;
        let answer = client.post(url).form(&[("logout_token", logout_token)]).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Without TLS the client does without root certificates, whose loading takes longer than all the rest.
    fn client(&self, url: &str) -> reqwest::Result<Client> {
        let builder = builder().timeout(Duration::from_secs(5)).redirect(redirect::Policy::none()).no_proxy();
        match &self.roots {
            Some(roots) => builder.tls_certs_only(roots.clone()),
            None if url.starts_with("https:") => builder,
            None => builder.tls_certs_only([]),
        }
        .build()
    }
}

#[expect(clippy::disallowed_methods, reason = "the sandbox shares nothing with the broker's HTTP client")]
fn builder() -> ClientBuilder {
    Client::builder()
}
