//! `[security_token]` of a partner file and `[home.security_token]`, its defaults for all partners: the first leg.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::findings::Findings;
use super::home::TokenProfile;
use super::mint::MintTable;
use super::partner::PartnerDefaults;
use super::placeholder::Placeholders;
use super::registration::check_algorithms;
use super::value::{self, stated, texts};
use crate::oauth::refusal::RefusalPattern;
use crate::oauth::security_token::{Demands, ExchangePlan, HomeGrant, LegScope, SecurityTokenSource};
use crate::oauth::token_type;

/// Parameters that the broker sets itself: fixed ones must not stand in for them.
const OWN_PARAMETERS: [&str; 13] = [
    "grant_type",
    "assertion",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "scope",
    "resource",
    "audience",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "access_token",
];

/// How the security token of one partner is obtained, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityToken {
    /// Exchanged at the home IdM, or minted.
    pub source: SecurityTokenSource,
    /// What the partner demands of it.
    pub demands: Demands,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceName {
    #[default]
    Exchange,
    Mint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    Resource,
    Audience,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct SecurityTokenTable {
    source: SourceName,
    grant: HomeGrant,
    audience: String,
    accepted_audiences: Vec<String>,
    send: Vec<Target>,
    resource_parameter: String,
    audience_parameter: String,
    #[serde(deserialize_with = "value::leg_scope")]
    scope: LegScope,
    subject_token_type: String,
    requested_token_type: String,
    parameters: BTreeMap<String, String>,
    issued_token_types: Vec<String>,
    token_types: Vec<String>,
    subject_refusals: Vec<String>,
    issuers: Vec<String>,
    single_audience: bool,
    #[serde(deserialize_with = "value::duration")]
    max_lifetime: Duration,
    #[serde(deserialize_with = "value::duration")]
    max_age: Duration,
    #[serde(deserialize_with = "value::duration")]
    min_remaining: Duration,
    required_claims: Vec<String>,
    kid: bool,
    typ: Vec<String>,
    algorithms: Vec<String>,
    mint: MintTable,
}

impl Default for SecurityTokenTable {
    fn default() -> Self {
        Self {
            source: SourceName::Exchange,
            grant: HomeGrant::TokenExchange,
            audience: String::new(),
            accepted_audiences: Vec::new(),
            send: vec![Target::Resource],
            resource_parameter: String::new(),
            audience_parameter: String::new(),
            scope: LegScope::Omit,
            subject_token_type: String::new(),
            requested_token_type: String::new(),
            parameters: BTreeMap::new(),
            issued_token_types: texts(&["jwt", "access_token", "id-jag"]),
            token_types: texts(&["Bearer", "N_A"]),
            // RFC 8693 §2.2.2 has `invalid_request` for a subject token that is not acceptable, and for every other
            // mistake too, which is ours: the text tells them apart.
            subject_refusals: texts(&["invalid_grant", "invalid_token", "invalid_request:subject token"]),
            issuers: Vec::new(),
            single_audience: false,
            max_lifetime: Duration::ZERO,
            max_age: Duration::ZERO,
            min_remaining: Duration::from_secs(5),
            required_claims: texts(&["sub", "iat"]),
            kid: false,
            typ: Vec::new(),
            algorithms: Vec::new(),
            mint: MintTable::default(),
        }
    }
}

impl SecurityTokenTable {
    /// Fills in what depends on the partner and the home domain.
    pub(super) fn resolve(
        self,
        findings: &mut Findings<'_>,
        places: &Placeholders<'_>,
        defaults: &PartnerDefaults,
        resource: &str,
    ) -> SecurityToken {
        let at = |key: &str| format!("security_token.{key}");
        let mut fill = |key: &str, text: &str, otherwise: &str| match stated(text) {
            Some(text) => places.fill(findings, &at(key), text),
            None => otherwise.to_owned(),
        };
        let audience = fill("audience", &self.audience, resource);
        let resource_parameter = fill("resource_parameter", &self.resource_parameter, &audience);
        let audience_parameter = fill("audience_parameter", &self.audience_parameter, &audience);
        let mut audiences = vec![audience.clone()];
        audiences.extend(self.accepted_audiences.iter().map(|text| fill("accepted_audiences", text, "")));
        let parameters: Vec<(String, String)> = (self.parameters.iter())
            .map(|(name, text)| (name.clone(), fill(&format!("parameters.{name}"), text, "")))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        self.check(findings);
        let demands = Demands {
            issuers: if self.issuers.is_empty() { vec![self.issuer(defaults)] } else { self.issuers.clone() },
            audiences,
            single_audience: self.single_audience,
            max_lifetime: (!self.max_lifetime.is_zero()).then_some(self.max_lifetime),
            max_age: (!self.max_age.is_zero()).then_some(self.max_age),
            min_remaining: self.min_remaining,
            required_claims: self.required_claims,
            kid: self.kid,
            types: self.typ,
            algorithms: self.algorithms,
        };
        let source = match self.source {
            SourceName::Mint => {
                SecurityTokenSource::Mint(self.mint.resolve(findings, places, defaults, &demands, audience))
            }
            SourceName::Exchange => {
                findings.demand(
                    defaults.home_client,
                    "security_token.source",
                    "asks the home identity server, but the broker file has no [home.client]",
                    "state [home.client] there, or source = \"mint\" here",
                );
                let by_profile = match defaults.token_profile {
                    TokenProfile::Rfc9068 => "access_token",
                    TokenProfile::Ts33180 => "jwt",
                };
                SecurityTokenSource::Exchange(ExchangePlan {
                    grant: self.grant,
                    resource: self.send.contains(&Target::Resource).then_some(resource_parameter),
                    audience: self.send.contains(&Target::Audience).then_some(audience_parameter),
                    scope: self.scope,
                    subject_token_type: token_type::in_full(
                        stated(&self.subject_token_type).unwrap_or(by_profile),
                    ),
                    requested_token_type: stated(&self.requested_token_type).map(token_type::in_full),
                    parameters,
                    issued_token_types: self
                        .issued_token_types
                        .iter()
                        .map(|name| token_type::in_full(name))
                        .collect(),
                    token_types: self.token_types,
                    subject_refusals: RefusalPattern::parse_all(&self.subject_refusals),
                })
            }
        };
        SecurityToken { source, demands }
    }

    fn issuer(&self, defaults: &PartnerDefaults) -> String {
        match self.source {
            SourceName::Exchange => defaults.home_issuer.clone(),
            SourceName::Mint => stated(&self.mint.issuer).unwrap_or(&defaults.broker_issuer).to_owned(),
        }
    }

    fn check(&self, findings: &mut Findings<'_>) {
        check_parameters(findings, "security_token.parameters", &self.parameters);
        check_algorithms(findings, "security_token.algorithms", &self.algorithms);
        for (key, list) in [
            ("security_token.accepted_audiences", &self.accepted_audiences),
            ("security_token.issued_token_types", &self.issued_token_types),
            ("security_token.token_types", &self.token_types),
            ("security_token.subject_refusals", &self.subject_refusals),
            ("security_token.issuers", &self.issuers),
            ("security_token.required_claims", &self.required_claims),
        ] {
            findings.entries(key, list);
        }
        findings.demand(
            self.max_lifetime.is_zero() || self.min_remaining < self.max_lifetime,
            "security_token.min_remaining",
            "is not shorter than max_lifetime: no security token could be both",
            "write a shorter duration",
        );
    }
}

/// Fixed parameters have a name, and never the name of one that the broker sets: a second `client_secret` or
/// `grant_type` would change what the request means.
pub(super) fn check_parameters(
    findings: &mut Findings<'_>,
    key: &str,
    parameters: &BTreeMap<String, String>,
) {
    for name in parameters.keys() {
        let at = format!("{key}.{name}");
        findings.demand(!name.is_empty(), &at, "has no name", "remove it");
        findings.demand(
            !OWN_PARAMETERS.contains(&name.as_str()),
            &at,
            "is a parameter that the broker sets itself",
            "remove it; it has a key of its own in this file",
        );
    }
}
