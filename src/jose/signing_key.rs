//! Private keys of ours: they sign minted security tokens (B.8) and `private_key_jwt` assertions (RFC 7523 §2.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use josekit::jwk::alg::ed::{EdCurve, EdKeyPair};
use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jwk::{Jwk, KeyPair};
use josekit::jws::JwsSigner;
use openssl::pkey::{Id, PKey, Private};
use serde_json::{Map, Value, json};

use super::{Algorithm, JoseError};
use crate::secret::{Secret, Token, sha256};

/// RFC 7518 §3.3 demands 2048 bits or more.
const RSA_BITS: u32 = 2048;

/// A private key with its algorithm and key id. `Debug` shows the id only.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    kid: String,
    signer: Box<dyn JwsSigner>,
    public: Map<String, Value>,
    private_pem: Secret,
}

/// What the header of a signed token carries besides `alg`.
#[derive(Debug, Clone, Copy)]
pub struct SigningHeader<'a> {
    /// `typ`; `None`: no such member.
    pub typ: Option<&'a str>,
    /// Whether `kid` is written.
    pub kid: bool,
}

impl SigningKey {
    /// A new key; its `kid` is the RFC 7638 thumbprint.
    pub fn generate(algorithm: Algorithm) -> Result<Self, JoseError> {
        let failed = |_| JoseError::Key("it could not be generated");
        let pair: Box<dyn KeyPair> = match algorithm {
            Algorithm::Es256 => Box::new(EcKeyPair::generate(EcCurve::P256).map_err(failed)?),
            Algorithm::Es384 => Box::new(EcKeyPair::generate(EcCurve::P384).map_err(failed)?),
            Algorithm::Es512 => Box::new(EcKeyPair::generate(EcCurve::P521).map_err(failed)?),
            Algorithm::EdDsa => Box::new(EdKeyPair::generate(EdCurve::Ed25519).map_err(failed)?),
            _ => Box::new(RsaKeyPair::generate(RSA_BITS).map_err(failed)?),
        };
        Self::from_pair(pair.as_ref(), Some(algorithm), None)
    }

    /// A key from PEM (PKCS#8, PKCS#1 or SEC1, not encrypted) or a private JWK. Without `algorithm` it is the key type's
    /// usual one (RS256, ES256/384/512, EdDSA); without `kid` it is the RFC 7638 thumbprint.
    pub fn parse(
        text: &Secret,
        algorithm: Option<Algorithm>,
        kid: Option<String>,
    ) -> Result<Self, JoseError> {
        const UNREADABLE: JoseError =
            JoseError::Key("it is not an unencrypted private key in PEM or JWK form");
        let text = text.expose().trim();
        let pair = if text.starts_with('{') { pair_of_jwk(text) } else { pair_of_pem(text) };
        Self::from_pair(pair.ok_or(UNREADABLE)?.as_ref(), algorithm, kid)
    }

    fn from_pair(
        pair: &dyn KeyPair,
        algorithm: Option<Algorithm>,
        kid: Option<String>,
    ) -> Result<Self, JoseError> {
        let private = pair.to_jwk_key_pair();
        let allowed = Algorithm::of_key(private.key_type(), private.curve());
        let algorithm = match algorithm {
            Some(algorithm) if allowed.contains(&algorithm) => algorithm,
            Some(_) => return Err(JoseError::Key("its type does not fit the algorithm")),
            None => *allowed.first().ok_or(JoseError::Key("its type or curve is not supported"))?,
        };
        let signer = algorithm
            .signer(&private)
            .map_err(|_| JoseError::Key("it is too small (RSA: 2048 bits or more) or malformed"))?;
        let mut public: Map<String, Value> = pair.to_jwk_public_key().as_ref().clone();
        let kid = match kid {
            Some(kid) => kid,
            None => thumbprint(&private),
        };
        public.insert("kid".to_owned(), json!(kid));
        public.insert("use".to_owned(), json!("sig"));
        public.insert("alg".to_owned(), json!(algorithm.as_str()));
        let private_pem = String::from_utf8(pair.to_pem_private_key())
            .map_err(|_| JoseError::Key("it cannot be written as PEM"))?;
        Ok(Self { algorithm, kid, signer, public, private_pem: Secret::from(private_pem) })
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its key id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// PKCS#8 PEM, to be written to a file that only the broker can read.
    pub fn private_pem(&self) -> &Secret {
        &self.private_pem
    }

    /// The public half, with `kid`, `use` and `alg`.
    pub fn public_jwk(&self) -> Value {
        Value::Object(self.public.clone())
    }

    /// A JWS in compact form over `claims`.
    pub fn sign(&self, header: &SigningHeader<'_>, claims: &Map<String, Value>) -> Result<Token, JoseError> {
        let mut members = Map::new();
        members.insert("alg".to_owned(), json!(self.algorithm.as_str()));
        if let Some(typ) = header.typ {
            members.insert("typ".to_owned(), json!(typ));
        }
        if header.kid {
            members.insert("kid".to_owned(), json!(self.kid));
        }
        let claims = serde_json::to_vec(claims).map_err(|_| JoseError::Key("the claims are not JSON"))?;
        let mut token = URL_SAFE_NO_PAD.encode(Value::Object(members).to_string());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signer.sign(token.as_bytes()).map_err(|_| JoseError::Key("signing failed"))?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(Token::from(token))
    }
}

/// The JWK set that partners verify our signatures with (RFC 7517 §5). A key that stands in two files is one key.
pub fn publish<'k>(keys: impl IntoIterator<Item = &'k SigningKey>) -> Value {
    let mut published: Vec<Value> = Vec::new();
    for key in keys.into_iter().map(SigningKey::public_jwk) {
        if !published.contains(&key) {
            published.push(key);
        }
    }
    json!({ "keys": published })
}

fn pair_of_jwk(text: &str) -> Option<Box<dyn KeyPair>> {
    let key = Jwk::from_bytes(text).ok()?;
    key.parameter("d")?;
    Some(match key.key_type() {
        "RSA" => Box::new(RsaKeyPair::from_jwk(&key).ok()?),
        "EC" => Box::new(EcKeyPair::from_jwk(&key).ok()?),
        "OKP" => Box::new(EdKeyPair::from_jwk(&key).ok()?),
        _ => return None,
    })
}

fn pair_of_pem(text: &str) -> Option<Box<dyn KeyPair>> {
    // The passphrase variant never prompts on the terminal.
    let key: PKey<Private> = PKey::private_key_from_pem_passphrase(text.as_bytes(), b"").ok()?;
    let der = key.private_key_to_pkcs8().ok()?;
    Some(match key.id() {
        Id::RSA => Box::new(RsaKeyPair::from_der(&der).ok()?),
        Id::EC => Box::new(EcKeyPair::from_der(&der, None).ok()?),
        Id::ED25519 | Id::ED448 => Box::new(EdKeyPair::from_der(&der).ok()?),
        _ => return None,
    })
}

/// RFC 7638 §3: SHA-256 over the required members in lexicographic order.
fn thumbprint(key: &Jwk) -> String {
    let required: &[&str] = match key.key_type() {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        _ => &["crv", "kty", "x"],
    };
    let members: Map<String, Value> =
        required.iter().filter_map(|name| Some(((*name).to_owned(), key.parameter(name)?.clone()))).collect();
    URL_SAFE_NO_PAD.encode(sha256(Value::Object(members).to_string().as_bytes()))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jose::{KeySet, UnverifiedToken};

    const HEADER: SigningHeader<'_> = SigningHeader { typ: Some("JWT"), kid: true };

    fn claims() -> Map<String, Value> {
        json!({"sub": "alice"}).as_object().unwrap().clone()
    }

    #[test]
    fn every_algorithm_signs_and_verifies_through_pem_and_jwks() {
        for algorithm in Algorithm::ALL {
            let generated = SigningKey::generate(algorithm).unwrap();
            let key = SigningKey::parse(generated.private_pem(), Some(algorithm), None).unwrap();
            assert_eq!(key.kid(), generated.kid(), "{algorithm}");
            let set = KeySet::parse(publish([&key]).to_string().as_bytes()).unwrap();
            let token = UnverifiedToken::parse(key.sign(&HEADER, &claims()).unwrap().expose()).unwrap();
            let verified = set.verify(&token, &Algorithm::ALL).unwrap();
            assert_eq!(verified.claims.text("sub"), Ok(Some("alice")), "{algorithm}");
            let others: Vec<_> = Algorithm::ALL.into_iter().filter(|other| *other != algorithm).collect();
            assert_eq!(set.verify(&token, &others).err(), Some(JoseError::Algorithm), "{algorithm}");
        }
    }

    #[test]
    fn a_published_set_holds_no_private_member() {
        let keys =
            [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(|a| SigningKey::generate(a).unwrap());
        let set = publish(&keys);
        for key in set["keys"].as_array().unwrap() {
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(key.get(private).is_none(), "{private}");
            }
        }
    }

    #[test]
    fn a_zero_ecdsa_signature_is_refused_without_a_panic() {
        for (algorithm, length) in [(Algorithm::Es256, 64), (Algorithm::Es384, 96), (Algorithm::Es512, 132)] {
            let key = SigningKey::generate(algorithm).unwrap();
            let set = KeySet::parse(publish([&key]).to_string().as_bytes()).unwrap();
            let token = key.sign(&HEADER, &claims()).unwrap();
            let (input, _) = token.expose().rsplit_once('.').unwrap();
            for length in [0, 1, 2, length] {
                let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode(vec![0; length]));
                let forged = UnverifiedToken::parse(&forged).unwrap();
                assert_eq!(set.verify(&forged, &Algorithm::ALL).err(), Some(JoseError::Signature));
            }
        }
    }

    #[test]
    fn broken_keys_are_skipped_not_fatal() {
        let good = SigningKey::generate(Algorithm::Es256).unwrap();
        let set = json!({"keys": [
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": "P-256", "x": "!", "y": 7},
            7, {}, {"kty": "RSA", "use": "enc", "n": "x", "e": "y"}, good.public_jwk(),
        ]});
        let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
        assert_eq!((set.len(), set.skipped()), (1, 6));
        for hopeless in
            ["", "[]", "{}", r#"{"keys":7}"#, r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#]
        {
            assert!(KeySet::parse(hopeless.as_bytes()).is_err(), "{hopeless}");
        }
    }

    #[test]
    fn unusable_private_keys_are_refused() {
        for pem in ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(SigningKey::parse(&Secret::from(pem), None, None).is_err(), "{pem}");
        }
        let es256 = SigningKey::generate(Algorithm::Es256).unwrap();
        assert!(SigningKey::parse(es256.private_pem(), Some(Algorithm::Rs256), None).is_err());
    }

    proptest! {
        #[test]
        fn no_token_panics(token in "[A-Za-z0-9_.-]{0,200}") {
            let _ = UnverifiedToken::parse(&token);
        }

        #[test]
        fn no_key_set_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = KeySet::parse(&bytes);
        }

        #[test]
        fn a_changed_token_never_verifies(position in 0usize..120, byte in any::<u8>()) {
            let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
            let set = KeySet::parse(publish([&key]).to_string().as_bytes()).unwrap();
            let token = key.sign(&HEADER, &claims()).unwrap();
            let mut bytes = token.expose().as_bytes().to_vec();
            let position = position % bytes.len();
            prop_assume!(bytes[position] != byte);
            bytes[position] = byte;
            if let Ok(text) = String::from_utf8(bytes) && let Ok(token) = UnverifiedToken::parse(&text) {
                prop_assert!(set.verify(&token, &Algorithm::ALL).is_err());
            }
        }
    }
}
