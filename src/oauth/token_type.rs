//! Token type identifiers (RFC 8693 §3).

/// An OAuth 2.0 access token.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// A JWT: the security token's own type (B.7.3).
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// An OpenID Connect ID token.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// An identity assertion authorization grant (draft-ietf-oauth-identity-assertion-authz-grant).
pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
