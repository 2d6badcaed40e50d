//! What a caller can get wrong, and what the IdM then answers: data, because identity servers answer the same mistake differently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A mistake in a request. A [`Behaviour`](super::Behaviour) may give each one an [`Answer`] of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// The body is not a form, or repeats a parameter (RFC 6749 §3.2).
    MalformedRequest,
    /// A parameter that the grant needs is absent or empty.
    MissingParameter,
    /// A parameter that this server demands beyond the standards (Dex: `connector_id`) is absent or wrong.
    ExtraParameter,
    /// A parameter that this server refuses to see.
    RefusedParameter,
    /// The grant is not known here, or switched off.
    UnsupportedGrant,
    /// The client is not allowed this grant.
    GrantNotAllowed,
    /// A public client where a confidential one is demanded.
    PublicClient,
    /// A public client that exchanges tokens, where a confidential one is demanded.
    PublicExchange,
    /// No such client.
    UnknownClient,
    /// No `client_id` in the body where this server wants it.
    ClientIdMissing,
    /// No credential at all.
    NoCredential,
    /// The secret, client assertion or certificate does not fit.
    WrongCredential,
    /// This server, or this client's registration, does not know the authentication method.
    MethodRefused,
    /// More than one authentication method in one request (RFC 6749 §2.3).
    TwoMethods,
    /// The authorization code is unknown, used, expired, or another client's.
    InvalidCode,
    /// The PKCE verifier does not fit the challenge (RFC 7636 §4.6).
    CodeVerifier,
    /// The refresh token is unknown, used, expired, revoked, or another client's.
    InvalidRefreshToken,
    /// `subject_token_type` is not one that this server takes.
    SubjectTokenType,
    /// `requested_token_type` is not one that this server gives.
    RequestedTokenType,
    /// The subject token is not ours, expired or revoked.
    SubjectToken,
    /// The requester is neither in the subject token's `aud` nor the client it was issued to.
    RequesterNotInAudience,
    /// The subject token has no `may_act` that names the requester (RFC 8693 §4.4).
    MayAct,
    /// The actor token is not a live access token of this server.
    ActorToken,
    /// Neither `audience` nor `resource`, where one is needed.
    TargetMissing,
    /// The target is not registered here.
    TargetUnknown,
    /// The target is known and was not obtainable: the scope that brings it was not asked for.
    TargetUnavailable,
    /// `resource` was sent to a server that does not take it.
    ResourceRefused,
    /// `audience` was sent to a server that does not take it.
    AudienceRefused,
    /// `audience` and `resource` together, where one excludes the other.
    TwoTargets,
    /// No `scope` where this server needs one.
    ScopeMissing,
    /// A scope that is unknown, or not this client's.
    ScopeUnknown,
    /// A scope that is never given on this leg (Okta: `openid`, `offline_access`).
    ScopeForbidden,
    /// More scope than the subject token or assertion has.
    ScopeWidened,
    /// The assertion is not a JWS.
    AssertionMalformed,
    /// No `iss`.
    IssuerMissing,
    /// `iss` is not a trusted issuer.
    IssuerUnknown,
    /// No `sub`, or not the claim that names the user here.
    SubjectMissing,
    /// The assertion's header `typ`.
    TokenType,
    /// No `kid` in the assertion's header.
    KeyIdMissing,
    /// The assertion's `alg`.
    Algorithm,
    /// The signature does not verify with the issuer's keys.
    Signature,
    /// No `exp`.
    ExpiryMissing,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYetValid,
    /// `exp` is too far ahead.
    LifetimeTooLong,
    /// `iat` is too long ago.
    TooOld,
    /// No `iat`.
    IssuedAtMissing,
    /// `aud` does not name this server.
    Audience,
    /// `aud` has more than one value.
    AudienceMultiple,
    /// No `jti`.
    JwtIdMissing,
    /// The `jti` was seen before.
    Replay,
    /// The assertion's `client_id` is missing or is not the authenticated client.
    ClientClaim,
    /// No account here is linked to the subject.
    UserUnknown,
    /// The account is disabled.
    UserDisabled,
}

/// Status, `error` and `error_description` of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// HTTP status.
    #[serde(default = "bad_request")]
    pub status: u16,
    /// RFC 6749 §5.2 `error`, or whatever the vendor writes.
    pub error: String,
    /// `error_description`; `{}` stands for the offending value. Empty: the member is left out.
    #[serde(default)]
    pub description: String,
}

const fn bad_request() -> u16 {
    400
}

/// A request refused: the mistake and the value that shows in the description. Never a token or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) mistake: Mistake,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(mistake: Mistake, detail: impl Into<String>) -> Self {
        Self { mistake, detail: detail.into() }
    }

    /// The answer of the behaviour's own table, else of the standards.
    pub(super) fn answer(&self, own: &BTreeMap<Mistake, Answer>) -> Answer {
        let mut answer = own.get(&self.mistake).cloned().unwrap_or_else(|| self.mistake.standard_answer());
        answer.description = answer.description.replace("{}", &self.detail);
        answer
    }
}

impl From<Mistake> for Refusal {
    fn from(mistake: Mistake) -> Self {
        Self::new(mistake, "")
    }
}

impl Mistake {
    /// What RFC 6749 §5.2, RFC 7523 §3.1 and RFC 8693 §2.2.2 ask for.
    fn standard_answer(self) -> Answer {
        let (status, error, description) = match self {
            Self::MalformedRequest => {
                (400, "invalid_request", "the body is not a form with each parameter once")
            }
            Self::MissingParameter => (400, "invalid_request", "missing parameter: {}"),
            Self::ExtraParameter => (400, "invalid_request", "parameter missing or wrong: {}"),
            Self::RefusedParameter => (400, "invalid_request", "parameter not supported: {}"),
            Self::UnsupportedGrant => (400, "unsupported_grant_type", "unsupported grant type"),
            Self::GrantNotAllowed => (400, "unauthorized_client", "the client may not use this grant"),
            Self::PublicClient => (401, "invalid_client", "public clients may not use this grant"),
            Self::PublicExchange => (401, "invalid_client", "public clients may not exchange tokens"),
            Self::UnknownClient => (401, "invalid_client", "unknown client"),
            Self::ClientIdMissing => (400, "invalid_request", "client_id is missing from the body"),
            Self::NoCredential => (401, "invalid_client", "client authentication is required"),
            Self::WrongCredential => (401, "invalid_client", "client authentication failed"),
            Self::MethodRefused => (401, "invalid_client", "authentication method not supported: {}"),
            Self::TwoMethods => (400, "invalid_request", "more than one client authentication method"),
            Self::InvalidCode => (400, "invalid_grant", "the authorization code is not valid"),
            Self::CodeVerifier => (400, "invalid_grant", "the code_verifier does not fit"),
            Self::InvalidRefreshToken => (400, "invalid_grant", "the refresh token is not valid"),
            Self::SubjectTokenType => (400, "invalid_request", "unsupported subject_token_type: {}"),
            Self::RequestedTokenType => (400, "invalid_request", "unsupported requested_token_type: {}"),
            Self::SubjectToken => (400, "invalid_request", "the subject token is not valid"),
            Self::RequesterNotInAudience => {
                (400, "invalid_request", "the subject token is not for this client")
            }
            Self::MayAct => (400, "invalid_request", "the subject token does not let this client act"),
            Self::ActorToken => (400, "invalid_request", "the actor token is not accepted"),
            Self::TargetMissing => (400, "invalid_request", "no target: resource or audience is required"),
            Self::TargetUnknown | Self::TargetUnavailable => (400, "invalid_target", "unknown target: {}"),
            Self::ResourceRefused => (400, "invalid_target", "resource parameter not supported"),
            Self::AudienceRefused => (400, "invalid_target", "audience parameter not supported"),
            Self::TwoTargets => (400, "invalid_request", "audience and resource exclude each other"),
            Self::ScopeMissing => (400, "invalid_scope", "scope is required"),
            Self::ScopeUnknown | Self::ScopeForbidden => (400, "invalid_scope", "scope not allowed: {}"),
            Self::ScopeWidened => (400, "invalid_scope", "scope exceeds the subject's: {}"),
            Self::AssertionMalformed => (400, "invalid_grant", "the assertion is not a JWT"),
            Self::IssuerMissing => (400, "invalid_grant", "the assertion has no iss"),
            Self::IssuerUnknown => (400, "invalid_grant", "untrusted issuer: {}"),
            Self::SubjectMissing => (400, "invalid_grant", "the assertion has no subject"),
            Self::TokenType => (400, "invalid_grant", "unacceptable typ: {}"),
            Self::KeyIdMissing => (400, "invalid_grant", "the assertion has no kid"),
            Self::Algorithm => (400, "invalid_grant", "unacceptable alg: {}"),
            Self::Signature => (400, "invalid_grant", "the signature does not verify"),
            Self::ExpiryMissing => (400, "invalid_grant", "the assertion has no exp"),
            Self::Expired => (400, "invalid_grant", "the assertion has expired"),
            Self::NotYetValid => (400, "invalid_grant", "the assertion is not valid yet"),
            Self::LifetimeTooLong => (400, "invalid_grant", "exp is too far in the future"),
            Self::TooOld => (400, "invalid_grant", "the assertion was issued too long ago"),
            Self::IssuedAtMissing => (400, "invalid_grant", "the assertion has no iat"),
            Self::Audience => (400, "invalid_grant", "aud does not name this server: {}"),
            Self::AudienceMultiple => (400, "invalid_grant", "aud must have one value"),
            Self::JwtIdMissing => (400, "invalid_grant", "the assertion has no jti"),
            Self::Replay => (400, "invalid_grant", "the assertion was used before"),
            Self::ClientClaim => (400, "invalid_grant", "client_id of the assertion is not the client"),
            Self::UserUnknown => (400, "invalid_grant", "no account is linked to the subject"),
            Self::UserDisabled => (400, "invalid_grant", "the account is disabled"),
        };
        Answer { status, error: error.to_owned(), description: description.to_owned() }
    }
}
