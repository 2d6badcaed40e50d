//! Definite refusals, remembered for a moment: a client that asks again at once must not make two identity servers say
//! no again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::ExchangeError;
use crate::cache::CacheKey;
use crate::secret::TokenDigest;

/// Refusals that are remembered at once.
const REMEMBERED: usize = 10_000;

pub(super) struct Refusals {
    remember_for: Duration,
    known: Cache<CacheKey, Arc<Refused>>,
}

struct Refused {
    error: ExchangeError,
    credential: TokenDigest,
    /// On the monotonic clock.
    until: Duration,
}

impl Refusals {
    /// `remember_for`: zero remembers none.
    pub(super) fn new(remember_for: Duration) -> Self {
        Self { remember_for, known: Cache::new(REMEMBERED) }
    }

    /// What was refused a moment ago, to whoever presents these tokens. `now`: monotonic.
    pub(super) fn recall(
        &self,
        key: &CacheKey,
        credential: &TokenDigest,
        now: Duration,
    ) -> Option<ExchangeError> {
        let refused = self.known.get(key).filter(|refused| now < refused.until)?;
        refused.error.holds_for(&refused.credential, credential).then(|| refused.error.clone())
    }

    pub(super) fn remember(
        &self,
        key: CacheKey,
        credential: TokenDigest,
        error: &ExchangeError,
        now: Duration,
    ) {
        if error.is_definite() && !self.remember_for.is_zero() {
            let until = now + self.remember_for;
            self.known.insert(key, Arc::new(Refused { error: error.clone(), credential, until }));
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Refusals")
    }
}
