//! How many tokens of each partner could be served from memory now, for people. Counted when somebody asks, because tokens end
//! without being told: a counter that is kept would be wrong, or cost those who are served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::TokenCache;

/// Who asks gets what was counted before until it is so many times older than counting took: that keeps a twentieth of a core
/// busy, however many ask.
const REST: u32 = 20;

/// By partner and the start of its definition's epoch: tokens of an older definition are not served.
pub type LiveTokens = HashMap<(String, [u8; 8]), usize>;

/// The last count.
#[derive(Debug)]
pub(super) struct Counted {
    at: Duration,
    took: Duration,
    tokens: Arc<LiveTokens>,
}

impl TokenCache {
    /// Looks through the whole memory, one at a time and off the threads that serve. Readers are not held up.
    /// `None`: it could not be counted, by a fault of ours.
    pub async fn live_tokens(self: &Arc<Self>) -> Option<Arc<LiveTokens>> {
        let mut last = Arc::clone(&self.counting).lock_owned().await;
        let at = self.clock.monotonic();
        if let Some(counted) = last.as_ref().filter(|last| at < last.at + last.took * REST) {
            return Some(Arc::clone(&counted.tokens));
        }
        let this = Arc::clone(self);
        // It holds the lock until it is done, also when whoever asked has gone away: that is what makes it one at a time.
        let counting = move || {
            let (tokens, now) = (Arc::new(this.count_live_tokens()), this.clock.monotonic());
            *last = Some(Counted { at: now, took: now.saturating_sub(at), tokens: Arc::clone(&tokens) });
            tokens
        };
        tokio::task::spawn_blocking(counting).await.ok()
    }

    fn count_live_tokens(&self) -> LiveTokens {
        let mut tokens = LiveTokens::new();
        let purged = |issue: &super::Issue| self.generations.since(&issue.client, &issue.partner);
        for (issue, count) in self.memory.count(self.clock.moment(), purged) {
            *tokens.entry((issue.partner.clone(), issue.epoch)).or_default() += count;
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CacheKey, CacheSettings, CachedToken, Issue, Lifetimes, Purge};
    use super::*;
    use crate::clock::{Clock, ManualClock, Timestamp};
    use crate::secret::Token;

    struct World {
        cache: Arc<TokenCache>,
        clock: Clock,
        hand: ManualClock,
    }

    impl World {
        fn new(memory_bytes: u64) -> Self {
            let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(1000));
            let lifetimes = Lifetimes { margin: Duration::ZERO, max_lifetime: Duration::from_secs(9000) };
            let settings = CacheSettings { memory_bytes, memory_max_age: None, lifetimes };
            Self { cache: Arc::new(TokenCache::new(&settings, None, clock.clone())), clock, hand }
        }

        /// Time passes before each, so that what came before a purge and what came after are not of one moment.
        async fn keep(&self, user: u8, partner: &str, client: &str, seconds: u64) {
            self.hand.advance(Duration::from_millis(1));
            let now = self.clock.now();
            let issue = Issue { client: client.into(), partner: partner.into(), ..Issue::default() };
            let token = CachedToken {
                access_token: Token::from("t"),
                digest: [0; 8],
                issue: Arc::new(issue),
                obtained_at: now,
                expires_at: now.plus(Duration::from_secs(seconds)),
                further: None,
            };
            let mut entry = [0; 16];
            entry[..1].copy_from_slice(&partner.as_bytes()[..1]);
            let key = CacheKey { user: [user; 16], entry };
            assert!(self.cache.keep(&key, token, [None; 2], self.cache.fence(), None).await.is_some());
        }

        async fn count(&self, partner: &str) -> usize {
            self.cache.live_tokens().await.unwrap().get(&(partner.to_owned(), [0; 8])).copied().unwrap_or(0)
        }
    }

    #[tokio::test]
    async fn a_token_counts_from_when_it_is_kept_until_it_ends_is_replaced_or_is_purged() {
        let world = World::new(1_000_000);
        for (user, partner, seconds) in [(1, "fire", 60), (2, "fire", 600), (1, "coast", 600)] {
            world.keep(user, partner, "c", seconds).await;
        }
        assert_eq!([world.count("fire").await, world.count("coast").await], [2, 1]);
        world.keep(1, "fire", "c", 60).await;
        assert_eq!(world.count("fire").await, 2, "replaced");
        world.hand.advance(Duration::from_secs(61));
        assert_eq!(world.count("fire").await, 1, "ended");
        world.cache.purge(&Purge::User([2; 16])).await;
        assert_eq!([world.count("fire").await, world.count("coast").await], [0, 1], "the user is purged");
    }

    #[tokio::test]
    async fn what_a_purge_put_out_of_reach_does_not_count_and_what_came_later_does() {
        for purge in [Purge::Partner("fire".into()), Purge::Client("c".into()), Purge::All] {
            let world = World::new(1_000_000);
            world.keep(1, "fire", "c", 600).await;
            world.keep(1, "coast", "d", 600).await;
            world.cache.purge(&purge).await;
            assert_eq!(world.count("fire").await, 0, "{purge:?}");
            assert_eq!(world.count("coast").await, usize::from(purge != Purge::All), "{purge:?}");
            world.keep(2, "fire", "c", 600).await;
            assert_eq!(world.count("fire").await, 1, "{purge:?}");
        }
    }

    #[tokio::test]
    async fn what_was_evicted_does_not_count() {
        let world = World::new(6_000);
        for user in 0..200 {
            world.keep(user, "fire", "c", 600).await;
        }
        let (users, _) = world.cache.memory_size();
        assert!(users < 200, "{users}");
        assert_eq!(world.count("fire").await, users);
    }
}
