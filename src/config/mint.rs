//! `[security_token.mint]`: what a security token of the broker's own looks like (B.8).

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::findings::Findings;
use super::partner::PartnerDefaults;
use super::placeholder::Placeholders;
use super::value::{self, stated, texts};
use crate::oauth::security_token::{AudienceForm, Demands, MintPlan};

/// Claims that the broker sets itself.
const OWN_CLAIMS: [&str; 9] = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope"];

/// The form of `aud`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FormName {
    ClientAndPartner,
    Single,
}

/// A security token of the broker's own (B.8).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct MintTable {
    /// `iss`: what the partner trusts, and finds keys for; absent: `server.issuer`.
    pub(super) issuer: String,
    /// `aud` as B.8's array, or as one string.
    audience_form: Option<FormName>,
    /// The home token's claim that becomes `sub`.
    subject_claim: String,
    /// `exp` minus `iat`, which is 5 s back for partners without leeway.
    #[serde(with = "value::Period")]
    lifetime: Duration,
    /// Header; `""`: none.
    typ: String,
    /// Whether the header has the key id.
    kid: bool,
    /// Whether the token has a `jti`; a new one each time.
    jti: bool,
    /// Claim: the broker's id at the partner (`{client_id}`).
    client_id: String,
    /// Whether granted scopes go in.
    scope: bool,
    /// Claims taken over from the home token.
    copied_claims: Vec<String>,
    /// Further fixed claims; the broker's own are refused.
    claims: BTreeMap<String, String>,
}

impl Default for MintTable {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience_form: None,
            subject_claim: String::new(),
            lifetime: Duration::from_secs(120),
            typ: "JWT".into(),
            kid: true,
            jti: true,
            client_id: String::new(),
            scope: false,
            copied_claims: texts(&["mcptt_id", "mcvideo_id", "mcdata_id"]),
            claims: BTreeMap::new(),
        }
    }
}

impl MintTable {
    /// What is minted must be what the partner demands: else every exchange would fail at the broker's own look.
    pub(super) fn resolve(
        self,
        findings: &mut Findings<'_>,
        places: &Placeholders<'_>,
        defaults: &PartnerDefaults,
        demands: &Demands,
        audience: String,
    ) -> MintPlan {
        let at = |key: &str| format!("security_token.mint.{key}");
        let form = match self.audience_form {
            Some(FormName::Single) => AudienceForm::Single,
            None if demands.single_audience => AudienceForm::Single,
            Some(FormName::ClientAndPartner) | None => AudienceForm::ClientAndPartner,
        };
        findings.demand(
            form == AudienceForm::Single || !demands.single_audience,
            &at("audience_form"),
            "puts two values into aud, but security_token.single_audience is true",
            "write \"single\", or remove the key",
        );
        findings.between(&at("lifetime"), self.lifetime, Duration::from_secs(1), Duration::from_secs(3600));
        findings.demand(
            demands.max_lifetime.is_none_or(|most| self.lifetime <= most)
                && self.lifetime > demands.min_remaining,
            &at("lifetime"),
            "is not between security_token.min_remaining and security_token.max_lifetime",
            "write a duration between the two",
        );
        findings.demand(
            self.kid || !demands.kid,
            &at("kid"),
            "is false, but security_token.kid demands one",
            "write true",
        );
        findings.demand(
            demands.types.is_empty() || demands.types.iter().any(|typ| typ.eq_ignore_ascii_case(&self.typ)),
            &at("typ"),
            "is not in security_token.typ",
            "write one of those",
        );
        let claims: Vec<(String, String)> = self
            .claims
            .iter()
            .map(|(name, text)| (name.clone(), places.fill(findings, &at("claims"), text)))
            .collect();
        for name in self.claims.keys().filter(|name| OWN_CLAIMS.contains(&name.as_str())) {
            let key = at(&format!("claims.{name}"));
            findings.fault(&key, "is a claim that the broker sets itself", "remove it");
        }
        for (number, name) in self.copied_claims.iter().enumerate() {
            findings.demand(
                !OWN_CLAIMS.contains(&name.as_str()),
                &at(&format!("copied_claims[{number}]")),
                "is a claim that the broker sets itself",
                "remove it",
            );
        }
        let client_id = stated(&self.client_id).map(|text| places.fill(findings, &at("client_id"), text));
        for (claim, there) in [("jti", self.jti), ("client_id", client_id.is_some()), ("scope", self.scope)] {
            findings.demand(
                there || !demands.required_claims.iter().any(|required| required == claim),
                &at(claim),
                "is off, but security_token.required_claims has it",
                "turn it on",
            );
        }
        if !defaults.signs {
            findings.warn(
                "security_token.source",
                "mints, but the broker file states no [signing] keys: the key lives as long as the process",
                "make one with `keys generate` and state it, so that partners keep trusting the broker after a restart",
            );
        }
        MintPlan {
            issuer: stated(&self.issuer).unwrap_or(&defaults.broker_issuer).to_owned(),
            audience,
            audience_form: form,
            subject_claim: stated(&self.subject_claim).map(str::to_owned),
            lifetime: self.lifetime,
            typ: stated(&self.typ).map(str::to_owned),
            kid: self.kid,
            jti: self.jti,
            client_id,
            scope: self.scope,
            copied_claims: self.copied_claims,
            claims,
        }
    }
}
