//! What stands between us and a server that has a bad day: it costs those who want something of it, and nobody else.

mod breaker;
mod bulkhead;
mod complaints;
mod retry;

use std::fmt;
use std::time::Duration;

pub use breaker::{BreakerSettings, BreakerState};
pub use bulkhead::BulkheadSettings;
pub use retry::Retries;

use super::IdmError;
use crate::clock::Clock;
use crate::telemetry::metrics::{Guarded, Metrics};
use crate::telemetry::runbook::Runbook;
use breaker::{Breaker, Pass, Verdict};
use bulkhead::Bulkhead;
use complaints::Complaints;
use retry::RetryBudget;

/// A call that was given up before it ended says something about the server if it had this long.
const FAIR_TIME: Duration = Duration::from_secs(1);

/// Limits of the calls to one server.
#[derive(Debug, Clone, Copy)]
pub struct GuardSettings {
    /// How many at a time.
    pub bulkhead: BulkheadSettings,
    /// When it is left alone.
    pub breaker: BreakerSettings,
    /// How often one leg of one exchange asks again.
    pub retries: u32,
    /// Whether all partners share the server, as they do the home IdM. Then neither a 500 counts against it, which may be what
    /// one partner's exchange ran into, nor a call that was given up, which may be made for one client that has hung up.
    pub is_shared: bool,
}

/// Bulkhead, circuit breaker and retry budget of one server.
pub struct Guard {
    /// For people.
    name: String,
    settings: GuardSettings,
    bulkhead: Bulkhead,
    breaker: Breaker,
    complaints: Complaints,
    budget: RetryBudget,
    clock: Clock,
    metrics: Guarded,
}

/// How a server does, for the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardStatus {
    /// Whether it is called.
    pub breaker: BreakerState,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls that wait for their turn.
    pub queued: usize,
}

impl Guard {
    /// `name`: of the server, from configuration; a metric label.
    pub fn new(name: &str, settings: GuardSettings, clock: Clock, metrics: &Metrics) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            bulkhead: Bulkhead::new(settings.bulkhead),
            breaker: Breaker::new(settings.breaker),
            complaints: Complaints::default(),
            budget: RetryBudget::default(),
            clock,
            metrics: metrics.guarded(name),
        }
    }

    /// Whether a call would go out now, or at least wait: to be asked before something is obtained for it that is good for
    /// once. `ahead`: for a call that nobody waits for.
    ///
    /// # Errors
    /// [`IdmError::Paused`], [`IdmError::Overloaded`].
    pub fn check(&self, ahead: bool) -> Result<(), IdmError> {
        let room = if ahead { self.bulkhead.check_spare() } else { self.bulkhead.check() };
        room.map_err(|_| self.overloaded())?;
        // Last: what it promises is not given to somebody for whom there is no room.
        self.breaker.check(self.clock.monotonic()).map_err(|pause| self.paused(pause))
    }

    /// Makes a call when it is its turn. `user`: digest of the one whom it is about, if it is about one.
    ///
    /// # Errors
    /// Those of the call, and those of [`Guard::check`].
    pub async fn call<T>(
        &self,
        user: Option<[u8; 16]>,
        call: impl Future<Output = Result<T, IdmError>>,
    ) -> Result<T, IdmError> {
        let _slot = self.bulkhead.enter().await.map_err(|_| self.overloaded())?;
        let now = self.clock.monotonic();
        // Not before: it may have opened while we waited.
        let pass = self.breaker.admit(now).map_err(|pause| self.paused(pause))?;
        let mut unsettled = Unsettled { guard: self, pass: Some(pass), since: now };
        let outcome = call.await;
        unsettled.settle(self.verdict(outcome.as_ref().err(), user));
        outcome
    }

    /// The retries that one leg of one exchange may make.
    pub fn retries(&self) -> Retries<'_> {
        Retries::new(&self.budget, self.settings.retries)
    }

    /// A retry was made.
    pub fn count_retry(&self) {
        self.metrics.retried();
    }

    /// How the server does.
    pub fn status(&self) -> GuardStatus {
        GuardStatus {
            breaker: self.breaker.state(),
            in_flight: self.bulkhead.in_flight(),
            queued: self.bulkhead.queued(),
        }
    }

    /// Puts the load into the metrics.
    pub fn report_load(&self) {
        self.metrics.load(self.bulkhead.in_flight(), self.bulkhead.queued());
        // A guard that was made anew has not told of its state yet.
        self.metrics.opened(self.breaker.state() == BreakerState::Open);
    }

    /// Only what the server is to blame for: a caller whose requests are refused must not be able to shut others out.
    fn verdict(&self, error: Option<&IdmError>, user: Option<[u8; 16]>) -> Verdict {
        match error {
            Some(IdmError::Unreachable(_) | IdmError::NoAnswer) => Verdict::Failed(None),
            Some(IdmError::Unavailable { status: 500, .. }) if self.settings.is_shared => Verdict::Unknown,
            Some(IdmError::Unavailable { status: 500, .. })
                if user.is_some_and(|user| !self.complaints.counts(user, self.clock.monotonic())) =>
            {
                Verdict::Unknown
            }
            // Too much of something, or too slow: of a request that went there.
            Some(IdmError::Unavailable { status: 408 | 429, .. }) => Verdict::Well,
            Some(IdmError::Unavailable { retry_after, .. }) => Verdict::Failed(*retry_after),
            Some(IdmError::Refused(_) | IdmError::Nonsense(_)) | None => Verdict::Well,
            Some(
                IdmError::Endpoints(_)
                | IdmError::Signing
                | IdmError::Paused(_)
                | IdmError::AskedJustNow(_)
                | IdmError::Overloaded,
            ) => Verdict::Unknown,
        }
    }

    fn settle(&self, pass: Pass, verdict: Verdict) {
        if verdict == Verdict::Well {
            self.budget.earn();
        }
        let Some(state) = self.breaker.settle(pass, verdict, self.clock.monotonic()) else { return };
        let (idm, state_text) = (&self.name, state.as_str());
        match state {
            BreakerState::Open => {
                tracing::warn!(
                    idm,
                    breaker = state_text,
                    runbook = %Runbook("McxBrokerBreakerOpen"),
                    "the identity server keeps failing and is left alone for a while"
                );
            }
            BreakerState::Closed | BreakerState::HalfOpen => {
                tracing::info!(idm, breaker = state_text, "the identity server answers again");
            }
        }
        self.metrics.opened(state == BreakerState::Open);
    }

    fn paused(&self, pause: Duration) -> IdmError {
        self.metrics.paused();
        IdmError::Paused(pause)
    }

    fn overloaded(&self) -> IdmError {
        self.metrics.overloaded();
        IdmError::Overloaded
    }
}

/// A call whose outcome is not known yet. Dropped, it was cut by somebody's deadline.
struct Unsettled<'g> {
    guard: &'g Guard,
    pass: Option<Pass>,
    since: Duration,
}

impl Unsettled<'_> {
    fn settle(&mut self, verdict: Verdict) {
        if let Some(pass) = self.pass.take() {
            self.guard.settle(pass, verdict);
        }
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        let took = self.guard.clock.monotonic().saturating_sub(self.since);
        let counts = !self.guard.settings.is_shared && took >= FAIR_TIME;
        self.settle(if counts { Verdict::Failed(None) } else { Verdict::Unknown });
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guard").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::http::ConnectFault;
    use crate::oauth::refusal::Refusal;

    fn guard(is_shared: bool) -> (Guard, ManualClock) {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(0));
        let settings = GuardSettings {
            bulkhead: BulkheadSettings { max_in_flight: 4, max_queued: 0 },
            breaker: BreakerSettings { failures: 1, pause: Duration::from_secs(5) },
            retries: 0,
            is_shared,
        };
        (Guard::new("idm", settings, clock, &Metrics::new()), hand)
    }

    fn unavailable(status: u16) -> IdmError {
        IdmError::Unavailable { status, retry_after: None }
    }

    #[test]
    fn what_the_server_is_to_blame_for() {
        let (failed, well, unknown) = (Verdict::Failed(None), Verdict::Well, Verdict::Unknown);
        for (error, of_a_partner, of_the_home_idm) in [
            (None, well, well),
            (Some(IdmError::Unreachable(ConnectFault::Tcp)), failed, failed),
            (Some(IdmError::NoAnswer), failed, failed),
            (Some(unavailable(500)), failed, unknown),
            (Some(unavailable(502)), failed, failed),
            (Some(unavailable(503)), failed, failed),
            (Some(unavailable(504)), failed, failed),
            (Some(unavailable(400)), failed, failed),
            (Some(unavailable(408)), well, well),
            (Some(unavailable(429)), well, well),
            (Some(IdmError::Refused(Refusal::bare_unauthorized())), well, well),
            (Some(IdmError::Nonsense(String::new())), well, well),
            (Some(IdmError::Endpoints("none".into())), unknown, unknown),
            (Some(IdmError::Signing), unknown, unknown),
            (Some(IdmError::Paused(Duration::ZERO)), unknown, unknown),
            (Some(IdmError::Overloaded), unknown, unknown),
        ] {
            let verdicts =
                [false, true].map(|is_shared| guard(is_shared).0.verdict(error.as_ref(), Some([1; 16])));
            assert_eq!(verdicts, [of_a_partner, of_the_home_idm], "{error:?}");
        }
        let asked = Some(Duration::from_secs(7));
        let busy = IdmError::Unavailable { status: 503, retry_after: asked };
        assert_eq!(guard(false).0.verdict(Some(&busy), None), Verdict::Failed(asked));
    }

    #[test]
    fn a_500_counts_once_for_each_user_and_what_is_about_nobody_always() {
        let (guard, _) = guard(false);
        let verdicts = |user| {
            [500, 500, 503]
                .map(|status| guard.verdict(Some(&unavailable(status)), user) == Verdict::Failed(None))
        };
        assert_eq!(verdicts(Some([1; 16])), [true, false, true]);
        assert_eq!(verdicts(Some([2; 16])), [true, false, true]);
        assert_eq!(verdicts(None), [true, true, true]);
    }

    #[test]
    fn a_call_that_is_given_up_counts_against_a_partner_that_had_a_second_and_leaves_its_place() {
        for (is_shared, millis, state) in [
            (false, 999, BreakerState::Closed),
            (false, 1000, BreakerState::Open),
            (true, 60_000, BreakerState::Closed),
        ] {
            let (guard, hand) = guard(is_shared);
            let mut call = Box::pin(guard.call(None, pending::<Result<(), IdmError>>()));
            assert!(call.as_mut().now_or_never().is_none());
            assert_eq!(guard.status().in_flight, 1);
            hand.advance(Duration::from_millis(millis));
            drop(call);
            let expected = GuardStatus { breaker: state, in_flight: 0, queued: 0 };
            assert_eq!(guard.status(), expected, "{is_shared} {millis}");
        }
    }

    #[test]
    fn a_look_that_is_given_up_lets_another_one_look() {
        let (guard, hand) = guard(true);
        let fails = || guard.call(None, async { Err::<(), _>(IdmError::NoAnswer) }).now_or_never().unwrap();
        assert!(fails().is_err());
        assert_eq!(guard.status().breaker, BreakerState::Open);
        hand.advance(Duration::from_secs(5));
        let mut look = Box::pin(guard.call(None, pending::<Result<(), IdmError>>()));
        assert!(look.as_mut().now_or_never().is_none());
        assert!(matches!(fails(), Err(IdmError::Paused(_))), "one at a time");
        drop(look);
        assert!(guard.call(None, async { Ok(()) }).now_or_never().unwrap().is_ok());
        assert_eq!(guard.status().breaker, BreakerState::Closed);
    }
}
