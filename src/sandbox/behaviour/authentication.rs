//! How clients authenticate.

use serde::{Deserialize, Serialize};

/// How clients authenticate at the token, introspection and revocation endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// A client authentication method (RFC 6749 §2.3, OpenID Connect Core §9, RFC 8705 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// How id and secret stand in a Basic header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BasicEncoding {
    /// Form-urlencoded before base64 (RFC 6749 §2.3.1).
    Form,
    /// As they are (RFC 7617).
    Raw,
}

/// What `client_id` in the body does when the credential is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientIdInBody {
    /// Nothing; a different one than the credential's is refused.
    Optional,
    /// `jwt-bearer` demands it (UAA, SAP).
    Required,
    /// It replaces the user name of the Basic header (Keycloak).
    OverridesBasic,
    /// The Basic header is no longer read (authgent).
    DisablesBasic,
}

/// Accepted `aud` of `private_key_jwt` client assertions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertionAudience {
    /// The issuer alone, as the one value (draft-ietf-oauth-rfc7523bis).
    Issuer,
    /// The token endpoint's URL.
    TokenEndpoint,
    /// Either.
    Either,
}
