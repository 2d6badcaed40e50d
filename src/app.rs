//! The composition root: the only file that turns configuration into wired components.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use url::Url;

use crate::api::{AdminApi, ApiSettings, PublicApi, Readiness};
use crate::cache::{CacheSettings, RedisSettings, RedisTier, SealingKeys, TokenCache};
use crate::client::{Client, ClientAuthenticationMethod, ClientRegistry, Names};
use crate::clock::Clock;
use crate::config::{self, Configuration, Problem};
use crate::exchange::Exchange;
use crate::home::{
    HomeKeys, IntrospectionMode, Introspector, NamedIn, RemoteKeys, SecurityTokens, SubjectTokenSettings,
    SubjectTokens,
};
use crate::http::{HttpClient, HttpSettings, SettingsError};
use crate::idm::{
    AssertionAudience, ClientAuthentication, ClientRegistration, EndpointSettings, Endpoints, Idm,
    SecretEncoding,
};
use crate::jose::{Algorithm, KeySet, SigningKey, publish};
use crate::oauth::grant_type;
use crate::oauth::metadata::BrokerMetadata;
use crate::oauth::refusal::RefusalPattern;
use crate::oauth::token_type;
use crate::partner::{Grant, GrantType, Partner, PartnerRegistry, Scopes};
use crate::secret::Secret;
use crate::server::{self, Running, ServerError, ServerSettings, ServerTls};
use crate::telemetry::metrics::Metrics;

/// A wired broker that does not listen yet.
#[derive(Debug)]
pub struct App {
    server: ServerSettings,
    public: PublicApi,
    admin: AdminApi,
    home_keys: Option<Arc<RemoteKeys>>,
}

impl App {
    /// Wires everything. Calls nobody, so `check` uses it too. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Every key, certificate and address in the configuration that cannot be used, all at once.
    pub fn wire(configuration: &Configuration, clock: &Clock) -> Result<Self, Vec<Problem>> {
        Wiring { configuration, clock, metrics: Metrics::new(), signing: Vec::new(), problems: Vec::new() }
            .app()
    }

    /// Listens and serves. Must be called within a tokio runtime.
    pub fn start(self) -> Result<Running, ServerError> {
        let running = server::start(&self.server, self.public, self.admin)?;
        if let Some(keys) = self.home_keys {
            // The first request should not wait for it, and a home IdM that is down must not keep us from starting.
            tokio::spawn(async move { keys.warm_up().await });
        }
        Ok(running)
    }
}

/// Wiring in progress: problems are collected, so that an operator sees all of them at once.
struct Wiring<'c> {
    configuration: &'c Configuration,
    clock: &'c Clock,
    metrics: Metrics,
    signing: Vec<SigningKey>,
    problems: Vec<Problem>,
}

impl Wiring<'_> {
    fn app(mut self) -> Result<App, Vec<Problem>> {
        self.signing = self.signing_keys();
        let home_idm = self.home_idm();
        let keys = home_idm.as_ref().and_then(|idm| self.home_keys(idm));
        let clients = self.clients();
        let partners = self.partners();
        let redis = self.redis();
        let server = self.server();
        let (Some(idm), Some(keys), true) = (home_idm, keys, self.problems.is_empty()) else {
            return Err(self.problems);
        };
        let home_keys = match &keys {
            HomeKeys::Remote(keys) => Some(Arc::clone(keys)),
            HomeKeys::Fixed(_) => None,
        };
        let jwks = publish(&self.signing);
        let exchange = Arc::new(Exchange {
            clients,
            subject_tokens: self.subject_tokens(&idm, keys),
            security_tokens: SecurityTokens::new(idm, self.signing.first().cloned(), self.clock.clone()),
            partners: Arc::new(PartnerRegistry::new(partners)),
            cache: TokenCache::new(self.cache_settings(), redis, self.clock.clone()),
            timeout: self.configuration.server.request_timeout,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        });
        Ok(App {
            server,
            public: PublicApi {
                settings: self.api_settings(),
                exchange: Arc::clone(&exchange),
                metadata: self.metadata(),
                jwks,
                metrics: self.metrics.clone(),
                clock: self.clock.clone(),
            },
            admin: AdminApi {
                bearer_token: self.configuration.admin.bearer_token.clone(),
                metrics: self.metrics,
                readiness: Readiness::default(),
                exchange,
            },
            home_keys,
        })
    }

    fn problem(&mut self, file: impl AsRef<Path>, key: &str, problem: impl Display, remedy: &str) {
        self.problems.push(Problem {
            file: file.as_ref().display().to_string(),
            key: key.to_owned(),
            problem: problem.to_string(),
            remedy: remedy.to_owned(),
        });
    }

    fn signing_keys(&mut self) -> Vec<SigningKey> {
        let stated = &self.configuration.signing;
        if stated.is_empty() {
            tracing::warn!(
                "no [signing] keys: a key of this process's own is used; partners must fetch /jwks again after a restart"
            );
            return match SigningKey::generate(Algorithm::Rs256) {
                Ok(key) => vec![key],
                Err(error) => {
                    self.problem("signing", "keys", error, "state a key file");
                    Vec::new()
                }
            };
        }
        stated
            .iter()
            .enumerate()
            .filter_map(|(number, stated)| {
                let algorithm = stated.algorithm.as_deref().and_then(|text| text.parse().ok());
                SigningKey::parse(&stated.key.content, algorithm, stated.kid.clone())
                    .map_err(|error| {
                        let key = format!("signing.keys[{number}].key_file");
                        self.problem(&stated.key.path, &key, error, "make one with `keys generate`");
                    })
                    .ok()
            })
            .collect()
    }

    fn home_idm(&mut self) -> Option<Arc<Idm>> {
        let home = &self.configuration.home;
        let registration = match &home.client {
            None => None,
            Some(stated) => Some(self.registration(stated, "home.client")?),
        };
        let http = self.http(&home.connection, home.client.as_ref(), "home")?;
        let endpoints = EndpointSettings {
            issuer: home.issuer.clone(),
            discovery: home.discovery,
            token_endpoint: home.token_endpoint.clone(),
            jwks_uri: home.jwks_uri.clone(),
            introspection_endpoint: home.introspection_endpoint.clone(),
            mutual_tls: uses_mutual_tls(home.client.as_ref()),
        };
        let endpoints = Endpoints::new(endpoints, self.clock.clone());
        Some(Arc::new(Idm::new(endpoints, registration, http, self.clock.clone())))
    }

    fn home_keys(&mut self, idm: &Arc<Idm>) -> Option<HomeKeys> {
        let home = &self.configuration.home;
        let Some(file) = &home.jwks else {
            let (cooldown, interval) = (home.key_refresh_cooldown, home.key_refresh_interval);
            return Some(HomeKeys::Remote(RemoteKeys::new(
                Arc::clone(idm),
                self.clock.clone(),
                cooldown,
                interval,
            )));
        };
        match KeySet::parse(file.text.as_bytes()) {
            Ok(keys) => Some(HomeKeys::Fixed(keys)),
            Err(error) => {
                self.problem(&file.path, "home.jwks_file", error, "name the home IdM's JWK set");
                None
            }
        }
    }

    fn subject_tokens(&self, idm: &Arc<Idm>, keys: HomeKeys) -> SubjectTokens {
        let home = &self.configuration.home;
        let broker = home.client.as_ref().map(|client| client.id.clone()).unwrap_or_default();
        let places = home.broker_named_in.iter().map(|place| match place {
            config::BrokerNamedIn::Aud => NamedIn::Audience,
            config::BrokerNamedIn::Azp => NamedIn::AuthorizedParty,
            config::BrokerNamedIn::MayAct => NamedIn::MayAct,
        });
        let settings = SubjectTokenSettings {
            issuer: home.issuer.clone(),
            audiences: home.audience.clone(),
            algorithms: algorithms(&home.algorithms),
            leeway: home.leeway,
            types: home.typ.clone(),
            subject_claims: home.subject_claims.clone(),
            client_id_claims: home.client_id_claims.clone(),
            required_claims: home.required_claims.clone(),
            max_lifetime: home.max_token_lifetime,
            broker_named_in: (broker, places.collect()),
        };
        let mode = match home.introspection {
            config::Introspection::Never => None,
            config::Introspection::Opaque => Some(IntrospectionMode::Opaque),
            config::Introspection::Always => Some(IntrospectionMode::Always),
        };
        let introspector = mode.map(|mode| {
            Introspector::new(Arc::clone(idm), mode, home.introspection_cache, self.clock.clone())
        });
        SubjectTokens::new(settings, keys, introspector, self.clock.clone())
    }

    fn registration(&mut self, stated: &config::Registration, at: &str) -> Option<ClientRegistration> {
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

    fn assertion_key(&mut self, assertion: &config::ClientAssertion, at: &str) -> Option<SigningKey> {
        let Some(file) = &assertion.key else {
            return self.signing.first().cloned();
        };
        let algorithm = assertion.algorithm.as_deref().and_then(|text| text.parse().ok());
        SigningKey::parse(&file.content, algorithm, assertion.key_id.clone())
            .map_err(|error| {
                let key = format!("{at}.key_file");
                self.problem(&file.path, &key, error, "make one with `keys generate`");
            })
            .ok()
    }

    fn http(
        &mut self,
        connection: &config::Connection,
        registration: Option<&config::Registration>,
        at: &str,
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

    fn clients(&mut self) -> ClientRegistry {
        let server = &self.configuration.server;
        let audiences = vec![server.issuer.clone(), token_endpoint(server)];
        let clients: Vec<_> =
            self.configuration.clients.iter().filter_map(|stated| self.client(stated)).collect();
        ClientRegistry::new(clients, audiences, self.clock.clone())
    }

    fn client(&mut self, stated: &config::Client) -> Option<Client> {
        let authentication = match &stated.authentication {
            config::CallerAuthentication::None => ClientAuthenticationMethod::None,
            config::CallerAuthentication::ClientSecretBasic(secret) => {
                ClientAuthenticationMethod::SecretBasic(secret.clone())
            }
            config::CallerAuthentication::ClientSecretPost(secret) => {
                ClientAuthenticationMethod::SecretPost(secret.clone())
            }
            config::CallerAuthentication::PrivateKeyJwt { jwks, algorithms: accepted } => {
                match KeySet::parse(jwks.text.as_bytes()) {
                    Ok(keys) => {
                        ClientAuthenticationMethod::PrivateKeyJwt { keys, algorithms: algorithms(accepted) }
                    }
                    Err(error) => {
                        self.problem(&jwks.path, "clients.jwks_file", error, "name the client's JWK set");
                        return None;
                    }
                }
            }
        };
        Some(Client {
            id: stated.id.clone(),
            authentication,
            partners: names(&stated.partners),
            scopes: stated.scopes.clone(),
            subject_clients: names(&stated.subject_clients),
        })
    }

    fn partners(&mut self) -> Vec<Partner> {
        self.configuration.partners.iter().filter_map(|file| self.partner(file)).collect()
    }

    fn partner(&mut self, file: &config::PartnerFile) -> Option<Partner> {
        let at = file.path.display().to_string();
        let registration = self.registration(&file.client, &format!("{at}: client"))?;
        let http = self.http(&file.connection, Some(&file.client), &at)?;
        let endpoints = EndpointSettings {
            issuer: file.idm.issuer.clone(),
            discovery: file.idm.discovery,
            token_endpoint: file.idm.token_endpoint.clone(),
            mutual_tls: uses_mutual_tls(Some(&file.client)),
            ..EndpointSettings::default()
        };
        let endpoints = Endpoints::new(endpoints, self.clock.clone());
        Some(Partner {
            id: file.id.clone(),
            epoch: file.epoch,
            enabled: file.enabled,
            resource: file.resource.clone(),
            domains: file.domains.clone(),
            idm: Idm::new(endpoints, Some(registration), http, self.clock.clone()),
            security_token: file.security_token.source.clone(),
            demands: file.security_token.demands.clone(),
            grant: grant(&file.grant, file.client.forward_client_id),
            scopes: Scopes {
                allowed: file.scopes.allowed.clone(),
                default: file.scopes.default.clone(),
                map: file.scopes.map.clone().into_iter().collect(),
            },
        })
    }

    fn cache_settings(&self) -> CacheSettings {
        let cache = &self.configuration.cache;
        CacheSettings {
            memory_bytes: cache.memory_bytes,
            memory_max_age: cache.memory_max_age,
            margin: cache.margin,
            max_lifetime: cache.max_lifetime,
        }
    }

    fn redis(&mut self) -> Option<RedisTier> {
        let cache = &self.configuration.cache;
        let redis = cache.redis.as_ref()?;
        if cache.sealing_keys.is_empty() {
            tracing::warn!(
                "no cache.sealing_key_files: entries are sealed with a key of this process's own; other replicas, and this one after a restart, cannot read them"
            );
        }
        let keys: Vec<_> = cache.sealing_keys.iter().map(config::SealingKey::as_bytes).collect();
        let settings = RedisSettings {
            url: Secret::from(redis.url.as_str()),
            password: redis.password.clone(),
            ca_pem: redis.ca.as_ref().map(|file| file.text.clone().into_bytes()),
            timeout: redis.timeout,
        };
        let keys = match SealingKeys::new(&keys) {
            Ok(keys) => keys,
            Err(error) => {
                self.problem("cache", "cache.sealing_key_files", error, "write 32 random bytes");
                return None;
            }
        };
        match RedisTier::new(settings, keys, self.clock.clone(), self.metrics.clone()) {
            Ok(tier) => Some(tier),
            Err(error) => {
                self.problem("cache", "cache.redis", error, "correct the URL or the CA file");
                None
            }
        }
    }

    fn server(&mut self) -> ServerSettings {
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
            shutdown_grace: server.shutdown_grace,
            workers: server.workers,
        }
    }

    fn api_settings(&self) -> ApiSettings {
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

    fn metadata(&self) -> BrokerMetadata {
        let server = &self.configuration.server;
        BrokerMetadata {
            issuer: server.issuer.clone(),
            token_endpoint: token_endpoint(server),
            jwks_uri: format!("{}/jwks", server.issuer.trim_end_matches('/')),
            response_types_supported: Vec::new(),
            grant_types_supported: vec![grant_type::TOKEN_EXCHANGE],
            token_endpoint_auth_methods_supported: vec![
                "none",
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
            ],
            token_endpoint_auth_signing_alg_values_supported: Algorithm::ALL.map(Algorithm::as_str).to_vec(),
            identity_chaining_requested_token_types_supported: vec![
                token_type::ACCESS_TOKEN,
                token_type::JWT,
            ],
        }
    }
}

fn token_endpoint(server: &config::Server) -> String {
    format!("{}{}", server.issuer.trim_end_matches('/'), server.token_path)
}

fn uses_mutual_tls(registration: Option<&config::Registration>) -> bool {
    registration.is_some_and(|registration| {
        matches!(registration.authentication, config::Authentication::TlsClientAuth { .. })
    })
}

/// Names that the configuration has checked.
fn algorithms(names: &[String]) -> Vec<Algorithm> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

fn names(selection: &config::Selection) -> Names {
    match selection {
        config::Selection::All => Names::All,
        config::Selection::Only(names) => Names::Only(names.iter().cloned().collect()),
    }
}

fn grant(stated: &config::Grant, forward_client_id: bool) -> Grant {
    let patterns = |texts: &[String]| texts.iter().map(|text| RefusalPattern::parse(text)).collect();
    Grant {
        kind: match stated.kind {
            config::GrantKind::JwtBearer => GrantType::JwtBearer,
            config::GrantKind::TokenExchange => GrantType::TokenExchange,
        },
        scope: stated.scope.clone(),
        subject_token_type: stated.subject_token_type.clone(),
        requested_token_type: stated.requested_token_type.clone(),
        audience: stated.audience.clone(),
        resource: stated.resource.clone(),
        parameters: stated.parameters.clone(),
        forward_client_id,
        assumed_lifetime: stated.assumed_lifetime,
        max_lifetime: stated.max_lifetime,
        tolerated_scopes: stated.tolerated_scopes.clone(),
        token_types: stated.token_types.clone(),
        user_refusals: patterns(&stated.user_refusals),
        credential_refusals: patterns(&stated.credential_refusals),
        forward_refresh_token: stated.forward_refresh_token,
        forward_id_token: stated.forward_id_token,
    }
}
