//! `[scopes]` of a partner file: what may be asked there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::findings::Findings;
use super::value;
use crate::oauth::scope::ScopeSet;

/// Policy: which scopes may be asked of this partner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Scopes {
    /// What clients may ask for, as clients name it.
    #[serde(with = "value::Scopes")]
    pub allowed: ScopeSet,
    /// What a request without `scope` means; a subset of `allowed`.
    #[serde(with = "value::Scopes")]
    pub default: ScopeSet,
    /// Our name to the partner's, where it names scopes otherwise (Release 13 names, for example).
    pub map: BTreeMap<String, String>,
}

impl Scopes {
    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        findings.demand(
            !self.allowed.is_empty(),
            "scopes.allowed",
            "is empty: nothing could be asked of this partner (B.7.4 requires a scope)",
            "list the scopes, such as [\"3gpp:mc:ptt_group_management_service\"]",
        );
        findings.demand(
            self.default.is_subset(&self.allowed),
            "scopes.default",
            "has scopes that scopes.allowed does not have",
            "add them there, or remove them here",
        );
        for (ours, theirs) in &self.map {
            let at = format!("scopes.map.{ours}");
            findings.demand(
                self.allowed.contains(ours),
                &at,
                "is not in scopes.allowed",
                "add it there, or remove it here",
            );
            findings.demand(
                theirs.parse::<ScopeSet>().is_ok_and(|set| set.iter().count() == 1 && set.contains(theirs)),
                &at,
                "is not one scope",
                "write the partner's name of it, without spaces",
            );
        }
        let mut names: Vec<&str> =
            self.allowed.iter().map(|ours| self.map.get(ours).map_or(ours, String::as_str)).collect();
        names.sort_unstable();
        findings.demand(
            names.windows(2).all(|pair| pair.first() != pair.last()),
            "scopes.map",
            "gives two allowed scopes one name, so that the partner's answer cannot be told apart",
            "give each its own",
        );
    }
}
