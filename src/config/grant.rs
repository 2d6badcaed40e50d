//! `[grant]` of a partner file: the second leg (B.7.4, B.7.5).

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
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

/// The second leg (B.7.4, B.7.5).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct GrantTable {
    /// RFC 7523 (B.7.4), RFC 8693 with the security token as subject, or RFC 6749 §4.4 with it as `client_assertion`
    /// (authentik; then `client.authentication = "none"`).
    r#type: GrantType,
    /// `scope` of the second leg. What a list has beyond the client's own request is refused unless in
    /// `tolerated_scopes`.
    #[serde(with = "value::LegScopeForm")]
    scope: LegScope,
    /// Further fixed parameters.
    parameters: BTreeMap<String, String>,
    /// Token exchange only.
    subject_token_type: String,
    /// Token exchange only.
    requested_token_type: String,
    /// Sent as `audience`; absent: not sent.
    audience: String,
    /// Sent as `resource`; absent: not sent.
    resource: String,
    /// The lifetime when the answer has no `expires_in`; `0s`: such an answer is refused.
    #[serde(with = "value::Period")]
    assumed_lifetime: Duration,
    /// Longer lifetimes are cut.
    #[serde(with = "value::Period")]
    max_lifetime: Duration,
    /// Scopes that the partner adds unasked: dropped from the answer. Any other wider answer is refused.
    #[serde(with = "value::Scopes")]
    tolerated_scopes: ScopeSet,
    /// Accepted `token_type`s of the answer, without case.
    token_types: Vec<String>,
    /// Errors that mean "not this user".
    user_refusals: Vec<String>,
    /// Errors that mean "not these credentials".
    credential_refusals: Vec<String>,
    /// The partner's refresh token is kept, sealed, and used when the access token is nearly spent, for
    /// `cache.max_lifetime` after the home server vouched for the user last. Not when it is forwarded.
    use_refresh_token: bool,
    /// Hand the partner's refresh token to the client.
    forward_refresh_token: bool,
    /// Hand the partner's ID token to the client.
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
