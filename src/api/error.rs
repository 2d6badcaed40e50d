//! The one map from typed errors to HTTP status and OAuth error JSON: the error table of the product.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};

use super::body::BodyError;
use super::token::token_headers;
use crate::client::CredentialsError;
use crate::exchange::error::Fault;
use crate::exchange::policy::Denied;
use crate::exchange::request::RequestError;
use crate::exchange::{ExchangeError, Leg};
use crate::home::LogoutTokenError;
use crate::idm::IdmError;
use crate::oauth::error::{ErrorBody, OAuthErrorCode};
use crate::oauth::form::FormError;
use crate::partner::{GrantError, TargetError};

/// How long clients wait when the identity server did not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
/// A peer's `Retry-After` beyond this is not passed on: it would keep clients away long after it recovered.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Longest `error_description`. A partner's scopes can be in it, and a partner can make up as many as it likes.
const MAX_DESCRIPTION: usize = 400;

/// Why a request to one of the public endpoints was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another method than POST (RFC 6749 §3.2).
    #[error("the token endpoint takes POST only")]
    Method,
    /// More requests than the broker is to take.
    #[error("too many requests")]
    TooManyRequests(Duration),
    /// The body was not read.
    #[error("{0}")]
    Body(#[from] BodyError),
    /// The body is not a form.
    #[error("{0}")]
    Form(#[from] FormError),
    /// The credentials cannot be read.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    /// The parameters are not an exchange request.
    #[error("{0}")]
    Request(#[from] RequestError),
    /// The logout token proves nothing.
    #[error("logout token: {0}")]
    Logout(#[from] LogoutTokenError),
    /// The exchange failed.
    #[error("{0}")]
    Exchange(#[from] ExchangeError),
}

impl TokenError {
    /// Stable: the metric label and log field.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Method => "request_method",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::Body(BodyError::ContentType) => "request_content_type",
            Self::Body(BodyError::TooLarge) => "request_too_large",
            Self::Body(BodyError::TooSlow) => "request_too_slow",
            Self::Body(BodyError::Broken) => "request_broken",
            Self::Form(FormError::Repeated) => "request_repeated_parameter",
            Self::Form(FormError::TooMany) => "request_too_many_parameters",
            Self::Form(FormError::Encoding) => "request_encoding",
            Self::Credentials(CredentialsError::Several) => "client_several_methods",
            Self::Credentials(CredentialsError::Missing) => "client_missing",
            Self::Credentials(CredentialsError::Header) => "client_header",
            Self::Credentials(CredentialsError::AssertionType) => "client_assertion_type",
            Self::Credentials(CredentialsError::OtherId) => "client_other_id",
            Self::Request(RequestError::NoGrantType) => "request_no_grant_type",
            Self::Request(RequestError::UnsupportedGrantType) => "request_grant_type",
            Self::Request(RequestError::Missing(_)) => "request_missing_parameter",
            Self::Request(RequestError::TooLong(_)) => "request_parameter_too_long",
            Self::Request(RequestError::Malformed(_)) => "request_malformed_parameter",
            Self::Logout(LogoutTokenError::Home(IdmError::AskedJustNow(_))) => "logout_key",
            Self::Logout(LogoutTokenError::Home(_)) => "logout_home",
            Self::Logout(LogoutTokenError::Replayed) => "logout_replayed",
            Self::Logout(_) => "logout_token",
            Self::Exchange(error) => error.code(),
        }
    }

    /// Where it happened.
    pub fn leg(&self) -> Leg {
        match self {
            Self::Exchange(error) => error.leg(),
            Self::Logout(LogoutTokenError::Home(_)) => Leg::Home,
            _ => Leg::Broker,
        }
    }

    /// Who has to act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Exchange(error) => error.fault(),
            Self::Logout(LogoutTokenError::Home(_)) => Fault::Outage,
            _ => Fault::Caller,
        }
    }

    fn status_and_error(&self) -> (StatusCode, OAuthErrorCode) {
        use OAuthErrorCode as Code;
        let bad_request = |code| (StatusCode::BAD_REQUEST, code);
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, Code::InvalidRequest),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, Code::TemporarilyUnavailable),
            Self::Request(RequestError::UnsupportedGrantType) => bad_request(Code::UnsupportedGrantType),
            Self::Credentials(CredentialsError::Missing | CredentialsError::Header) => {
                (StatusCode::UNAUTHORIZED, Code::InvalidClient)
            }
            Self::Logout(LogoutTokenError::Home(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::TemporarilyUnavailable)
            }
            Self::Body(_) | Self::Form(_) | Self::Credentials(_) | Self::Request(_) | Self::Logout(_) => {
                bad_request(Code::InvalidRequest)
            }
            Self::Exchange(error) => match error.fault() {
                Fault::Outage => (StatusCode::SERVICE_UNAVAILABLE, Code::TemporarilyUnavailable),
                Fault::Operator => (StatusCode::BAD_GATEWAY, Code::ServerError),
                Fault::Caller => caller_error(error),
            },
        }
    }

    /// What the caller is told. A failed authentication says no more than that: which part was wrong helps an attacker.
    fn description(&self) -> String {
        let text = match self {
            Self::Exchange(ExchangeError::Client(_)) => "client authentication failed".to_owned(),
            other => other.to_string(),
        };
        let text = format!("{}: {text}", self.leg().as_str());
        // RFC 6749 §5.2: visible ASCII without quote and backslash.
        text.chars()
            .take(MAX_DESCRIPTION)
            .map(|character| match character {
                '"' | '\\' => '\'',
                ' '..='~' => character,
                _ => '?',
            })
            .collect()
    }

    /// What the audit log is told: which check it was, in words. Parts of it may come from a caller or a peer, so it is
    /// bounded.
    pub fn reason(&self) -> String {
        self.to_string().chars().take(MAX_DESCRIPTION).collect()
    }

    /// The HTTP response.
    pub fn response(&self) -> HttpResponse {
        let (status, code) = self.status_and_error();
        let mut response = token_headers(status);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.insert_header((ALLOW, "POST"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, r#"Basic realm="mcx-token-broker", charset="UTF-8""#));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let asked = match self {
                Self::Exchange(error) => error.retry_after(),
                Self::Logout(LogoutTokenError::Home(error)) => error.retry_after(),
                Self::TooManyRequests(wait) => Some(*wait),
                _ => None,
            };
            let wait = asked.unwrap_or(DEFAULT_RETRY_AFTER).clamp(Duration::from_secs(1), MAX_RETRY_AFTER);
            // Rounded up: who comes a moment too early comes for nothing.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        let body = ErrorBody { error: code.as_str(), error_description: &self.description() };
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

/// Faults of the caller, by what the caller can do about them.
fn caller_error(error: &ExchangeError) -> (StatusCode, OAuthErrorCode) {
    let code = match error {
        ExchangeError::Client(_) => return (StatusCode::UNAUTHORIZED, OAuthErrorCode::InvalidClient),
        ExchangeError::TooManyRequests { .. } => {
            return (StatusCode::TOO_MANY_REQUESTS, OAuthErrorCode::TemporarilyUnavailable);
        }
        ExchangeError::Target(TargetError::Missing | TargetError::Conflict) => OAuthErrorCode::InvalidRequest,
        ExchangeError::Target(TargetError::Unknown) => OAuthErrorCode::InvalidTarget,
        ExchangeError::Denied(
            Denied::OtherClientsToken | Denied::Delegated | Denied::MayAct | Denied::ActorToken,
        ) => OAuthErrorCode::InvalidRequest,
        ExchangeError::Denied(Denied::Rule { for_scope: false, .. }) => OAuthErrorCode::InvalidTarget,
        ExchangeError::Denied(Denied::Partner) => OAuthErrorCode::UnauthorizedClient,
        ExchangeError::Denied(Denied::Scope(_) | Denied::NoScope | Denied::Rule { .. }) => {
            OAuthErrorCode::InvalidScope
        }
        ExchangeError::Grant(GrantError::ScopeRefused(_)) => OAuthErrorCode::InvalidScope,
        ExchangeError::Grant(_) => OAuthErrorCode::InvalidTarget,
        ExchangeError::SubjectToken(_) | ExchangeError::ActorToken(_) | ExchangeError::SecurityToken(_) => {
            OAuthErrorCode::InvalidRequest
        }
        // Never the caller's fault.
        ExchangeError::Deadline(_)
        | ExchangeError::TooManyWaiting
        | ExchangeError::ShortLived
        | ExchangeError::Purged
        | ExchangeError::ReplicasNotTold
        | ExchangeError::StoreIsAway
        | ExchangeError::Interrupted => OAuthErrorCode::ServerError,
    };
    (StatusCode::BAD_REQUEST, code)
}
