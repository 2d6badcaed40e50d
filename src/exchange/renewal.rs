//! Refresh-ahead: a token in use is renewed before it ends, in the background, so that a partner's blip goes unnoticed.
//! What nobody asks for is left to die.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cache::{CacheKey, CachedToken};
use crate::clock::Timestamp;

/// The part of a token's life, at its end, in which it is renewed.
const LAST_PART: u32 = 5;
/// The share of that part over which the beginnings are spread; the rest is for trying again.
const SPREAD: f64 = 0.75;
/// Attempts to renew one token, should all fail, are about this many.
const ATTEMPTS: u32 = 8;
/// The rest after an attempt is no longer than this part of what is left: who asks once a minute asks again in time.
const PART_OF_LEFT: u32 = 4;
/// Between two attempts, at least.
const LEAST_REST: Duration = Duration::from_secs(1);
/// Attempts that are remembered.
const REMEMBERED: usize = 100_000;

/// When a token is due to be renewed: somewhere in the last fifth of its life, at a moment that depends on its key. Tokens
/// that were obtained together (a shift that begins) are not renewed together, and all replicas agree on the moment.
pub fn due_at(token: &CachedToken, key: &CacheKey) -> Timestamp {
    let last = token.obtained_at.until(token.expires_at) / LAST_PART;
    token.expires_at.minus(last.mul_f64(1.0 - SPREAD * key.share()))
}

/// How many renewals there are at a time, and when one that failed may be tried again. Public for the simulation of a shift
/// change, which must not have rules of its own.
pub struct Renewals {
    /// For each partner: one that is slow must not use up what the others need.
    most: usize,
    running: Mutex<HashMap<String, Arc<Semaphore>>>,
    next: Cache<CacheKey, Duration>,
}

impl Renewals {
    /// `most`: at a time, for each partner; zero: none.
    pub fn new(most: usize) -> Self {
        Self { most, running: Mutex::default(), next: Cache::new(REMEMBERED) }
    }

    /// Leave to renew a token of `partner` that can be served for as long as `left`. `now`: monotonic. `None`: not now.
    /// The renewal runs for as long as the permit is held.
    pub fn admit(
        &self,
        key: &CacheKey,
        partner: &str,
        token: &CachedToken,
        left: Duration,
        now: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        if self.most == 0 || self.next.get(key).is_some_and(|next| now < next) {
            return None;
        }
        let partners = &mut *self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match partners.get(partner) {
            Some(running) => Arc::clone(running),
            None => {
                let running = Arc::new(Semaphore::new(self.most));
                partners.insert(partner.to_owned(), Arc::clone(&running));
                running
            }
        };
        let permit = running.try_acquire_owned().ok()?;
        let last = token.obtained_at.until(token.expires_at) / LAST_PART;
        let rest = (last / ATTEMPTS).min(left / PART_OF_LEFT).max(LEAST_REST);
        self.next.insert(*key, now + rest);
        Some(permit)
    }
}

impl fmt::Debug for Renewals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Renewals").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Token;

    fn token(obtained: i64, expires: i64) -> CachedToken {
        let at = Timestamp::from_unix_seconds;
        CachedToken {
            access_token: Token::from("t"),
            digest: [0; 8],
            scope: "".into(),
            chained_at: at(obtained),
            obtained_at: at(obtained),
            expires_at: at(expires),
            further: None,
        }
    }

    fn key(share: u8) -> CacheKey {
        CacheKey { user: [0; 16], entry: [share; 16] }
    }

    #[test]
    fn due_in_the_last_fifth_and_spread_over_three_quarters_of_it() {
        let token = token(0, 3600);
        assert_eq!(due_at(&token, &key(0)).unix_seconds(), 2880);
        assert_eq!(due_at(&token, &key(255)).unix_seconds(), 2880 + 540);
        let middle = due_at(&token, &key(128)).unix_seconds();
        assert!((3150..3155).contains(&middle), "{middle}");
    }

    #[test]
    fn a_budget_for_each_partner_and_a_rest_for_each_token() {
        let renewals = Renewals::new(2);
        let (token, second) = (token(0, 3600), Duration::from_secs);
        let left = second(720);
        let admit = |number, partner: &str, now| renewals.admit(&key(number), partner, &token, left, now);
        let first = admit(1, "fire", second(0));
        assert!(first.is_some());
        assert!(admit(1, "fire", second(89)).is_none(), "an eighth of the last part later at the earliest");
        let others =
            (admit(2, "fire", second(0)), admit(3, "fire", second(0)), admit(4, "police", second(0)));
        assert!(others.0.is_some() && others.1.is_none() && others.2.is_some());
        drop(first);
        assert!(admit(1, "fire", second(90)).is_some());
        assert!(Renewals::new(0).admit(&key(1), "fire", &token, left, second(0)).is_none(), "switched off");
    }

    #[test]
    fn the_less_is_left_the_shorter_the_rest() {
        let second = Duration::from_secs;
        for (left, rest) in [(720, 90), (360, 90), (120, 30), (4, 1), (1, 1), (0, 1)] {
            let renewals = Renewals::new(1);
            let admits =
                |now| renewals.admit(&key(1), "fire", &token(0, 3600), second(left), second(now)).is_some();
            assert!(admits(0) && !admits(rest - 1) && admits(rest), "{left}");
        }
    }
}
