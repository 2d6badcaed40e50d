//! `POST /revoke` (RFC 7009): a client gives a home token up, and with it all that was obtained for its user.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::error::TokenError;
use super::token::{credentials, token_headers};
use super::{Busy, PublicApi, body, record_of};
use crate::exchange::Attempt;
use crate::exchange::request::RequestError;
use crate::oauth::form::Form;
use crate::secret::TokenRef;
use crate::telemetry::audit::AuditRecord;
use crate::telemetry::runbook::Runbook;

/// Answers one revocation request: 200 whether there was anything to revoke or not (§2.2).
pub async fn post(request: HttpRequest, payload: Payload, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    let mut attempt = super::attempt(&api, &request, "POST /revoke");
    let outcome = revoke(&request, payload, &api, &mut attempt).await;
    answer(&api, &attempt, "token", outcome)
}

/// Whatever the outcome of taking something back: counted, written down, told. `by`: `token` or `logout`.
pub(super) fn answer(
    api: &PublicApi,
    attempt: &Attempt,
    by: &'static str,
    outcome: Result<(), TokenError>,
) -> HttpResponse {
    let code = outcome.as_ref().err().map_or("ok", TokenError::code);
    let reason = outcome.as_ref().err().map(TokenError::reason).unwrap_or_default();
    api.audit.record(&AuditRecord { source: by, outcome: code, reason: &reason, ..record_of(attempt) });
    api.metrics.revocation(by, code);
    attempt.trace.set("mcx.code", code);
    let _span = attempt.span().entered();
    let response = match outcome {
        Ok(()) => {
            tracing::info!(by, "taken back");
            token_headers(StatusCode::OK).finish()
        }
        Err(error) => {
            tracing::warn!(by, code, %error, runbook = %Runbook(code), "not taken back");
            error.response()
        }
    };
    super::finished(api, attempt, response)
}

/// The one parameter that says what to take back.
pub(super) fn token<'f>(
    form: &'f Form<'_>,
    name: &'static str,
    most_bytes: usize,
) -> Result<&'f str, RequestError> {
    let token = form.get(name).ok_or(RequestError::Missing(name))?;
    if token.len() > most_bytes { Err(RequestError::TooLong(name)) } else { Ok(token) }
}

async fn revoke(
    request: &HttpRequest,
    payload: Payload,
    api: &PublicApi,
    attempt: &mut Attempt,
) -> Result<(), TokenError> {
    api.admit()?;
    let settings = &api.settings;
    let body = body::form(request, payload, settings.max_body_bytes, settings.body_timeout).await?;
    let form = Form::parse(&body)?;
    let credentials = credentials(request, &form)?;
    let token = TokenRef::from(token(&form, "token", settings.max_token_bytes)?);
    Ok(api.exchange.revoke(&credentials, token, attempt).await?)
}
