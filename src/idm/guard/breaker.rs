//! The circuit breaker: a server that keeps failing is left alone for a while, so that users are told at once instead of
//! waiting for it, and it is not asked by all of them while it comes back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Calls of this long and of as long before count.
const WINDOW: Duration = Duration::from_secs(10);
/// Who was promised the next look has this long to obtain a security token for it.
const PROMISE: Duration = Duration::from_secs(5);
/// However often it fails again, it is looked at this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// It opens when within [10 to 20 seconds](WINDOW) so many calls have failed, and they are half of all; zero: never.
    pub failures: u32,
    /// How long nobody calls after that. Twice as long after each time that it still fails, up to half a minute.
    pub pause: Duration,
}

/// What a call said about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answers; what it answers is another matter.
    Well,
    /// It is at fault. How long it asked to be left alone.
    Failed(Option<Duration>),
    /// Nothing can be said.
    Unknown,
}

/// Where the breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// One call at a time goes through, to see whether the server is back.
    HalfOpen,
    /// No call goes through.
    Open,
}

impl BreakerState {
    /// For logs, metrics and the admin listener.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// Leave to make one call. To be handed back with what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    era: u64,
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Counts the changes of state: what was asked before one says nothing after it.
    era: u64,
}

/// Times are those of the monotonic clock: a wall clock that is set must neither open nor close anything.
#[derive(Debug, Clone, Copy)]
enum State {
    Closed(Window),
    Open {
        until: Duration,
        pause: Duration,
    },
    /// `promised_until`: to somebody who was told that a call would go through, and has yet to obtain what it takes.
    HalfOpen {
        pause: Duration,
        probing: bool,
        promised_until: Duration,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    began: Duration,
    now: Calls,
    before: Calls,
}

#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    all: u32,
    failed: u32,
}

impl Window {
    fn count(&mut self, failed: bool, now: Duration) {
        let age = now.saturating_sub(self.began);
        if age >= WINDOW {
            let before = if age < WINDOW * 2 { self.now } else { Calls::default() };
            *self = Self { began: now, now: Calls::default(), before };
        }
        self.now.all = self.now.all.saturating_add(1);
        self.now.failed = self.now.failed.saturating_add(u32::from(failed));
    }

    fn is_failing(&self, least: u32) -> bool {
        let failed = self.now.failed.saturating_add(self.before.failed);
        let all = self.now.all.saturating_add(self.before.all);
        failed >= least && failed >= all - failed.min(all)
    }
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, inner: Mutex::new(Inner { state: State::Closed(Window::default()), era: 0 }) }
    }

    /// Whether a call would go through at `now`. After a pause that is promised to one: else all who ask at that moment
    /// would obtain security tokens, and one of them be let through.
    ///
    /// # Errors
    /// How long it will not.
    pub(super) fn check(&self, now: Duration) -> Result<(), Duration> {
        let mut inner = self.inner();
        let promised_until = now + PROMISE;
        match inner.state {
            State::Closed(_) => {}
            State::Open { until, pause } if now >= until => {
                inner.change(State::HalfOpen { pause, probing: false, promised_until });
            }
            State::Open { until, .. } => return Err(until.saturating_sub(now)),
            State::HalfOpen { probing: true, pause, .. } => return Err(pause),
            State::HalfOpen { promised_until, .. } if now < promised_until => {
                return Err(promised_until.saturating_sub(now));
            }
            State::HalfOpen { pause, .. } => {
                inner.state = State::HalfOpen { pause, probing: false, promised_until };
            }
        }
        Ok(())
    }

    /// Leave to call.
    ///
    /// # Errors
    /// As [`Breaker::check`].
    pub(super) fn admit(&self, now: Duration) -> Result<Pass, Duration> {
        let mut inner = self.inner();
        match inner.state {
            State::Closed(_) => {}
            State::Open { until, pause } if now >= until => {
                inner.change(State::HalfOpen { pause, probing: true, promised_until: now });
            }
            State::Open { until, .. } => return Err(until.saturating_sub(now)),
            State::HalfOpen { probing: true, pause, .. } => return Err(pause),
            State::HalfOpen { pause, .. } => {
                inner.state = State::HalfOpen { pause, probing: true, promised_until: now };
            }
        }
        Ok(Pass { era: inner.era })
    }

    /// Takes note of what came of a call. The state, if it is another one now.
    pub(super) fn settle(&self, pass: Pass, verdict: Verdict, now: Duration) -> Option<BreakerState> {
        let mut inner = self.inner();
        if pass.era != inner.era || self.settings.failures == 0 {
            return None;
        }
        let next = match (&mut inner.state, verdict) {
            (State::Closed(_), Verdict::Unknown) => return None,
            (State::Closed(window), verdict) => {
                window.count(verdict != Verdict::Well, now);
                let Verdict::Failed(asked) = verdict else { return None };
                if !window.is_failing(self.settings.failures) {
                    return None;
                }
                open(self.settings.pause, asked, now)
            }
            (State::HalfOpen { .. }, Verdict::Well) => State::Closed(Window::default()),
            (State::HalfOpen { pause, .. }, Verdict::Failed(asked)) => open(*pause * 2, asked, now),
            (State::HalfOpen { probing, .. }, Verdict::Unknown) => {
                *probing = false;
                return None;
            }
            (State::Open { .. }, _) => return None,
        };
        inner.change(next);
        Some(inner.state.name())
    }

    pub(super) fn state(&self) -> BreakerState {
        self.inner().state.name()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn change(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

impl State {
    fn name(self) -> BreakerState {
        match self {
            Self::Closed(_) => BreakerState::Closed,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
            Self::Open { .. } => BreakerState::Open,
        }
    }
}

fn open(pause: Duration, asked: Option<Duration>, now: Duration) -> State {
    let pause = pause.min(LONGEST_PAUSE);
    State::Open { until: now + asked.unwrap_or_default().clamp(pause, LONGEST_PAUSE), pause }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings { failures: 3, pause: Duration::from_secs(5) };
    const FAILED: Verdict = Verdict::Failed(None);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Calls that end at once. Those that did not go through are not in it.
    fn calls(breaker: &Breaker, verdicts: &[Verdict], millis: u64) -> Vec<Option<BreakerState>> {
        let now = at(millis);
        let through =
            |verdict: &Verdict| breaker.admit(now).ok().map(|pass| breaker.settle(pass, *verdict, now));
        verdicts.iter().filter_map(through).collect()
    }

    fn opened(millis: u64) -> Breaker {
        let breaker = Breaker::new(SETTINGS);
        assert_eq!(calls(&breaker, &[FAILED; 9], millis), [None, None, Some(BreakerState::Open)]);
        breaker
    }

    #[test]
    fn it_opens_after_so_many_failures_and_closes_by_one_call_that_goes_well() {
        let breaker = opened(0);
        assert_eq!(breaker.check(at(4999)), Err(at(1)));
        assert_eq!(calls(&breaker, &[Verdict::Well], 4999), []);
        assert_eq!(breaker.check(at(5000)), Ok(()));
        let probe = breaker.admit(at(5000)).unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(at(5000)), Err(at(5000)), "one at a time");
        assert!(breaker.check(at(5000)).is_err());
        assert_eq!(breaker.settle(probe, Verdict::Well, at(5100)), Some(BreakerState::Closed));
        assert_eq!(calls(&breaker, &[FAILED, FAILED], 5100), [None, None], "it begins anew");
    }

    #[test]
    fn each_probe_that_fails_doubles_the_pause_up_to_half_a_minute() {
        let breaker = opened(0);
        let mut now = 5000;
        for pause in [10_000, 20_000, 30_000, 30_000] {
            assert_eq!(calls(&breaker, &[FAILED; 3], now), [Some(BreakerState::Open)]);
            assert_eq!(breaker.check(at(now)), Err(at(pause)));
            now += pause;
        }
        assert_eq!(calls(&breaker, &[Verdict::Well], now), [Some(BreakerState::Closed)]);
        assert_eq!(calls(&breaker, &[FAILED; 3], now)[2], Some(BreakerState::Open));
        assert_eq!(breaker.check(at(now)), Err(at(5000)), "the first pause is short again");
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asked_for_within_reason() {
        for (asked, pause) in [(0, 5000), (7000, 7000), (86_400_000, 30_000)] {
            let breaker = Breaker::new(SETTINGS);
            calls(&breaker, &[Verdict::Failed(Some(at(asked))); 3], 0);
            assert_eq!(breaker.check(at(0)), Err(at(pause)), "{asked}");
        }
    }

    #[test]
    fn failures_among_more_successes_and_old_ones_do_not_open_it() {
        let breaker = Breaker::new(SETTINGS);
        calls(&breaker, &[Verdict::Well; 20], 0);
        assert!(calls(&breaker, &[FAILED; 19], 0).iter().all(Option::is_none));
        assert_eq!(calls(&breaker, &[FAILED], 0), [Some(BreakerState::Open)], "half of all");

        let breaker = Breaker::new(SETTINGS);
        calls(&breaker, &[FAILED; 2], 0);
        assert_eq!(calls(&breaker, &[FAILED; 2], 20_000), [None, None], "the first two are forgotten");
        let breaker = Breaker::new(SETTINGS);
        calls(&breaker, &[FAILED; 2], 9_000);
        assert_eq!(calls(&breaker, &[FAILED], 15_000), [Some(BreakerState::Open)], "they are not yet");
    }

    #[test]
    fn the_look_after_a_pause_is_promised_to_one_who_may_not_come() {
        let breaker = opened(0);
        assert_eq!(breaker.check(at(5000)), Ok(()));
        assert_eq!(breaker.check(at(6000)), Err(at(4000)), "somebody is on his way");
        assert_eq!(breaker.check(at(10_000)), Ok(()), "he did not come");
        let probe = breaker.admit(at(10_001)).unwrap();
        assert_eq!(breaker.settle(probe, Verdict::Well, at(10_002)), Some(BreakerState::Closed));
    }

    #[test]
    fn what_says_nothing_counts_for_nothing_and_lets_another_one_look() {
        let breaker = Breaker::new(SETTINGS);
        assert!(calls(&breaker, &[Verdict::Unknown; 50], 0).iter().all(Option::is_none));
        let breaker = opened(0);
        assert_eq!(calls(&breaker, &[Verdict::Unknown], 5000), [None]);
        assert_eq!(calls(&breaker, &[Verdict::Well], 5000), [Some(BreakerState::Closed)]);
    }

    #[test]
    fn a_call_from_before_it_opened_does_not_close_it() {
        let breaker = Breaker::new(SETTINGS);
        let slow = breaker.admit(at(0)).unwrap();
        calls(&breaker, &[FAILED; 3], 0);
        assert_eq!(breaker.settle(slow, Verdict::Well, at(10)), None);
        let probe = breaker.admit(at(5000)).unwrap();
        assert_eq!(breaker.settle(slow, Verdict::Well, at(5000)), None);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.settle(probe, FAILED, at(5000)), Some(BreakerState::Open));
    }

    #[test]
    fn zero_failures_never_open_it() {
        let breaker = Breaker::new(BreakerSettings { failures: 0, ..SETTINGS });
        assert!(calls(&breaker, &[FAILED; 100], 0).iter().all(Option::is_none));
    }
}
