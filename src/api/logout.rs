//! `POST /backchannel-logout` (OpenID Connect Back-Channel Logout 1.0 §2.5, §2.8): from the home IdM, which proves itself by
//! the logout token's signature.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::error::TokenError;
use super::{Busy, PublicApi, body, revoke};
use crate::exchange::Attempt;
use crate::oauth::form::Form;
use crate::secret::TokenRef;

/// Answers one logout.
pub async fn post(request: HttpRequest, payload: Payload, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    let mut attempt = super::attempt(&api, &request, "POST /backchannel-logout");
    let outcome = log_out(&request, payload, &api, &mut attempt).await;
    revoke::answer(&api, &attempt, "logout", outcome)
}

async fn log_out(
    request: &HttpRequest,
    payload: Payload,
    api: &PublicApi,
    attempt: &mut Attempt,
) -> Result<(), TokenError> {
    api.admit()?;
    let settings = &api.settings;
    let body = body::form(request, payload, settings.max_body_bytes, settings.body_timeout).await?;
    let form = Form::parse(&body)?;
    let token = TokenRef::from(revoke::token(&form, "logout_token", settings.max_token_bytes)?);
    let exchange = &api.exchange;
    let logout = api.logout_tokens.validate(exchange.subject_tokens.keys(), token).await?;
    let outcome = exchange.log_out(&logout, attempt).await;
    if outcome.is_err() {
        api.logout_tokens.forget(&logout);
    }
    Ok(outcome?)
}
