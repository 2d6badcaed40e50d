//! OAuth error codes and the error body (RFC 6749 §5.2, RFC 8693 §2.2.2).

use serde::Serialize;

/// The `error` values that the broker answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthErrorCode {
    /// RFC 6749 §5.2: a parameter is missing, repeated or malformed; RFC 8693 §2.2.2: the subject token is not acceptable.
    InvalidRequest,
    /// RFC 6749 §5.2: client authentication failed.
    InvalidClient,
    /// RFC 6749 §5.2: this client may not use this grant, or not for this partner.
    UnauthorizedClient,
    /// RFC 6749 §5.2: not a grant of ours.
    UnsupportedGrantType,
    /// RFC 6749 §5.2: the scope is outside what policy allows.
    InvalidScope,
    /// RFC 8693 §2.2.2: no such partner, or not for this user.
    InvalidTarget,
    /// RFC 6749 §4.1.2.1, used at the token endpoint for "try again later".
    TemporarilyUnavailable,
    /// RFC 6749 §4.1.2.1, used at the token endpoint for faults that the caller cannot mend.
    ServerError,
}

impl OAuthErrorCode {
    /// The wire value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// The JSON body of an error response.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    /// An [`OAuthErrorCode`].
    pub error: &'static str,
    /// What happened and on which leg. Never a token, a secret, or another user's data.
    pub error_description: &'a str,
}
