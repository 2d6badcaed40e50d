//! How we authenticate at an identity server (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::IdmError;
use super::token_endpoint::Parameters;
use crate::clock::Timestamp;
use crate::jose::{SigningHeader, SigningKey};
use crate::oauth::{form, grant_type};
use crate::random;
use crate::secret::Secret;

/// Our registration at one identity server.
#[derive(Debug, Clone)]
pub struct ClientRegistration {
    /// Our client id there.
    pub id: String,
    /// How we prove it.
    pub authentication: ClientAuthentication,
    /// Whether `client_id` is in the body too: some servers demand it, some then ignore the `Authorization` header.
    pub id_in_body: bool,
}

/// The method and its credential.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// A public client: `client_id` alone.
    None,
    /// `client_secret_basic`.
    SecretBasic {
        /// The client secret.
        secret: Secret,
        /// How id and secret are written before base64.
        encoding: SecretEncoding,
    },
    /// `client_secret_post`.
    SecretPost {
        /// The client secret.
        secret: Secret,
    },
    /// `private_key_jwt`.
    PrivateKeyJwt {
        /// Signs the assertion.
        key: Box<SigningKey>,
        /// `aud` of the assertion.
        audience: AssertionAudience,
        /// `typ` of the assertion's header.
        typ: Option<String>,
        /// `exp` minus `iat`.
        lifetime: Duration,
    },
    /// `tls_client_auth`: the connection's certificate is the proof.
    TlsClientAuth,
}

/// How id and secret are encoded in the Basic scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretEncoding {
    /// Form-urlencoded first (RFC 6749 §2.3.1).
    Form,
    /// As they are, for servers that do not decode.
    Raw,
}

/// `aud` of a `private_key_jwt` assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The server's issuer: what draft-ietf-oauth-rfc7523bis demands, so that no other server can use the assertion.
    Issuer,
    /// The token endpoint's URL (RFC 7523 §3).
    TokenEndpoint,
    /// Another value that the server demands.
    Value(String),
}

impl ClientRegistration {
    /// Adds our credentials to a request, and returns the `Authorization` header if the method has one.
    pub(super) fn apply(
        &self,
        parameters: &mut Parameters,
        issuer: &str,
        token_endpoint: &str,
        now: Timestamp,
    ) -> Result<Option<Secret>, IdmError> {
        if self.id_in_body {
            parameters.set("client_id", self.id.as_str());
        }
        match &self.authentication {
            ClientAuthentication::None | ClientAuthentication::TlsClientAuth => Ok(None),
            ClientAuthentication::SecretBasic { secret, encoding } => {
                Ok(Some(basic(&self.id, secret, *encoding)))
            }
            ClientAuthentication::SecretPost { secret } => {
                parameters.set("client_secret", secret.expose());
                Ok(None)
            }
            ClientAuthentication::PrivateKeyJwt { key, audience, typ, lifetime } => {
                let audience = match audience {
                    AssertionAudience::Issuer => issuer,
                    AssertionAudience::TokenEndpoint => token_endpoint,
                    AssertionAudience::Value(value) => value,
                };
                let claims = [
                    ("iss", json!(self.id)),
                    ("sub", json!(self.id)),
                    ("aud", json!(audience)),
                    ("jti", json!(random::id())),
                    ("iat", json!(now.unix_seconds())),
                    ("exp", json!(now.plus(*lifetime).unix_seconds())),
                ];
                let claims = claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                let header = SigningHeader { typ: typ.as_deref(), kid: true };
                let assertion = key.sign(&header, &claims).map_err(|_| IdmError::Signing)?;
                parameters.set("client_assertion_type", grant_type::CLIENT_ASSERTION_JWT_BEARER);
                parameters.set("client_assertion", assertion.expose());
                Ok(None)
            }
        }
    }
}

/// The value of an `Authorization` header of the Basic scheme (RFC 6749 §2.3.1).
pub fn basic(id: &str, secret: &Secret, encoding: SecretEncoding) -> Secret {
    let pair = match encoding {
        SecretEncoding::Raw => format!("{id}:{}", secret.expose()),
        SecretEncoding::Form => format!("{}:{}", form::encode_value(id), form::encode_value(secret.expose())),
    };
    Secret::from(format!("Basic {}", STANDARD.encode(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_encoded_unless_the_server_wants_them_raw() {
        let secret = Secret::from("p:w+d %");
        let shown = |encoding| {
            let header = basic("mcx broker", &secret, encoding);
            String::from_utf8(STANDARD.decode(header.expose().trim_start_matches("Basic ")).unwrap()).unwrap()
        };
        assert_eq!(shown(SecretEncoding::Form), "mcx+broker:p%3Aw%2Bd+%25");
        assert_eq!(shown(SecretEncoding::Raw), "mcx broker:p:w+d %");
    }
}
