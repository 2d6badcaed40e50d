//! Our connections to identity servers and our registrations there.

use super::Wiring;
use crate::config;
use crate::http::{HttpClient, HttpSettings, SettingsError};
use crate::idm::{
    AssertionAudience, BreakerSettings, BulkheadSettings, ClientAuthentication, ClientRegistration, Guard,
    GuardSettings, SecretEncoding,
};
use crate::jose::SigningKey;
use crate::secret::Secret;

impl Wiring<'_> {
    pub(super) fn registration(
        &mut self,
        stated: &config::Registration,
        at: &str,
    ) -> Option<ClientRegistration> {
        let authentication = match &stated.authentication {
            config::Authentication::None => ClientAuthentication::None,
            config::Authentication::ClientSecretBasic { secret, encoding } => {
                ClientAuthentication::SecretBasic {
                    secret: secret.clone(),
                    encoding: match encoding {
                        config::CredentialsEncoding::Form => SecretEncoding::Form,
                        config::CredentialsEncoding::Raw => SecretEncoding::Raw,
                    },
                }
            }
            config::Authentication::ClientSecretPost { secret } => {
                ClientAuthentication::SecretPost { secret: secret.clone() }
            }
            config::Authentication::PrivateKeyJwt(assertion) => ClientAuthentication::PrivateKeyJwt {
                key: Box::new(self.assertion_key(assertion, at)?),
                audience: match &assertion.audience {
                    config::AssertionAudience::Issuer => AssertionAudience::Issuer,
                    config::AssertionAudience::TokenEndpoint => AssertionAudience::TokenEndpoint,
                    config::AssertionAudience::Literal(value) => AssertionAudience::Value(value.clone()),
                },
                typ: assertion.typ.clone(),
                lifetime: assertion.lifetime,
            },
            config::Authentication::TlsClientAuth { .. } => ClientAuthentication::TlsClientAuth,
        };
        Some(ClientRegistration {
            id: stated.id.clone(),
            authentication,
            id_in_body: stated.client_id_in_body,
        })
    }

    pub(super) fn assertion_key(
        &mut self,
        assertion: &config::ClientAssertion,
        at: &str,
    ) -> Option<SigningKey> {
        let Some(file) = &assertion.key else {
            return self.signing.first().cloned();
        };
        self.signing_key(file, assertion.algorithm.as_deref(), assertion.key_id.clone(), at)
    }

    pub(super) fn http(
        &mut self,
        connection: &config::Connection,
        registration: Option<&config::Registration>,
        at: &str,
        tells_trace: bool,
    ) -> Option<HttpClient> {
        let identity = registration.and_then(|registration| match &registration.authentication {
            config::Authentication::TlsClientAuth { certificate, key } => Some((certificate, key)),
            _ => None,
        });
        let settings = HttpSettings {
            connect_timeout: connection.connect_timeout,
            timeout: connection.timeout,
            max_response_bytes: connection.max_response_bytes,
            ca_pem: connection.ca.as_ref().map(|file| file.text.clone().into_bytes()),
            identity_pem: identity.map(|(certificate, key)| {
                Secret::from(format!("{}\n{}", certificate.text, key.content.expose()))
            }),
            allow_http: connection.allow_http,
            tells_trace,
        };
        match HttpClient::new(&settings) {
            Ok(client) => Some(client),
            Err(error) => {
                let (key, remedy) = match error {
                    SettingsError::Ca => ("connection.ca_file", "name a file of PEM certificates"),
                    SettingsError::Identity => {
                        ("client.certificate_file", "name a PEM chain and the PKCS#8 key that belongs to it")
                    }
                    SettingsError::Tls => ("connection", "check the certificates"),
                };
                self.problem(at, key, error, remedy);
                None
            }
        }
    }
}

impl Wiring<'_> {
    /// `name`: the partner's id; of the home IdM, which all share, one that no partner can have.
    pub(super) fn guard(&self, name: &str, connection: &config::Connection, is_shared: bool) -> Guard {
        let settings = GuardSettings {
            bulkhead: BulkheadSettings {
                max_in_flight: connection.max_in_flight,
                max_queued: connection.max_queued,
            },
            breaker: BreakerSettings {
                failures: connection.breaker_failures,
                pause: connection.breaker_pause,
            },
            retries: connection.retries,
            is_shared,
        };
        Guard::new(name, settings, self.clock.clone(), &self.metrics)
    }
}

pub(super) fn uses_mutual_tls(registration: Option<&config::Registration>) -> bool {
    registration.is_some_and(|registration| {
        matches!(registration.authentication, config::Authentication::TlsClientAuth { .. })
    })
}
