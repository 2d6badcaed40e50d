//! `private_key_jwt`: a client's assertion about itself (RFC 7523 §3, draft-ietf-oauth-rfc7523bis).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::jose::{Algorithm, ClaimError, JoseError, KeySet, UnverifiedToken};

/// Longer-lived assertions are refused: they bound the replay memory, and a stolen one.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// Clock skew allowed.
const LEEWAY: Duration = Duration::from_secs(10);

/// Why an assertion proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// Not a JWT, wrong algorithm or signature.
    #[error("{0}")]
    Token(#[from] JoseError),
    /// A claim of the wrong form.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// `iss` and `sub` must both be the client.
    #[error("its iss and sub are not the client")]
    Client,
    /// `aud` must be ours alone: one that another server may use too can be replayed between them.
    #[error("its aud is not this server's issuer or token endpoint")]
    Audience,
    /// `exp` is missing, has passed, or is more than an hour ahead.
    #[error("its exp is missing, has passed, or is too far ahead")]
    Expiry,
    /// `nbf` or `iat` in the future.
    #[error("it is not valid yet")]
    NotYetValid,
    /// No `jti`.
    #[error("it has no jti")]
    NoJti,
    /// The typ of another kind of token.
    #[error("its typ is not that of a client assertion")]
    Type,
    /// Used before.
    #[error("it was used before")]
    Replayed,
}

/// Who the assertion says it is from: only good for finding the keys to check that with.
pub fn unverified_client_id(assertion: &UnverifiedToken) -> Result<&str, AssertionError> {
    assertion.unverified_claims().text("iss")?.ok_or(AssertionError::Client)
}

/// Verifies the assertion of `client`. Returns its `jti` and until when it must be remembered.
pub fn verify<'t>(
    assertion: &'t UnverifiedToken,
    client: &str,
    keys: &KeySet,
    algorithms: &[Algorithm],
    audiences: &[String],
    now: Timestamp,
) -> Result<(&'t str, Timestamp), AssertionError> {
    let verified = keys.verify(assertion, algorithms)?;
    let typ = verified.header.typ.as_deref().unwrap_or("JWT");
    if !["JWT", "client-authentication+jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ)) {
        return Err(AssertionError::Type);
    }
    let claims = verified.claims;
    if claims.text("iss")? != Some(client) || claims.text("sub")? != Some(client) {
        return Err(AssertionError::Client);
    }
    let audience = claims.audience()?;
    if audience.is_empty() || !audience.iter().all(|value| audiences.iter().any(|ours| ours == value)) {
        return Err(AssertionError::Audience);
    }
    let exp = claims.numeric_date("exp")?.ok_or(AssertionError::Expiry)?;
    // Authlib's assertions live for the whole hour: a client whose clock is a second ahead would be shut out.
    if now >= exp.plus(LEEWAY) || exp > now.plus(MAX_LIFETIME).plus(LEEWAY) {
        return Err(AssertionError::Expiry);
    }
    for name in ["nbf", "iat"] {
        if claims.numeric_date(name)?.is_some_and(|from| from > now.plus(LEEWAY)) {
            return Err(AssertionError::NotYetValid);
        }
    }
    let jti = claims.text("jti")?.ok_or(AssertionError::NoJti)?;
    Ok((jti, exp.plus(LEEWAY)))
}
