//! `POST /token` (RFC 8693).

use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::error::TokenError;
use super::{PublicApi, body};
use crate::client::Credentials;
use crate::exchange::error::Fault;
use crate::exchange::{ExchangeRequest, Granted, GrantedToken, RequestedToken};
use crate::oauth::form::Form;
use crate::oauth::token_response::GrantedResponse;
use crate::random;
use crate::secret::Token;

/// The header that carries the request id back, so that a client's complaint finds its log lines.
const REQUEST_ID: &str = "x-request-id";

/// Answers one token request.
pub async fn post(request: HttpRequest, payload: Payload, api: Data<PublicApi>) -> HttpResponse {
    // Boxed: it is by far the largest part, and would be copied into every future around it.
    answer(&api, Box::pin(grant(&request, payload, &api))).await
}

/// Answers every other method.
pub async fn other_method(api: Data<PublicApi>) -> HttpResponse {
    answer(&api, std::future::ready(Err(TokenError::Method))).await
}

/// Whatever the outcome: under an id of its own, counted, told, rendered.
async fn answer(api: &PublicApi, outcome: impl Future<Output = Result<Granted, TokenError>>) -> HttpResponse {
    let request_id = random::id();
    // At the level of errors, so that every line has the id, whatever the operator's filter lets pass. The exchange
    // adds client and partner as soon as they are known to be registered ones.
    let span = tracing::error_span!("token", request_id, client = Empty, partner = Empty);
    let mut response = async {
        let started = api.clock.monotonic();
        let outcome = outcome.await;
        let took = api.clock.monotonic().saturating_sub(started);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match outcome {
            Ok(granted) => {
                report_success(api, &granted, millis);
                render(&granted)
            }
            Err(error) => {
                report_failure(api, &error, millis);
                error.response()
            }
        }
    }
    .instrument(span)
    .await;
    if !api.readiness.is_ready() {
        // Clients keep connections: without this, those that are busy would be cut in the middle of a request.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if let Ok(value) = request_id.parse() {
        response.headers_mut().insert(actix_web::http::header::HeaderName::from_static(REQUEST_ID), value);
    }
    response
}

async fn grant(request: &HttpRequest, payload: Payload, api: &PublicApi) -> Result<Granted, TokenError> {
    let settings = &api.settings;
    let body = body::form(request, payload, settings.max_body_bytes, settings.body_timeout).await?;
    let form = Form::parse(&body)?;
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let authorization = headers.next().map(|value| value.to_str().unwrap_or_default());
    if headers.next().is_some() {
        return Err(crate::client::CredentialsError::Several.into());
    }
    let credentials = Credentials::read(authorization, &form)?;
    let exchange = ExchangeRequest::read(&form, settings.max_token_bytes)?;
    Ok(api.exchange.token(&exchange, &credentials).await?)
}

fn render(granted: &Granted) -> HttpResponse {
    let expires_in = granted.expires_in.as_secs();
    let response = match &granted.token {
        GrantedToken::Access(token) => GrantedResponse {
            access_token: token.access_token.expose(),
            issued_token_type: RequestedToken::AccessToken.as_str(),
            token_type: "Bearer",
            expires_in,
            scope: Some(token.scope.as_str()).filter(|scope| !scope.is_empty()),
            refresh_token: token.refresh_token.as_ref().map(Token::expose),
            id_token: token.id_token.as_ref().map(Token::expose),
        },
        GrantedToken::Security(token) => GrantedResponse {
            access_token: token.expose(),
            issued_token_type: RequestedToken::SecurityToken.as_str(),
            // RFC 8693 §2.2.1: it is not an access token.
            token_type: "N_A",
            expires_in,
            scope: None,
            refresh_token: None,
            id_token: None,
        },
    };
    token_headers(StatusCode::OK).body(serde_json::to_vec(&response).unwrap_or_default())
}

/// The headers of every token response, success or error (TS 33.180 B.7.5).
pub(super) fn token_headers(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, "application/json;charset=UTF-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((PRAGMA, "no-cache"));
    response
}

/// Hits are metrics only: a log line costs as much as the whole answer.
fn report_success(api: &PublicApi, granted: &Granted, millis: u64) {
    match granted.tier {
        Some(tier) => api.metrics.hit(tier.as_str()),
        None => tracing::info!(millis, expires_in = granted.expires_in.as_secs(), "token obtained"),
    }
}

fn report_failure(api: &PublicApi, error: &TokenError, millis: u64) {
    let (code, leg) = (error.code(), error.leg().as_str());
    if !matches!(error, TokenError::Exchange(_)) {
        api.metrics.request(code, "");
    }
    match error.fault() {
        Fault::Caller => tracing::info!(code, leg, millis, %error, "token refused"),
        Fault::Outage => tracing::warn!(code, leg, millis, %error, "token not available"),
        Fault::Operator => tracing::error!(code, leg, millis, %error, "token failed: needs an operator"),
    }
}
