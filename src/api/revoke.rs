//! `POST /revoke` (RFC 7009): a client gives a home token up, and with it all that was obtained for its user.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::error::TokenError;
use super::token::{authorization, token_headers};
use super::{Busy, PublicApi, body, record_of};
use crate::client::Credentials;
use crate::exchange::Attempt;
use crate::exchange::request::RequestError;
use crate::oauth::form::Form;
use crate::secret::TokenRef;
use crate::telemetry::audit::AuditRecord;

/// Answers one revocation request: 200 whether there was anything to revoke or not (§2.2).
pub async fn post(request: HttpRequest, payload: Payload, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    let mut attempt = Attempt::new(api.request_ids.next(), &api.clock);
    let outcome = revoke(&request, payload, &api, &mut attempt).await;
    let code = outcome.as_ref().err().map_or("ok", TokenError::code);
    api.audit.record(&AuditRecord { source: "revoke", outcome: code, ..record_of(&attempt) });
    api.metrics.revocation("token", code);
    let _span = attempt.span().entered();
    match outcome {
        Ok(()) => {
            tracing::info!("a home token was revoked, or was none");
            token_headers(StatusCode::OK).finish()
        }
        Err(error) => {
            tracing::info!(code, %error, "revocation refused");
            error.response()
        }
    }
}

async fn revoke(
    request: &HttpRequest,
    payload: Payload,
    api: &PublicApi,
    attempt: &mut Attempt,
) -> Result<(), TokenError> {
    let settings = &api.settings;
    let body = body::form(request, payload, settings.max_body_bytes, settings.body_timeout).await?;
    let form = Form::parse(&body)?;
    let credentials = Credentials::read(authorization(request)?, &form)?;
    let token = form.get("token").ok_or(RequestError::Missing("token"))?;
    if token.len() > settings.max_token_bytes {
        return Err(RequestError::TooLong("token").into());
    }
    Ok(api.exchange.revoke(&credentials, TokenRef::from(token), attempt).await?)
}
