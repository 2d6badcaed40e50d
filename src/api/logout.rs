//! `POST /backchannel-logout` (OpenID Connect Back-Channel Logout 1.0 §2.5, §2.8): from the home IdM, which proves itself by
//! the logout token's signature.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::body::BodyError;
use super::token::token_headers;
use super::{Busy, PublicApi, body, record_of};
use crate::exchange::{Attempt, ExchangeError};
use crate::home::LogoutTokenError;
use crate::oauth::error::{ErrorBody, OAuthErrorCode};
use crate::oauth::form::{Form, FormError};
use crate::secret::TokenRef;
use crate::telemetry::audit::AuditRecord;

/// Before the home IdM tells us again what the other replicas could not be told.
const RETRY: Duration = Duration::from_secs(5);

/// Why nobody was signed out.
#[derive(Debug, thiserror::Error)]
enum LogoutError {
    #[error("{0}")]
    Body(#[from] BodyError),
    #[error("{0}")]
    Form(#[from] FormError),
    #[error("there is no logout_token, or it is too long")]
    Missing,
    #[error("logout token: {0}")]
    Token(#[from] LogoutTokenError),
    #[error("{0}")]
    Exchange(#[from] ExchangeError),
}

impl LogoutError {
    fn code(&self) -> &'static str {
        match self {
            Self::Body(_) | Self::Form(_) | Self::Missing => "logout_request",
            Self::Token(LogoutTokenError::Home(_)) => "logout_home",
            Self::Token(LogoutTokenError::Replayed) => "logout_replayed",
            Self::Token(_) => "logout_token",
            Self::Exchange(error) => error.code(),
        }
    }

    /// Whether it passes, so that the home IdM should tell us again.
    fn passes(&self) -> bool {
        matches!(self, Self::Token(LogoutTokenError::Home(_)) | Self::Exchange(_))
    }

    fn response(&self) -> HttpResponse {
        let (status, error) = if self.passes() {
            (StatusCode::SERVICE_UNAVAILABLE, OAuthErrorCode::TemporarilyUnavailable)
        } else {
            (StatusCode::BAD_REQUEST, OAuthErrorCode::InvalidRequest)
        };
        let mut response = token_headers(status);
        if self.passes() {
            response.insert_header((RETRY_AFTER, RETRY.as_secs().to_string()));
        }
        let body = ErrorBody { error: error.as_str(), error_description: &self.to_string() };
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

/// Answers one logout.
pub async fn post(request: HttpRequest, payload: Payload, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    let attempt = Attempt::new(api.request_ids.next(), &api.clock);
    let outcome = log_out(&request, payload, &api).await;
    let code = outcome.as_ref().err().map_or("ok", LogoutError::code);
    api.audit.record(&AuditRecord { source: "logout", outcome: code, ..record_of(&attempt) });
    api.metrics.revocation("logout", code);
    let _span = attempt.span().entered();
    match outcome {
        Ok(()) => {
            tracing::info!("signed out by the home IdM");
            token_headers(StatusCode::OK).finish()
        }
        Err(error) => {
            tracing::warn!(code, %error, "a logout was not carried out");
            error.response()
        }
    }
}

async fn log_out(request: &HttpRequest, payload: Payload, api: &PublicApi) -> Result<(), LogoutError> {
    let settings = &api.settings;
    let body = body::form(request, payload, settings.max_body_bytes, settings.body_timeout).await?;
    let form = Form::parse(&body)?;
    let token = form.get("logout_token").filter(|token| token.len() <= settings.max_token_bytes);
    let token = TokenRef::from(token.ok_or(LogoutError::Missing)?);
    let exchange = &api.exchange;
    let logout = api.logout_tokens.validate(exchange.subject_tokens.keys(), token).await?;
    Ok(exchange.log_out(&logout).await?)
}
