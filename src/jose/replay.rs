//! Which assertions and logout tokens were used already: `jti` counts once (RFC 7523 §3, Back-Channel Logout 1.0 §2.6).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::secret::sha256;

/// Assertions of one client that are remembered at once. Those that have expired, an hour later at most, leave when room
/// is needed.
const MAX_REMEMBERED: usize = 100_000;

/// Remembers used assertions until they expire. When it is full of a client's live ones, new ones of that client are
/// refused: forgetting one would let it be replayed. Each client has room of its own, so that one in a loop, or one that
/// wants to, cannot lock out the others; clients come from configuration, so their number is bounded.
#[derive(Debug, Default)]
pub struct ReplayMemory(Mutex<HashMap<String, Used>>);

#[derive(Debug, Default)]
struct Used {
    until: HashMap<[u8; 32], Timestamp>,
    /// When the first of them expires: looking through a full memory before that finds nothing to forget.
    first_end: Option<Timestamp>,
}

impl ReplayMemory {
    /// Marks `jti` of `client` as used until `expires_at`; false when it was used before or there is no room. `client`
    /// has proved itself: a name that anybody can make up would take memory here.
    pub fn use_once(&self, client: &str, jti: &str, expires_at: Timestamp, now: Timestamp) -> bool {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.entry(client.to_owned()).or_default().use_once(sha256(jti.as_bytes()), expires_at, now)
    }

    /// As if `jti` had not been used: what it was used for is to be asked for again.
    pub fn forget(&self, client: &str, jti: &str) {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = clients.get_mut(client) {
            used.until.remove(&sha256(jti.as_bytes()));
        }
    }
}

impl Used {
    fn use_once(&mut self, jti: [u8; 32], expires_at: Timestamp, now: Timestamp) -> bool {
        if self.until.len() >= MAX_REMEMBERED && self.first_end.is_none_or(|first| first <= now) {
            self.until.retain(|_, until| *until > now);
            self.first_end = self.until.values().min().copied();
        }
        if self.until.len() >= MAX_REMEMBERED || self.until.get(&jti).is_some_and(|until| *until > now) {
            return false;
        }
        self.until.insert(jti, expires_at);
        self.first_end = Some(self.first_end.map_or(expires_at, |first| first.min(expires_at)));
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
        memory.forget("b", "1");
        assert!(!memory.use_once("a", "1", at(200), at(100)), "another client's");
        memory.forget("a", "1");
        assert!(memory.use_once("a", "1", at(200), at(100)));
    }

    #[test]
    fn a_client_that_fills_its_memory_locks_out_nobody_else() {
        let memory = ReplayMemory::default();
        let at = Timestamp::from_unix_seconds;
        for number in 0..MAX_REMEMBERED {
            assert!(memory.use_once("loop", &number.to_string(), at(100), at(0)));
        }
        assert!(!memory.use_once("loop", "more", at(100), at(99)), "no room, and none is forgotten");
        assert!(!memory.use_once("loop", "0", at(100), at(99)), "still known");
        assert!(memory.use_once("other", "0", at(100), at(99)), "has room of its own");
        assert!(memory.use_once("loop", "more", at(200), at(100)), "room again");
        assert!(!memory.use_once("loop", "more", at(200), at(199)));
    }
}
