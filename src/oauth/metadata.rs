//! Authorization server metadata (RFC 8414 §2, OpenID Connect Discovery 1.0 §3).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the broker reads of an identity server's metadata. Unknown members are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct IdmMetadata {
    /// Must equal the issuer that was asked, character by character (RFC 8414 §3.3): else another server answers in its name.
    pub issuer: String,
    /// RFC 6749 §3.2.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// RFC 6749 §3.1.
    #[serde(default)]
    pub authorization_endpoint: Option<String>,
    /// Where the issuer's keys are.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// RFC 7662.
    #[serde(default)]
    pub introspection_endpoint: Option<String>,
    /// RFC 7009.
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// RFC 8705 §5: endpoints to be used with a client certificate.
    #[serde(default)]
    pub mtls_endpoint_aliases: Option<MtlsEndpointAliases>,
}

/// RFC 8705 §5.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MtlsEndpointAliases {
    /// The token endpoint for certificate-bound clients.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// The revocation endpoint for certificate-bound clients.
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
}

/// What an identity server says that it can do. `None`: it does not say. For people who compare it with their files, so what is
/// malformed counts as not said: the broker does not go by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertised {
    /// RFC 8414 §2; absent, its default says nothing of the grants that matter here.
    pub grant_types: Option<Vec<String>>,
    /// Client authentication at the token endpoint.
    pub authentication_methods: Option<Vec<String>>,
    /// Of `private_key_jwt` assertions.
    pub assertion_algorithms: Option<Vec<String>>,
    /// Of ID tokens (OpenID Connect Discovery §3): the nearest to what it signs with, and can verify.
    pub signing_algorithms: Option<Vec<String>>,
    /// Scopes, where it tells.
    pub scopes: Option<Vec<String>>,
    /// Names of the members at the top level, of whatever specification or vendor.
    pub members: Vec<String>,
}

/// More than any server lists; the rest is not looked at.
const MOST_LISTED: usize = 256;

impl Advertised {
    /// Reads a metadata document.
    pub fn read(document: &[u8]) -> Self {
        let members: Map<String, Value> = serde_json::from_slice(document).unwrap_or_default();
        let list = |name: &str| {
            let values = members.get(name)?.as_array()?.iter().take(MOST_LISTED);
            Some(values.filter_map(Value::as_str).map(str::to_owned).collect())
        };
        Self {
            grant_types: list("grant_types_supported"),
            authentication_methods: list("token_endpoint_auth_methods_supported"),
            assertion_algorithms: list("token_endpoint_auth_signing_alg_values_supported"),
            signing_algorithms: list("id_token_signing_alg_values_supported"),
            scopes: list("scopes_supported"),
            members: members.keys().take(MOST_LISTED).cloned().collect(),
        }
    }
}

/// What the broker says of itself at `/.well-known/oauth-authorization-server`.
#[derive(Debug, Serialize)]
pub struct BrokerMetadata {
    /// The broker's own issuer identifier.
    pub issuer: String,
    /// Where `POST /token` is.
    pub token_endpoint: String,
    /// Where `POST /revoke` is (RFC 7009).
    pub revocation_endpoint: String,
    /// The broker's public keys, for partners that verify what it mints.
    pub jwks_uri: String,
    /// `none`: there is no authorization endpoint here. RFC 8414 §2 requires the member, and §3.2 forbids an empty list, which
    /// strict clients take for a missing one.
    pub response_types_supported: Vec<&'static str>,
    /// Token exchange only.
    pub grant_types_supported: Vec<&'static str>,
    /// How clients may authenticate.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// The same at the revocation endpoint.
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// Algorithms of `private_key_jwt` assertions.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// The same at the revocation endpoint. RFC 8414 §2 demands both wherever there is `private_key_jwt`.
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// draft-ietf-oauth-identity-chaining: the token types that may be asked for.
    pub identity_chaining_requested_token_types_supported: Vec<&'static str>,
}
