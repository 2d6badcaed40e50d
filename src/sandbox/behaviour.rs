//! How an IdM behaves, as data: what it demands, what it ignores, what it answers. The default is what TS 33.180 Annex B says;
//! the vendors' ways are files under `behaviours/`, each stating only what differs.

mod authentication;
mod exchange;
mod partner;
mod response;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use authentication::{AssertionAudience, Authentication, BasicEncoding, ClientIdInBody, Method};
pub use exchange::{AudienceSource, ExchangeRules, HomeRules, Presence, SecurityToken, TargetValues};
pub use partner::{Account, AssertionRules, Check, PartnerRules, ServerName};
pub use response::{Ceiling, IdTokenAnswer, ResponseRules, ScopeAnswer, ScopeRules};

use super::mistake::{Answer, Mistake};

/// Everything in which identity servers differ. A file states what differs from the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// Name of the profile.
    pub name: String,
    /// Product, versions, and what is special.
    pub about: String,
    /// Path of the token endpoint, as discovery states it. `/token` is answered too.
    pub token_path: String,
    /// Whether the issuer ends in a slash (Auth0).
    pub issuer_slash: bool,
    /// How clients authenticate.
    pub authentication: Authentication,
    /// The user's access token, as a login gives it (B.2.2): the later subject token.
    pub login: LoginToken,
    /// First leg: token exchange of own tokens (B.7.2, B.7.3).
    pub home: HomeRules,
    /// Second leg: grants against tokens of trusted issuers (B.7.4, B.7.5).
    pub partner: PartnerRules,
    /// What is answered to which mistake, where it differs from the standards.
    pub errors: BTreeMap<Mistake, Answer>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            name: "ts33180".to_owned(),
            about: "What TS 33.180 Annex B says".to_owned(),
            token_path: "/token".to_owned(),
            issuer_slash: false,
            authentication: Authentication::default(),
            login: LoginToken::default(),
            home: HomeRules::default(),
            partner: PartnerRules::default(),
            errors: BTreeMap::new(),
        }
    }
}

/// The access token that a login gives (B.2.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginToken {
    /// JWT or opaque.
    pub format: Format,
    /// Header `typ`; empty: none.
    pub typ: String,
    /// Whether the header has a `kid`.
    pub kid: bool,
    /// Claims that are left out: the specification's own example has no `iss`, `sub`, `aud`, `iat`, `jti`.
    pub omitted_claims: Vec<String>,
    /// Further fixed claims (PingAM: `may_act`).
    pub claims: Map<String, Value>,
    /// Whether `scope` is an array (older releases of TS 33.180) and not a string.
    pub scope_array: bool,
    /// Seconds.
    pub lifetime: u64,
}

impl Default for LoginToken {
    fn default() -> Self {
        Self {
            format: Format::Jwt,
            typ: "at+jwt".to_owned(),
            kid: true,
            omitted_claims: Vec::new(),
            claims: Map::new(),
            scope_array: false,
            lifetime: 3600,
        }
    }
}

/// What a token looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A signed JWT.
    Jwt,
    /// A UUID that says nothing.
    Opaque,
}
