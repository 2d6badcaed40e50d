//! Signature algorithms (RFC 7518 §3.1, RFC 8037). `none` and the HMAC family do not exist here, so they cannot be confused in (RFC 8725 §2.1).

use std::fmt;
use std::str::FromStr;

use josekit::jwk::Jwk;
use josekit::jws::{self, JwsSigner, JwsVerifier};

use super::JoseError;

/// An asymmetric JWS algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// ECDSA on P-521.
    Es512,
    /// Ed25519 or Ed448.
    EdDsa,
}

impl Algorithm {
    /// Every accepted algorithm.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// The `alg` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithms that a key of this type and curve can be used with.
    pub(super) fn of_key(key_type: &str, curve: Option<&str>) -> &'static [Self] {
        match (key_type, curve) {
            ("RSA", _) => &[Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512],
            ("EC", Some("P-256")) => &[Self::Es256],
            ("EC", Some("P-384")) => &[Self::Es384],
            ("EC", Some("P-521")) => &[Self::Es512],
            ("OKP", Some("Ed25519" | "Ed448")) => &[Self::EdDsa],
            _ => &[],
        }
    }

    pub(super) fn verifier(self, key: &Jwk) -> Result<Box<dyn JwsVerifier>, josekit::JoseError> {
        Ok(match self {
            Self::Rs256 => Box::new(jws::RS256.verifier_from_jwk(key)?),
            Self::Rs384 => Box::new(jws::RS384.verifier_from_jwk(key)?),
            Self::Rs512 => Box::new(jws::RS512.verifier_from_jwk(key)?),
            Self::Ps256 => Box::new(jws::PS256.verifier_from_jwk(key)?),
            Self::Ps384 => Box::new(jws::PS384.verifier_from_jwk(key)?),
            Self::Ps512 => Box::new(jws::PS512.verifier_from_jwk(key)?),
            Self::Es256 => Box::new(jws::ES256.verifier_from_jwk(key)?),
            Self::Es384 => Box::new(jws::ES384.verifier_from_jwk(key)?),
            Self::Es512 => Box::new(jws::ES512.verifier_from_jwk(key)?),
            Self::EdDsa => Box::new(jws::EdDSA.verifier_from_jwk(key)?),
        })
    }

    pub(super) fn signer(self, key: &Jwk) -> Result<Box<dyn JwsSigner>, josekit::JoseError> {
        Ok(match self {
            Self::Rs256 => Box::new(jws::RS256.signer_from_jwk(key)?),
            Self::Rs384 => Box::new(jws::RS384.signer_from_jwk(key)?),
            Self::Rs512 => Box::new(jws::RS512.signer_from_jwk(key)?),
            Self::Ps256 => Box::new(jws::PS256.signer_from_jwk(key)?),
            Self::Ps384 => Box::new(jws::PS384.signer_from_jwk(key)?),
            Self::Ps512 => Box::new(jws::PS512.signer_from_jwk(key)?),
            Self::Es256 => Box::new(jws::ES256.signer_from_jwk(key)?),
            Self::Es384 => Box::new(jws::ES384.signer_from_jwk(key)?),
            Self::Es512 => Box::new(jws::ES512.signer_from_jwk(key)?),
            Self::EdDsa => Box::new(jws::EdDSA.signer_from_jwk(key)?),
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = JoseError;

    fn from_str(text: &str) -> Result<Self, JoseError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(JoseError::Algorithm)
    }
}
