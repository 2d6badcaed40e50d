//! The rules of the second leg.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::exchange::{ExchangeRules, Presence};
use super::response::{ResponseRules, ScopeRules};
use crate::oauth::token_type;

/// Second leg: what is granted against a token of a trusted issuer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerRules {
    /// Whether `jwt-bearer` (RFC 7523 §2.1, B.7.4) is known here.
    pub jwt_bearer: bool,
    /// Whether a public client may use it.
    pub public_clients: bool,
    /// RFC 8693 with a token of a trusted issuer.
    pub exchange: ExchangeRules,
    /// Parameters that `jwt-bearer` must have, with their value; `""`: any.
    pub required_parameters: BTreeMap<String, String>,
    /// What is demanded of the assertion or subject token.
    pub assertion: AssertionRules,
    /// The scope of the request.
    pub scope: ScopeRules,
    /// The answer.
    pub response: ResponseRules,
}

impl Default for PartnerRules {
    fn default() -> Self {
        Self {
            jwt_bearer: true,
            public_clients: true,
            exchange: ExchangeRules {
                requested_token_types: vec![String::new(), token_type::ACCESS_TOKEN.to_owned()],
                default_token_type: token_type::ACCESS_TOKEN.to_owned(),
                resource: Presence::Optional,
                target_required: false,
                ..ExchangeRules::default()
            },
            required_parameters: BTreeMap::new(),
            assertion: AssertionRules::default(),
            scope: ScopeRules { required: true, ..ScopeRules::default() },
            response: ResponseRules::default(),
        }
    }
}

/// What is demanded of a token of a trusted issuer (RFC 7523 §3, B.8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the data files")]
pub struct AssertionRules {
    /// Which names of this server `aud` may carry; empty: not checked.
    pub audience: Vec<ServerName>,
    /// Whether `aud` must have that one value and no other.
    pub single_audience: bool,
    /// Whether there must be a `jti`.
    pub jti_required: bool,
    /// Whether a `jti` is accepted once only.
    pub jti_once: bool,
    /// Whether there must be an `iat`.
    pub iat_required: bool,
    /// `exp` at most this many seconds ahead; 0: any.
    pub max_lifetime: u64,
    /// `iat` at most this many seconds ago; 0: any.
    pub max_age: u64,
    /// `max_lifetime` counts only when there is no `iat` (Keycloak).
    pub lifetime_without_iat_only: bool,
    /// Seconds of leeway. Negative: counts against the sender (WSO2).
    pub skew: i64,
    /// Whether the header must have a `kid`.
    pub kid_required: bool,
    /// Accepted header `typ`s, without case; empty: any.
    pub types: Vec<String>,
    /// Accepted algorithms; empty: every asymmetric one.
    pub algorithms: Vec<String>,
    /// Whether the claim `client_id` must name the authenticated client (ID-JAG).
    pub client_claim: bool,
    /// The claim that names the user.
    pub subject_claim: String,
    /// Which account must be there.
    pub account: Account,
    /// The checks in the order in which they are made: it decides which of two mistakes is answered, and whether a
    /// refused assertion's `jti` is spent (Keycloak).
    pub checks: Vec<Check>,
}

impl Default for AssertionRules {
    fn default() -> Self {
        Self {
            audience: vec![ServerName::Issuer, ServerName::TokenEndpoint],
            single_audience: false,
            jti_required: false,
            jti_once: true,
            iat_required: true,
            max_lifetime: 3600,
            max_age: 0,
            lifetime_without_iat_only: false,
            skew: 10,
            kid_required: false,
            types: Vec::new(),
            algorithms: Vec::new(),
            client_claim: false,
            subject_claim: "sub".to_owned(),
            account: Account::None,
            checks: Check::ALL.to_vec(),
        }
    }
}

/// A name of this server, as `aud` may carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerName {
    /// The issuer.
    Issuer,
    /// The token endpoint's URL.
    TokenEndpoint,
    /// What the trust entry of the issuer says: an alias (WSO2), or this server's client id at the home IdM (UAA, SAP).
    Alias,
}

/// Whether the subject must have an account here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// None is needed.
    None,
    /// One must exist and be enabled.
    Linked,
    /// One is made when it does not exist.
    JustInTime,
}

/// One check of an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Header `typ`.
    Typ,
    /// Header `kid`.
    Kid,
    /// `iss` is trusted.
    Issuer,
    /// Header `alg`.
    Algorithm,
    /// The signature.
    Signature,
    /// `exp`, `nbf`, `iat`.
    Times,
    /// `aud`.
    Audience,
    /// The claim `client_id`.
    ClientClaim,
    /// The user.
    User,
    /// The scope of the request.
    Scope,
    /// `jti`: there, and not seen before; from here on it is spent.
    Jti,
}

impl Check {
    /// Every check, in the order of the default behaviour: a refused assertion does not spend its `jti`.
    pub const ALL: [Self; 11] = [
        Self::Typ,
        Self::Kid,
        Self::Issuer,
        Self::Algorithm,
        Self::Signature,
        Self::Times,
        Self::Audience,
        Self::ClientClaim,
        Self::User,
        Self::Scope,
        Self::Jti,
    ];
}
