//! Randomness from the operating system, in the shapes the protocols ask for.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// A number from zero to below one: jitter.
pub fn share() -> f64 {
    f64::from(u32::from_be_bytes(bytes())) / (f64::from(u32::MAX) + 1.0)
}

/// A base64url identifier of 128 random bits: `jti`, request id, `kid`, `state`.
pub fn id() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}

/// A base64url string of 256 random bits: client secrets, authorization codes, PKCE code verifiers (RFC 7636 §4.1: 43 characters).
pub fn secret() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// Numbers for requests: none twice in a process, and no two processes begin alike. They can be foreseen, and nothing
/// depends on that: drawing one for each request would cost more than finding its token.
#[derive(Debug)]
pub struct RequestIds {
    base: u64,
    next: AtomicU64,
}

/// Sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 16]);

impl Default for RequestIds {
    fn default() -> Self {
        Self { base: u64::from_be_bytes(bytes()), next: AtomicU64::new(0) }
    }
}

impl RequestIds {
    /// Another one.
    pub fn next(&self) -> RequestId {
        // Odd, so that each number is met once.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let number = self.base ^ count.wrapping_mul(STEP);
        let bytes = number.to_be_bytes();
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
        RequestId(std::array::from_fn(|place| {
            let byte = bytes[place / 2];
            digit(if place % 2 == 0 { byte >> 4 } else { byte })
        }))
    }
}

impl RequestId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_has_the_number_of_another() {
        let ids = RequestIds::default();
        let some: std::collections::HashSet<_> = (0..1000).map(|_| ids.next().as_str().to_owned()).collect();
        assert_eq!(some.len(), 1000);
        assert!(some.iter().all(|id| id.len() == 16), "{some:?}");
    }
}
