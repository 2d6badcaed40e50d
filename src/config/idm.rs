//! `[idm]` of a partner file: the partner's identity server.

use schemars::JsonSchema;
use serde::Deserialize;

use super::findings::Findings;
use super::placeholder::Placeholders;
use super::value::stated;

/// The partner's identity server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idm {
    /// Its issuer identifier, compared exactly.
    pub issuer: String,
    /// Whether endpoints that are not stated are asked from the issuer (RFC 8414).
    pub discovery: bool,
    /// Overrides discovery.
    pub token_endpoint: Option<String>,
    /// Overrides discovery.
    pub revocation_endpoint: Option<String>,
    /// Hosts beside the issuer's site where discovered endpoints may be.
    pub endpoint_hosts: Vec<String>,
}

/// The partner's identity server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct IdmTable {
    /// The partner's identity server; required.
    pub(super) issuer: String,
    /// Endpoints that are not stated are asked from the issuer.
    discovery: bool,
    /// Second leg; required without discovery.
    token_endpoint: String,
    /// RFC 7009: told of tokens that were taken back. Absent here and there: tokens end when they end.
    revocation_endpoint: String,
    /// Where discovered endpoints may be besides the issuer's site: its host, hosts below it, and hosts beside it
    /// (`login.` and `idm.` of one domain). Others are refused: metadata does not decide where credentials go.
    endpoint_hosts: Vec<String>,
}

impl Default for IdmTable {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            discovery: true,
            token_endpoint: String::new(),
            revocation_endpoint: String::new(),
            endpoint_hosts: Vec::new(),
        }
    }
}

impl IdmTable {
    pub(super) fn resolve(
        self,
        findings: &mut Findings<'_>,
        places: &Placeholders<'_>,
        allow_http: bool,
    ) -> Idm {
        let remedy = "write the partner identity server's issuer";
        if findings.required("idm.issuer", &self.issuer, remedy) && self.discovery {
            findings.endpoint("idm.issuer", &self.issuer, allow_http);
        }
        findings.demand(
            self.discovery || !self.token_endpoint.is_empty(),
            "idm.token_endpoint",
            "is missing while discovery is off",
            "state it, or discovery = true",
        );
        findings.hosts("idm.endpoint_hosts", &self.endpoint_hosts);
        let mut endpoint = |key: &str, text: &str| {
            let url = places.fill(findings, key, stated(text)?);
            findings.endpoint(key, &url, allow_http);
            Some(url)
        };
        Idm {
            token_endpoint: endpoint("idm.token_endpoint", &self.token_endpoint),
            revocation_endpoint: endpoint("idm.revocation_endpoint", &self.revocation_endpoint),
            endpoint_hosts: self.endpoint_hosts,
            issuer: self.issuer,
            discovery: self.discovery,
        }
    }
}
