//! `POST /token` (RFC 8693).

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::error::TokenError;
use super::{Busy, PublicApi, body};
use crate::client::{Credentials, CredentialsError};
use crate::clock::millis;
use crate::exchange::error::Fault;
use crate::exchange::{Attempt, ExchangeRequest, Granted, GrantedToken, RequestedToken};
use crate::oauth::form::Form;
use crate::oauth::token_response::GrantedResponse;
use crate::secret::Token;
use crate::telemetry::audit::AuditRecord;
use crate::telemetry::runbook::Runbook;

/// Answers one token request.
pub async fn post(request: HttpRequest, payload: Payload, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    let mut attempt = super::attempt(&api, &request, "POST /token");
    let outcome = grant(&request, payload, &api, &mut attempt).await;
    answer(&api, &attempt, outcome)
}

/// Answers every other method.
pub async fn other_method(request: HttpRequest, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    let attempt = super::attempt(&api, &request, "/token");
    answer(&api, &attempt, Err(TokenError::Method))
}

async fn grant(
    request: &HttpRequest,
    payload: Payload,
    api: &PublicApi,
    attempt: &mut Attempt,
) -> Result<Granted, TokenError> {
    api.admit()?;
    let settings = &api.settings;
    let body = body::form(request, payload, settings.max_body_bytes, settings.body_timeout).await?;
    let form = Form::parse(&body)?;
    let credentials = credentials(request, &form)?;
    let exchange = ExchangeRequest::read(&form, settings.max_token_bytes)?;
    Ok(api.exchange.token(&exchange, &credentials, attempt).await?)
}

/// What the caller presents. The `Authorization` header must be there once if at all: which one counts would be a guess.
pub(super) fn credentials<'r>(
    request: &'r HttpRequest,
    form: &'r Form<'_>,
) -> Result<Credentials<'r>, CredentialsError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let authorization = headers.next().map(|value| value.to_str().unwrap_or_default());
    if headers.next().is_some() {
        return Err(CredentialsError::Several);
    }
    Credentials::read(authorization, form, request.conn_data())
}

/// Whatever the outcome: counted, written down, told, rendered.
fn answer(api: &PublicApi, attempt: &Attempt, outcome: Result<Granted, TokenError>) -> HttpResponse {
    record(api, attempt, &outcome);
    attempt.trace.set("mcx.code", outcome.as_ref().err().map_or("ok", TokenError::code));
    let millis = || millis(api.clock.monotonic().saturating_sub(attempt.started));
    let response = match outcome {
        Ok(granted) => {
            attempt.trace.set("mcx.source", granted.source().as_str());
            // Hits are metrics and audit records: a log line costs as much as the whole answer.
            if granted.tier.is_none() {
                let (expires_in, _span) = (granted.expires_in.as_secs(), attempt.span().entered());
                tracing::info!(millis = millis(), expires_in, "token obtained");
            }
            render(&granted)
        }
        Err(error) => {
            let _span = attempt.span().entered();
            report_failure(api, &error, millis());
            error.response()
        }
    };
    super::finished(api, attempt, response)
}

fn record(api: &PublicApi, attempt: &Attempt, outcome: &Result<Granted, TokenError>) {
    let mut record = AuditRecord { outcome: "ok", ..super::record_of(attempt) };
    let (security_token, reason);
    match outcome {
        Ok(granted) => {
            record.source = granted.source().as_str();
            match &granted.token {
                GrantedToken::Access(token) => {
                    record.scope = &token.issue.scope;
                    record.issued_token = Some(&token.digest);
                }
                GrantedToken::Security(token) => {
                    security_token = token.digest().prefix();
                    record.issued_token = Some(&security_token);
                }
            }
        }
        Err(error) => {
            record.outcome = error.code();
            reason = error.reason();
            record.reason = &reason;
        }
    }
    api.audit.record(&record);
}

fn render(granted: &Granted) -> HttpResponse {
    let expires_in = granted.expires_in.as_secs();
    let response = match &granted.token {
        GrantedToken::Access(token) => {
            let further = token.further.as_ref();
            GrantedResponse {
                access_token: token.access_token.expose(),
                issued_token_type: RequestedToken::AccessToken.as_str(),
                token_type: "Bearer",
                expires_in,
                scope: Some(token.issue.scope.as_str()).filter(|scope| !scope.is_empty()),
                refresh_token: further.and_then(|tokens| tokens.refresh_token.as_ref()).map(Token::expose),
                id_token: further.and_then(|tokens| tokens.id_token.as_ref()).map(Token::expose),
            }
        }
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
    token_headers(StatusCode::OK).body(response.render())
}

/// The headers of every token response, success or error (TS 33.180 B.7.5).
pub(super) fn token_headers(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8")))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((PRAGMA, HeaderValue::from_static("no-cache")));
    response
}

fn report_failure(api: &PublicApi, error: &TokenError, millis: u64) {
    let (code, leg) = (error.code(), error.leg().as_str());
    let runbook = Runbook(code);
    if !matches!(error, TokenError::Exchange(_)) {
        api.metrics.refused(code, "");
    }
    match error.fault() {
        Fault::Caller => tracing::info!(code, leg, millis, %error, %runbook, "token refused"),
        Fault::Outage => tracing::warn!(code, leg, millis, %error, %runbook, "token not available"),
        Fault::Operator => {
            tracing::error!(code, leg, millis, %error, %runbook, "token failed: needs an operator");
        }
    }
}
