//! Where an identity server's endpoints are: stated by the operator, or discovered (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use url::Url;

use super::IdmError;
use super::error::{NONE_DISCOVERED, NONE_STATED};
use crate::clock::Clock;
use crate::http::{HttpClient, is_at, is_same_site};
use crate::json::quoted;
use crate::oauth::metadata::{Advertised, IdmMetadata, MtlsEndpointAliases};

/// Metadata changes with releases, not with requests; a repaired document should count soon all the same.
const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// After a failure the next attempt waits this long, so that a dead server is not asked by every request.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What the operator states. A stated endpoint overrides the discovered one.
#[derive(Debug, Clone, Default)]
pub struct EndpointSettings {
    /// The issuer, compared character by character.
    pub issuer: String,
    /// Whether the rest is discovered.
    pub discovery: bool,
    /// RFC 6749 §3.2.
    pub token_endpoint: Option<String>,
    /// RFC 7517.
    pub jwks_uri: Option<String>,
    /// RFC 7662.
    pub introspection_endpoint: Option<String>,
    /// RFC 7009.
    pub revocation_endpoint: Option<String>,
    /// Hosts beside the issuer's site where discovered endpoints may be.
    pub endpoint_hosts: Vec<String>,
    /// Whether we authenticate with a certificate, and so use the `mtls_endpoint_aliases` (RFC 8705 §5).
    pub mutual_tls: bool,
}

/// The endpoints of one server. Discovery happens when first needed, is shared by all who wait for it, and a server
/// that is down keeps what was known, at no cost: nobody waits for a refresh while there is something to go on with.
#[derive(Debug)]
pub struct Endpoints {
    settings: EndpointSettings,
    discovered: Arc<Discovered>,
}

#[derive(Debug)]
struct Discovered {
    issuer: String,
    clock: Clock,
    known: ArcSwapOption<Known>,
    /// When the last attempt failed, and why. Held while one is under way.
    refreshing: Mutex<Option<(Duration, IdmError)>>,
}

#[derive(Debug)]
struct Known {
    metadata: IdmMetadata,
    at: Duration,
}

impl Endpoints {
    /// Nothing is called yet.
    pub fn new(settings: EndpointSettings, clock: Clock) -> Self {
        let (known, refreshing) = (ArcSwapOption::empty(), Mutex::new(None));
        let issuer = settings.issuer.clone();
        Self { settings, discovered: Arc::new(Discovered { issuer, clock, known, refreshing }) }
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether what is not stated is asked of the server.
    pub fn is_discovered(&self) -> bool {
        self.settings.discovery
    }

    /// The token endpoint.
    pub async fn token_endpoint(&self, http: &HttpClient) -> Result<String, IdmError> {
        let stated = self.settings.token_endpoint.as_deref();
        self.find(http, stated, |metadata| {
            let alias = self.aliases(metadata).and_then(|aliases| aliases.token_endpoint.as_ref());
            alias.or(metadata.token_endpoint.as_ref())
        })
        .await
    }

    /// The revocation endpoint.
    pub async fn revocation_endpoint(&self, http: &HttpClient) -> Result<String, IdmError> {
        let stated = self.settings.revocation_endpoint.as_deref();
        self.find(http, stated, |metadata| {
            let alias = self.aliases(metadata).and_then(|aliases| aliases.revocation_endpoint.as_ref());
            alias.or(metadata.revocation_endpoint.as_ref())
        })
        .await
    }

    fn aliases<'m>(&self, metadata: &'m IdmMetadata) -> Option<&'m MtlsEndpointAliases> {
        metadata.mtls_endpoint_aliases.as_ref().filter(|_| self.settings.mutual_tls)
    }

    /// The authorization endpoint (RFC 6749 §3.1), for a client that signs users in.
    pub async fn authorization_endpoint(&self, http: &HttpClient) -> Result<String, IdmError> {
        self.find(http, None, |metadata| metadata.authorization_endpoint.as_ref()).await
    }

    /// The key set's URL.
    pub async fn jwks_uri(&self, http: &HttpClient) -> Result<String, IdmError> {
        self.find(http, self.settings.jwks_uri.as_deref(), |metadata| metadata.jwks_uri.as_ref()).await
    }

    /// The introspection endpoint.
    pub async fn introspection_endpoint(&self, http: &HttpClient) -> Result<String, IdmError> {
        let stated = self.settings.introspection_endpoint.as_deref();
        self.find(http, stated, |metadata| metadata.introspection_endpoint.as_ref()).await
    }

    async fn find(
        &self,
        http: &HttpClient,
        stated: Option<&str>,
        discovered: impl Fn(&IdmMetadata) -> Option<&String>,
    ) -> Result<String, IdmError> {
        if let Some(stated) = stated {
            return Ok(stated.to_owned());
        }
        let known = self.known(http, |metadata| discovered(metadata).is_some()).await?;
        let endpoint = discovered(&known.metadata).ok_or(IdmError::Endpoints(NONE_DISCOVERED.into()))?;
        // A partner's metadata must not make us call, with credentials and tokens, whom it likes (server-side request forgery).
        let (issuer, hosts) = (&self.settings.issuer, &self.settings.endpoint_hosts);
        if !is_same_site(issuer, endpoint) && !is_at(hosts, endpoint) {
            let problem = "discovery names an endpoint on another site than the issuer's; list its host in endpoint_hosts, or state it";
            return Err(IdmError::Endpoints(problem.into()));
        }
        Ok(endpoint.clone())
    }

    /// The metadata, at most a few minutes old; older as long as it is `enough` to go on with.
    async fn known(
        &self,
        http: &HttpClient,
        enough: impl Fn(&IdmMetadata) -> bool,
    ) -> Result<Arc<Known>, IdmError> {
        if !self.settings.discovery {
            return Err(IdmError::Endpoints(NONE_STATED.into()));
        }
        if let Some(known) = self.discovered.fresh() {
            return Ok(known);
        }
        let known = self.discovered.known.load_full().filter(|known| enough(&known.metadata));
        // Somebody holds the lock: a refresh is under way.
        if let Some(known) = &known
            && self.discovered.refreshing.try_lock().is_err()
        {
            return Ok(Arc::clone(known));
        }
        let (discovered, http) = (Arc::clone(&self.discovered), http.clone());
        // A task of its own: a caller that hangs up, or whose deadline passes, must not abort what others wait for, or
        // leave its failure unremembered, so that a server that never answers is asked by every request.
        let refreshed = tokio::spawn(async move { discovered.refresh(&http).await });
        match known {
            Some(known) => Ok(known),
            None => refreshed.await.unwrap_or(Err(IdmError::NoAnswer)),
        }
    }
}

impl Discovered {
    /// One caller asks; the others wait for its result.
    async fn refresh(&self, http: &HttpClient) -> Result<Arc<Known>, IdmError> {
        let mut last_failure = self.refreshing.lock().await;
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let now = self.clock.monotonic();
        if let Some((_, error)) = last_failure.as_ref().filter(|(at, _)| now < *at + RETRY_AFTER) {
            return Err(error.clone());
        }
        match discover(http, &self.issuer).await {
            Ok(Published { metadata, .. }) => {
                let known = Arc::new(Known { metadata, at: now });
                self.known.store(Some(Arc::clone(&known)));
                *last_failure = None;
                Ok(known)
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "discovery failed");
                *last_failure = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    fn fresh(&self) -> Option<Arc<Known>> {
        let now = self.clock.monotonic();
        self.known.load_full().filter(|known| now < known.at + REFRESH_AFTER)
    }
}

/// What an identity server publishes of itself.
#[derive(Debug)]
pub struct Published {
    /// Where.
    pub url: String,
    /// What the broker goes by.
    pub metadata: IdmMetadata,
    /// What it says that it can do: for people to compare with their files.
    pub advertised: Advertised,
}

/// Asks an identity server for its metadata, at both places.
///
/// # Errors
/// There is none, it is of another issuer, or the server is in trouble.
pub async fn discover(http: &HttpClient, issuer: &str) -> Result<Published, IdmError> {
    let mut failure = IdmError::Endpoints("the issuer is not a URL, so discovery is impossible".into());
    for url in well_known(issuer) {
        match metadata(http, &url, issuer).await {
            Ok(published) => return Ok(published),
            // A server in trouble at one place is in trouble: that the other has no document says nothing then.
            Err(_) if failure.is_outage() => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn metadata(http: &HttpClient, url: &str, issuer: &str) -> Result<Published, IdmError> {
    let answer = http.get(url).await?;
    if answer.status != 200 {
        return Err(IdmError::unavailable(&answer).unwrap_or(IdmError::Endpoints(
            "it has no metadata document; state its endpoints in the file".into(),
        )));
    }
    match serde_json::from_slice::<IdmMetadata>(&answer.body) {
        // RFC 8414 §3.3: else another server could answer in its name (mix-up).
        Ok(metadata) if metadata.issuer == issuer => {
            let advertised = Advertised::read(&answer.body);
            Ok(Published { url: url.to_owned(), metadata, advertised })
        }
        Ok(metadata) => {
            let stated = quoted(&metadata.issuer);
            Err(IdmError::Endpoints(format!("its metadata states another issuer: {stated}").into()))
        }
        Err(_) => Err(IdmError::Endpoints("its metadata is not the JSON that RFC 8414 describes".into())),
    }
}

/// The places where metadata is published: OpenID Connect appends, RFC 8414 §3.1 inserts before the path.
fn well_known(issuer: &str) -> Vec<String> {
    let Ok(url) = Url::parse(issuer) else { return Vec::new() };
    if url.host().is_none() {
        return Vec::new();
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let with_path = |path: &str| {
        let mut url = url.clone();
        url.set_path(path);
        url.to_string()
    };
    vec![
        with_path(&format!("{path}/.well-known/openid-configuration")),
        with_path(&format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_both_specifications_put_it() {
        assert_eq!(
            well_known("https://idm.example/realms/a/"),
            [
                "https://idm.example/realms/a/.well-known/openid-configuration",
                "https://idm.example/.well-known/oauth-authorization-server/realms/a",
            ]
        );
        assert!(well_known("IdMS.server.com:9031").is_empty(), "the seeds' issuer is no URL");
    }

    /// What discovery finds when `issuer` names `token_endpoint`, and `tokens.example` is listed.
    async fn named(issuer: &str, token_endpoint: &str) -> Result<String, IdmError> {
        let (clock, _hand) = Clock::manual(crate::clock::Timestamp::from_unix_seconds(0));
        let settings = EndpointSettings {
            issuer: issuer.to_owned(),
            discovery: true,
            endpoint_hosts: vec!["tokens.example".to_owned()],
            ..EndpointSettings::default()
        };
        let endpoints = Endpoints::new(settings, clock);
        let token_endpoint = Some(token_endpoint.to_owned());
        let metadata = IdmMetadata { issuer: issuer.to_owned(), token_endpoint, ..IdmMetadata::default() };
        endpoints.discovered.known.store(Some(Arc::new(Known { metadata, at: Duration::ZERO })));
        let http = HttpClient::new(&crate::http::HttpSettings::default()).unwrap();
        endpoints.token_endpoint(&http).await
    }

    #[tokio::test]
    async fn a_partner_cannot_point_us_at_servers_that_are_not_its_own() {
        let issuer = "https://idm.county.example";
        for endpoint in [
            "https://127.0.0.1:9090/metrics",
            "https://[::ffff:127.0.0.1]:9090/metrics",
            "https://localhost.:9090/metrics",
            "https://169.254.169.254/latest",
            "https://10.0.0.1/admin",
            "https://redis.home.example/token",
            "https://tokens.example.evil.example/token",
        ] {
            let found = named(issuer, endpoint).await;
            assert!(matches!(found, Err(IdmError::Endpoints(_))), "{endpoint}: {found:?}");
        }
        for endpoint in ["https://login.county.example/token", "https://tokens.example/token"] {
            assert_eq!(named(issuer, endpoint).await.as_deref(), Ok(endpoint));
        }
    }
}
