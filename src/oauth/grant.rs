//! The second leg of one partner as plain data: what is asked, and which answers are taken.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::refusal::RefusalPattern;
use super::scope::ScopeSet;
use super::security_token::LegScope;

/// How the second leg asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantType {
    /// RFC 7523 §2.1 (B.7.4).
    #[default]
    JwtBearer,
    /// RFC 8693 at the partner, the security token being the subject token.
    TokenExchange,
    /// RFC 6749 §4.4 with the security token as `client_assertion` (authentik): the partner makes an account per subject.
    ClientCredentials,
}

/// The second leg: what is sent, and which answers are taken (B.7.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which grant.
    pub kind: GrantType,
    /// What is sent as `scope`.
    pub scope: LegScope,
    /// `subject_token_type`, for token exchange.
    pub subject_token_type: String,
    /// `requested_token_type`, for token exchange; `None`: not sent.
    pub requested_token_type: Option<String>,
    /// `audience`; `None`: not sent.
    pub audience: Option<String>,
    /// `resource`; `None`: not sent.
    pub resource: Option<String>,
    /// Further fixed parameters.
    pub parameters: Vec<(String, String)>,
    /// The lifetime of a token whose `expires_in` is missing; zero: such an answer is refused.
    pub assumed_lifetime: Duration,
    /// Longer lifetimes are cut down to this.
    pub max_lifetime: Duration,
    /// Scopes that the partner grants unasked and that are dropped from the answer instead of being refused.
    pub tolerated_scopes: ScopeSet,
    /// Accepted `token_type`s, compared without case.
    pub token_types: Vec<String>,
    /// Refusals that mean "not this user".
    pub user_refusals: Vec<RefusalPattern>,
    /// Refusals that mean "not these credentials of ours".
    pub credential_refusals: Vec<RefusalPattern>,
    /// Whether the broker uses the partner's refresh token (B.5), when the client does not get it.
    pub use_refresh_token: bool,
    /// Whether the client gets the partner's refresh token.
    pub forward_refresh_token: bool,
    /// Whether the client gets the partner's ID token.
    pub forward_id_token: bool,
}
