//! One acquisition in flight per key: whoever asks for the same token meanwhile waits for that one. It belongs to nobody
//! who asks, so it goes on when the one who asked first hangs up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::ExchangeError;
use crate::cache::{CacheKey, Kept};
use crate::secret::TokenDigest;

/// What an acquisition comes to.
pub(super) type Outcome = Result<Kept, ExchangeError>;

/// Waiters for different keys seldom meet.
const SHARDS: usize = 16;

/// All acquisitions of this process.
#[derive(Debug, Default)]
pub(super) struct SingleFlight([Mutex<HashMap<CacheKey, Flight>>; SHARDS]);

/// One that is under way.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    /// The home token that it presents, with the actor's where there is one.
    pub(super) credential: TokenDigest,
    /// Whether it was begun ahead of a token's end, with nobody waiting: it gives up sooner than one that somebody needs.
    pub(super) ahead: bool,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// Takes the flight off the list when it has ended, in whatever way.
struct Landing {
    flights: Arc<SingleFlight>,
    key: CacheKey,
}

impl SingleFlight {
    /// The flight for `key`, and whether it was there already; else `work` is begun.
    pub(super) fn join<F>(
        self: &Arc<Self>,
        key: CacheKey,
        credential: TokenDigest,
        ahead: bool,
        work: impl FnOnce() -> F,
    ) -> (Flight, bool)
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flights = self.shard(&key);
        if let Some(flight) = flights.get(&key) {
            return (flight.clone(), true);
        }
        let (told, outcome) = watch::channel(None);
        let flight = Flight { credential, ahead, outcome };
        flights.insert(key, flight.clone());
        drop(flights);
        let landing = Landing { flights: Arc::clone(self), key };
        let work = work();
        tokio::spawn(async move {
            let outcome = work.await;
            // Before anybody hears of it: who asks from now on finds the token where it is kept, or asks anew.
            drop(landing);
            told.send_replace(Some(outcome));
        });
        (flight, false)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn shard(&self, key: &CacheKey) -> MutexGuard<'_, HashMap<CacheKey, Flight>> {
        let shard = usize::from(key.entry[0]) % SHARDS;
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Waits for what it comes to.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(ExchangeError::Interrupted)),
            Err(_) => Err(ExchangeError::Interrupted),
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.shard(&self.key).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::cache::CachedToken;
    use crate::clock::Timestamp;
    use crate::secret::Token;

    const KEY: CacheKey = CacheKey { user: [1; 16], entry: [2; 16] };

    fn token() -> Kept {
        let now = Timestamp::from_unix_seconds(1);
        Kept::nowhere(CachedToken {
            access_token: Token::from("t"),
            digest: [0; 8],
            issue: Arc::default(),
            obtained_at: now,
            expires_at: now,
            further: None,
        })
    }

    #[tokio::test]
    async fn a_thousand_who_ask_at_once_share_one_and_who_asked_first_may_hang_up() {
        let flights = Arc::new(SingleFlight::default());
        let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let join = || {
            flights.join(KEY, Token::from("s").digest(), false, || {
                begun.fetch_add(1, Ordering::SeqCst);
                let go = Arc::clone(&go);
                async move {
                    go.notified().await;
                    Ok(token())
                }
            })
        };
        let (first, joined) = join();
        assert!(!joined);
        drop(first.outcome());
        let others: Vec<_> = (0..1000).map(|_| join()).collect();
        assert!(others.iter().all(|(_, joined)| *joined));
        go.notify_one();
        for (flight, _) in others {
            assert!(flight.outcome().await.is_ok());
        }
        assert_eq!((begun.load(Ordering::SeqCst), flights.len()), (1, 0));
        let (_, joined) = join();
        assert!(!joined, "the next one begins anew");
    }

    #[tokio::test]
    async fn one_that_panics_fails_those_who_wait_and_nobody_after() {
        let flights = Arc::new(SingleFlight::default());
        let digest = Token::from("s").digest();
        let (flight, _) = flights.join(KEY, digest, false, || async { panic!("a fault of ours") });
        assert_eq!(flight.outcome().await.err(), Some(ExchangeError::Interrupted));
        let (flight, joined) = flights.join(KEY, digest, false, || async { Ok(token()) });
        assert!(!joined && flight.outcome().await.is_ok());
    }
}
