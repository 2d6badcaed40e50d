//! Public keys of an issuer (RFC 7517), parsed once and kept with their verifiers.

use std::fmt;

use josekit::jwk::Jwk;
use josekit::jws::JwsVerifier;
use serde_json::{Map, Value};

use super::{Algorithm, Claims, Header, JoseError, UnverifiedToken};

/// More keys than any issuer publishes: bounds the work per set and per token without `kid`.
const MAX_KEYS: usize = 64;

/// The usable signature keys of a JWK set. Building a verifier costs more than using it, so that is done here, once.
pub struct KeySet {
    keys: Vec<Key>,
    skipped: usize,
}

struct Key {
    kid: Option<String>,
    verifiers: Vec<(Algorithm, Box<dyn JwsVerifier>)>,
}

/// A token whose signature was verified with a key of the set. Its claims are the issuer's word; whether they are
/// acceptable is still to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'t> {
    /// The header.
    pub header: &'t Header,
    /// The claims.
    pub claims: &'t Claims,
}

impl KeySet {
    /// Parses a JWK set. Keys that cannot be used (malformed, symmetric, for encryption, too small) are skipped and
    /// counted: one broken key must not lock out every user.
    ///
    /// # Errors
    /// [`JoseError::Key`] when it is not a JWK set, has more than 64 keys, or none that can be used.
    pub fn parse(jwks: &[u8]) -> Result<Self, JoseError> {
        let set: Map<String, Value> =
            serde_json::from_slice(jwks).map_err(|_| JoseError::Key("the key set is not a JSON object"))?;
        let members = match set.get("keys") {
            Some(Value::Array(members)) if members.len() <= MAX_KEYS => members,
            Some(Value::Array(_)) => return Err(JoseError::Key("the key set has more than 64 keys")),
            _ => return Err(JoseError::Key("the key set has no list \"keys\"")),
        };
        let keys: Vec<Key> = members.iter().filter_map(Key::parse).collect();
        if keys.is_empty() {
            return Err(JoseError::Key("the key set has no usable signature key"));
        }
        Ok(Self { skipped: members.len() - keys.len(), keys })
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can be used: never the case for a parsed set.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys of the set were skipped.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Verifies the signature with the key that `kid` names, or, without `kid`, with each key that fits `alg`
    /// (the example of TS 33.180 B.2.2 has no `kid`).
    ///
    /// # Errors
    /// [`JoseError::Algorithm`] when `alg` is not in `algorithms`, [`JoseError::UnknownKey`] when no key fits,
    /// [`JoseError::Signature`] when one fits and the signature does not.
    pub fn verify<'t>(
        &self,
        token: &'t UnverifiedToken,
        algorithms: &[Algorithm],
    ) -> Result<Verified<'t>, JoseError> {
        let header = token.header();
        if !algorithms.contains(&header.algorithm) {
            return Err(JoseError::Algorithm);
        }
        if is_zero_signature(header.algorithm, &token.signature) {
            return Err(JoseError::Signature);
        }
        let mut outcome = Err(JoseError::UnknownKey);
        for verifier in self.candidates(header) {
            if verifier.verify(token.signing_input.as_bytes(), &token.signature).is_ok() {
                return Ok(Verified { header, claims: token.unverified_claims() });
            }
            outcome = Err(JoseError::Signature);
        }
        outcome
    }

    fn candidates(&self, header: &Header) -> impl Iterator<Item = &dyn JwsVerifier> {
        self.keys
            .iter()
            .filter(move |key| header.kid.is_none() || key.kid == header.kid)
            .flat_map(|key| &key.verifiers)
            .filter(move |(algorithm, _)| *algorithm == header.algorithm)
            .map(|(_, verifier)| verifier.as_ref())
    }
}

/// An ECDSA signature with r or s zero proves nothing (CVE-2022-21449), and josekit's DER encoder is not made for it.
fn is_zero_signature(algorithm: Algorithm, signature: &[u8]) -> bool {
    let ecdsa = matches!(algorithm, Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512);
    let (r, s) = signature.split_at(signature.len() / 2);
    ecdsa && (r.iter().all(|byte| *byte == 0) || s.iter().all(|byte| *byte == 0))
}

impl Key {
    fn parse(member: &Value) -> Option<Self> {
        let key = Jwk::from_map(member.as_object()?.clone()).ok()?;
        let pinned = key.algorithm().map(str::to_owned);
        let verifiers: Vec<_> = Algorithm::of_key(key.key_type(), key.curve())
            .iter()
            .filter(|algorithm| pinned.as_deref().is_none_or(|alg| alg == algorithm.as_str()))
            .filter_map(|algorithm| Some((*algorithm, algorithm.verifier(&key).ok()?)))
            .collect();
        let kid = key.key_id().map(str::to_owned);
        (!verifiers.is_empty()).then_some(Self { kid, verifiers })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeySet")
            .field("keys", &self.keys.len())
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}
