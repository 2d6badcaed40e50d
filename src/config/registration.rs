//! `[home.client]` and `[client]` of a partner file: what the broker is registered as at an identity server.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{KeyFile, NamedFile, TextFile};
use super::findings::Findings;
use super::schema::AlgorithmName;
use super::value::{self, ALGORITHMS};
use crate::secret::Secret;

/// The broker's registration at an identity server (B.6).
#[derive(Debug, Clone)]
pub struct Registration {
    /// The client identifier; empty only when `forward_client_id`.
    pub id: String,
    /// How the broker proves to be that client.
    pub authentication: Authentication,
    /// Whether `client_id` is in the body too. Some servers demand it beside Basic, others then ignore the Basic header.
    pub client_id_in_body: bool,
    /// The MCX client's own identifier is sent instead of `id` (B.7.4 as the specification has the client do it).
    pub forward_client_id: bool,
}

/// Client authentication, outbound.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Public client: `client_id` only.
    None,
    /// RFC 6749 §2.3.1, in the header.
    ClientSecretBasic {
        /// The secret.
        secret: Secret,
        /// Whether id and secret are form-encoded first.
        encoding: CredentialsEncoding,
    },
    /// RFC 6749 §2.3.1, in the body.
    ClientSecretPost {
        /// The secret.
        secret: Secret,
    },
    /// RFC 7523 §2.2.
    PrivateKeyJwt(ClientAssertion),
    /// RFC 8705 §2.
    TlsClientAuth {
        /// PEM, leaf first.
        certificate: TextFile,
        /// PEM.
        key: KeyFile,
    },
}

/// What the broker's own client assertions look like.
#[derive(Debug, Clone)]
pub struct ClientAssertion {
    /// Signs; `None`: the first of `[signing] keys` does.
    pub key: Option<KeyFile>,
    /// One of the asymmetric algorithms; `None`: what suits the key.
    pub algorithm: Option<String>,
    /// Header `kid`; `None`: the key's thumbprint.
    pub key_id: Option<String>,
    /// `aud`.
    pub audience: AssertionAudience,
    /// Header `typ`; `None`: no such header.
    pub typ: Option<String>,
    /// `exp` minus `iat`.
    pub lifetime: Duration,
}

/// The `aud` of a client assertion: always one value (draft-ietf-oauth-rfc7523bis).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The identity server's issuer, which no other server can be tricked into taking.
    Issuer,
    /// Its token endpoint, as older servers demand.
    TokenEndpoint,
    /// This.
    Literal(String),
}

/// How id and secret go into the Basic header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialsEncoding {
    /// Form-encoded first, as RFC 6749 §2.3.1 demands.
    #[default]
    Form,
    /// As they are, for servers that do not decode.
    Raw,
}

/// `authentication`, inbound and outbound: the names of RFC 8414's `token_endpoint_auth_methods_supported`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    None,
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    TlsClientAuth,
}

/// What the broker is registered as at an identity server (B.6).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct RegistrationTable {
    /// The client id.
    pub(super) id: String,
    /// How the broker proves to be that client.
    authentication: Method,
    /// The client secret, for `client_secret_basic` and `client_secret_post`; better `secret_file`.
    secret: Option<Secret>,
    /// The client secret, from a file.
    secret_file: Option<NamedFile>,
    /// PEM or JWK. `private_key_jwt`: signs (absent: the first of `signing.keys`); `tls_client_auth`: required.
    key_file: Option<NamedFile>,
    /// Signature algorithm of `private_key_jwt`; absent: what suits the key.
    #[schemars(with = "AlgorithmName")]
    algorithm: Option<String>,
    /// Header `kid`.
    key_id: Option<String>,
    /// PEM chain for `tls_client_auth`.
    certificate_file: Option<NamedFile>,
    /// `aud` of client assertions, one value.
    assertion_audience: String,
    /// Header `typ`; `""`: none.
    assertion_typ: String,
    /// `exp` minus `iat`.
    #[serde(with = "value::Period")]
    assertion_lifetime: Duration,
    /// Whether id and secret are form-encoded before Basic (RFC 6749 section 2.3.1).
    credentials_encoding: CredentialsEncoding,
    /// Whether the body has `client_id`.
    client_id_in_body: Option<bool>,
    /// Partner files only: the MCX client's own id is sent, to the letter of B.7.4. Needs `authentication = "none"`.
    pub(super) forward_client_id: bool,
}

impl Default for RegistrationTable {
    fn default() -> Self {
        Self {
            id: String::new(),
            authentication: Method::default(),
            secret: None,
            secret_file: None,
            key_file: None,
            algorithm: None,
            key_id: None,
            certificate_file: None,
            assertion_audience: "issuer".into(),
            assertion_typ: "JWT".into(),
            assertion_lifetime: Duration::from_secs(60),
            credentials_encoding: CredentialsEncoding::default(),
            client_id_in_body: None,
            forward_client_id: false,
        }
    }
}

impl RegistrationTable {
    /// `at` is the table's own key, `signs` whether `[signing] keys` has a key to fall back to.
    pub(super) fn resolve(self, findings: &mut Findings<'_>, at: &str, signs: bool) -> Registration {
        if self.forward_client_id {
            findings.demand(
                self.authentication == Method::None,
                &format!("{at}.forward_client_id"),
                "sends another client's id with the broker's own credentials",
                "state authentication = \"none\", or remove it",
            );
        } else {
            findings.required(
                &format!("{at}.id"),
                &self.id,
                "write the client id that the identity server gave",
            );
        }
        Registration {
            client_id_in_body: self.client_id_in_body.unwrap_or(matches!(
                self.authentication,
                Method::None | Method::ClientSecretPost | Method::TlsClientAuth
            )),
            forward_client_id: self.forward_client_id,
            authentication: self.authentication(findings, at, signs).unwrap_or(Authentication::None),
            id: self.id,
        }
    }

    /// `None` when something that the method needs is missing, which is then reported.
    fn authentication(&self, findings: &mut Findings<'_>, at: &str, signs: bool) -> Option<Authentication> {
        let uses_key = matches!(self.authentication, Method::PrivateKeyJwt | Method::TlsClientAuth);
        if self.key_file.is_some() && !uses_key {
            let remedy = "remove it, or state authentication = \"private_key_jwt\"";
            findings.warn(
                &format!("{at}.key_file"),
                "is stated, but the authentication method does not use it",
                remedy,
            );
        }
        let method = self.authentication;
        let secret = secret_of(findings, at, method, self.secret.as_ref(), self.secret_file.as_ref());
        match method {
            Method::None => Some(Authentication::None),
            Method::ClientSecretBasic => Some(Authentication::ClientSecretBasic {
                secret: secret?,
                encoding: self.credentials_encoding,
            }),
            Method::ClientSecretPost => Some(Authentication::ClientSecretPost { secret: secret? }),
            Method::PrivateKeyJwt => self.assertion(findings, at, signs).map(Authentication::PrivateKeyJwt),
            Method::TlsClientAuth => {
                let (certificate_key, key_key) = (format!("{at}.certificate_file"), format!("{at}.key_file"));
                for (key, named) in [(&certificate_key, &self.certificate_file), (&key_key, &self.key_file)] {
                    findings.demand(
                        named.is_some(),
                        key,
                        "is missing, and tls_client_auth needs it",
                        "name a PEM file",
                    );
                }
                let certificate = findings.text_file(&certificate_key, self.certificate_file.as_ref());
                let key = findings.key_file(&key_key, self.key_file.as_ref());
                Some(Authentication::TlsClientAuth { certificate: certificate?, key: key? })
            }
        }
    }

    fn assertion(&self, findings: &mut Findings<'_>, at: &str, signs: bool) -> Option<ClientAssertion> {
        let key_key = format!("{at}.key_file");
        findings.demand(
            self.key_file.is_some() || signs,
            &key_key,
            "is missing, and private_key_jwt needs a key",
            "name a PEM or JWK file, or state [signing] keys in the broker file",
        );
        if let Some(algorithm) = &self.algorithm {
            check_algorithm(findings, &format!("{at}.algorithm"), algorithm);
        }
        findings.between(
            &format!("{at}.assertion_lifetime"),
            self.assertion_lifetime,
            Duration::from_secs(5),
            Duration::from_secs(3600),
        );
        findings.required(
            &format!("{at}.assertion_audience"),
            &self.assertion_audience,
            "write \"issuer\", \"token_endpoint\" or the value itself",
        );
        let key = findings.key_file(&key_key, self.key_file.as_ref());
        (key.is_some() == self.key_file.is_some()).then(|| ClientAssertion {
            key,
            algorithm: self.algorithm.clone(),
            key_id: self.key_id.clone(),
            audience: match self.assertion_audience.as_str() {
                "issuer" => AssertionAudience::Issuer,
                "token_endpoint" => AssertionAudience::TokenEndpoint,
                literal => AssertionAudience::Literal(literal.to_owned()),
            },
            typ: value::stated(&self.assertion_typ).map(str::to_owned),
            lifetime: self.assertion_lifetime,
        })
    }
}

/// The secret of a client that authenticates by `method`. One that is missing, or stated for nothing, is reported.
pub(super) fn secret_of(
    findings: &mut Findings<'_>,
    at: &str,
    method: Method,
    inline: Option<&Secret>,
    named: Option<&NamedFile>,
) -> Option<Secret> {
    let key = format!("{at}.secret");
    let is_stated = inline.is_some() || named.is_some();
    let is_used = matches!(method, Method::ClientSecretBasic | Method::ClientSecretPost);
    findings.demand(
        is_stated || !is_used,
        &key,
        "is missing, and the authentication method needs it",
        "state secret_file, or another authentication",
    );
    findings.demand(
        !is_stated || is_used,
        &key,
        "is stated, but the authentication method does not use it",
        "remove it, or state authentication = \"client_secret_basic\"",
    );
    findings.secret(&key, inline, named)
}

/// [`check_algorithm`] for each of a list.
pub(super) fn check_algorithms(findings: &mut Findings<'_>, key: &str, algorithms: &[String]) {
    for (number, algorithm) in algorithms.iter().enumerate() {
        check_algorithm(findings, &format!("{key}[{number}]"), algorithm);
    }
}

/// Refuses what is not an asymmetric algorithm.
pub(super) fn check_algorithm(findings: &mut Findings<'_>, key: &str, algorithm: &str) {
    findings.demand(
        ALGORITHMS.contains(&algorithm),
        key,
        "is not an asymmetric signature algorithm",
        format!("write one of {}", ALGORITHMS.join(", ")),
    );
}
