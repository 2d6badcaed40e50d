//! `[[rules]]`: which users may have tokens of which partners.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::clients::{Selection, selection};
use super::findings::Findings;
use super::value;
use crate::oauth::scope::ScopeSet;

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What the audit log and the client call it.
    pub name: String,
    /// Whose requests it concerns.
    pub clients: Selection,
    /// For tokens of which partners.
    pub partners: Selection,
    /// Only if one of these is asked for; `None`: whatever is.
    pub scopes: Option<ScopeSet>,
    /// What the home token must say: claims, or JSON pointers into them, with the accepted values.
    pub require: BTreeMap<String, Selection>,
}

/// Which users may have tokens of which partners.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct RuleTable {
    /// What refusals and the audit log call it: letters, digits, `-`, `_`, `.`.
    name: String,
    /// Whose requests it concerns.
    clients: Vec<String>,
    /// For tokens of which partners.
    partners: Vec<String>,
    /// Only if one of these is asked for.
    #[serde(deserialize_with = "value::OptionalScopes::deserialize")]
    #[schemars(with = "value::OptionalScopes")]
    scopes: Option<ScopeSet>,
    /// Claims of the home token with the accepted values; the claim's value, or an element of its list, must be one
    /// of them. `["*"]`: any. `scope` is read as a list. A name that begins with `/` is a JSON pointer (RFC 6901)
    /// into the claims.
    require: BTreeMap<String, Vec<String>>,
}

/// The partners that are named.
pub(super) fn partners(rules: &[RuleTable]) -> impl Iterator<Item = &String> {
    rules.iter().flat_map(|rule| &rule.partners)
}

impl Default for RuleTable {
    fn default() -> Self {
        Self {
            name: String::new(),
            clients: vec!["*".to_owned()],
            partners: vec!["*".to_owned()],
            scopes: None,
            require: BTreeMap::new(),
        }
    }
}

/// Longest name of a rule.
const MAX_NAME: usize = 64;

/// Resolves all rules; `clients` are the registered ids, `partners` those that have a file.
pub(super) fn resolve(
    tables: Vec<RuleTable>,
    clients: &BTreeSet<String>,
    partners: &BTreeSet<String>,
    findings: &mut Findings<'_>,
) -> Vec<Rule> {
    let mut seen = BTreeSet::new();
    let mut rules = Vec::new();
    for (number, table) in tables.into_iter().enumerate() {
        let at = format!("rules[{number}]");
        let name_key = format!("{at}.name");
        if findings.required(&name_key, &table.name, "write what the audit log should call it") {
            let named = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
            findings.demand(
                table.name.len() <= MAX_NAME && table.name.chars().all(named),
                &name_key,
                "is no name of letters, digits, -, _ and . of at most 64 characters",
                "shorten it",
            );
            let remedy = "give each rule a name of its own";
            findings.demand(
                seen.insert(table.name.clone()),
                &name_key,
                "is the name of another rule too",
                remedy,
            );
        }
        rules.push(table.resolve(findings, &at, clients, partners));
    }
    rules
}

impl RuleTable {
    fn resolve(
        self,
        findings: &mut Findings<'_>,
        at: &str,
        clients: &BTreeSet<String>,
        partners: &BTreeSet<String>,
    ) -> Rule {
        let clients = concerned(findings, &format!("{at}.clients"), &self.clients, clients, "client");
        let partners = concerned(findings, &format!("{at}.partners"), &self.partners, partners, "partner");
        let scopes_key = format!("{at}.scopes");
        findings.demand(
            self.scopes.as_ref().is_none_or(|scopes| !scopes.is_empty()),
            &scopes_key,
            "is empty: the rule would concern nothing",
            "list scopes, or remove the key for all",
        );
        let require_key = format!("{at}.require");
        findings.demand(
            !self.require.is_empty(),
            &require_key,
            "is missing: the rule would demand nothing",
            "write { claim = [\"accepted value\"] }",
        );
        let require = self.require.into_iter().map(|(claim, values)| {
            let key = format!("{require_key}.{claim}");
            findings.demand(
                !claim.is_empty() && claim != "/",
                &require_key,
                "names an empty claim",
                "write the claim's name, or a JSON pointer such as /realm_access/roles",
            );
            findings.demand(
                !values.is_empty(),
                &key,
                "is empty: no user could fulfil it",
                "list accepted values, or [\"*\"] for any",
            );
            findings.entries(&key, &values);
            let values = selection(findings, &key, &values);
            (claim, values)
        });
        let require = require.collect();
        Rule { name: self.name, clients, partners, scopes: self.scopes, require }
    }
}

/// Whom a rule concerns. A slip of the pen would silently let everybody through whom it was meant to keep out.
fn concerned(
    findings: &mut Findings<'_>,
    key: &str,
    names: &[String],
    known: &BTreeSet<String>,
    kind: &str,
) -> Selection {
    findings.demand(
        !names.is_empty(),
        key,
        "is empty: the rule would concern nobody",
        "list names, or remove the key for all",
    );
    for (number, name) in names.iter().enumerate() {
        findings.demand(
            name == "*" || known.contains(name),
            &format!("{key}[{number}]"),
            format!("names a {kind} that is not configured"),
            "correct the name, or remove it",
        );
    }
    selection(findings, key, names)
}
