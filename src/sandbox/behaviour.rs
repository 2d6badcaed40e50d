//! How an IdM behaves, as data: what it demands, what it ignores, what it answers. The default is what TS 33.180 Annex B says;
//! the vendors' ways are files under `behaviours/`, each stating only what differs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::mistake::{Answer, Mistake};
use crate::oauth::token_type;

/// Everything in which identity servers differ. A file states what differs from the default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Name of the profile.
    pub name: String,
    /// Product, versions, and what is special.
    pub about: String,
    /// Path of the token endpoint, as discovery states it. `/token` is answered too.
    pub token_path: String,
    /// Whether the issuer ends in a slash (Auth0).
    pub issuer_slash: bool,
    /// How clients authenticate.
    pub authentication: Authentication,
    /// The user's access token, as a login gives it (B.2.2): the later subject token.
    pub login: LoginToken,
    /// First leg: token exchange of own tokens (B.7.2, B.7.3).
    pub home: HomeRules,
    /// Second leg: grants against tokens of trusted issuers (B.7.4, B.7.5).
    pub partner: PartnerRules,
    /// What is answered to which mistake, where it differs from the standards.
    pub errors: BTreeMap<Mistake, Answer>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            name: "ts33180".to_owned(),
            about: "What TS 33.180 Annex B says".to_owned(),
            token_path: "/token".to_owned(),
            issuer_slash: false,
            authentication: Authentication::default(),
            login: LoginToken::default(),
            home: HomeRules::default(),
            partner: PartnerRules::default(),
            errors: BTreeMap::new(),
        }
    }
}

/// A client authentication method (RFC 6749 §2.3, OpenID Connect Core §9, RFC 8705 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A public client: `client_id` alone.
    None,
    /// Secret in the `Authorization` header.
    ClientSecretBasic,
    /// Secret in the body.
    ClientSecretPost,
    /// RFC 7523 client assertion.
    PrivateKeyJwt,
    /// RFC 8705: a client certificate.
    TlsClientAuth,
}

impl Method {
    /// The name in metadata.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
        }
    }
}

/// How clients authenticate at the token, introspection and revocation endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authentication {
    /// Methods that the server knows at all.
    pub methods: Vec<Method>,
    /// How id and secret are read from a Basic header.
    pub basic: BasicEncoding,
    /// What `client_id` in the body does.
    pub client_id_in_body: ClientIdInBody,
    /// Whether two methods in one request are refused (RFC 6749 §2.3).
    pub two_methods_refused: bool,
    /// Whether a client with a secret may leave it out (authgent).
    pub secret_optional: bool,
    /// Accepted `aud` of client assertions.
    pub assertion_audience: AssertionAudience,
    /// `exp` of a client assertion at most this many seconds ahead.
    pub assertion_max_lifetime: u64,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            methods: vec![
                Method::None,
                Method::ClientSecretBasic,
                Method::ClientSecretPost,
                Method::PrivateKeyJwt,
                Method::TlsClientAuth,
            ],
            basic: BasicEncoding::Form,
            client_id_in_body: ClientIdInBody::Optional,
            two_methods_refused: true,
            secret_optional: false,
            assertion_audience: AssertionAudience::Either,
            assertion_max_lifetime: 3600,
        }
    }
}

/// How id and secret stand in a Basic header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BasicEncoding {
    /// Form-urlencoded before base64 (RFC 6749 §2.3.1).
    Form,
    /// As they are (RFC 7617).
    Raw,
}

/// What `client_id` in the body does when the credential is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientIdInBody {
    /// Nothing; a different one than the credential's is refused.
    Optional,
    /// It must be there (UAA, SAP).
    Required,
    /// It replaces the user name of the Basic header (Keycloak).
    OverridesBasic,
    /// The Basic header is no longer read (authgent).
    DisablesBasic,
}

/// Accepted `aud` of `private_key_jwt` client assertions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertionAudience {
    /// The issuer alone, as the one value (draft-ietf-oauth-rfc7523bis).
    Issuer,
    /// The token endpoint's URL.
    TokenEndpoint,
    /// Either.
    Either,
}

/// The access token that a login gives (B.2.2).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginToken {
    /// JWT or opaque.
    pub format: Format,
    /// Header `typ`; empty: none.
    pub typ: String,
    /// Whether the header has a `kid`.
    pub kid: bool,
    /// Claims that are left out: the specification's own example has no `iss`, `sub`, `aud`, `iat`, `jti`.
    pub omitted_claims: Vec<String>,
    /// Further fixed claims (PingAM: `may_act`).
    pub claims: Map<String, Value>,
    /// Whether `scope` is an array (older releases of TS 33.180) and not a string.
    pub scope_array: bool,
    /// Seconds.
    pub lifetime: u64,
}

impl Default for LoginToken {
    fn default() -> Self {
        Self {
            format: Format::Jwt,
            typ: "at+jwt".to_owned(),
            kid: true,
            omitted_claims: Vec::new(),
            claims: Map::new(),
            scope_array: false,
            lifetime: 3600,
        }
    }
}

/// What a token looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A signed JWT.
    Jwt,
    /// A UUID that says nothing.
    Opaque,
}

/// What is read of an RFC 8693 request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExchangeRules {
    /// Whether the grant is known here.
    pub enabled: bool,
    /// Whether a public client may use it.
    pub public_clients: bool,
    /// Accepted `subject_token_type`s.
    pub subject_token_types: Vec<String>,
    /// Accepted `requested_token_type`s; `""` says that it may be left out.
    pub requested_token_types: Vec<String>,
    /// What is issued when it is left out.
    pub default_token_type: String,
    /// `audience`.
    pub audience: Presence,
    /// `resource`.
    pub resource: Presence,
    /// Which values of `audience` are known.
    pub audience_values: TargetValues,
    /// Which values of `resource` are known.
    pub resource_values: TargetValues,
    /// Whether one of the two must be there.
    pub target_required: bool,
    /// Whether both at once are refused.
    pub one_target: bool,
    /// Further parameters that must be there, with their value; `""`: any.
    pub required_parameters: BTreeMap<String, String>,
    /// Parameters that must not be there.
    pub refused_parameters: Vec<String>,
}

impl Default for ExchangeRules {
    fn default() -> Self {
        Self {
            enabled: true,
            public_clients: true,
            subject_token_types: vec![token_type::JWT.to_owned(), token_type::ACCESS_TOKEN.to_owned()],
            requested_token_types: vec![String::new(), token_type::JWT.to_owned()],
            default_token_type: token_type::JWT.to_owned(),
            audience: Presence::Optional,
            resource: Presence::Required,
            audience_values: TargetValues::Any,
            resource_values: TargetValues::Uri,
            target_required: true,
            one_target: false,
            required_parameters: BTreeMap::new(),
            refused_parameters: Vec::new(),
        }
    }
}

/// What a server does with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Must be there.
    Required,
    /// Read when it is there.
    Optional,
    /// Never read.
    Ignored,
    /// Must not be there.
    Refused,
}

/// Which values name a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetValues {
    /// Anything.
    Any,
    /// An absolute URI without fragment (RFC 8707 §2), of a registered target if there are any.
    Uri,
    /// A registered target, nothing else.
    Registered,
    /// A value that the subject token's `aud` has (Zitadel).
    SubjectAudience,
}

/// First leg: what is exchanged for what.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HomeRules {
    /// The request.
    pub exchange: ExchangeRules,
    /// Whether the requester must be in the subject token's `aud`, or be the client it was issued to.
    pub requester_in_audience: bool,
    /// Whether the subject token must have a `may_act` that names the requester (PingAM).
    pub may_act: bool,
    /// The scope of the request.
    pub scope: ScopeRules,
    /// The scope without which no target is obtainable (Keycloak: the client scope with the audience mapper).
    pub audience_scope: Option<String>,
    /// Scopes with this prefix name the target (Dex: `audience:server:client_id:`).
    pub audience_scope_prefix: Option<String>,
    /// The security token.
    pub token: SecurityToken,
    /// The answer.
    pub response: ResponseRules,
}

impl Default for HomeRules {
    fn default() -> Self {
        Self {
            exchange: ExchangeRules::default(),
            requester_in_audience: false,
            may_act: false,
            scope: ScopeRules::default(),
            audience_scope: None,
            audience_scope_prefix: None,
            token: SecurityToken::default(),
            response: ResponseRules { lifetime: 600, ..ResponseRules::default() },
        }
    }
}

/// What the security token carries (B.8).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityToken {
    /// Where `aud` comes from, in this order, each value once. One value is a string.
    pub audience: Vec<AudienceSource>,
    /// Fixed values that `aud` has too (PingFederate: the token manager's).
    pub fixed_audience: Vec<String>,
    /// Whether `iss` is the target (authentik: the target provider's issuer).
    pub issued_by_target: bool,
    /// Header `typ`; empty: none.
    pub typ: String,
    /// Whether the header has a `kid`.
    pub kid: bool,
    /// Whether there is a `jti`.
    pub jti: bool,
    /// Whether there is an `act` claim (RFC 8693 §4.1).
    pub act: bool,
    /// Whether there is a `scope` claim.
    pub scope: bool,
    /// Claims that carry the requester's id: `azp`, `client_id`, `cid`.
    pub requester_claims: Vec<String>,
}

impl Default for SecurityToken {
    fn default() -> Self {
        Self {
            audience: vec![AudienceSource::SubjectClient, AudienceSource::Resource],
            fixed_audience: Vec::new(),
            issued_by_target: false,
            typ: "JWT".to_owned(),
            kid: true,
            jti: true,
            act: false,
            scope: false,
            requester_claims: Vec::new(),
        }
    }
}

/// Where a value of `aud` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudienceSource {
    /// The client that the subject token was issued to (B.8).
    SubjectClient,
    /// The client that asks.
    Requester,
    /// `resource`.
    Resource,
    /// `audience`.
    Audience,
    /// `audience`, else `resource`.
    Target,
    /// What [`HomeRules::audience_scope_prefix`] finds.
    Scope,
    /// The subject token's own, when no `audience` was sent (Zitadel).
    Subject,
}

/// What is asked of `scope` and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeRules {
    /// Whether `scope` must be in the request (B.7.4: required).
    pub required: bool,
    /// Whether an unknown scope is dropped silently instead of refused.
    pub unknown_dropped: bool,
    /// Scopes that are refused on this leg.
    pub forbidden: Vec<String>,
    /// Whether the `scope` of the subject token or assertion, if it has one, bounds what is given.
    pub ceiling: Ceiling,
    /// Scopes that are given unasked.
    pub added: Vec<String>,
    /// Scopes that are known besides those of TS 33.180.
    pub known: Vec<String>,
}

impl Default for ScopeRules {
    fn default() -> Self {
        Self {
            required: false,
            unknown_dropped: false,
            forbidden: Vec::new(),
            ceiling: Ceiling::Ignored,
            added: Vec::new(),
            known: Vec::new(),
        }
    }
}

/// What the presented token's own `scope` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// Nothing.
    Ignored,
    /// What it lacks is dropped (PingAM).
    Intersects,
    /// What it lacks is refused (Zitadel).
    Refuses,
    /// It replaces the request's (Auth0).
    Replaces,
}

/// What an answer looks like.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseRules {
    /// `token_type`, as spelled.
    pub token_type: String,
    /// `token_type` where it depends on the issued type.
    pub token_types: BTreeMap<String, String>,
    /// Whether RFC 8693 answers carry `issued_token_type`.
    pub issued_token_type: bool,
    /// Seconds.
    pub lifetime: u64,
    /// JWT or opaque.
    pub format: Format,
    /// A parameter and the value that makes an opaque token a JWT (SAP: `token_format=jwt`).
    pub jwt_parameter: Option<(String, String)>,
    /// How the granted scope is told.
    pub scope: ScopeAnswer,
    /// Whether a refresh token comes along unasked.
    pub refresh_token: bool,
    /// Whether an ID token comes along: always, only with `openid`, or never.
    pub id_token: IdTokenAnswer,
    /// Whether absent members are there as `null` (authgent).
    pub null_members: bool,
    /// Further members.
    pub members: Map<String, Value>,
}

impl Default for ResponseRules {
    fn default() -> Self {
        Self {
            token_type: "Bearer".to_owned(),
            token_types: BTreeMap::new(),
            issued_token_type: true,
            lifetime: 3600,
            format: Format::Jwt,
            jwt_parameter: None,
            scope: ScopeAnswer::Granted,
            refresh_token: false,
            id_token: IdTokenAnswer::Never,
            null_members: false,
            members: Map::new(),
        }
    }
}

/// How an answer tells the granted scope (RFC 6749 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeAnswer {
    /// Always.
    Granted,
    /// Only when it differs from what was asked for.
    IfDifferent,
    /// Never.
    Missing,
    /// As the empty string when nothing was granted (Hydra), else as granted; absent otherwise.
    OrEmpty,
}

/// When an ID token comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdTokenAnswer {
    /// Never.
    Never,
    /// When `openid` is granted.
    WithOpenid,
    /// Always.
    Always,
}

/// Second leg: what is granted against a token of a trusted issuer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartnerRules {
    /// Whether `jwt-bearer` (RFC 7523 §2.1, B.7.4) is known here.
    pub jwt_bearer: bool,
    /// Whether a public client may use it.
    pub public_clients: bool,
    /// RFC 8693 with a token of a trusted issuer.
    pub exchange: ExchangeRules,
    /// Parameters that `jwt-bearer` must have, with their value; `""`: any.
    pub required_parameters: BTreeMap<String, String>,
    /// What is demanded of the assertion or subject token.
    pub assertion: AssertionRules,
    /// The scope of the request.
    pub scope: ScopeRules,
    /// The answer.
    pub response: ResponseRules,
}

impl Default for PartnerRules {
    fn default() -> Self {
        Self {
            jwt_bearer: true,
            public_clients: true,
            exchange: ExchangeRules {
                requested_token_types: vec![String::new(), token_type::ACCESS_TOKEN.to_owned()],
                default_token_type: token_type::ACCESS_TOKEN.to_owned(),
                resource: Presence::Optional,
                target_required: false,
                ..ExchangeRules::default()
            },
            required_parameters: BTreeMap::new(),
            assertion: AssertionRules::default(),
            scope: ScopeRules { required: true, ..ScopeRules::default() },
            response: ResponseRules::default(),
        }
    }
}

/// What is demanded of a token of a trusted issuer (RFC 7523 §3, B.8).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssertionRules {
    /// Which names of this server `aud` may carry; empty: not checked.
    pub audience: Vec<ServerName>,
    /// Whether `aud` must have that one value and no other.
    pub single_audience: bool,
    /// Whether there must be a `jti`.
    pub jti_required: bool,
    /// Whether a `jti` is accepted once only.
    pub jti_once: bool,
    /// Whether there must be an `iat`.
    pub iat_required: bool,
    /// `exp` at most this many seconds ahead; 0: any.
    pub max_lifetime: u64,
    /// `iat` at most this many seconds ago; 0: any.
    pub max_age: u64,
    /// `max_lifetime` counts only when there is no `iat` (Keycloak).
    pub lifetime_without_iat_only: bool,
    /// Seconds of leeway. Negative: counts against the sender (WSO2).
    pub skew: i64,
    /// Whether the header must have a `kid`.
    pub kid_required: bool,
    /// Accepted header `typ`s, without case; empty: any.
    pub types: Vec<String>,
    /// Accepted algorithms; empty: every asymmetric one.
    pub algorithms: Vec<String>,
    /// Whether the claim `client_id` must name the authenticated client (ID-JAG).
    pub client_claim: bool,
    /// The claim that names the user.
    pub subject_claim: String,
    /// Which account must be there.
    pub account: Account,
    /// The checks in the order in which they are made: it decides which of two mistakes is answered, and whether a
    /// refused assertion's `jti` is spent (Keycloak).
    pub checks: Vec<Check>,
}

impl Default for AssertionRules {
    fn default() -> Self {
        Self {
            audience: vec![ServerName::Issuer, ServerName::TokenEndpoint],
            single_audience: false,
            jti_required: false,
            jti_once: true,
            iat_required: true,
            max_lifetime: 3600,
            max_age: 0,
            lifetime_without_iat_only: false,
            skew: 10,
            kid_required: false,
            types: Vec::new(),
            algorithms: Vec::new(),
            client_claim: false,
            subject_claim: "sub".to_owned(),
            account: Account::None,
            checks: Check::ALL.to_vec(),
        }
    }
}

/// A name of this server, as `aud` may carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerName {
    /// The issuer.
    Issuer,
    /// The token endpoint's URL.
    TokenEndpoint,
    /// What the trust entry of the issuer says: an alias (WSO2), or this server's client id at the home IdM (UAA, SAP).
    Alias,
}

/// Whether the subject must have an account here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// None is needed.
    None,
    /// One must exist and be enabled.
    Linked,
    /// One is made when it does not exist.
    JustInTime,
}

/// One check of an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Header `typ`.
    Typ,
    /// Header `kid`.
    Kid,
    /// `iss` is trusted.
    Issuer,
    /// Header `alg`.
    Algorithm,
    /// The signature.
    Signature,
    /// `exp`, `nbf`, `iat`.
    Times,
    /// `aud`.
    Audience,
    /// The claim `client_id`.
    ClientClaim,
    /// The user.
    User,
    /// The scope of the request.
    Scope,
    /// `jti`: there, and not seen before; from here on it is spent.
    Jti,
}

impl Check {
    /// Every check, in the order of the default behaviour: a refused assertion does not spend its `jti`.
    pub const ALL: [Self; 11] = [
        Self::Typ,
        Self::Kid,
        Self::Issuer,
        Self::Algorithm,
        Self::Signature,
        Self::Times,
        Self::Audience,
        Self::ClientClaim,
        Self::User,
        Self::Scope,
        Self::Jti,
    ];
}
