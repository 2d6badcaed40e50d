//! One partner domain: everything that one file in `partners/` says, ready for use.

use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::outcomes::Outcomes;
use super::waiting::Waiting;
use crate::idm::{Guard, Idm};
use crate::oauth::grant::Grant;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::{Demands, SecurityTokenSource};
use crate::telemetry::metrics::Served;

/// A partner domain.
#[derive(Debug)]
pub struct Partner {
    /// The file's stem.
    pub id: String,
    /// For people; empty: the id will do.
    pub display_name: String,
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
    /// Before its revocation endpoint: what is wrong there keeps nobody from a token.
    pub revocation: Guard,
    /// Whether `client_id` on the second leg is the MCX client's own id instead of ours (B.7.4).
    pub forward_client_id: bool,
    /// The first leg for this partner.
    pub security_token: SecurityTokenSource,
    /// Claims of the user that the broker itself puts into the security token, besides those that name users: they make
    /// a token another one.
    pub minted_from: Vec<String>,
    /// What it demands of the security token.
    pub demands: Demands,
    /// The second leg.
    pub grant: Grant,
    /// Which scopes may be asked for.
    pub scopes: Scopes,
    /// Overall deadline of an exchange.
    pub timeout: Duration,
    /// Requests that wait for its tokens.
    pub waiting: Waiting,
    /// What became of the legs of its exchanges.
    pub outcomes: Outcomes,
    /// Counts the requests that got a token of it.
    pub served: Served,
    /// How it did lately, whatever its definition was then.
    pub history: Arc<History>,
}

impl Partner {
    /// All that clients may call it.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.domains.iter().chain([&self.id, &self.resource])
    }

    /// Whether one name would mean both.
    pub fn shares_a_name_with(&self, other: &Self) -> bool {
        self.enabled && other.enabled && self.names().any(|name| other.names().any(|theirs| theirs == name))
    }
}

/// Scopes of a partner.
#[derive(Debug, Clone)]
pub struct Scopes {
    /// What a client may ask for.
    allowed: ScopeSet,
    /// The same in the set's order: the place of a scope here is its bit in a [`ScopeMask`].
    names: Vec<String>,
    /// What it gets when it asks for nothing in particular.
    default: ScopeMask,
    /// Our name of a scope, and the partner's.
    map: Vec<(String, String)>,
}

/// A set of one partner's allowed scopes: a bit each, because a request is compared on every hit. Sets have at most 128
/// members. Means nothing beside another partner's, or another definition of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeMask(u128);

impl ScopeMask {
    /// Whether there is no scope at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// For a key: equal sets are equal bytes, in whatever order and how often the scopes were named.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl Scopes {
    /// `default` has no scope that `allowed` does not have, or it is not given. `map`: our name of a scope, and the partner's.
    pub fn new(allowed: ScopeSet, default: &ScopeSet, map: Vec<(String, String)>) -> Self {
        let names = allowed.iter().map(str::to_owned).collect();
        let mut scopes = Self { allowed, names, default: ScopeMask(0), map };
        scopes.default = scopes.mask(default.iter()).unwrap_or(ScopeMask(0));
        scopes
    }

    /// What a request without `scope` means.
    pub const fn default(&self) -> ScopeMask {
        self.default
    }

    /// What a client may ask for.
    pub const fn allowed(&self) -> &ScopeSet {
        &self.allowed
    }

    /// The set of these scopes; `None`: one of them is not allowed.
    pub fn mask<'s>(&self, scopes: impl Iterator<Item = &'s str>) -> Option<ScopeMask> {
        let mut mask = 0_u128;
        for scope in scopes {
            let bit = self.names.binary_search_by(|name| name.as_str().cmp(scope)).ok()?;
            mask |= 1_u128.checked_shl(u32::try_from(bit).ok()?)?;
        }
        Some(ScopeMask(mask))
    }

    /// The scopes of a mask of this partner's.
    pub fn set(&self, mask: ScopeMask) -> ScopeSet {
        self.allowed.filter(|position| mask.0.checked_shr(position).is_some_and(|bits| bits & 1 == 1))
    }

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mask_is_a_set_and_nothing_else() {
        let many: ScopeSet =
            (0..128).map(|n| format!("s{n:03}")).collect::<Vec<_>>().join(" ").parse().unwrap();
        let scopes = Scopes::new(many.clone(), &"s127 s000".parse().unwrap(), Vec::new());
        assert_eq!(scopes.set(scopes.default()).to_string(), "s000 s127");
        assert_eq!(scopes.set(scopes.mask(many.iter()).unwrap()), many);
        assert_eq!(
            scopes.mask(["s001", "s000", "s001"].into_iter()),
            scopes.mask(["s000", "s001"].into_iter())
        );
        assert_eq!(scopes.mask(["s001", "s128"].into_iter()), None);
        assert!(scopes.mask(std::iter::empty()).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn two_masks_are_equal_when_their_sets_are(one in "[a-d ]{0,8}", other in "[a-d ]{0,8}") {
            let allowed: ScopeSet = "a b c d aa ab ba".parse().unwrap();
            let scopes = Scopes::new(allowed, &ScopeSet::default(), Vec::new());
            let (one, other): (ScopeSet, ScopeSet) = (one.parse().unwrap(), other.parse().unwrap());
            if let (Some(mask), Some(another)) = (scopes.mask(one.iter()), scopes.mask(other.iter())) {
                prop_assert_eq!(mask == another, one == other);
                prop_assert_eq!(scopes.set(mask), one);
            }
        }
    }
}
