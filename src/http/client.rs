//! One HTTP client per peer: own trust roots, own connections, own limits.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, RequestBuilder};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::reach::ConnectFault;
use super::resolver::Resolver;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::telemetry::traces;

/// How often an HTTP/2 connection is asked whether it lives.
const HTTP2_PING: Duration = Duration::from_secs(3);
/// A longer `Retry-After` is nonsense, and must not overflow what it is added to.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// Limits and trust of one peer.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// TCP and TLS set-up.
    pub connect_timeout: Duration,
    /// One call as a whole, from connecting to the last byte of the body.
    pub timeout: Duration,
    /// A larger body is cut off and refused: it could be endless.
    pub max_response_bytes: usize,
    /// PEM certificates trusted instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// PEM client certificate chain and private key (RFC 8705).
    pub identity_pem: Option<Secret>,
    /// Whether plain HTTP beyond loopback is allowed: tokens then cross the network readable.
    pub allow_http: bool,
    /// Whether the peer is told which trace a call belongs to (W3C Trace Context).
    pub tells_trace: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(5),
            max_response_bytes: 256 * 1024,
            ca_pem: None,
            identity_pem: None,
            allow_http: false,
            tells_trace: false,
        }
    }
}

/// Settings that no client can be made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The CA file has no certificate, or a malformed one.
    #[error("the CA file is not PEM certificates")]
    Ca,
    /// Client certificate and key do not parse or do not belong together.
    #[error("the client certificate and its key are not usable PEM")]
    Identity,
    /// The TLS library refused.
    #[error("TLS cannot be set up")]
    Tls,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The URL cannot be called at all.
    #[error("the URL is not https (or http to loopback)")]
    Url,
    /// No connection: refused, no such host, TLS not trusted. Nothing was sent.
    #[error("no connection could be made: {0}")]
    Connect(ConnectFault),
    /// The deadline passed. The request may have been processed.
    #[error("no complete answer within the deadline")]
    Timeout,
    /// The connection broke or the peer does not speak HTTP. The request may have been processed.
    #[error("the connection broke before the answer was complete")]
    Broken,
    /// A body beyond the limit.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// A redirect: following it would carry credentials and tokens to an address that nobody configured.
    #[error("the answer is a redirect, which is not followed")]
    Redirect,
}

/// What came back.
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// `Retry-After` (RFC 9110 §10.2.3), a day at most.
    pub retry_after: Option<Duration>,
    /// `Date` (RFC 9110 §6.6.1): the server's clock, in seconds.
    pub date: Option<Timestamp>,
    /// The whole body; may hold tokens, so it is wiped.
    pub body: Zeroizing<Vec<u8>>,
}

/// A client for one peer.
#[derive(Clone)]
pub struct HttpClient {
    client: Client,
    max_response_bytes: usize,
    allow_http: bool,
    /// For a look at how the server is reached.
    pub(super) ca_pem: Option<Arc<[u8]>>,
    pub(super) limit: Duration,
    tells_trace: bool,
    /// Where calls and their connections live. Not the worker that a request came to: a connection is shared by all of them,
    /// and one that has no clients left is the first to end when the broker stops.
    runtime: Option<Handle>,
}

impl HttpClient {
    /// Builds the client. Its calls run on the runtime that this is called on, or, on none, on that of the caller.
    #[expect(clippy::disallowed_methods, reason = "the one place that builds HTTP clients")]
    pub fn new(settings: &HttpSettings) -> Result<Self, SettingsError> {
        let mut builder = Client::builder()
            .user_agent(concat!("mcx-token-broker/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // A retry could replay an assertion: who wants another try asks for another assertion.
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver::default()))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            // A request that times out does not end its HTTP/2 connection, and one that nobody answers on any more would be
            // used for ever: the server is well, and looks as if it were not.
            .http2_keep_alive_interval(HTTP2_PING)
            .http2_keep_alive_timeout(settings.timeout.min(HTTP2_PING))
            .http2_keep_alive_while_idle(true)
            .tls_certs_only(roots(settings.ca_pem.as_deref())?);
        if let Some(pem) = &settings.identity_pem {
            let identity =
                Identity::from_pem(pem.expose().as_bytes()).map_err(|_| SettingsError::Identity)?;
            builder = builder.identity(identity);
        }
        let with_identity = settings.identity_pem.is_some();
        let client = builder
            .build()
            .map_err(|_| if with_identity { SettingsError::Identity } else { SettingsError::Tls })?;
        Ok(Self {
            client,
            max_response_bytes: settings.max_response_bytes,
            allow_http: settings.allow_http,
            ca_pem: settings.ca_pem.as_deref().map(Arc::from),
            limit: settings.connect_timeout,
            tells_trace: settings.tells_trace,
            runtime: Handle::try_current().ok(),
        })
    }

    /// `GET`, for metadata and key sets.
    pub async fn get(&self, url: &str) -> Result<Answer, HttpError> {
        let url = self.admissible(url)?;
        self.send(self.client.get(url)).await
    }

    /// `POST` of a form-encoded body, optionally with an `Authorization` header.
    pub async fn post_form(
        &self,
        url: &str,
        body: Zeroizing<String>,
        authorization: Option<&Secret>,
    ) -> Result<Answer, HttpError> {
        let body = body.as_bytes().to_vec();
        self.post(url, "application/x-www-form-urlencoded", body, authorization).await
    }

    /// `POST` of any body.
    pub(super) async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: Vec<u8>,
        authorization: Option<&Secret>,
    ) -> Result<Answer, HttpError> {
        let url = self.admissible(url)?;
        let mut request = self.client.post(url).header(CONTENT_TYPE, content_type).body(body);
        if let Some(value) = authorization {
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| HttpError::Broken)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        self.send(request).await
    }

    pub(super) fn admissible(&self, url: &str) -> Result<Url, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::Url)?;
        let secure =
            url.scheme() == "https" || (url.scheme() == "http" && (self.allow_http || is_loopback(&url)));
        if secure { Ok(url) } else { Err(HttpError::Url) }
    }

    /// Given up, the call ends.
    async fn send(&self, mut request: RequestBuilder) -> Result<Answer, HttpError> {
        if self.tells_trace {
            for (name, value) in traces::outgoing() {
                request = request.header(name, value);
            }
        }
        let runtime = self.runtime.clone().unwrap_or_else(Handle::current);
        let mut calls = JoinSet::new();
        calls.spawn_on(call(request, self.max_response_bytes), &runtime);
        // It is there, and ends otherwise only when the process does.
        calls.join_next().await.and_then(Result::ok).unwrap_or(Err(HttpError::Broken))
    }
}

async fn call(request: RequestBuilder, max_response_bytes: usize) -> Result<Answer, HttpError> {
    let mut response =
        request.header(ACCEPT, "application/json").send().await.map_err(|error| classify(&error))?;
    if response.status().is_redirection() {
        return Err(HttpError::Redirect);
    }
    let (retry_after, date) = (retry_after(response.headers()), date(response.headers()));
    let mut body = Zeroizing::new(Vec::with_capacity(2048));
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > max_response_bytes {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), retry_after, date, body })
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).ok()?))
}

/// Both forms; a date counts from the answer's own `Date`, whatever our clock says.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let asked = text(RETRY_AFTER)?;
    let wait = match asked.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let [until, now] = [asked, text(DATE)?].map(|date| httpdate::parse_http_date(date).ok());
            until?.duration_since(now?).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HttpClient")
    }
}

fn classify(error: &reqwest::Error) -> HttpError {
    if error.is_connect() {
        HttpError::Connect(ConnectFault::of(error))
    } else if error.is_timeout() {
        HttpError::Timeout
    } else {
        HttpError::Broken
    }
}

/// The system's certificates, those aside that the TLS library does not take: one odd one must not keep us from starting.
static SYSTEM_ROOTS: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    let usable = |der: &CertificateDer<'static>| RootCertStore::empty().add(der.clone()).is_ok();
    system_roots()
        .iter()
        .filter(|der| usable(der))
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect()
});

pub(super) fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// The stated CA, or the system's. A machine without any (a bare container) still talks to loopback.
fn roots(ca_pem: Option<&[u8]>) -> Result<Vec<Certificate>, SettingsError> {
    let Some(pem) = ca_pem else { return Ok(SYSTEM_ROOTS.clone()) };
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(SettingsError::Ca),
    }
}

/// Whether `url` may lead to this machine or to what only its own link reaches (the metadata service of a cloud), in
/// whatever spelling: `0.0.0.0`, `[::ffff:127.0.0.1]` and `localhost.` are loopback to the system. For refusing what a
/// stranger names; [`HttpClient`] lets plain HTTP go to far fewer. A host name that resolves to such an address passes.
pub fn leads_to_this_machine(url: &str) -> bool {
    let local =
        |address: Ipv4Addr| address.is_loopback() || address.is_unspecified() || address.is_link_local();
    let Ok(url) = Url::parse(url) else { return false };
    match url.host() {
        Some(Host::Ipv4(address)) => local(address),
        Some(Host::Ipv6(address)) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some_and(local)
        }
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_loopback_only() {
        let client = HttpClient::new(&HttpSettings::default()).unwrap();
        for url in ["https://idm.example/token", "http://127.0.0.1:1/x", "http://[::1]/", "http://localhost/"]
        {
            assert!(client.admissible(url).is_ok(), "{url}");
        }
        for url in [
            "http://idm.example/",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "token",
            "",
        ] {
            assert_eq!(client.admissible(url), Err(HttpError::Url), "{url}");
        }
    }

    #[test]
    fn this_machine_is_known_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0",
            "0.0.0.0",
            "169.254.169.254",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:0.0.0.0]",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "idm.localhost",
        ] {
            assert!(leads_to_this_machine(&format!("https://{host}:8443/token")), "{host}");
        }
        for host in ["idm.example", "10.0.0.1", "[2001:db8::1]", "[::ffff:192.0.2.1]", "localhost.example"] {
            assert!(!leads_to_this_machine(&format!("https://{host}/token")), "{host}");
        }
        assert!(!leads_to_this_machine("IdMS.server.com:9031"), "the seeds' issuer is no URL");
    }

    #[test]
    fn how_long_a_server_asks_to_be_left_alone() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (retry_after, now, expected) in [
            ("7", None, seconds(7)),
            ("99999999999", None, seconds(86_400)),
            ("-1", None, None),
            ("soon", None, None),
            (date, None, None),
            (date, Some("Wed, 21 Oct 2026 07:27:30 GMT"), seconds(30)),
            (date, Some("Wed, 21 Oct 2026 07:29:00 GMT"), seconds(0)),
            (date, Some("yesterday"), None),
            ("Wed, 21 Oct 2099 07:28:00 GMT", Some(date), seconds(86_400)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
            if let Some(now) = now {
                headers.insert(DATE, HeaderValue::from_static(now));
            }
            assert_eq!(super::retry_after(&headers), expected, "{retry_after} {now:?}");
        }
    }

    #[test]
    fn unusable_settings_are_named() {
        let ca = HttpSettings { ca_pem: Some(b"nonsense".to_vec()), ..HttpSettings::default() };
        assert_eq!(HttpClient::new(&ca).err(), Some(SettingsError::Ca));
        let identity =
            HttpSettings { identity_pem: Some(Secret::from("nonsense")), ..HttpSettings::default() };
        assert_eq!(HttpClient::new(&identity).err(), Some(SettingsError::Identity));
    }
}
