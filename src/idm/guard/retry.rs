//! Asking again: only where it is safe, seldom, and never all at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::idm::IdmError;
use crate::random;

/// Retries that a server which was well before gets at once; also how many can be saved up.
const MOST: u32 = 10;
/// A call that goes well pays for this part of one: when all fail, retries are a tenth more calls and no multiple.
const CALLS_FOR_ONE: u32 = 10;
/// Before the first retry, at most. Twice as long before the next one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A server that wants to be left alone for longer is, and the client is told so: who waits here takes a place.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a server's retries are paid from. An outage uses it up, and then nobody adds to the load of a server that is down.
#[derive(Debug)]
pub(super) struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(MOST * CALLS_FOR_ONE))
    }
}

impl RetryBudget {
    /// A call went well.
    pub(super) fn earn(&self) {
        let earned = |saved| (saved < MOST * CALLS_FOR_ONE).then_some(saved + 1);
        // Full already.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earned);
    }

    /// Whether there is one left.
    fn spend(&self) -> bool {
        let spent = |saved: u32| saved.checked_sub(CALLS_FOR_ONE);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_ok()
    }
}

/// The retries of one leg of one exchange.
#[derive(Debug)]
pub struct Retries<'b> {
    budget: &'b RetryBudget,
    made: u32,
    most: u32,
}

impl<'b> Retries<'b> {
    pub(super) fn new(budget: &'b RetryBudget, most: u32) -> Self {
        Self { budget, made: 0, most }
    }

    /// How long to wait before asking again; `None`: not again. `left`: of the overall deadline. Whoever asks again does so
    /// with a new assertion, whatever became of the last one.
    ///
    /// Again only when nothing was sent, or a server or what stands before it says that it did nothing (502, 503, 504): an
    /// answer that was lost on the way may have been a token, and one more assertion would be one more token that nobody
    /// revokes.
    pub fn pause(&mut self, error: &IdmError, left: Duration) -> Option<Duration> {
        let asked = match error {
            IdmError::Unreachable(_) => None,
            IdmError::Unavailable { status: 502..=504, retry_after } => *retry_after,
            _ => return None,
        };
        let asked = asked.unwrap_or_default();
        let longest = FIRST_PAUSE * 2u32.saturating_pow(self.made.min(6));
        // Those who failed together do not come back together.
        let pause = asked.min(LONGEST_WAIT * 2) + longest.mul_f64(0.5 + random::share() / 2.0);
        let in_time = asked <= LONGEST_WAIT && pause < left;
        let again = self.made < self.most && in_time && self.budget.spend();
        self.made += 1;
        again.then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ConnectFault;
    use crate::oauth::refusal::Refusal;

    const LONG: Duration = Duration::from_secs(60);

    fn unavailable(status: u16, retry_after: Option<u64>) -> IdmError {
        IdmError::Unavailable { status, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn only_what_was_certainly_not_done_is_asked_again() {
        let again = [
            (IdmError::Unreachable(ConnectFault::Tcp), true),
            (unavailable(502, None), true),
            (unavailable(503, None), true),
            (unavailable(504, None), true),
            (unavailable(500, None), false),
            (unavailable(501, None), false),
            (unavailable(505, None), false),
            (unavailable(408, None), false),
            (unavailable(429, Some(1)), false),
            (IdmError::NoAnswer, false),
            (IdmError::Paused(LONG), false),
            (IdmError::Overloaded, false),
            (IdmError::Endpoints("none".into()), false),
            (IdmError::Refused(Refusal::bare_unauthorized()), false),
            (IdmError::Nonsense(String::new()), false),
            (IdmError::Signing, false),
        ];
        for (error, expected) in again {
            let budget = RetryBudget::default();
            assert_eq!(Retries::new(&budget, 2).pause(&error, LONG).is_some(), expected, "{error:?}");
        }
    }

    #[test]
    fn so_often_and_later_each_time_but_not_together() {
        let budget = RetryBudget::default();
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let mut retries = Retries::new(&budget, 2);
            let [first, second, third] =
                [(); 3].map(|()| retries.pause(&IdmError::Unreachable(ConnectFault::Tcp), LONG));
            assert!((50..=100).contains(&first.unwrap().as_millis()), "{first:?}");
            assert!((100..=200).contains(&second.unwrap().as_millis()), "{second:?}");
            assert_eq!(third, None);
            pauses.push(first);
        }
        pauses.dedup();
        assert!(pauses.len() > 1, "no jitter: {pauses:?}");
    }

    #[test]
    fn what_the_server_asked_for_is_kept_to_or_nothing_is_tried() {
        let budget = RetryBudget::default();
        let pause = Retries::new(&budget, 2).pause(&unavailable(503, Some(2)), LONG);
        assert!(pause.unwrap() > Duration::from_secs(2), "{pause:?}");
        let too_long = Retries::new(&budget, 2).pause(&unavailable(503, Some(3)), LONG);
        assert_eq!(too_long, None, "nobody waits that long here");
        let soon = Duration::from_secs(2);
        let too_late = Retries::new(&budget, 2).pause(&unavailable(503, Some(2)), soon);
        assert_eq!(too_late, None, "it would be beyond the deadline");
    }

    #[test]
    fn an_outage_uses_the_budget_up_and_calls_that_go_well_fill_it() {
        let budget = RetryBudget::default();
        let once =
            || Retries::new(&budget, 1).pause(&IdmError::Unreachable(ConnectFault::Tcp), LONG).is_some();
        assert_eq!((0..50).filter(|_| once()).count(), 10);
        (0..9).for_each(|_| budget.earn());
        assert!(!once());
        budget.earn();
        assert!(once() && !once());
        (0..1000).for_each(|_| budget.earn());
        assert_eq!((0..50).filter(|_| once()).count(), 10, "no more is saved up");
        assert!(Retries::new(&budget, 0).pause(&IdmError::Unreachable(ConnectFault::Tcp), LONG).is_none());
    }
}
