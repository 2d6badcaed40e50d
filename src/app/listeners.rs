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
use crate::server::{ServerSettings, ServerTls};

/// How clients may authenticate.
const CALLERS_METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
/// A head is a few hundred bytes: whoever needs longer for it is not a client.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Heads are timed by a clock that ticks every half a second: less would cut off clients that did nothing wrong.
const LEAST_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

impl Wiring<'_> {
    pub(super) fn server(&mut self) -> ServerSettings {
        let server = &self.configuration.server;
        let tls = server.tls.as_ref().map(|tls| ServerTls {
            certificate_pem: tls.certificate.text.clone().into_bytes(),
            key_pem: tls.key.content.clone(),
        });
        if let Some(error) = tls.as_ref().and_then(|tls| tls.check().err()) {
            self.problem("server", "server.tls", error, "name a PEM chain, leaf first, and its key");
        }
        ServerSettings {
            listen: server.listen,
            admin_listen: self.configuration.admin.listen,
            tls,
            head_timeout: server.request_timeout.clamp(LEAST_HEAD_TIMEOUT, HEAD_TIMEOUT),
            max_connections: server.max_connections,
            keep_alive: server.keep_alive,
            shutdown_grace: server.shutdown_grace,
            workers: server.workers,
        }
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
        BrokerMetadata {
            issuer: server.issuer.clone(),
            token_endpoint: token_endpoint(server),
            revocation_endpoint: revocation_endpoint(server),
            jwks_uri: format!("{}/jwks", server.issuer.trim_end_matches('/')),
            response_types_supported: Vec::new(),
            grant_types_supported: vec![grant_type::TOKEN_EXCHANGE],
            token_endpoint_auth_methods_supported: CALLERS_METHODS.to_vec(),
            revocation_endpoint_auth_methods_supported: CALLERS_METHODS.to_vec(),
            token_endpoint_auth_signing_alg_values_supported: Algorithm::ALL.map(Algorithm::as_str).to_vec(),
            identity_chaining_requested_token_types_supported: vec![
                token_type::ACCESS_TOKEN,
                token_type::JWT,
            ],
        }
    }
}

pub(super) fn revocation_endpoint(server: &config::Server) -> String {
    format!("{}/revoke", server.issuer.trim_end_matches('/'))
}

pub(super) fn token_endpoint(server: &config::Server) -> String {
    format!("{}{}", server.issuer.trim_end_matches('/'), server.token_path)
}
