//! Secrets and tokens as types: they cannot be printed or serialized by accident, are wiped from memory when dropped,
//! and compare in constant time, so that neither a log line nor a stopwatch gives them away.

use std::fmt;

use aws_lc_rs::digest;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;

/// A credential of ours or of a client: a client secret, an admin token.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// The value itself, for the one place that puts it on the wire.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `presented` is this secret. Constant time in the content: what differs must not show in the response time.
    pub fn matches(&self, presented: &str) -> bool {
        bool::from(self.expose().as_bytes().ct_eq(presented.as_bytes()))
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(SecretString::from(value))
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(SecretString::from(value))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

/// A bearer token of any kind: subject token, security token, partner access token, refresh token, assertion.
/// Whoever reads one from a log holds what its user holds.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// The value itself, for the one place that puts it on the wire or verifies it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// SHA-256 of the token: what caches and logs may hold instead of it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(sha256(self.expose().as_bytes()))
    }
}

impl From<String> for Token {
    fn from(value: String) -> Self {
        Self(SecretString::from(value))
    }
}

impl From<&str> for Token {
    fn from(value: &str) -> Self {
        Self(SecretString::from(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(***)")
    }
}

/// SHA-256 of a token. Its `Display` is the first eight hexadecimal digits: enough to follow a token through logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl fmt::Display for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenDigest({self})")
    }
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut output = [0; 32];
    output.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_secret_nor_token_shows_in_debug() {
        let shown = format!("{:?} {:?}", Secret::from("hunter2"), Token::from("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_secret_matches_only_itself() {
        let secret = Secret::from("correct horse");
        assert!(secret.matches("correct horse"));
        for wrong in ["", "correct", "correct horse ", "Correct horse"] {
            assert!(!secret.matches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_digest_shows_eight_digits_only() {
        assert_eq!(Token::from("abc").digest().to_string(), "ba7816bf");
    }
}
