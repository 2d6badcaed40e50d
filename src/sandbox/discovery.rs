//! Server metadata (RFC 8414, OpenID Connect Discovery 1.0).

use serde_json::{Value, json};

use super::idm::Idm;
use crate::oauth::grant_type::{AUTHORIZATION_CODE, JWT_BEARER, REFRESH_TOKEN, TOKEN_EXCHANGE};

/// What the IdM says of itself.
pub(super) fn metadata(idm: &Idm) -> Value {
    let behaviour = idm.behaviour();
    let at = |path: &str| format!("{}{path}", idm.base);
    let mut grants = vec![AUTHORIZATION_CODE, REFRESH_TOKEN];
    if behaviour.home.exchange.enabled || behaviour.partner.exchange.enabled {
        grants.push(TOKEN_EXCHANGE);
    }
    if behaviour.partner.jwt_bearer {
        grants.push(JWT_BEARER);
    }
    let methods: Vec<&str> = behaviour.authentication.methods.iter().map(|method| method.as_str()).collect();
    json!({
        "issuer": idm.issuer(),
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": idm.token_endpoint(),
        "jwks_uri": at("/jwks"),
        "introspection_endpoint": at("/introspect"),
        "revocation_endpoint": at("/revoke"),
        "end_session_endpoint": at("/logout"),
        "backchannel_logout_supported": true,
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [idm.keys.algorithm().as_str()],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "grant_types_supported": grants,
        "token_endpoint_auth_methods_supported": methods,
    })
}
