//! `[home]`: the identity domain whose users the broker serves.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, ConnectionTable};
use super::file::{NamedFile, TextFile};
use super::findings::Findings;
use super::placeholder::Placeholders;
use super::registration::{Registration, RegistrationTable, check_algorithms};
use super::schema::{AlgorithmName, PresetName};
use super::value::{self, ALGORITHMS, texts};

/// Longest leeway (B.2.1): more lets a token live on that its issuer has ended.
const MOST_LEEWAY: Duration = Duration::from_secs(30);

/// The home identity server and what its tokens must be.
#[derive(Debug, Clone)]
pub struct Home {
    /// The preset under `[home]`.
    pub preset: Option<String>,
    /// `iss` of home tokens, compared exactly; empty only with the TS 33.180 profile and keys of its own.
    pub issuer: String,
    /// Whether what is not stated here is asked from the issuer (RFC 8414).
    pub discovery: bool,
    /// Hosts beside the issuer's site where discovered endpoints may be.
    pub endpoint_hosts: Vec<String>,
    /// Overrides discovery.
    pub token_endpoint: Option<String>,
    /// Overrides discovery. Never together with `jwks`.
    pub jwks_uri: Option<String>,
    /// The key set itself, from a file.
    pub jwks: Option<TextFile>,
    /// Overrides discovery.
    pub introspection_endpoint: Option<String>,
    /// Accepted `aud` of home tokens: one of these.
    pub audience: Vec<String>,
    /// Which claims a home token has.
    pub token_profile: TokenProfile,
    /// Accepted signature algorithms, all asymmetric.
    pub algorithms: Vec<String>,
    /// Clock difference that is forgiven; at most 30 s.
    pub leeway: Duration,
    /// Accepted header `typ`s, compared without case; `""` stands for a header without `typ`.
    pub typ: Vec<String>,
    /// Claims that name the user; the first that a token has counts, and one of them must be there.
    pub subject_claims: Vec<String>,
    /// Claims that name the client; the first that a token has counts.
    pub client_id_claims: Vec<String>,
    /// Claims that a home token must have. `client_id` stands for any of `client_id_claims`.
    pub required_claims: Vec<String>,
    /// Where a home token must name the broker (as `client.id`), so that the first leg can succeed; any of these
    /// suffices. Empty: not checked.
    pub broker_named_in: Vec<BrokerNamedIn>,
    /// What becomes of home tokens that say that somebody acts for their user.
    pub delegated_tokens: DelegatedTokens,
    /// When the home IdM is asked about a token (RFC 7662).
    pub introspection: Introspection,
    /// How long an introspection answer counts: the time for which a revoked token still works.
    pub introspection_cache: Duration,
    /// What a home token that is revoked takes with it.
    pub revoked_token_takes: RevokedTokenTakes,
    /// How many verified tokens are remembered at most.
    pub remembered_tokens: usize,
    /// Least time between two fetches of the key set that unknown `kid`s cause; else anybody's made-up tokens would
    /// have the broker hammer the home IdM.
    pub key_refresh_cooldown: Duration,
    /// Time between the fetches that nothing causes.
    pub key_refresh_interval: Duration,
    /// `exp` at most this far ahead: what is beyond it was meant in other units.
    pub max_token_lifetime: Duration,
    /// The broker's registration at the home IdM: for the first leg and introspection.
    pub client: Option<Registration>,
    /// Limits of calls.
    pub connection: Connection,
}

/// Which claims a home token has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenProfile {
    /// RFC 9068: the safe default.
    #[default]
    Rfc9068,
    /// TS 33.180 B.2.2, which has neither `iss` nor `aud` nor `sub`.
    Ts33180,
}

/// When the home IdM is asked about a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Introspection {
    /// Opaque tokens are refused.
    #[default]
    Never,
    /// About opaque tokens only.
    Opaque,
    /// About every token: a revoked one stops within `introspection_cache`, at the price of a call.
    Always,
}

/// What a home token that is revoked takes with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RevokedTokenTakes {
    /// All that was obtained for its user.
    #[default]
    User,
    /// What the client that revokes it obtained for its user.
    Client,
}

/// What becomes of home tokens that say that somebody acts for their user (`act`, RFC 8693 §4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DelegatedTokens {
    /// They are refused.
    #[default]
    Refuse,
    /// Who acts is told on to the partner and written down.
    Honour,
}

/// Where a home token may name the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BrokerNamedIn {
    /// `aud` contains it.
    Aud,
    /// `azp` is it.
    Azp,
    /// `may_act` (RFC 8693 §4.4) names it as `client_id` or `sub`.
    MayAct,
}

/// The identity domain whose users the broker serves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct HomeTable {
    /// A layer of what is known of a product: the name of a preset.
    #[schemars(with = "PresetName")]
    preset: String,
    /// `iss` of home tokens, compared exactly. May be absent only with `token_profile = "ts33180"` and stated keys.
    pub(super) issuer: String,
    /// What is not stated here is asked from the issuer (RFC 8414, OpenID Connect Discovery).
    discovery: bool,
    /// Where discovered endpoints may be besides the issuer's site: its host, hosts below it, and hosts beside it
    /// (`login.` and `idm.` of one domain). Others are refused: metadata does not decide where credentials go.
    endpoint_hosts: Vec<String>,
    /// The endpoint of the first leg; overrides discovery.
    token_endpoint: String,
    /// The home key set; overrides discovery.
    jwks_uri: String,
    /// The home key set itself.
    jwks_file: Option<NamedFile>,
    /// Where tokens are introspected (RFC 7662); overrides discovery.
    introspection_endpoint: String,
    /// Accepted `aud` of home tokens, one of these.
    audience: Vec<String>,
    /// Which claims are required, and the default `subject_token_type`.
    pub(super) token_profile: TokenProfile,
    /// Accepted signatures: RS/PS/ES 256, 384, 512, EdDSA. `none` and HS* are refused.
    #[schemars(with = "Vec<AlgorithmName>")]
    algorithms: Vec<String>,
    /// Clock difference forgiven.
    #[serde(with = "value::Period")]
    leeway: Duration,
    /// Accepted header types, without case; `""`: none.
    typ: Vec<String>,
    /// Claims that name the user; the first present counts.
    subject_claims: Vec<String>,
    /// Claims that name the client; the first present counts.
    client_id_claims: Vec<String>,
    /// Claims that must be there; `client_id` means any of `client_id_claims`; `exp` always is required. `rfc9068`:
    /// iss, aud, sub, exp, client_id. `ts33180`: exp, client_id.
    required_claims: Option<Vec<String>>,
    /// Where a home token must name `home.client.id`, any of these; empty: not checked.
    broker_named_in: Vec<BrokerNamedIn>,
    /// What becomes of home tokens that say who acts for their user (`act`).
    delegated_tokens: DelegatedTokens,
    /// When the home server is asked about a token.
    introspection: Introspection,
    /// How long an answer counts.
    #[serde(with = "value::Period")]
    introspection_cache: Duration,
    /// What goes when a client revokes a home token: all that was obtained for its user, or what that client
    /// obtained. The token itself is refused to all either way.
    revoked_token_takes: RevokedTokenTakes,
    /// Home tokens whose signature is not verified again, about 150 bytes each. Claims, policy and the key set are
    /// looked at on every request all the same.
    remembered_tokens: usize,
    /// Least time between fetches that unknown `kid`s cause.
    #[serde(with = "value::Period")]
    key_refresh_cooldown: Duration,
    /// Time between other fetches.
    #[serde(with = "value::Period")]
    key_refresh_interval: Duration,
    /// An `exp` further ahead is a mistake in units.
    #[serde(with = "value::Period")]
    max_token_lifetime: Duration,
    /// The broker's registration at the home server: for the first leg and introspection.
    client: Option<RegistrationTable>,
    /// Limits of calls to the home server.
    connection: ConnectionTable,
    /// Defaults of `[security_token]` for all partners.
    security_token: Option<super::security_token::SecurityTokenTable>,
}

impl Default for HomeTable {
    fn default() -> Self {
        Self {
            preset: String::new(),
            issuer: String::new(),
            discovery: true,
            endpoint_hosts: Vec::new(),
            token_endpoint: String::new(),
            jwks_uri: String::new(),
            jwks_file: None,
            introspection_endpoint: String::new(),
            audience: Vec::new(),
            token_profile: TokenProfile::default(),
            algorithms: texts(&ALGORITHMS),
            leeway: Duration::from_secs(10),
            typ: texts(&["at+jwt", "JWT", ""]),
            subject_claims: texts(&["sub", "mcptt_id", "mcvideo_id", "mcdata_id"]),
            client_id_claims: texts(&["client_id", "azp"]),
            required_claims: None,
            broker_named_in: Vec::new(),
            delegated_tokens: DelegatedTokens::default(),
            introspection: Introspection::Never,
            introspection_cache: Duration::from_secs(5),
            revoked_token_takes: RevokedTokenTakes::default(),
            remembered_tokens: 100_000,
            key_refresh_cooldown: Duration::from_secs(30),
            key_refresh_interval: Duration::from_secs(300),
            max_token_lifetime: Duration::from_secs(366 * 24 * 3600),
            client: None,
            connection: ConnectionTable::default(),
            security_token: None,
        }
    }
}

impl HomeTable {
    pub(super) fn resolve(mut self, findings: &mut Findings<'_>, signs: bool) -> Home {
        // A preset says how a client authenticates and where tokens name it; that there is one, the operator says.
        if !findings.is_stated("home.client") {
            self.client = None;
        }
        if self.client.is_none() && !findings.is_stated("home.broker_named_in") {
            self.broker_named_in.clear();
        }
        self.check_source(findings);
        self.check_tokens(findings);
        findings.hosts("home.endpoint_hosts", &self.endpoint_hosts);
        let places = Placeholders::of_issuer(&self.issuer);
        let mut endpoint = |key: &str, text: &str| {
            let stated = value::stated(text)?;
            let url = places.fill(findings, key, stated);
            findings.endpoint(key, &url, self.connection.allow_http);
            Some(url)
        };
        let token_endpoint = endpoint("home.token_endpoint", &self.token_endpoint);
        let jwks_uri = endpoint("home.jwks_uri", &self.jwks_uri);
        let introspection_endpoint = endpoint("home.introspection_endpoint", &self.introspection_endpoint);
        if let Some(client) = &self.client {
            findings.demand(
                !client.forward_client_id,
                "home.client.forward_client_id",
                "is for partner files only",
                "remove it",
            );
        }
        findings.demand(
            self.introspection == Introspection::Never || self.client.is_some(),
            "home.client",
            "is missing, and introspection needs it (RFC 7662 section 2.1)",
            "state [home.client], or introspection = \"never\"",
        );
        findings.demand(
            self.broker_named_in.is_empty() || self.client.is_some(),
            "home.client",
            "is missing, and broker_named_in looks for its id",
            "state [home.client], or remove broker_named_in",
        );
        let required_claims = self.required_claims.take().unwrap_or_else(|| match self.token_profile {
            TokenProfile::Rfc9068 => texts(&["iss", "aud", "sub", "exp", "client_id"]),
            TokenProfile::Ts33180 => texts(&["exp", "client_id"]),
        });
        Home {
            preset: (!self.preset.is_empty()).then_some(self.preset),
            discovery: self.discovery,
            endpoint_hosts: self.endpoint_hosts,
            token_endpoint,
            jwks_uri,
            jwks: findings.text_file("home.jwks_file", self.jwks_file.as_ref()),
            introspection_endpoint,
            issuer: self.issuer,
            audience: self.audience,
            token_profile: self.token_profile,
            algorithms: self.algorithms,
            leeway: self.leeway,
            typ: self.typ,
            subject_claims: self.subject_claims,
            client_id_claims: self.client_id_claims,
            required_claims,
            broker_named_in: self.broker_named_in,
            delegated_tokens: self.delegated_tokens,
            introspection: self.introspection,
            introspection_cache: self.introspection_cache,
            revoked_token_takes: self.revoked_token_takes,
            remembered_tokens: self.remembered_tokens,
            key_refresh_cooldown: self.key_refresh_cooldown,
            key_refresh_interval: self.key_refresh_interval,
            max_token_lifetime: self.max_token_lifetime,
            client: self.client.map(|client| client.resolve(findings, "home.client", signs)),
            connection: self.connection.resolve(findings, "home.connection"),
        }
    }

    /// The issuer, and where its keys come from.
    fn check_source(&self, findings: &mut Findings<'_>) {
        let states_keys = !self.jwks_uri.is_empty() || self.jwks_file.is_some();
        if self.issuer.is_empty() {
            findings.demand(
                self.token_profile == TokenProfile::Ts33180 && states_keys,
                "home.issuer",
                "is missing",
                "write the home identity server's issuer, exactly as its tokens have it",
            );
        } else if self.discovery && !states_keys {
            findings.endpoint("home.issuer", &self.issuer, self.connection.allow_http);
        }
        findings.demand(
            self.jwks_uri.is_empty() || self.jwks_file.is_none(),
            "home.jwks_uri",
            "is stated, and home.jwks_file too",
            "keep one of the two",
        );
        findings.demand(
            self.discovery || states_keys,
            "home.jwks_uri",
            "is missing while discovery is off: no home token could be verified",
            "state jwks_uri or jwks_file, or discovery = true",
        );
        findings.demand(
            self.discovery
                || self.introspection == Introspection::Never
                || !self.introspection_endpoint.is_empty(),
            "home.introspection_endpoint",
            "is missing while discovery is off",
            "state it, or discovery = true, or introspection = \"never\"",
        );
    }

    /// What home tokens must be.
    fn check_tokens(&self, findings: &mut Findings<'_>) {
        findings.demand(
            !self.audience.is_empty() || self.token_profile == TokenProfile::Ts33180,
            "home.audience",
            "is missing: a token that was meant for any other service would be taken",
            "list the aud values of home tokens that are meant for the broker or the MCX service",
        );
        findings.demand(
            !self.algorithms.is_empty(),
            "home.algorithms",
            "is empty: no token could be verified",
            "list at least one, or remove the key",
        );
        check_algorithms(findings, "home.algorithms", &self.algorithms);
        for (key, claims) in
            [("home.subject_claims", &self.subject_claims), ("home.client_id_claims", &self.client_id_claims)]
        {
            findings.demand(
                !claims.is_empty(),
                key,
                "is empty",
                "list at least one claim, or remove the key",
            );
            findings.entries(key, claims);
        }
        findings.entries("home.audience", &self.audience);
        findings.entries("home.required_claims", self.required_claims.as_deref().unwrap_or_default());
        findings.demand(
            !self.typ.is_empty(),
            "home.typ",
            "is empty",
            "list at least one type, or remove the key",
        );
        let second = Duration::from_secs(1);
        findings.between("home.leeway", self.leeway, Duration::ZERO, MOST_LEEWAY);
        findings.between("home.introspection_cache", self.introspection_cache, Duration::ZERO, MOST_LEEWAY);
        findings.between("home.key_refresh_cooldown", self.key_refresh_cooldown, second, 3600 * second);
        findings.between("home.key_refresh_interval", self.key_refresh_interval, second, 86_400 * second);
        findings.between("home.max_token_lifetime", self.max_token_lifetime, second, 3660 * 86_400 * second);
    }
}
