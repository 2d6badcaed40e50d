//! Partners are told in the background of tokens that were taken back here (RFC 7009): whoever holds one could use it there
//! until it ends. Nobody waits for that, and a partner that is away is told later, a bounded number of times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::ExchangeError;
use crate::clock::Clock;
use crate::idm::IdmError;
use crate::partner::{GrantError, Partner, RevocableToken};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::runbook::Runbook;

/// Tokens that one partner is still to be told of: one that is away must not cost the others their room. More are not
/// remembered: what a logout must do here it does without.
const MOST_PENDING: u32 = 10_000;
/// How often a partner that is away is told of one token: over four minutes.
const ATTEMPTS: u32 = 8;
/// Between the first and the second; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// However long a partner asks us to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What this is called beside the two legs.
const LEG: &str = "revocation";

/// What partners are being told.
#[derive(Debug)]
pub(super) struct Withdrawals {
    /// By partner.
    rooms: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Of the process: a worker's ends before it.
    runtime: Handle,
    clock: Clock,
    metrics: Metrics,
}

/// One token that one partner is to be told of.
struct Withdrawal {
    partner: Arc<Partner>,
    client: String,
    token: RevocableToken,
    clock: Clock,
    metrics: Metrics,
}

impl Withdrawals {
    /// Must be called within a tokio runtime, which carries them out.
    pub(super) fn new(clock: Clock, metrics: Metrics) -> Self {
        Self { rooms: Mutex::default(), runtime: Handle::current(), clock, metrics }
    }

    /// Tells `partner` of one of the tokens that it issued for `client`.
    pub(super) fn begin(&self, partner: &Arc<Partner>, client: &str, token: RevocableToken) {
        let Ok(place) = self.room_of(&partner.id).try_acquire_owned() else {
            self.metrics.leg(LEG, &partner.id, "too_many", Duration::ZERO);
            tracing::warn!(
                partner = partner.id,
                runbook = %Runbook("McxBrokerRevocationsPending"),
                "too many tokens to revoke at partners; one is left to end there"
            );
            return;
        };
        let withdrawal = Withdrawal {
            partner: Arc::clone(partner),
            client: client.to_owned(),
            token,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        };
        self.runtime.spawn(async move {
            let _place = place;
            withdrawal.run().await;
        });
    }

    /// It was obtained under a definition that nobody knows any more, that of another process.
    pub(super) fn nobody_to_tell(&self, partner: &str) {
        self.metrics.leg(LEG, partner, "no_definition", Duration::ZERO);
        tracing::warn!(
            partner,
            "a token was obtained before the partner's file changed and the broker was started anew: it is good there until it ends"
        );
    }

    fn room_of(&self, partner: &str) -> Arc<Semaphore> {
        let mut rooms = self.rooms();
        let room = || Arc::new(Semaphore::new(MOST_PENDING as usize));
        Arc::clone(rooms.entry(partner.to_owned()).or_insert_with(room))
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are to be told still.
    pub(super) fn pending(&self) -> usize {
        self.rooms().values().map(|room| MOST_PENDING as usize - room.available_permits()).sum()
    }

    /// Waits until none is, no longer than `patience`.
    pub(super) async fn finish(&self, patience: Duration) {
        let rooms: Vec<_> = self.rooms().values().cloned().collect();
        let all = async {
            for room in rooms {
                // Never closed.
                let _ = room.acquire_many(MOST_PENDING).await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(
                tokens = self.pending(),
                "stopping before partners could be told of all revoked tokens"
            );
        }
    }
}

impl Withdrawal {
    async fn run(self) {
        let partner = &self.partner;
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let started = self.clock.monotonic();
            let error = match partner.revoke(&self.token, &self.client).await {
                // Many have none: then the token ends when it ends.
                Err(error) if error.is_of_no_endpoint() => {
                    return tracing::debug!(
                        partner = partner.id,
                        %error,
                        "a token is not revoked at its partner"
                    );
                }
                Ok(()) => return self.note("ok", started),
                Err(error) => error,
            };
            // Metadata that cannot be used now may be used in a minute.
            let is_outage = error.is_outage() || matches!(error, IdmError::Endpoints(_));
            let wait = error.retry_after();
            let error = ExchangeError::from(GrantError::Idm(error));
            self.note(error.code(), started);
            if !is_outage || attempt == ATTEMPTS {
                let code = error.code();
                tracing::warn!(
                    partner = partner.id,
                    code,
                    %error,
                    runbook = %Runbook(code),
                    "a token could not be revoked there: it is good until it ends"
                );
                return;
            }
            tokio::time::sleep(wait.unwrap_or_default().max(pause).min(LONGEST_PAUSE)).await;
            pause *= 2;
        }
    }

    fn note(&self, code: &'static str, started: Duration) {
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.leg(LEG, &self.partner.id, code, took);
        self.partner.outcomes.note(LEG, code, took, self.clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_partner_that_is_away_takes_nobody_elses_room() {
        let (clock, _) = Clock::manual(crate::clock::Timestamp::from_unix_seconds(1000));
        let withdrawals = Withdrawals::new(clock, Metrics::new());
        let all = withdrawals.room_of("away").try_acquire_many_owned(MOST_PENDING).unwrap();
        assert!(withdrawals.room_of("away").try_acquire_owned().is_err());
        assert!(withdrawals.room_of("well").try_acquire_owned().is_ok());
        assert_eq!(withdrawals.pending(), MOST_PENDING as usize);
        drop(all);
        withdrawals.finish(Duration::from_secs(5)).await;
        assert_eq!(withdrawals.pending(), 0);
    }
}
