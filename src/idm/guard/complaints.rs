//! Who has met a server's 500 of late. It is often about the one user of the request, so each user's counts once: one who asks
//! again and again, while the others are served what they have, must not have the server left alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::secret::ByDigest;

/// As long as failures count together at least.
const REMEMBERED: Duration = Duration::from_secs(20);
/// So many users do not have a bad day of their own each.
const MOST_USERS: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<HashMap<[u8; 16], Duration, ByDigest>>);

impl Complaints {
    /// Whether `user`'s counts at `now`.
    pub(super) fn counts(&self, user: [u8; 16], now: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: &Duration| now < at.saturating_add(REMEMBERED);
        if last.get(&user).is_some_and(is_fresh) {
            return false;
        }
        if last.len() >= MOST_USERS {
            last.retain(|_, at| is_fresh(at));
        }
        if last.len() < MOST_USERS {
            last.insert(user, now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_counts_once_in_twenty_seconds_and_many_users_all_count() {
        let complaints = Complaints::default();
        let user = |number: u64| {
            let mut user = [0; 16];
            user[..8].copy_from_slice(&number.to_be_bytes());
            user
        };
        let at = Duration::from_secs;
        assert!(complaints.counts(user(1), at(0)));
        assert!(!complaints.counts(user(1), at(19)));
        assert!(complaints.counts(user(2), at(19)));
        assert!(complaints.counts(user(1), at(20)));
        for number in 0..3000 {
            assert!(complaints.counts(user(10 + number), at(100)), "{number}");
        }
        assert!(complaints.0.lock().unwrap().len() <= MOST_USERS);
    }
}
