//! Grant type identifiers.

/// RFC 8693 §2.1: what clients send to the broker, and the broker to the home IdM (B.7.2).
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 §2.1: what the broker sends to the partner IdM (B.7.4).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 6749 §4.1.3 (B.4.2.4).
pub const AUTHORIZATION_CODE: &str = "authorization_code";
/// RFC 6749 §6 (B.5.2).
pub const REFRESH_TOKEN: &str = "refresh_token";
/// RFC 6749 §4.4.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// RFC 7523 §2.2: the `client_assertion_type` of `private_key_jwt`.
pub const CLIENT_ASSERTION_JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
