//! The tier in this process: bounded by bytes, expiry checked on read.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{CacheKey, CachedToken};

/// Entries that the cache sizes its tables for.
const TYPICAL_ENTRY_BYTES: u64 = 1024;

#[derive(Clone)]
struct Slot {
    token: Arc<CachedToken>,
    since: Duration,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<CacheKey, Slot> for Bytes {
    fn weight(&self, _key: &CacheKey, slot: &Slot) -> u64 {
        slot.token.weight()
    }
}

pub(super) struct MemoryTier(Cache<CacheKey, Slot, Bytes>);

impl MemoryTier {
    pub(super) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX).max(16);
        Self(Cache::with_weighter(entries, bytes, Bytes))
    }

    pub(super) fn get(
        &self,
        key: &CacheKey,
        now: Duration,
        max_age: Option<Duration>,
    ) -> Option<Arc<CachedToken>> {
        let slot = self.0.get(key)?;
        let young = max_age.is_none_or(|max_age| now < slot.since + max_age);
        young.then_some(slot.token)
    }

    pub(super) fn put(&self, key: CacheKey, token: Arc<CachedToken>, now: Duration) {
        self.0.insert(key, Slot { token, since: now });
    }
}

impl std::fmt::Debug for MemoryTier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryTier").field("entries", &self.0.len()).finish_non_exhaustive()
    }
}
