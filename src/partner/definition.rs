//! One partner domain: everything that one file in `partners/` says, ready for use.

use crate::idm::Idm;
use crate::oauth::grant::Grant;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::{Demands, SecurityTokenSource};

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
    /// Whether `client_id` on the second leg is the MCX client's own id instead of ours (B.7.4).
    pub forward_client_id: bool,
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
