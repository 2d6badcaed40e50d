//! HTTP in. One file per endpoint; each parses and renders, and decides nothing.

pub mod admin;
pub mod body;
pub mod connection;
pub mod error;
pub mod files;
pub mod health;
pub mod jwks;
pub mod logout;
pub mod metadata;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod partners;
pub mod purge;
pub mod reload;
pub mod revoke;
pub mod status;
pub mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route};
use arc_swap::ArcSwapOption;

use connection::Busy;
pub use connection::{Connection, Ticks};
use error::TokenError;
use files::FilesRead;
pub use page::FormKey;
pub use reload::{ReloadReport, ReloadRequests, Reloads};

use crate::client::RateLimit;
use crate::clock::{Clock, Timestamp};
use crate::exchange::{Attempt, Exchange};
use crate::home::LogoutTokens;
use crate::oauth::metadata::BrokerMetadata;
use crate::random::{self, RequestIds};
use crate::secret::Secret;
use crate::telemetry::audit::{AuditLog, AuditRecord};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// Where the public endpoints are and how much they read.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Path of `POST /token`; the specification's example is `/as/token.oauth2`.
    pub token_path: String,
    /// Path of the issuer, appended to the metadata's well-known path (RFC 8414 §3.1); empty for most.
    pub issuer_path: String,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Largest subject token.
    pub max_token_bytes: usize,
    /// A body that takes longer to arrive is cut off.
    pub body_timeout: Duration,
}

/// What the public endpoints need.
#[derive(Debug)]
pub struct PublicApi {
    /// Paths and limits.
    pub settings: ApiSettings,
    /// How often all may ask together; `None`: as often as they like.
    pub rate: Option<RateLimit>,
    /// The use case.
    pub exchange: Arc<Exchange>,
    /// Who may sign users out.
    pub logout_tokens: LogoutTokens,
    /// RFC 8414 document.
    pub metadata: BrokerMetadata,
    /// The OpenAPI document of the listener.
    pub document: Bytes,
    /// Whether new requests are still taken.
    pub readiness: Readiness,
    /// Outcomes.
    pub metrics: Metrics,
    /// Decisions.
    pub audit: AuditLog,
    /// Where requests are followed to.
    pub traces: Traces,
    /// Numbers of requests.
    pub request_ids: RequestIds,
    /// Time.
    pub clock: Clock,
}

impl PublicApi {
    /// Counts a request, before anything is read of it: what nobody can serve must not cost those who are served.
    ///
    /// # Errors
    /// There were too many.
    fn admit(&self) -> Result<(), TokenError> {
        self.rate.as_ref().map_or(Ok(()), RateLimit::admit).map_err(TokenError::TooManyRequests)
    }
}

/// The admin listener's bearer token, which may be replaced.
pub type AdminToken = Arc<ArcSwapOption<Secret>>;

/// What the admin endpoints need.
#[derive(Debug)]
pub struct AdminApi {
    /// Demanded as a bearer token when set, unless a certificate is shown.
    pub bearer_token: AdminToken,
    /// Whether client certificates are asked for: one is demanded, unless the bearer token is there.
    pub takes_certificates: bool,
    /// Everything that is measured.
    pub metrics: Metrics,
    /// Whether new requests are still taken.
    pub readiness: Readiness,
    /// What is degraded, for people: the broker serves all the same.
    pub exchange: Arc<Exchange>,
    /// Has the files read again.
    pub reloads: Reloads,
    /// What came of reading them.
    pub files: FilesRead,
    /// Makes the tokens of the status page's forms.
    pub form_key: FormKey,
    /// When the broker began.
    pub started: Timestamp,
    /// What operators take away.
    pub audit: AuditLog,
    /// Time.
    pub clock: Clock,
}

/// Whether the broker takes requests: from when it listens until it is told to stop.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Requests are taken, or no longer.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether requests are taken.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Where a server's metadata is, before the path of its issuer (RFC 8414 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// The public listener's routes.
pub fn public(api: &web::Data<PublicApi>, config: &mut ServiceConfig) {
    let settings = &api.settings;
    let well_known = format!("{WELL_KNOWN}{}", settings.issuer_path);
    config
        .app_data(api.clone())
        .service(
            web::resource(settings.token_path.clone())
                .route(web::post().to(token::post))
                .default_service(web::to(token::other_method)),
        )
        .service(only(&well_known, web::get().to(metadata::get)))
        .service(only("/revoke", web::post().to(revoke::post)))
        .service(only("/backchannel-logout", web::post().to(logout::post)))
        .service(only("/jwks", web::get().to(jwks::get)))
        // Where identity servers without discovery look for an issuer's keys.
        .service(only("/.well-known/jwks.json", web::get().to(jwks::get)))
        .service(only("/openapi.json", web::get().to(openapi::get)))
        .default_service(web::to(no_such_path));
}

/// What is at `path` for one method; the others are answered with 405 and `Allow` (RFC 9110 §15.5.6).
fn only(path: &str, route: Route) -> Resource {
    web::resource(path.to_owned()).route(route)
}

/// A request that has come. `name`: of its span, one of a few.
fn attempt(api: &PublicApi, request: &HttpRequest, name: &'static str) -> Attempt {
    let header = |name| {
        let mut values = request.headers().get_all(name);
        // Which of two counts would be a guess.
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    };
    let trace = api.traces.begin(name, header, random::share, || api.clock.monotonic());
    Attempt::new(api.request_ids.next(), trace, &api.clock)
}

/// The header that carries the request id back, so that a client's complaint finds its log lines.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer to a request: with its id, and the end of the connection once the broker is told to stop.
fn finished(api: &PublicApi, attempt: &Attempt, mut response: HttpResponse) -> HttpResponse {
    if !api.readiness.is_ready() {
        // Clients keep connections: without this, those that are busy would be cut in the middle of a request.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    attempt.trace.end(response.status().as_u16(), attempt.client_id(), attempt.partner_id());
    if let Ok(value) = HeaderValue::from_str(attempt.request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// What is known of a request, for the audit log.
fn record_of(attempt: &Attempt) -> AuditRecord<'_> {
    AuditRecord {
        at_millis: attempt.at.unix_millis(),
        request_id: attempt.request_id.as_str(),
        client: attempt.client_id(),
        user: attempt.user.as_ref().map(<[u8; 16]>::as_slice),
        user_id: attempt.user_id.as_deref().unwrap_or_default(),
        asked_scope: attempt.asked_scope.as_deref().unwrap_or_default(),
        actor: attempt.actor.as_ref().map(<[u8; 16]>::as_slice),
        actor_id: attempt.actor_id.as_deref().unwrap_or_default(),
        partner: attempt.partner_id(),
        subject_token: attempt.subject_token.as_ref().map(|digest| &digest.as_bytes()[..8]),
        ..AuditRecord::default()
    }
}

async fn no_such_path(request: HttpRequest) -> HttpResponse {
    let _busy = Busy::with(&request);
    HttpResponse::NotFound().finish()
}

/// Marks the connection of a request as busy with it, where nobody counts microseconds.
pub async fn busy(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let connection = request.conn_data::<Arc<Connection>>().cloned();
    let _busy = Busy::on(connection.as_deref());
    next.call(request).await
}

/// The admin listener's routes.
pub fn admin(api: &web::Data<AdminApi>, config: &mut ServiceConfig) {
    config
        .app_data(api.clone())
        .service(only("/", web::get().to(page::get)))
        .service(only("/style.css", web::get().to(page::style)))
        .service(only("/script.js", web::get().to(page::script)))
        .service(only("/runbook", web::get().to(page::runbook::get)))
        .service(only("/purge", web::post().to(page::action::purge)))
        .service(only("/reload", web::post().to(page::action::reload)))
        .service(only("/live", web::get().to(health::live)))
        .service(only("/ready", web::get().to(health::ready)))
        .service(only("/metrics", web::get().to(metrics::get)))
        .service(only("/api/status", web::get().to(status::get)))
        .service(only("/api/partners", web::get().to(partners::get)))
        .service(only("/api/reload", web::post().to(reload::post)))
        .service(only("/api/purge", web::post().to(purge::post)))
        .service(only("/openapi.json", web::get().to(openapi::get_admin)));
}
