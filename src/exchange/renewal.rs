//! Refresh-ahead: a token in use is renewed before it ends, in the background, so that a partner's blip goes unnoticed.
//! What nobody asks for is left to die.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cache::{CacheKey, CachedToken, Lifetimes};
use crate::clock::{Moment, Timestamp};

/// The part of a token's life, at its end, in which it is renewed.
const LAST_PART: u32 = 5;
/// The share of that part over which the beginnings are spread; the rest is for trying again.
const SPREAD: f64 = 0.75;
/// A renewal may run beside this many times as many others when its token has as small a part of its last part left.
const URGENT: usize = 16;
/// Attempts to renew one token, should all fail, are about this many.
const ATTEMPTS: u32 = 8;
/// The rest after an attempt is no longer than this part of what is left: who asks once a minute asks again in time.
const PART_OF_LEFT: u32 = 4;
/// Between two attempts, at least.
const LEAST_REST: Duration = Duration::from_secs(1);
/// Attempts that are remembered.
const REMEMBERED: usize = 100_000;

/// The end of a token's life, and of the part before it in which it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPart {
    end: Timestamp,
    length: Duration,
}

impl LastPart {
    /// Of the time in which the token is served, which can be shorter than the partner says.
    pub fn of(token: &CachedToken, lifetimes: &Lifetimes) -> Self {
        let end = lifetimes.end(token);
        Self { end, length: token.obtained_at.until(end) / LAST_PART }
    }

    /// When the token is due to be renewed: a moment in this part that depends on its key. Tokens that were obtained
    /// together (a shift that begins) are not renewed together, and all replicas agree on the moment.
    pub fn due_at(&self, key: &CacheKey) -> Timestamp {
        self.end.minus(self.length.mul_f64(1.0 - SPREAD * key.share()))
    }
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

    /// Leave to renew a token of `partner`. `None`: not now. The
    /// renewal runs for as long as the permit is held.
    pub fn admit(
        &self,
        key: &CacheKey,
        partner: &str,
        part: &LastPart,
        now: Moment,
    ) -> Option<OwnedSemaphorePermit> {
        let Moment { wall: now, monotonic } = now;
        if self.most == 0 || self.next.get(key).is_some_and(|next| monotonic < next) {
            return None;
        }
        let left = now.until(part.end);
        let permit = self.permit(partner, part.length, left)?;
        let rest = (part.length / ATTEMPTS).min(left / PART_OF_LEFT).max(LEAST_REST);
        self.next.insert(*key, monotonic + rest);
        Some(permit)
    }

    /// The nearer its end, the more may run beside a renewal: without it the token is obtained while its user waits, which
    /// nothing bounds.
    fn permit(&self, partner: &str, length: Duration, left: Duration) -> Option<OwnedSemaphorePermit> {
        let most = self.most.saturating_mul(URGENT).min(Semaphore::MAX_PERMITS);
        let mut partners = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = match partners.get(partner) {
            Some(permits) => Arc::clone(permits),
            None => {
                let permits = Arc::new(Semaphore::new(most));
                partners.insert(partner.to_owned(), Arc::clone(&permits));
                permits
            }
        };
        let urgency = length.as_millis() / left.as_millis().max(1);
        let urgency = usize::try_from(urgency).unwrap_or(URGENT).clamp(1, URGENT);
        let running = most.saturating_sub(permits.available_permits());
        if running < self.most.saturating_mul(urgency) { permits.try_acquire_owned().ok() } else { None }
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

    const SECOND: Duration = Duration::from_secs(1);

    fn part(life: i64, lifetimes: Lifetimes) -> LastPart {
        let at = Timestamp::from_unix_seconds;
        let token = CachedToken {
            access_token: Token::from("t"),
            digest: [0; 8],
            issue: Arc::default(),
            obtained_at: at(0),
            expires_at: at(life),
            further: None,
        };
        LastPart::of(&token, &lifetimes)
    }

    fn lifetimes(margin: u32, most: u32) -> Lifetimes {
        Lifetimes { margin: SECOND * margin, max_lifetime: SECOND * most }
    }

    fn key(share: u8) -> CacheKey {
        CacheKey { user: [0; 16], entry: [share; 16] }
    }

    fn at(second: u32) -> Moment {
        Moment { wall: Timestamp::from_unix_seconds(second.into()), monotonic: SECOND * second }
    }

    #[test]
    fn due_in_the_last_fifth_of_what_is_served_and_spread_over_three_quarters_of_it() {
        for (lifetimes, first, last) in [
            (lifetimes(0, 86_400), 2880, 3420),
            (lifetimes(300, 86_400), 2640, 3135),
            (lifetimes(10, 1000), 800, 950),
        ] {
            let part = part(3600, lifetimes);
            assert_eq!(part.due_at(&key(0)).unix_seconds(), first);
            assert_eq!(part.due_at(&key(255)).unix_seconds(), last);
            let middle = part.due_at(&key(128)).unix_seconds();
            let expected = i64::midpoint(first, last);
            assert!((expected - 1..expected + 3).contains(&middle), "{middle}");
        }
    }

    #[test]
    fn a_budget_for_each_partner_and_a_rest_for_each_token() {
        let renewals = Renewals::new(2);
        let part = part(3600, lifetimes(0, 86_400));
        let admit = |number, partner: &str, now| renewals.admit(&key(number), partner, &part, at(now));
        let first = admit(1, "fire", 2880);
        assert!(first.is_some());
        assert!(admit(1, "fire", 2969).is_none(), "an eighth of the last part later at the earliest");
        let others = (admit(2, "fire", 2880), admit(3, "fire", 2880), admit(4, "police", 2880));
        assert!(others.0.is_some() && others.1.is_none() && others.2.is_some());
        drop(first);
        assert!(admit(1, "fire", 2970).is_some());
        assert!(Renewals::new(0).admit(&key(1), "fire", &part, at(2880)).is_none(), "switched off");
    }

    #[test]
    fn the_less_is_left_the_more_at_a_time_and_the_shorter_the_rest() {
        let part = part(3600, lifetimes(0, 86_400));
        for (now, at_a_time) in
            [(2880, 1), (3239, 1), (3240, 2), (3420, 4), (3555, 16), (3599, 16), (4000, 16)]
        {
            let renewals = Renewals::new(1);
            let admitted: Vec<_> =
                (0..20).filter_map(|number| renewals.admit(&key(number), "fire", &part, at(now))).collect();
            assert_eq!(admitted.len(), at_a_time, "at {now}");
        }
        for (now, rest) in [(2880, 90), (3240, 90), (3480, 30), (3596, 1), (3600, 1)] {
            let renewals = Renewals::new(1);
            let admits = |now| renewals.admit(&key(1), "fire", &part, at(now)).is_some();
            assert!(admits(now) && !admits(now + rest - 1) && admits(now + rest), "at {now}");
        }
    }
}
