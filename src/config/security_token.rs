//! `[security_token]` of a partner file and `[home.security_token]`, its defaults for all partners: the first leg.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::findings::Findings;
use super::home::TokenProfile;
use super::mint::MintTable;
use super::partner::PartnerDefaults;
use super::placeholder::Placeholders;
use super::registration::check_algorithms;
use super::schema::AlgorithmName;
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

/// Where the security token comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SourceName {
    #[default]
    Exchange,
    Mint,
}

/// What names the partner to the home server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Target {
    Resource,
    Audience,
}

/// The first leg: how the security token is obtained, and what it must be before it is sent on (B.7.2, B.8).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct SecurityTokenTable {
    /// Asked of the home server (RFC 8693; needs `[home.client]`), or signed by the broker.
    source: SourceName,
    /// How the home server is asked: RFC 8693 (B.7.2), or RFC 7523 with the home token as assertion and
    /// `requested_token_use=on_behalf_of`.
    grant: HomeGrant,
    /// What its `aud` must carry, and what is minted.
    audience: String,
    /// `aud` values that are as good.
    accepted_audiences: Vec<String>,
    /// Which of the two the home server is sent.
    send: Vec<Target>,
    /// Value of that parameter: a home server built to B.8 puts it into `aud`.
    resource_parameter: String,
    /// Value of that parameter.
    audience_parameter: String,
    /// `scope` of the first leg.
    #[serde(with = "value::LegScopeForm")]
    scope: LegScope,
    /// How the home token is called.
    subject_token_type: String,
    /// What is asked for.
    requested_token_type: String,
    /// Further fixed parameters; those that the broker sets itself are refused, empty ones are left out.
    parameters: BTreeMap<String, String>,
    /// Accepted answers; a missing member is accepted.
    issued_token_types: Vec<String>,
    /// Accepted `token_type`s of the answer, without case.
    token_types: Vec<String>,
    /// Errors that mean "this home token is refused" (the caller's to mend); all else is the operator's.
    subject_refusals: Vec<String>,
    /// Accepted `iss`.
    issuers: Vec<String>,
    /// `aud` must be one value, alone.
    single_audience: bool,
    /// `exp` at most this long after `iat`.
    #[serde(with = "value::Period")]
    max_lifetime: Duration,
    /// `iat` at most this far back.
    #[serde(with = "value::Period")]
    max_age: Duration,
    /// `exp` at least this far ahead.
    #[serde(with = "value::Period")]
    min_remaining: Duration,
    /// Claims that must be there, beside exp, iss, aud.
    required_claims: Vec<String>,
    /// The header must have a `kid`.
    kid: bool,
    /// Accepted header types, without case; `""`: none.
    typ: Vec<String>,
    /// Accepted signatures.
    #[schemars(with = "Vec<AlgorithmName>")]
    algorithms: Vec<String>,
    /// What is signed, with `source = "mint"`.
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
