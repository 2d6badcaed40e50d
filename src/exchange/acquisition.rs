//! One token that is not there is obtained: by agreement with the other replicas, by a refresh token if there is one, and
//! kept unless its user was purged meanwhile.

use super::chain::Chain;
use super::single_flight::Outcome;
use super::{ExchangeError, Leg};
use crate::cache::{CacheKey, CachedToken, Claim, Fence, Kept, Lock, Presented};

/// A user who is purged while a token is obtained makes us begin again, this often at most.
const ATTEMPTS: usize = 2;

/// What is obtained, and why.
pub(super) struct Acquisition {
    pub(super) chain: Chain,
    pub(super) key: CacheKey,
    /// The token that is to be replaced before its end; `None`: there is none that could be served.
    pub(super) ahead_of: Option<Kept>,
}

impl Acquisition {
    pub(super) async fn run(self) -> Outcome {
        let exchange = &self.chain.exchange;
        let outcome = self.obtain().await;
        if let Err(error) = &outcome {
            exchange.refusals.remember(self.key, self.chain.credential(), error, exchange.clock.monotonic());
            // The home IdM does not stand by this user any more, or the partner has turned it away: what is kept would
            // outlive that.
            if self.ahead_of.is_some() && error.is_definite() {
                exchange.cache.remove(&self.key).await;
            }
        }
        if self.ahead_of.is_some() {
            let code = outcome.as_ref().err().map_or("ok", ExchangeError::code);
            exchange.metrics.renewal(&self.chain.partner.id, code);
            if let Err(error) = &outcome {
                tracing::info!(code, %error, "a token could not be renewed ahead of its end");
            }
        }
        outcome
    }

    async fn obtain(&self) -> Outcome {
        let cache = &self.chain.exchange.cache;
        for _ in 0..ATTEMPTS {
            let fence = cache.fence();
            let claim =
                async { Ok::<_, ExchangeError>(cache.claim(&self.key, self.ahead_of.as_deref()).await) };
            let claim = self.chain.deadline.wait(Leg::Partner, claim).await?;
            if let Some(kept) = self.obtain_by(claim, fence).await? {
                return Ok(kept);
            }
        }
        // A Redis that evicts takes locks away as a purge does, again and again. Where purges are heard of, one is noticed
        // without a lock.
        if cache.hears_purges()
            && let Some(kept) = self.obtain_by(Claim::Alone, cache.fence()).await?
        {
            return Ok(kept);
        }
        Err(ExchangeError::Purged)
    }

    /// What was obtained for a home token that was taken back meanwhile is kept for nobody.
    fn still_stands(&self, token: CachedToken) -> Result<CachedToken, ExchangeError> {
        self.chain.check_not_revoked().map(|()| token)
    }

    /// `None`: the user was purged meanwhile, as far as can be told.
    async fn obtain_by(&self, claim: Claim, fence: Fence) -> Result<Option<Kept>, ExchangeError> {
        let cache = &self.chain.exchange.cache;
        let (lock, last) = match claim {
            Claim::Filled(token) => return Ok(Some(token)),
            Claim::Ours(lock, last) => (lock, last),
            Claim::Alone => (None, None),
        };
        let fresh = cache.while_locked(lock.as_ref(), self.fresh(last, lock.as_ref())).await;
        match fresh.and_then(|token| self.still_stands(token)) {
            Ok(token) => {
                let Presented { session, account, .. } = self.chain.presented;
                Ok(cache.keep(&self.key, token, [session, account], fence, lock.as_ref()).await)
            }
            Err(error) => {
                cache.give_up(lock.as_ref()).await;
                Err(error)
            }
        }
    }

    /// By the refresh token of the last one, or by both legs.
    async fn fresh(&self, last: Option<Kept>, lock: Option<&Lock>) -> Result<CachedToken, ExchangeError> {
        self.chain.check_not_revoked()?;
        self.chain.check_partner()?;
        let cache = &self.chain.exchange.cache;
        if let Some(last) = last.filter(|last| self.chain.can_refresh(last))
            && cache.spend_refresh_token(lock, &last).await
            && let Some(token) = self.chain.refreshed(&last).await?
        {
            return Ok(token);
        }
        self.chain.access_token().await
    }
}
