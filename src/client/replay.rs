//! Which assertions were used already: `jti` counts once (RFC 7523 §3).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::secret::sha256;

/// Assertions remembered at once. They leave when they expire, minutes later.
const MAX_REMEMBERED: usize = 100_000;

/// Remembers used assertions until they expire. When it is full of live ones, new ones are refused: forgetting one
/// would let it be replayed.
#[derive(Debug, Default)]
pub struct ReplayMemory(Mutex<HashMap<[u8; 32], Timestamp>>);

impl ReplayMemory {
    /// Marks `jti` of `client` as used until `expires_at`; false when it was used before or there is no room.
    pub fn use_once(&self, client: &str, jti: &str, expires_at: Timestamp, now: Timestamp) -> bool {
        let key = sha256(format!("{}:{client}{jti}", client.len()).as_bytes());
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MAX_REMEMBERED {
            used.retain(|_, until| *until > now);
        }
        if used.len() >= MAX_REMEMBERED || used.get(&key).is_some_and(|until| *until > now) {
            return false;
        }
        used.insert(key, expires_at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jti_counts_once_per_client_while_it_lives() {
        let memory = ReplayMemory::default();
        let at = Timestamp::from_unix_seconds;
        assert!(memory.use_once("a", "1", at(100), at(0)));
        assert!(!memory.use_once("a", "1", at(100), at(99)));
        assert!(memory.use_once("a1", "", at(100), at(0)), "lengths keep client and jti apart");
        assert!(memory.use_once("a", "1", at(200), at(100)), "expired, so it could not be used anyway");
    }
}
