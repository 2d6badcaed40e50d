//! josekit behind a few verbs: verify, sign, load a key set, publish a key set.
//!
//! Claims are judged by whoever asked, on numbers of our own: josekit's own claim validator accepts a token without
//! `exp` and panics on hostile dates, so it is not used.

pub mod algorithm;
pub mod claims;
pub mod key_set;
pub mod replay;
pub mod signing_key;
mod strict_json;
pub mod unverified;

pub use algorithm::Algorithm;
pub use claims::{ClaimError, Claims};
pub use key_set::KeySet;
pub use replay::ReplayMemory;
pub use signing_key::{SigningHeader, SigningKey, publish};
pub use unverified::{Header, UnverifiedToken};

/// Why a token, a key or a key set was not accepted. The texts never carry a value of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// Not a JWS in compact form with JSON header and payload, or larger than allowed.
    #[error("it is not a signed JWT: {0}")]
    Malformed(&'static str),
    /// `alg` is missing, `none`, symmetric, or not one of ours (RFC 8725 §3.1).
    #[error("its alg is not an accepted asymmetric algorithm")]
    Algorithm,
    /// The header demands an extension that we do not understand (RFC 7515 §4.1.11, RFC 7797 §6).
    #[error("its header demands an extension (crit or b64)")]
    Critical,
    /// No key with this `kid`, or none that fits the algorithm: the issuer may have rotated.
    #[error("no key of the issuer fits its kid and alg")]
    UnknownKey,
    /// A key fits, the signature does not.
    #[error("its signature is wrong")]
    Signature,
    /// A key or key set that cannot be used.
    #[error("the key cannot be used: {0}")]
    Key(&'static str),
}
