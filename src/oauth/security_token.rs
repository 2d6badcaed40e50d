//! The security token of one partner as plain data: how it is obtained on the first leg, and what the partner demands of it.
//!
//! Real identity servers differ in every one of these points, so each is a value here and a key in a partner file,
//! never a code path per vendor.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::refusal::RefusalPattern;
use super::scope::ScopeSet;

/// Where the security token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityTokenSource {
    /// RFC 8693 token exchange at the home IdM (B.7.2, B.7.3).
    Exchange(ExchangePlan),
    /// Signed by the broker itself (B.8), which then controls every claim.
    Mint(MintPlan),
}

impl SecurityTokenSource {
    /// Whether an actor token can be told on: the grant of Microsoft Entra ID has no parameter for one.
    pub const fn takes_actor_tokens(&self) -> bool {
        !matches!(self, Self::Exchange(ExchangePlan { grant: HomeGrant::OnBehalfOf, .. }))
    }

    /// The claims of the subject token that the broker itself puts into the security token.
    pub fn subject_claims(&self) -> impl Iterator<Item = &String> {
        let plan = match self {
            Self::Exchange(_) => None,
            Self::Mint(plan) => Some(plan),
        };
        plan.into_iter().flat_map(|plan| plan.subject_claim.iter().chain(&plan.copied_claims))
    }
}

/// The parameters of the token exchange at the home IdM, and which answers are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangePlan {
    /// Which grant asks for it.
    pub grant: HomeGrant,
    /// Sent as `resource` when present (B.7.2 requires it; some identity servers refuse it).
    pub resource: Option<String>,
    /// Sent as `audience` when present.
    pub audience: Option<String>,
    /// What is sent as `scope`.
    pub scope: LegScope,
    /// `subject_token_type`.
    pub subject_token_type: String,
    /// `requested_token_type`; `None`: not sent.
    pub requested_token_type: Option<String>,
    /// Further fixed parameters, for identity servers that demand them.
    pub parameters: Vec<(String, String)>,
    /// Accepted `issued_token_type`s. An answer without the member is accepted.
    pub issued_token_types: Vec<String>,
    /// Accepted `token_type`s, compared without case. An answer without the member is accepted.
    pub token_types: Vec<String>,
    /// Refusals that mean "this subject token is refused", which is the caller's to mend, and not "the broker is
    /// misconfigured".
    pub subject_refusals: Vec<RefusalPattern>,
}

/// How the home IdM is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HomeGrant {
    /// RFC 8693 (B.7.2).
    #[default]
    TokenExchange,
    /// The subject token as the assertion of an RFC 7523 grant with `requested_token_use=on_behalf_of` (Microsoft Entra ID).
    OnBehalfOf,
}

/// What is sent as `scope` on a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegScope {
    /// No `scope` parameter.
    Omit,
    /// The granted scopes, as the partner names them.
    Granted,
    /// Always this.
    Fixed(ScopeSet),
}

impl LegScope {
    /// What is sent as `scope`; `None`: the parameter is left out.
    pub fn value(&self, granted: &ScopeSet) -> Option<String> {
        match self {
            Self::Omit => None,
            Self::Granted => Some(granted.to_string()),
            Self::Fixed(scope) => Some(scope.to_string()),
        }
    }
}

/// What a minted security token looks like (B.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintPlan {
    /// `iss`.
    pub issuer: String,
    /// The partner's value in `aud`.
    pub audience: String,
    /// Whether `aud` is `[client_id, audience]` as B.8 has it, or `audience` alone.
    pub audience_form: AudienceForm,
    /// The claim of the subject token that becomes `sub`; `None`: the one that names the user.
    pub subject_claim: Option<String>,
    /// `exp` minus `iat`.
    pub lifetime: Duration,
    /// Header `typ`; `None`: no `typ`.
    pub typ: Option<String>,
    /// Whether the header has `kid`.
    pub kid: bool,
    /// Whether there is a `jti`: 128 random bits.
    pub jti: bool,
    /// The `client_id` claim (ID-JAG: the broker's id at the partner); `None`: no such claim.
    pub client_id: Option<String>,
    /// Whether the granted scopes go into a `scope` claim.
    pub scope: bool,
    /// Claims of the subject token that are copied when it has them, such as `mcptt_id`.
    pub copied_claims: Vec<String>,
    /// Further fixed claims.
    pub claims: Vec<(String, String)>,
}

/// The JSON form of a minted `aud`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudienceForm {
    /// `[client_id, audience]` (B.8).
    ClientAndPartner,
    /// A string with the audience alone: what Keycloak and every ID-JAG receiver demand.
    Single,
}

/// What the partner demands of the security token: compared **before** it is sent, so that a mismatch is named
/// instead of being answered with the one generic error that many partners have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demands {
    /// Accepted `iss` values.
    pub issuers: Vec<String>,
    /// What `aud` must carry: one of these values.
    pub audiences: Vec<String>,
    /// Whether `aud` must be that one value and nothing else.
    pub single_audience: bool,
    /// `exp` at most this long after `iat`, or after now where there is no `iat`; `None`: any.
    pub max_lifetime: Option<Duration>,
    /// `iat` at most this far back; `None`: any.
    pub max_age: Option<Duration>,
    /// `exp` at least this far ahead: an assertion that dies on the way is not worth sending.
    pub min_remaining: Duration,
    /// Claims that must be there, `exp`, `iss` and `aud` aside.
    pub required_claims: Vec<String>,
    /// Whether the header must have a `kid`.
    pub kid: bool,
    /// Accepted header `typ`s, compared without case; empty: any. `""` in the list stands for a header without `typ`.
    pub types: Vec<String>,
    /// Accepted algorithms; empty: any asymmetric one.
    pub algorithms: Vec<String>,
}
