//! Partner tokens, kept per user until they must not be: two tiers behind one type. A Redis fault is a miss, never an error.

pub mod entry;
mod memory;
pub mod redis;
pub mod sealing;

use std::sync::Arc;
use std::time::Duration;

pub use entry::{CacheKey, CachedToken};
use memory::MemoryTier;
pub use redis::{Deployment, RedisError, RedisSettings, RedisTier};
pub use sealing::{SealingError, SealingKeys};

use crate::clock::{Clock, Timestamp};

/// Limits of the cache.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Bytes of tokens in memory.
    pub memory_bytes: u64,
    /// Entries in memory older than this are asked for in Redis again, so that another replica's purge is seen;
    /// `None`: there is no other replica.
    pub memory_max_age: Option<Duration>,
    /// An entry with less than this left is a miss: its bearer would be refused at the partner's service.
    pub margin: Duration,
    /// Nothing is kept longer, whatever its `expires_in`.
    pub max_lifetime: Duration,
}

/// Where a token was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// In this process.
    Memory,
    /// In Redis.
    Redis,
}

impl Tier {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
        }
    }
}

/// The two tiers.
#[derive(Debug)]
pub struct TokenCache {
    settings: CacheSettings,
    memory: MemoryTier,
    redis: Option<RedisTier>,
    clock: Clock,
}

impl TokenCache {
    /// `redis`: absent, the cache is this process's memory alone.
    pub fn new(settings: CacheSettings, redis: Option<RedisTier>, clock: Clock) -> Self {
        let memory = MemoryTier::new(settings.memory_bytes);
        Self { settings, memory, redis, clock }
    }

    /// The token under `key`, unless it is missing or has less than the margin left.
    pub async fn get(&self, key: &CacheKey) -> Option<(Arc<CachedToken>, Tier)> {
        let now = self.clock.now();
        let monotonic = self.clock.monotonic();
        if let Some(token) = self.memory.get(key, monotonic, self.settings.memory_max_age)
            && self.is_usable(&token, now)
        {
            return Some((token, Tier::Memory));
        }
        let token = self.redis.as_ref()?.get(key).await.filter(|token| self.is_usable(token, now))?;
        let token = Arc::new(token);
        self.memory.put(*key, Arc::clone(&token), monotonic);
        Some((token, Tier::Redis))
    }

    /// Keeps `token` until its end less the margin. One that has less left than that is not kept at all.
    pub async fn put(&self, key: &CacheKey, token: Arc<CachedToken>) {
        let lifetime = self.lifetime(&token, self.clock.now());
        if lifetime.is_zero() {
            return;
        }
        self.memory.put(*key, Arc::clone(&token), self.clock.monotonic());
        if let Some(redis) = &self.redis {
            redis.put(key, &token, lifetime).await;
        }
    }

    /// Whether the Redis tier answers; `None`: there is none.
    pub fn redis_answers(&self) -> Option<bool> {
        self.redis.as_ref().map(RedisTier::answers)
    }

    fn is_usable(&self, token: &CachedToken, now: Timestamp) -> bool {
        !self.lifetime(token, now).is_zero() && now < token.obtained_at.plus(self.settings.max_lifetime)
    }

    fn lifetime(&self, token: &CachedToken, now: Timestamp) -> Duration {
        now.until(token.expires_at.minus(self.settings.margin)).min(self.settings.max_lifetime)
    }
}
