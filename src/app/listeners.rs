//! What the listeners say and how they listen.

use std::time::Duration;

use url::Url;

use super::Wiring;
use crate::api::ApiSettings;
use crate::client::RateLimit;
use crate::config;
use crate::jose::Algorithm;
use crate::oauth::metadata::BrokerMetadata;
use crate::oauth::{grant_type, token_type};
use crate::server::{ListenerTls, ServerSettings, ShownCertificate, TlsError};

/// A head is a few hundred bytes: whoever needs longer for it is not a client.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Heads are timed by a clock that ticks every half a second: less would cut off clients that did nothing wrong.
const LEAST_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

impl Wiring<'_> {
    pub(super) fn server(&mut self) -> ServerSettings {
        let (server, admin) = (&self.configuration.server, &self.configuration.admin);
        ServerSettings {
            listen: server.listen,
            admin_listen: admin.listen,
            tls: self.tls(server.tls.as_ref(), "server"),
            admin_tls: self.tls(admin.tls.as_ref(), "admin"),
            head_timeout: server.request_timeout.clamp(LEAST_HEAD_TIMEOUT, HEAD_TIMEOUT),
            max_connections: server.max_connections,
            keep_alive: server.keep_alive,
            shutdown_grace: server.shutdown_grace,
            workers: server.workers,
        }
    }

    fn tls(&mut self, stated: Option<&config::ListenerTls>, section: &str) -> Option<ListenerTls> {
        let stated = stated?;
        let client_ca_pem = stated.client_ca.as_ref().map(|file| file.text.clone().into_bytes());
        ShownCertificate::new(&stated.certificate.text, &stated.key.content)
            .map(|certificate| ListenerTls { certificate, client_ca_pem })
            .and_then(|tls| tls.check().map(|()| tls))
            .map_err(|error| {
                let remedy = match error {
                    TlsError::Pair => "name a PEM chain, leaf first, and its key",
                    TlsError::ClientCa => {
                        "name a PEM file with the certificates of the CAs, and nothing else"
                    }
                };
                self.problem(section, &format!("{section}.tls"), error, remedy);
            })
            .ok()
    }

    pub(super) fn rate_limit(&self) -> Option<RateLimit> {
        let requests = self.configuration.server.requests_per_second?;
        Some(RateLimit::per_second(requests, self.clock.clone()))
    }

    pub(super) fn api_settings(&self) -> ApiSettings {
        let server = &self.configuration.server;
        let path = Url::parse(&server.issuer).map(|url| url.path().trim_end_matches('/').to_owned());
        ApiSettings {
            token_path: server.token_path.clone(),
            issuer_path: path.unwrap_or_default(),
            max_body_bytes: server.max_body_bytes,
            max_token_bytes: server.max_token_bytes,
            body_timeout: server.request_timeout,
        }
    }

    pub(super) fn metadata(&self) -> BrokerMetadata {
        let server = &self.configuration.server;
        let methods = callers_methods(server);
        let algorithms = Algorithm::ALL.map(Algorithm::as_str).to_vec();
        BrokerMetadata {
            issuer: server.issuer.clone(),
            token_endpoint: token_endpoint(server),
            revocation_endpoint: revocation_endpoint(server),
            jwks_uri: format!("{}/jwks", server.issuer.trim_end_matches('/')),
            response_types_supported: vec!["none"],
            grant_types_supported: vec![grant_type::TOKEN_EXCHANGE],
            token_endpoint_auth_methods_supported: methods.clone(),
            revocation_endpoint_auth_methods_supported: methods,
            token_endpoint_auth_signing_alg_values_supported: algorithms.clone(),
            revocation_endpoint_auth_signing_alg_values_supported: algorithms,
            identity_chaining_requested_token_types_supported: vec![
                token_type::ACCESS_TOKEN,
                token_type::JWT,
            ],
        }
    }
}

/// How clients may authenticate.
fn callers_methods(server: &config::Server) -> Vec<&'static str> {
    let asks_for_certificates = server.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let always = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
    always.into_iter().chain(asks_for_certificates.then_some("tls_client_auth")).collect()
}

pub(super) fn revocation_endpoint(server: &config::Server) -> String {
    format!("{}/revoke", server.issuer.trim_end_matches('/'))
}

pub(super) fn token_endpoint(server: &config::Server) -> String {
    format!("{}{}", server.issuer.trim_end_matches('/'), server.token_path)
}
