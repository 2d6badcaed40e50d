//! Secrets and tokens as types: they cannot be printed or serialized by accident, are wiped from memory when dropped,
//! and compare in constant time, so that neither a log line nor a stopwatch gives them away.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

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

/// A bearer token where it stands, in a request: looked at without a copy, and as little to be printed as [`Token`].
#[derive(Clone, Copy)]
pub struct TokenRef<'t>(&'t str);

impl<'t> TokenRef<'t> {
    /// The value itself.
    pub const fn expose(self) -> &'t str {
        self.0
    }

    /// SHA-256 of the token.
    pub fn digest(self) -> TokenDigest {
        TokenDigest(sha256(self.0.as_bytes()))
    }
}

impl<'t> From<&'t str> for TokenRef<'t> {
    fn from(value: &'t str) -> Self {
        Self(value)
    }
}

impl<'t> From<&'t Token> for TokenRef<'t> {
    fn from(token: &'t Token) -> Self {
        Self(token.expose())
    }
}

impl From<TokenRef<'_>> for Token {
    fn from(token: TokenRef<'_>) -> Self {
        Self::from(token.0)
    }
}

impl fmt::Debug for TokenRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenRef(***)")
    }
}

/// SHA-256 of a token. Its `Display` is the first eight hexadecimal digits: enough to follow a token through logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The whole digest, for keys of caches.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What stands for two tokens together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self(sha256(&[self.0, other.0].concat()))
    }

    /// The first half: as hard to meet by chance, and smaller.
    pub fn half(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        half
    }

    /// The first eight bytes: enough to follow a token through an audit log, too few to test guesses against.
    pub fn prefix(&self) -> [u8; 8] {
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&self.0[..8]);
        prefix
    }
}

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

/// Bytes that hold a token for a moment, wiped all at once when dropped: byte by byte costs as much as opening a sealed entry.
pub struct WipedBytes(Vec<u8>);

impl From<Vec<u8>> for WipedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsMut<[u8]> for WipedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for WipedBytes {
    fn drop(&mut self) {
        self.0.fill(0);
        // Else nobody would read what was written, and it would be left out.
        zeroize::optimization_barrier(&self.0);
    }
}

/// Hashes keys of maps that are digests already: eight of their bytes are as good as any hash of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByDigest(u64);

impl BuildHasher for ByDigest {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for ByDigest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, digest: &[u8]) {
        if let Some(bytes) = digest.first_chunk() {
            self.0 ^= u64::from_le_bytes(*bytes);
        }
    }

    /// The length of an array, the same for all keys of a map.
    fn write_usize(&mut self, _length: usize) {}
}

/// The first half of SHA-256 of parts, each preceded by its length, so that no two lists of parts are the same bytes:
/// a collision would take one user, or one entry, for another. 128 bits: to meet a given one takes 2^128 attempts, and
/// nobody profits from two of one's own that meet.
pub fn digest_of_parts(parts: &[&[u8]]) -> [u8; 16] {
    let length = |part: &[u8]| (part.len() as u64).to_be_bytes();
    let all: usize = parts.iter().map(|part| 8 + part.len()).sum();
    // In one piece, and as a rule without asking for memory.
    let (mut short, mut long) = ([0; 320], Vec::new());
    let bytes = if all <= short.len() {
        &mut short[..all]
    } else {
        long.resize(all, 0);
        &mut long[..]
    };
    let mut rest = &mut *bytes;
    for part in parts {
        for piece in [&length(part)[..], part] {
            let (here, left) = rest.split_at_mut(piece.len());
            here.copy_from_slice(piece);
            rest = left;
        }
    }
    let mut output = [0; 16];
    output.copy_from_slice(&sha256(bytes)[..16]);
    output
}

/// What stands for a name that need not be read again, such as a client's.
pub fn digest_of_name(name: &str) -> [u8; 16] {
    digest_of_parts(&[name.as_bytes()])
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
        let token = Token::from("hunter2");
        let shown = format!("{:?} {token:?} {:?}", Secret::from("hunter2"), TokenRef::from(&token));
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
