//! What becomes of `scope`, and what an answer looks like.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Format;

/// What an answer looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseRules {
    /// `token_type`, as spelled.
    pub token_type: String,
    /// `token_type` where it depends on the issued type.
    pub token_types: BTreeMap<String, String>,
    /// Whether RFC 8693 answers carry `issued_token_type`.
    pub issued_token_type: bool,
    /// Seconds.
    pub lifetime: u64,
    /// JWT or opaque.
    pub format: Format,
    /// A parameter and the value that makes an opaque token a JWT (SAP: `token_format=jwt`).
    pub jwt_parameter: Option<(String, String)>,
    /// How the granted scope is told.
    pub scope: ScopeAnswer,
    /// Whether a refresh token comes along unasked.
    pub refresh_token: bool,
    /// Whether an ID token comes along: always, only with `openid`, or never.
    pub id_token: IdTokenAnswer,
    /// Whether absent members are there as `null` (authgent).
    pub null_members: bool,
    /// Further members.
    pub members: Map<String, Value>,
}

impl Default for ResponseRules {
    fn default() -> Self {
        Self {
            token_type: "Bearer".to_owned(),
            token_types: BTreeMap::new(),
            issued_token_type: true,
            lifetime: 3600,
            format: Format::Jwt,
            jwt_parameter: None,
            scope: ScopeAnswer::Granted,
            refresh_token: false,
            id_token: IdTokenAnswer::Never,
            null_members: false,
            members: Map::new(),
        }
    }
}

/// How an answer tells the granted scope (RFC 6749 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeAnswer {
    /// Always.
    Granted,
    /// Only when it differs from what was asked for.
    IfDifferent,
    /// Never.
    Missing,
    /// As the empty string when nothing was granted (Hydra), else as granted; absent otherwise.
    OrEmpty,
}

/// When an ID token comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdTokenAnswer {
    /// Never.
    Never,
    /// When `openid` is granted.
    WithOpenid,
    /// Always.
    Always,
}

/// What is asked of `scope` and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeRules {
    /// Whether `scope` must be in the request (B.7.4: required).
    pub required: bool,
    /// Whether an unknown scope is dropped silently instead of refused.
    pub unknown_dropped: bool,
    /// Scopes that are refused on this leg.
    pub forbidden: Vec<String>,
    /// Whether the `scope` of the subject token or assertion, if it has one, bounds what is given.
    pub ceiling: Ceiling,
    /// Scopes that are given unasked.
    pub added: Vec<String>,
    /// Scopes that are known besides those of TS 33.180.
    pub known: Vec<String>,
}

impl Default for ScopeRules {
    fn default() -> Self {
        Self {
            required: false,
            unknown_dropped: false,
            forbidden: Vec::new(),
            ceiling: Ceiling::Ignored,
            added: Vec::new(),
            known: Vec::new(),
        }
    }
}

/// What the presented token's own `scope` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// Nothing.
    Ignored,
    /// What it lacks is dropped (PingAM).
    Intersects,
    /// What it lacks is refused (Zitadel).
    Refuses,
    /// It replaces the request's (Auth0).
    Replaces,
}
