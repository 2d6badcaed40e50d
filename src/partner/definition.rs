//! One partner domain: everything that one file in `partners/` says, ready for use.

use std::time::Duration;

use crate::idm::Idm;
use crate::oauth::refusal::RefusalPattern;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::{Demands, LegScope, SecurityTokenSource};

/// A partner domain.
#[derive(Debug)]
pub struct Partner {
    /// The file's stem.
    pub id: String,
    /// SHA-256 of the effective definition: part of every cache key, so that a changed partner is not served from what
    /// was obtained under the old definition.
    pub epoch: [u8; 32],
    /// Whether it is served at all.
    pub enabled: bool,
    /// What clients send as `resource` (B.7.2).
    pub resource: String,
    /// Accepted as `audience`, besides the id and the resource.
    pub domains: Vec<String>,
    /// Its IdM and our registration there.
    pub idm: Idm,
    /// The first leg for this partner.
    pub security_token: SecurityTokenSource,
    /// What it demands of the security token.
    pub demands: Demands,
    /// The second leg.
    pub grant: Grant,
    /// Which scopes may be asked for.
    pub scopes: Scopes,
}

/// Scopes of a partner.
#[derive(Debug, Clone, Default)]
pub struct Scopes {
    /// What a client may ask for.
    pub allowed: ScopeSet,
    /// What it gets when it asks for nothing in particular.
    pub default: ScopeSet,
    /// Our name of a scope, and the partner's.
    pub map: Vec<(String, String)>,
}

impl Scopes {
    /// Our scopes in the partner's names.
    pub fn to_partner(&self, scopes: &ScopeSet) -> ScopeSet {
        scopes.rename(|scope| find(&self.map, |(ours, _)| ours == scope).map(|(_, theirs)| theirs.as_str()))
    }

    /// The partner's scopes in our names.
    pub fn from_partner(&self, scopes: &ScopeSet) -> ScopeSet {
        scopes.rename(|scope| find(&self.map, |(_, theirs)| theirs == scope).map(|(ours, _)| ours.as_str()))
    }
}

fn find<T>(items: &[T], wanted: impl Fn(&T) -> bool) -> Option<&T> {
    items.iter().find(|item| wanted(item))
}

/// How the second leg asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 7523 §2.1 (B.7.4).
    JwtBearer,
    /// RFC 8693 at the partner, the security token being the subject token.
    TokenExchange,
}

/// The second leg: what is sent, and which answers are taken (B.7.5).
#[derive(Debug, Clone)]
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
    /// Whether `client_id` is the MCX client's own id instead of ours (B.7.4).
    pub forward_client_id: bool,
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
    /// Whether the client gets the partner's refresh token.
    pub forward_refresh_token: bool,
    /// Whether the client gets the partner's ID token.
    pub forward_id_token: bool,
}
