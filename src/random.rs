//! Randomness from the operating system, in the shapes the protocols ask for.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `N` bytes from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness: going on would mean guessable identifiers.
#[expect(clippy::expect_used, reason = "no safe way on without randomness")]
#[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    rand::fill(&mut buffer).expect("the operating system's random generator failed");
    buffer
}

/// A base64url identifier of 128 random bits: `jti`, request id, `kid`, `state`.
pub fn id() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}

/// A base64url string of 256 random bits: client secrets, authorization codes, PKCE code verifiers (RFC 7636 §4.1: 43 characters).
pub fn secret() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}
