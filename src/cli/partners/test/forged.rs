//! Tokens that nobody must take: with a signature that is not one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::random;
use crate::secret::Token;

/// What is no token at all. A server authenticates who asks before it reads this, so its answer says whether it did.
pub(super) fn no_token() -> Token {
    Token::from("mcx-token-broker.partners-test.no-token")
}

/// A JWT of these claims whose signature is noise of the usual length.
pub(super) fn forged(algorithm: &str, kid: Option<&str>, typ: &str, claims: &Map<String, Value>) -> Token {
    let mut header = json!({ "alg": algorithm, "typ": typ });
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let part = |value: String| URL_SAFE_NO_PAD.encode(value);
    let claims = Value::Object(claims.clone());
    let signature = if algorithm.starts_with("ES") { noise::<64>() } else { noise::<256>() };
    Token::from(format!("{}.{}.{signature}", part(header.to_string()), part(claims.to_string())))
}

/// The token with noise in the place of its signature. `None`: it has none.
pub(super) fn broken(token: &Token) -> Option<Token> {
    let (signed, signature) = token.expose().rsplit_once('.')?;
    let length = URL_SAFE_NO_PAD.decode(signature).ok().filter(|bytes| !bytes.is_empty())?.len();
    let noise = if length == 64 { noise::<64>() } else { noise::<256>() };
    signed.contains('.').then(|| Token::from(format!("{signed}.{noise}")))
}

fn noise<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(random::bytes::<N>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, KeySet, SigningHeader, SigningKey, UnverifiedToken, publish};

    #[test]
    fn the_claims_stay_and_the_signature_does_not_verify() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let claims = json!({"iss": "https://idm.home.example"});
        let claims = claims.as_object().unwrap();
        let token = key.sign(&SigningHeader { typ: Some("JWT"), kid: true }, claims).unwrap();
        let keys = KeySet::parse(publish([&key]).to_string().as_bytes()).unwrap();
        let verifies = |token: &Token| {
            let unverified = UnverifiedToken::parse(token.expose()).unwrap();
            keys.verify(&unverified, &[Algorithm::Es256]).is_ok()
        };
        assert!(verifies(&token));
        let broken = broken(&token).unwrap();
        let payload = |token: &Token| token.expose().split('.').nth(1).unwrap().to_owned();
        assert_eq!(payload(&broken), payload(&token));
        assert!(!verifies(&broken));
        assert!(!verifies(&forged("ES256", Some(key.kid()), "JWT", claims)));
        assert!(super::broken(&Token::from("opaque")).is_none());
        assert!(super::broken(&Token::from("a.b.")).is_none());
    }
}
