//! Time as a value that is handed in, so that expiry, leeway and cooldowns are tested without sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch. Arithmetic saturates: a hostile `exp` must not wrap into the past or panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last representable moment.
    pub const LAST: Self = Self(i64::MAX);

    /// From a JWT NumericDate in whole seconds (RFC 7519 §2).
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From milliseconds since the epoch.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// This moment plus `duration`, or the last representable moment.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(signed_millis(duration)))
    }

    /// This moment minus `duration`, or the first representable moment.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(signed_millis(duration)))
    }

    /// How long from `self` until `later`; zero when `later` has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

fn signed_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A moment by both clocks, read once for all that happens at it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the wall clock.
    pub wall: Timestamp,
    /// By the monotonic clock.
    pub monotonic: Duration,
}

/// Whole milliseconds, or as many as there can be.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where the broker reads the time: the system's clocks, or a [`ManualClock`] in tests.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { started: Instant },
    Manual(Arc<Hands>),
}

/// The two times of a manual clock, in milliseconds.
#[derive(Debug)]
struct Hands {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl Clock {
    /// The machine's wall clock and monotonic clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that moves only when its handle says so.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let hands = Hands { wall: AtomicI64::new(start.0), monotonic: AtomicI64::new(0) };
        let hands = Arc::new(hands);
        (Self(Source::Manual(Arc::clone(&hands))), ManualClock(hands))
    }

    /// Both times.
    pub fn moment(&self) -> Moment {
        Moment { wall: self.now(), monotonic: self.monotonic() }
    }

    /// Wall-clock time: what token lifetimes are compared with.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(signed_millis(since_epoch))
            }
            Source::Manual(hands) => Timestamp(hands.wall.load(Ordering::SeqCst)),
        }
    }

    /// Time since an arbitrary origin that never steps back: what cooldowns and latencies are measured with.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { started } => Instant::now().duration_since(*started),
            Source::Manual(hands) => {
                Duration::from_millis(u64::try_from(hands.monotonic.load(Ordering::SeqCst)).unwrap_or(0))
            }
        }
    }
}

/// Moves a manual [`Clock`].
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Hands>);

impl ManualClock {
    /// Time passes: both clocks go forward.
    pub fn advance(&self, duration: Duration) {
        self.step(signed_millis(duration));
        self.0.monotonic.fetch_add(signed_millis(duration), Ordering::SeqCst);
    }

    /// Somebody sets the wall clock, by so many milliseconds forward or back. No time passes.
    pub fn step(&self, milliseconds: i64) {
        self.0.wall.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_exp_saturates_instead_of_wrapping() {
        let far = Timestamp::from_unix_seconds(i64::MAX);
        assert!(far > Timestamp::from_unix_seconds(4_000_000_000));
        assert_eq!(far.plus(Duration::MAX), far);
        assert_eq!(far.until(Timestamp::from_unix_seconds(i64::MIN)), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(100));
        assert_eq!(clock.now().unix_seconds(), 100);
        hand.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().unix_seconds(), 101);
        assert_eq!(clock.now().unix_millis(), 101_500);
        hand.step(-90_000);
        assert_eq!(clock.now().unix_millis(), 11_500);
        assert_eq!(clock.monotonic(), Duration::from_millis(1500), "no time has passed");
    }
}
