//! The composition root: the only place that turns configuration into wired components.

mod callers;
mod home;
mod inventory;
mod listeners;
mod observer;
mod outbound;
mod partners;
mod policy;
mod probe;
mod reload;
mod storage;
mod traces;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::api::files::{Certificate, FilesRead};
use crate::api::{AdminApi, AdminToken, FormKey, PublicApi, Readiness, ReloadRequests, Reloads, openapi};
use crate::cache::{self, RedisTier, TokenCache};
use crate::client::ClientRegistry;
use crate::clock::Clock;
use crate::config::{Configuration, KeyFile, PartnerFile, Problem, UnusablePartner};
use crate::exchange::{Definitions, Exchange, Parts};
use crate::home::{HomeKeys, RemoteKeys, SecurityTokens, SigningKeys};
use crate::idm::Idm;
use crate::jose::{Algorithm, SigningKey};
use crate::oauth::security_token::SecurityTokenSource;
use crate::partner::PartnerRegistry;
use crate::random::RequestIds;
use crate::server::{self, Running, ServerError, ServerSettings};
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
pub use probe::Probe;

use inventory::{certificates, client_certificate};
use partners::KnownPartners;
use reload::{Reloader, Replaced};

/// A wired broker that does not listen yet.
#[derive(Debug)]
pub struct App {
    server: ServerSettings,
    public: PublicApi,
    admin: AdminApi,
    home_keys: Option<Arc<RemoteKeys>>,
    cache: Arc<TokenCache>,
    audit_file: Option<PathBuf>,
    reloader: Reloader,
    reload_requests: ReloadRequests,
}

impl App {
    /// Wires everything. Calls nobody, so `check` uses it too. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Every key, certificate and address in the configuration that cannot be used, all at once.
    pub fn wire(configuration: &Configuration, clock: &Clock) -> Result<Self, Vec<Problem>> {
        Wiring::new(configuration, clock, Metrics::new()).app()
    }

    /// What of the files cannot be used, of the broker's own and of each partner's. Keys and certificates that are there and
    /// are no good come to light when they are put to use. Calls nobody. Must be called within a tokio runtime.
    pub fn faults(configuration: &Configuration, clock: &Clock) -> (Vec<Problem>, Vec<UnusablePartner>) {
        let mut wiring = Wiring::new(configuration, clock, Metrics::new());
        let components = wiring.components();
        (wiring.problems, components.unusable)
    }

    /// The use case, for who asks it without a listener.
    pub fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.public.exchange)
    }

    /// Listens and serves. Must be called within a tokio runtime.
    pub fn start(mut self) -> Result<Running, ServerError> {
        if let Some(path) = self.audit_file {
            self.public.audit = AuditLog::to_file(&path, self.public.metrics.clone())
                .map_err(|error| ServerError::Audit { path, error })?;
            self.admin.audit = self.public.audit.clone();
        }
        let (exchange, clock) = (Arc::clone(&self.admin.exchange), self.admin.clock.clone());
        let running = server::start(&self.server, self.public, self.admin)?;
        if let Some(keys) = self.home_keys {
            // The first request should not wait for it, and a home IdM that is down must not keep us from starting.
            tokio::spawn(async move { keys.warm_up().await });
        }
        tokio::spawn(observer::observe(Arc::downgrade(&exchange), clock));
        tokio::spawn(cache::listen(Arc::downgrade(&self.cache)));
        tokio::spawn(self.reloader.run(self.reload_requests));
        Ok(running)
    }
}

/// What an app is put together from.
struct Components {
    home_idm: Option<Arc<Idm>>,
    home_keys: Option<HomeKeys>,
    clients: ClientRegistry,
    partners: KnownPartners,
    /// Those whose file cannot be used.
    unusable: Vec<UnusablePartner>,
    redis: Option<RedisTier>,
    server: ServerSettings,
    traces: Traces,
}

/// Wiring in progress: problems are collected, so that an operator sees all of them at once.
struct Wiring<'c> {
    configuration: &'c Configuration,
    clock: &'c Clock,
    metrics: Metrics,
    signing: Vec<SigningKey>,
    problems: Vec<Problem>,
}

impl<'c> Wiring<'c> {
    const fn new(configuration: &'c Configuration, clock: &'c Clock, metrics: Metrics) -> Self {
        Self { configuration, clock, metrics, signing: Vec::new(), problems: Vec::new() }
    }

    /// Everything that can be wrong by itself.
    fn components(&mut self) -> Components {
        self.signing = self.signing_keys();
        let home_idm = self.home_idm();
        let home_keys = home_idm.as_ref().and_then(|idm| self.home_keys(idm));
        let clients = self.clients();
        let (partners, unusable) = self.partners(&KnownPartners::default());
        Components {
            home_idm,
            home_keys,
            clients,
            partners,
            unusable,
            redis: self.redis(),
            server: self.server(),
            traces: self.traces(),
        }
    }

    fn app(mut self) -> Result<App, Vec<Problem>> {
        let Components { home_idm, home_keys: keys, clients, partners, unusable, redis, server, traces } =
            self.components();
        self.problems.extend(unusable.into_iter().flat_map(|partner| partner.problems));
        let (Some(idm), Some(keys), true) = (home_idm, keys, self.problems.is_empty()) else {
            return Err(self.problems);
        };
        let home_keys = match &keys {
            HomeKeys::Remote(keys) => Some(Arc::clone(keys)),
            HomeKeys::Fixed(_) => None,
        };
        let readiness = Readiness::default();
        let cache = Arc::new(TokenCache::new(&self.cache_settings(), redis, self.clock.clone()));
        let parts = Parts {
            definitions: Definitions {
                clients,
                partners: PartnerRegistry::new(partners.all()),
                rules: self.rules(),
            },
            subject_tokens: self.subject_tokens(&idm, keys),
            security_tokens: SecurityTokens::new(idm, SigningKeys::new(&self.signing), self.clock.clone()),
            cache: Arc::clone(&cache),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        };
        let exchange = Arc::new(Exchange::new(parts, self.exchange_settings()));
        let admin = &self.configuration.admin;
        let bearer_token: AdminToken =
            Arc::new(ArcSwapOption::new(self.configuration.admin.bearer_token.clone().map(Arc::new)));
        let listeners = server.certificates();
        let home_certificate =
            self.configuration.home.client.as_ref().and_then(|client| client_certificate("home", client));
        let certificates = certificates(&listeners, home_certificate.as_ref(), &partners);
        self.metrics.started(self.clock.now().unix_millis());
        self.metrics.partner_files(partners.ids().map(|id| (id, true)));
        note_certificates(&self.metrics, &certificates);
        let files = self.files(&partners, &[], Vec::new(), certificates);
        let files: FilesRead = Arc::new(ArcSwap::from_pointee(files));
        let replaced = Replaced {
            files: Arc::clone(&files),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            exchange: Arc::clone(&exchange),
            cache: Arc::clone(&cache),
            partners,
            listeners,
            home_certificate,
            bearer_token: Arc::clone(&bearer_token),
            own_key: self.signing.first().filter(|_| self.configuration.signing.is_empty()).cloned(),
        };
        let (reloads, reload_requests) = Reloads::channel();
        let settings = self.api_settings();
        Ok(App {
            server,
            public: PublicApi {
                document: openapi::of_public_listener(&self.configuration.server.issuer, &settings),
                settings,
                rate: self.rate_limit(),
                exchange: Arc::clone(&exchange),
                logout_tokens: self.logout_tokens(),
                metadata: self.metadata(),
                readiness: readiness.clone(),
                metrics: self.metrics.clone(),
                audit: AuditLog::off(),
                traces,
                request_ids: RequestIds::default(),
                clock: self.clock.clone(),
            },
            admin: AdminApi {
                bearer_token,
                takes_certificates: admin.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
                metrics: self.metrics,
                readiness,
                exchange,
                reloads,
                files,
                form_key: FormKey::default(),
                started: self.clock.now(),
                audit: AuditLog::off(),
                clock: self.clock.clone(),
            },
            home_keys,
            cache,
            audit_file: self.configuration.audit.file.clone(),
            reloader: Reloader::new(self.configuration, replaced),
            reload_requests,
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
        let mints = |file: &PartnerFile| matches!(file.security_token.source, SecurityTokenSource::Mint(_));
        if stated.is_empty() && self.configuration.partners.iter().any(mints) {
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
        let keys = stated.iter().enumerate().filter_map(|(number, stated)| {
            let at = format!("signing.keys[{number}]");
            self.signing_key(&stated.key, stated.algorithm.as_deref(), stated.kid.clone(), &at)
        });
        keys.collect()
    }

    /// The private key in a file that the table `at` names.
    fn signing_key(
        &mut self,
        file: &KeyFile,
        algorithm: Option<&str>,
        kid: Option<String>,
        at: &str,
    ) -> Option<SigningKey> {
        let algorithm = algorithm.and_then(|name| name.parse().ok());
        SigningKey::parse(&file.content, algorithm, kid)
            .map_err(|error| {
                self.problem(&file.path, &format!("{at}.key_file"), error, "make one with `keys generate`");
            })
            .ok()
    }
}

/// Puts the ends of what is shown into the metrics.
fn note_certificates(metrics: &Metrics, certificates: &[Certificate]) {
    let ends = |shown: &Certificate| Some((shown.named_in.clone(), shown.ends?.unix_seconds()));
    metrics.certificates(certificates.iter().filter_map(ends));
}

/// Names that the configuration has checked.
fn algorithms(names: &[String]) -> Vec<Algorithm> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}
