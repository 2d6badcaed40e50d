//! The rules of token exchange, and of the first leg as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::response::{ResponseRules, ScopeRules};
use crate::oauth::token_type;

/// First leg: what is exchanged for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeRules {
    /// The request.
    pub exchange: ExchangeRules,
    /// Whether this server's own tokens are taken at all (Dex takes those of its upstream connectors only).
    pub own_tokens: bool,
    /// Whether the requester must be in the subject token's `aud`, or be the client it was issued to.
    pub requester_in_audience: bool,
    /// Whether the subject token must have a `may_act` that names the requester (PingAM).
    pub may_act: bool,
    /// The scope of the request.
    pub scope: ScopeRules,
    /// The scope without which no target is obtainable (Keycloak: the client scope with the audience mapper).
    pub audience_scope: Option<String>,
    /// The security token.
    pub token: SecurityToken,
    /// The answer.
    pub response: ResponseRules,
}

impl Default for HomeRules {
    fn default() -> Self {
        Self {
            exchange: ExchangeRules::default(),
            own_tokens: true,
            requester_in_audience: false,
            may_act: false,
            scope: ScopeRules::default(),
            audience_scope: None,
            token: SecurityToken::default(),
            response: ResponseRules { lifetime: 600, ..ResponseRules::default() },
        }
    }
}

/// What is read of an RFC 8693 request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the data files")]
pub struct ExchangeRules {
    /// Whether the grant is known here.
    pub enabled: bool,
    /// Whether a public client may use it.
    pub public_clients: bool,
    /// Accepted `subject_token_type`s; `""` says that it may be left out.
    pub subject_token_types: Vec<String>,
    /// Accepted `requested_token_type`s; `""` says that it may be left out.
    pub requested_token_types: Vec<String>,
    /// What is issued when it is left out.
    pub default_token_type: String,
    /// `audience`.
    pub audience: Presence,
    /// `resource`.
    pub resource: Presence,
    /// `actor_token` (RFC 8693 §2.1): who acts, which goes into `act`.
    pub actor_token: Presence,
    /// Which values of `audience` are known.
    pub audience_values: TargetValues,
    /// Which values of `resource` are known.
    pub resource_values: TargetValues,
    /// What `resource` must start with; `aud` gets the rest (SAP).
    pub resource_prefix: String,
    /// Whether one of the two must be there.
    pub target_required: bool,
    /// Whether both at once are refused.
    pub one_target: bool,
    /// Further parameters that must be there, with their value; `""`: any.
    pub required_parameters: BTreeMap<String, String>,
    /// Parameters that must not be there.
    pub refused_parameters: Vec<String>,
}

impl Default for ExchangeRules {
    fn default() -> Self {
        Self {
            enabled: true,
            public_clients: true,
            subject_token_types: vec![token_type::JWT.to_owned(), token_type::ACCESS_TOKEN.to_owned()],
            requested_token_types: vec![String::new(), token_type::JWT.to_owned()],
            default_token_type: token_type::JWT.to_owned(),
            audience: Presence::Optional,
            resource: Presence::Required,
            actor_token: Presence::Optional,
            audience_values: TargetValues::Any,
            resource_values: TargetValues::RegisteredUri,
            resource_prefix: String::new(),
            target_required: true,
            one_target: false,
            required_parameters: BTreeMap::new(),
            refused_parameters: Vec::new(),
        }
    }
}

/// What a server does with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Must be there.
    Required,
    /// Read when it is there.
    Optional,
    /// Never read.
    Ignored,
    /// Must not be there.
    Refused,
}

/// Which values name a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetValues {
    /// Anything.
    Any,
    /// An absolute URI without fragment (RFC 8707 §2).
    Uri,
    /// The same, and a registered target, if any is registered.
    RegisteredUri,
    /// A registered target, nothing else.
    Registered,
    /// A value that the subject token's `aud` has (Zitadel).
    SubjectAudience,
}

/// What the security token carries (B.8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the data files")]
pub struct SecurityToken {
    /// Where `aud` comes from, in this order, each value once. One value is a string.
    pub audience: Vec<AudienceSource>,
    /// The same, when that gives nothing.
    pub otherwise: Vec<AudienceSource>,
    /// What [`AudienceSource::Fixed`] stands for.
    pub fixed_audience: String,
    /// Whether `iss` is the target (authentik: the target provider's issuer).
    pub issued_by_target: bool,
    /// Header `typ`; empty: none.
    pub typ: String,
    /// Whether the header has a `kid`.
    pub kid: bool,
    /// Whether there is a `jti`.
    pub jti: bool,
    /// Whether there is an `act` claim that names the requester, where no actor is named (RFC 8693 §4.1).
    pub act: bool,
    /// Whether there is a `scope` claim.
    pub scope: bool,
    /// Claims that carry the requester's id: `azp`, `client_id`, `cid`.
    pub requester_claims: Vec<String>,
}

impl Default for SecurityToken {
    fn default() -> Self {
        Self {
            audience: vec![AudienceSource::SubjectClient, AudienceSource::Resource],
            otherwise: Vec::new(),
            fixed_audience: String::new(),
            issued_by_target: false,
            typ: "JWT".to_owned(),
            kid: true,
            jti: true,
            act: false,
            scope: false,
            requester_claims: Vec::new(),
        }
    }
}

/// Where a value of `aud` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudienceSource {
    /// The client that the subject token was issued to (B.8).
    SubjectClient,
    /// The client that asks.
    Requester,
    /// `resource`.
    Resource,
    /// `audience`.
    Audience,
    /// `audience`, else `resource`.
    Target,
    /// Every registered target, when [`HomeRules::audience_scope`] is granted (Keycloak: the audience mapper).
    Scope,
    /// The subject token's own (Zitadel).
    Subject,
    /// [`SecurityToken::fixed_audience`] (PingFederate: the token manager's).
    Fixed,
}
