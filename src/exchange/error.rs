//! Every way an exchange can end without a token: whose fault it is, and a stable code for logs and metrics.

use std::time::Duration;

use super::policy::Denied;
use crate::client::ClientError;
use crate::home::{SecurityTokenError, SubjectTokenError};
use crate::idm::IdmError;
use crate::partner::{GrantError, TargetError};
use crate::secret::TokenDigest;

/// Which part of the chain an outcome belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The broker itself.
    Broker,
    /// The home IdM: keys, introspection, security token.
    Home,
    /// The partner IdM: the grant.
    Partner,
}

impl Leg {
    /// For logs, metrics and `error_description`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Home => "home",
            Self::Partner => "partner",
        }
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The caller is not who it says.
    #[error("client authentication failed: {0}")]
    Client(#[from] ClientError),
    /// The client asks more often than it may.
    #[error("too many requests from this client")]
    TooManyRequests {
        /// How long it should wait.
        wait: Duration,
    },
    /// The subject token is not acceptable, or cannot be judged now.
    #[error("subject token: {0}")]
    SubjectToken(#[from] SubjectTokenError),
    /// The actor token is not acceptable, or cannot be judged now.
    #[error("actor token: {0}")]
    ActorToken(SubjectTokenError),
    /// The request does not name one partner.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// Not allowed.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// The first leg failed.
    #[error("{0}")]
    SecurityToken(#[from] SecurityTokenError),
    /// The second leg failed.
    #[error("{0}")]
    Grant(#[from] GrantError),
    /// Too many requests wait for this partner's tokens already.
    #[error("too many requests wait for this partner")]
    TooManyWaiting,
    /// The overall deadline passed while that leg was under way.
    #[error("the exchange took longer than allowed")]
    Deadline(Leg),
    /// The partner issues tokens that live for less than a few seconds.
    #[error("the partner's token has only seconds left")]
    ShortLived,
    /// Twice the right to keep what was obtained was gone when it came: the user was purged, or the lock in Redis lost.
    #[error("the user may have been purged while the token was obtained; ask again")]
    Purged,
    /// A revocation holds here, and other replicas may not have heard of it.
    #[error("it holds at this replica; the others could not be told yet: ask again")]
    ReplicasNotTold,
    /// Whether a token that is to be revoked was issued here is written down in Redis.
    #[error("whether this token was issued here cannot be told while Redis is away: ask again")]
    StoreIsAway,
    /// The one flight that many waited for ended without an outcome: a fault of ours.
    #[error("the exchange was interrupted")]
    Interrupted,
}

/// `ok`, or the error's stable code.
pub(super) fn code_of<T>(outcome: &Result<T, ExchangeError>) -> &'static str {
    outcome.as_ref().err().map_or("ok", ExchangeError::code)
}

/// Who has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client or its user.
    Caller,
    /// Nobody at once: it passes.
    Outage,
    /// Whoever runs this broker or the identity server: a configuration or a broken peer.
    Operator,
}

impl ExchangeError {
    /// The leg that it happened on.
    pub fn leg(&self) -> Leg {
        match self {
            Self::SubjectToken(SubjectTokenError::Home(_)) | Self::ActorToken(SubjectTokenError::Home(_)) => {
                Leg::Home
            }
            Self::Client(_)
            | Self::TooManyRequests { .. }
            | Self::SubjectToken(_)
            | Self::ActorToken(_)
            | Self::Target(_)
            | Self::Denied(_)
            | Self::Purged
            | Self::ReplicasNotTold
            | Self::StoreIsAway
            | Self::Interrupted => Leg::Broker,
            Self::SecurityToken(SecurityTokenError::Signing | SecurityTokenError::SubjectClaim(_)) => {
                Leg::Broker
            }
            // The mismatch is noticed here, and made at the home IdM.
            Self::SecurityToken(_) | Self::Grant(GrantError::Mismatch(_)) => Leg::Home,
            Self::Grant(_) | Self::ShortLived | Self::TooManyWaiting => Leg::Partner,
            Self::Deadline(leg) => *leg,
        }
    }

    /// Stable: the metric label, the log field, the heading in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooManyRequests { .. } => "client_too_many_requests",
            Self::Client(ClientError::Unknown) => "client_unknown",
            Self::Client(ClientError::Method) => "client_method",
            Self::Client(ClientError::Secret) => "client_secret",
            Self::Client(ClientError::Assertion(_)) => "client_assertion",
            Self::Client(ClientError::Certificate(_)) => "client_certificate",
            Self::ActorToken(SubjectTokenError::Home(error)) => idm_code(error, &HOME),
            Self::ActorToken(_) => "actor_token",
            Self::SubjectToken(error) => subject_token_code(error),
            Self::Target(TargetError::Missing) => "target_missing",
            Self::Target(TargetError::Unknown) => "target_unknown",
            Self::Target(TargetError::Conflict) => "target_conflict",
            Self::Denied(Denied::OtherClientsToken) => "denied_other_clients_token",
            Self::Denied(Denied::Partner) => "denied_partner",
            Self::Denied(Denied::Scope(_)) => "denied_scope",
            Self::Denied(Denied::NoScope) => "denied_no_scope",
            Self::Denied(Denied::Rule { .. }) => "denied_rule",
            Self::Denied(Denied::Delegated) => "denied_delegated",
            Self::Denied(Denied::MayAct) => "denied_may_act",
            Self::Denied(Denied::ActorToken) => "denied_actor_token",
            Self::SecurityToken(error) => security_token_code(error),
            Self::Grant(error) => grant_code(error),
            Self::TooManyWaiting => "partner_too_many_waiting",
            Self::Deadline(Leg::Home) => "home_deadline",
            Self::Deadline(_) => "partner_deadline",
            Self::ShortLived => "partner_token_short_lived",
            Self::Purged => "purged_meanwhile",
            Self::ReplicasNotTold => "replicas_not_told",
            Self::StoreIsAway => "store_is_away",
            Self::Interrupted => "broker_interrupted",
        }
    }

    /// Who has to act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Client(_) | Self::TooManyRequests { .. } | Self::Target(_) | Self::Denied(_) => {
                Fault::Caller
            }
            Self::SubjectToken(SubjectTokenError::Home(error))
            | Self::ActorToken(SubjectTokenError::Home(error)) => idm_fault(error),
            Self::ActorToken(_)
            | Self::SubjectToken(_)
            | Self::SecurityToken(SecurityTokenError::SubjectRefused(_)) => Fault::Caller,
            Self::SecurityToken(SecurityTokenError::Idm(error)) | Self::Grant(GrantError::Idm(error)) => {
                idm_fault(error)
            }
            Self::SecurityToken(_) => Fault::Operator,
            Self::Grant(GrantError::UserRefused(_) | GrantError::ScopeRefused(_)) => Fault::Caller,
            Self::Grant(_) | Self::ShortLived => Fault::Operator,
            Self::TooManyWaiting
            | Self::Deadline(_)
            | Self::Purged
            | Self::ReplicasNotTold
            | Self::StoreIsAway
            | Self::Interrupted => Fault::Outage,
        }
    }

    /// Whether an identity server has said no, so that it would say so again: what may be remembered for a moment.
    pub fn is_definite(&self) -> bool {
        matches!(
            self,
            Self::SecurityToken(SecurityTokenError::SubjectRefused(_))
                | Self::Grant(GrantError::UserRefused(_) | GrantError::ScopeRefused(_))
        )
    }

    /// Whether what came of the home token `presented` (and actor token, where there is one) would come of `other` too: one that the home IdM does not take
    /// says nothing about another one of the same user, and a flight that was interrupted, because the worker that it ran
    /// on was stopped, says nothing at all.
    pub fn holds_for(&self, presented: &TokenDigest, other: &TokenDigest) -> bool {
        match self {
            Self::SecurityToken(SecurityTokenError::SubjectRefused(_))
            | Self::SubjectToken(SubjectTokenError::Revoked)
            | Self::ActorToken(_) => presented == other,
            Self::Interrupted => false,
            _ => true,
        }
    }

    /// How long the client should wait, where the identity server or the client's own rate limit says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { wait } => Some(*wait),
            Self::TooManyWaiting => IdmError::Overloaded.retry_after(),
            other => other.idm().and_then(IdmError::retry_after),
        }
    }

    /// What an identity server, or its guard, said.
    pub(super) fn idm(&self) -> Option<&IdmError> {
        match self {
            Self::SubjectToken(SubjectTokenError::Home(error))
            | Self::ActorToken(SubjectTokenError::Home(error))
            | Self::SecurityToken(SecurityTokenError::Idm(error))
            | Self::Grant(GrantError::Idm(error)) => Some(error),
            _ => None,
        }
    }
}

fn idm_fault(error: &IdmError) -> Fault {
    if error.is_outage() { Fault::Outage } else { Fault::Operator }
}

fn subject_token_code(error: &SubjectTokenError) -> &'static str {
    match error {
        SubjectTokenError::Token(_) => "subject_token_signature",
        SubjectTokenError::Claim(_) => "subject_token_claim",
        SubjectTokenError::Missing(_) => "subject_token_missing_claim",
        SubjectTokenError::Type => "subject_token_type",
        SubjectTokenError::Expired => "subject_token_expired",
        SubjectTokenError::NotYetValid => "subject_token_not_yet_valid",
        SubjectTokenError::Lifetime => "subject_token_lifetime",
        SubjectTokenError::Issuer => "subject_token_issuer",
        SubjectTokenError::Audience => "subject_token_audience",
        SubjectTokenError::BrokerNotNamed => "subject_token_broker_not_named",
        SubjectTokenError::Identity => "subject_token_identity",
        SubjectTokenError::Revoked => "subject_token_revoked",
        SubjectTokenError::Inactive => "subject_token_inactive",
        SubjectTokenError::Home(error) => idm_code(error, &HOME),
    }
}

fn security_token_code(error: &SecurityTokenError) -> &'static str {
    match error {
        SecurityTokenError::SubjectRefused(_) => "home_subject_refused",
        SecurityTokenError::Idm(error) => idm_code(error, &HOME),
        SecurityTokenError::IssuedTokenType => "home_issued_token_type",
        SecurityTokenError::TokenType => "home_token_type",
        SecurityTokenError::SubjectClaim(_) => "broker_mint_subject",
        SecurityTokenError::Signing => "broker_signing",
    }
}

fn grant_code(error: &GrantError) -> &'static str {
    match error {
        GrantError::Mismatch(_) => "security_token_mismatch",
        GrantError::UserRefused(_) => "partner_user_refused",
        GrantError::ScopeRefused(_) => "partner_scope_refused",
        GrantError::CredentialsRefused(_) => "partner_credentials_refused",
        GrantError::Idm(error) => idm_code(error, &PARTNER),
        GrantError::Response(_) => "partner_response",
    }
}

struct IdmCodes {
    endpoints: &'static str,
    unreachable: &'static str,
    no_answer: &'static str,
    unavailable: &'static str,
    paused: &'static str,
    overloaded: &'static str,
    credentials: &'static str,
    refused: &'static str,
    nonsense: &'static str,
    signing: &'static str,
}

const HOME: IdmCodes = IdmCodes {
    endpoints: "home_endpoints",
    unreachable: "home_unreachable",
    no_answer: "home_no_answer",
    unavailable: "home_unavailable",
    paused: "home_breaker_open",
    overloaded: "home_overloaded",
    credentials: "home_credentials_refused",
    refused: "home_refused",
    nonsense: "home_nonsense",
    signing: "home_client_assertion",
};

const PARTNER: IdmCodes = IdmCodes {
    endpoints: "partner_endpoints",
    unreachable: "partner_unreachable",
    no_answer: "partner_no_answer",
    unavailable: "partner_unavailable",
    paused: "partner_breaker_open",
    overloaded: "partner_overloaded",
    credentials: "partner_credentials_refused",
    refused: "partner_refused",
    nonsense: "partner_nonsense",
    signing: "partner_client_assertion",
};

fn idm_code(error: &IdmError, codes: &IdmCodes) -> &'static str {
    match error {
        IdmError::Endpoints(_) => codes.endpoints,
        IdmError::Unreachable(_) => codes.unreachable,
        IdmError::NoAnswer => codes.no_answer,
        IdmError::Unavailable { .. } => codes.unavailable,
        IdmError::Paused(_) | IdmError::AskedJustNow(_) => codes.paused,
        IdmError::Overloaded => codes.overloaded,
        IdmError::Refused(refusal) if refusal.is_about_client() => codes.credentials,
        IdmError::Refused(_) => codes.refused,
        IdmError::Nonsense(_) => codes.nonsense,
        IdmError::Signing => codes.signing,
    }
}
