//! Tokens that no library writes: any header, any payload, signed all the same.

use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jwk::alg::{ec::EcKeyPair, ed::EdKeyPair, rsa::RsaKeyPair};
use josekit::jws::{self, JwsSigner};
use mcx_token_broker::jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

use super::federation::{Federation, Setup, merged};

/// A private key that signs what it is told.
pub(crate) struct Forger {
    signer: Box<dyn JwsSigner>,
    /// The public half, as an issuer publishes it.
    pub(crate) jwk: Value,
    /// The private key, PKCS#8 PEM.
    pub(crate) pem: String,
}

impl Forger {
    /// A new key with a `kid` of its own, published without `alg`: so an RSA key is good for RS and PS.
    pub(crate) fn new(algorithm: Algorithm, kid: &str) -> Self {
        let key = SigningKey::generate(algorithm).expect("a key");
        let mut jwk = key.public_jwk();
        let members = jwk.as_object_mut().expect("a JWK is an object");
        members.insert("kid".to_owned(), json!(kid));
        members.remove("alg");
        let pem = key.private_pem().expose().to_owned();
        Self { signer: signer(algorithm, &pem), jwk, pem }
    }

    /// The same key with another algorithm of its family.
    pub(crate) fn with(&self, algorithm: Algorithm) -> Self {
        Self { signer: signer(algorithm, &self.pem), jwk: self.jwk.clone(), pem: self.pem.clone() }
    }

    /// The same key, published without `kid`.
    pub(crate) fn without_kid(mut self) -> Self {
        self.jwk.as_object_mut().expect("a JWK is an object").remove("kid");
        self
    }

    /// A JWS in compact form over exactly these bytes.
    pub(crate) fn sign(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = self.signer.sign(input.as_bytes()).expect("a signature");
        format!("{input}.{}", encode(signature))
    }
}

/// base64url without padding (RFC 7515 §2).
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`encode`].
pub(crate) fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

/// A JWK set (RFC 7517 §5).
pub(crate) fn jwks(keys: &[&Forger]) -> String {
    json!({"keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>()}).to_string()
}

fn signer(algorithm: Algorithm, pem: &str) -> Box<dyn JwsSigner> {
    let key = private_jwk(algorithm, pem);
    match algorithm {
        Algorithm::Rs256 => Box::new(jws::RS256.signer_from_jwk(&key).expect("an RSA key")),
        Algorithm::Rs384 => Box::new(jws::RS384.signer_from_jwk(&key).expect("an RSA key")),
        Algorithm::Rs512 => Box::new(jws::RS512.signer_from_jwk(&key).expect("an RSA key")),
        Algorithm::Ps256 => Box::new(jws::PS256.signer_from_jwk(&key).expect("an RSA key")),
        Algorithm::Ps384 => Box::new(jws::PS384.signer_from_jwk(&key).expect("an RSA key")),
        Algorithm::Ps512 => Box::new(jws::PS512.signer_from_jwk(&key).expect("an RSA key")),
        Algorithm::Es256 => Box::new(jws::ES256.signer_from_jwk(&key).expect("a P-256 key")),
        Algorithm::Es384 => Box::new(jws::ES384.signer_from_jwk(&key).expect("a P-384 key")),
        Algorithm::Es512 => Box::new(jws::ES512.signer_from_jwk(&key).expect("a P-521 key")),
        Algorithm::EdDsa => Box::new(jws::EdDSA.signer_from_jwk(&key).expect("an Ed25519 key")),
    }
}

fn private_jwk(algorithm: Algorithm, pem: &str) -> Jwk {
    match algorithm {
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
            EcKeyPair::from_pem(pem, None).expect("an EC key").to_jwk_key_pair()
        }
        Algorithm::EdDsa => EdKeyPair::from_pem(pem).expect("an Ed25519 key").to_jwk_key_pair(),
        _ => RsaKeyPair::from_pem(pem).expect("an RSA key").to_jwk_key_pair(),
    }
}

/// Starts a federation whose home tokens `keys` sign, published in a file; the broker mints the security tokens, so the
/// home IdM need not know them.
pub(crate) fn federation_of(keys: &[&Forger], mut setup: Setup) -> Pin<Box<dyn Future<Output = Federation>>> {
    let directory = tempfile::tempdir().expect("a directory for the key set");
    let file = directory.path().join("home.jwks.json");
    std::fs::write(&file, jwks(keys)).expect("the key set can be written");
    setup.broker_toml = merged(&format!("[home]\njwks_file = \"{}\"", file.display()), &setup.broker_toml);
    setup.partner_toml = merged("[security_token]\nsource = \"mint\"", &setup.partner_toml);
    Box::pin(async move {
        let federation = setup.quick_keys().start().await;
        drop(directory);
        federation
    })
}
