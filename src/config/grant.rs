//! `[grant]` of a partner file: the second leg (B.7.4, B.7.5).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::findings::Findings;
use super::placeholder::Placeholders;
use super::security_token::check_parameters;
use super::value::{self, stated, texts};
use crate::oauth::grant::{Grant, GrantType};
use crate::oauth::refusal::RefusalPattern;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::LegScope;
use crate::oauth::token_type;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct GrantTable {
    r#type: GrantType,
    #[serde(deserialize_with = "value::leg_scope")]
    scope: LegScope,
    parameters: BTreeMap<String, String>,
    subject_token_type: String,
    requested_token_type: String,
    audience: String,
    resource: String,
    #[serde(deserialize_with = "value::duration")]
    assumed_lifetime: Duration,
    #[serde(deserialize_with = "value::duration")]
    max_lifetime: Duration,
    #[serde(deserialize_with = "value::scopes")]
    tolerated_scopes: ScopeSet,
    token_types: Vec<String>,
    user_refusals: Vec<String>,
    credential_refusals: Vec<String>,
    use_refresh_token: bool,
    forward_refresh_token: bool,
    forward_id_token: bool,
}

impl Default for GrantTable {
    fn default() -> Self {
        Self {
            r#type: GrantType::JwtBearer,
            scope: LegScope::Granted,
            parameters: BTreeMap::new(),
            subject_token_type: "jwt".into(),
            requested_token_type: String::new(),
            audience: String::new(),
            resource: String::new(),
            assumed_lifetime: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(24 * 3600),
            tolerated_scopes: ScopeSet::default(),
            token_types: texts(&["Bearer"]),
            user_refusals: texts(&["invalid_grant", "access_denied", "invalid_target"]),
            credential_refusals: texts(&["invalid_client", "unauthorized_client"]),
            use_refresh_token: true,
            forward_refresh_token: false,
            forward_id_token: false,
        }
    }
}

impl GrantTable {
    pub(super) fn resolve(self, findings: &mut Findings<'_>, places: &Placeholders<'_>) -> Grant {
        check_parameters(findings, "grant.parameters", &self.parameters);
        for (key, list) in [
            ("grant.token_types", &self.token_types),
            ("grant.user_refusals", &self.user_refusals),
            ("grant.credential_refusals", &self.credential_refusals),
        ] {
            findings.entries(key, list);
        }
        findings.demand(
            !self.token_types.is_empty(),
            "grant.token_types",
            "is empty: no answer could be taken",
            "write [\"Bearer\"], or remove the key",
        );
        findings.demand(
            !self.max_lifetime.is_zero(),
            "grant.max_lifetime",
            "is zero: every token would be expired",
            "write a duration such as \"24h\"",
        );
        let mut fill = |key: &str, text: &str| places.fill(findings, key, text);
        Grant {
            kind: self.r#type,
            scope: self.scope,
            parameters: (self.parameters.iter())
                .map(|(name, text)| (name.clone(), fill(&format!("grant.parameters.{name}"), text)))
                .filter(|(_, text)| !text.is_empty())
                .collect(),
            subject_token_type: token_type::in_full(stated(&self.subject_token_type).unwrap_or("jwt")),
            requested_token_type: stated(&self.requested_token_type).map(token_type::in_full),
            audience: stated(&self.audience).map(|text| fill("grant.audience", text)),
            resource: stated(&self.resource).map(|text| fill("grant.resource", text)),
            assumed_lifetime: self.assumed_lifetime,
            max_lifetime: self.max_lifetime,
            tolerated_scopes: self.tolerated_scopes,
            token_types: self.token_types,
            user_refusals: RefusalPattern::parse_all(&self.user_refusals),
            credential_refusals: RefusalPattern::parse_all(&self.credential_refusals),
            use_refresh_token: self.use_refresh_token,
            forward_refresh_token: self.forward_refresh_token,
            forward_id_token: self.forward_id_token,
        }
    }
}
