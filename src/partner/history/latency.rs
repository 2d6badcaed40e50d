//! How long the calls of one leg took within the last quarter of an hour, as a histogram: its size is the same for one call
//! as for a million.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Each a quarter wider than the one before: what is read from it is wrong by an eighth at most.
const BUCKETS: usize = 64;
/// Where each bucket ends, in microseconds: from 0.1 ms to over two minutes.
const ENDS: [u64; BUCKETS] = {
    let mut ends = [100; BUCKETS];
    let mut at = 1;
    while at < BUCKETS {
        ends[at] = ends[at - 1] + ends[at - 1] / 4;
        at += 1;
    }
    ends
};
/// The window moves by parts: of the last five, the one that is not over yet among them.
const PARTS: usize = 5;
const PART: Duration = Duration::from_secs(3 * 60);

/// The calls of one leg.
#[derive(Debug, Default)]
pub struct Latency(Mutex<Parts>);

#[derive(Debug)]
struct Parts {
    parts: [[u32; BUCKETS]; PARTS],
    /// The number of the last one.
    number: u64,
}

impl Default for Parts {
    fn default() -> Self {
        Self { parts: [[0; BUCKETS]; PARTS], number: 0 }
    }
}

/// What the calls of a window say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// How many there were.
    pub calls: u64,
    /// Half of them took no longer, within an eighth.
    pub p50: Duration,
    /// All but a hundredth took no longer, within an eighth.
    pub p99: Duration,
}

impl Latency {
    /// A call took so long. `now`: by the monotonic clock.
    pub fn note(&self, took: Duration, now: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = ENDS.partition_point(|end| *end <= micros).min(BUCKETS - 1);
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.turn_to(now);
        let place = place(parts.number);
        let count = &mut parts.parts[place][bucket];
        *count = count.saturating_add(1);
    }

    /// Of the last twelve to fifteen minutes; `None`: there was no call.
    pub fn quantiles(&self, now: Duration) -> Option<Quantiles> {
        let counts: [u64; BUCKETS] = {
            let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            parts.turn_to(now);
            std::array::from_fn(|bucket| parts.parts.iter().map(|part| u64::from(part[bucket])).sum())
        };
        let calls: u64 = counts.iter().sum();
        let quantile = |percent: u64| {
            let rank = (calls * percent).div_ceil(100);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            middle(bucket.unwrap_or(BUCKETS - 1))
        };
        (calls > 0).then(|| Quantiles { calls, p50: quantile(50), p99: quantile(99) })
    }
}

impl Parts {
    fn turn_to(&mut self, now: Duration) {
        let number = now.as_secs() / PART.as_secs();
        let passed = number.saturating_sub(self.number).min(PARTS as u64);
        for passed in 1..=passed {
            self.parts[place(number - passed + 1)] = [0; BUCKETS];
        }
        self.number = self.number.max(number);
    }
}

fn place(part: u64) -> usize {
    usize::try_from(part % PARTS as u64).unwrap_or_default()
}

fn middle(bucket: usize) -> Duration {
    let start = bucket.checked_sub(1).map_or(0, |before| ENDS[before]);
    Duration::from_micros(u64::midpoint(start, ENDS[bucket]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn minute(number: u64) -> Duration {
        Duration::from_secs(number * 60)
    }

    #[test]
    fn a_call_counts_for_twelve_minutes_and_never_for_longer_than_fifteen() {
        let latency = Latency::default();
        assert_eq!(latency.quantiles(minute(0)), None);
        latency.note(Duration::from_millis(40), minute(2));
        assert_eq!(latency.quantiles(minute(14)).map(|seen| seen.calls), Some(1));
        assert_eq!(latency.quantiles(minute(15)), None);
        latency.note(Duration::from_millis(40), minute(15));
        assert_eq!(latency.quantiles(minute(10_000)), None);
    }

    #[test]
    fn one_slow_call_of_a_hundred_shows_in_neither_and_two_do() {
        let latency = Latency::default();
        for _ in 0..99 {
            latency.note(Duration::from_millis(10), minute(0));
        }
        let p99 = || latency.quantiles(minute(0)).unwrap().p99;
        latency.note(Duration::from_secs(5), minute(0));
        assert!(p99() < Duration::from_millis(12), "{:?}", p99());
        latency.note(Duration::from_secs(5), minute(0));
        assert!(p99() > Duration::from_secs(4), "{:?}", p99());
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_happened_within_an_eighth(micros in 100_u64..100_000_000) {
            let latency = Latency::default();
            latency.note(Duration::from_micros(micros), minute(0));
            let seen = latency.quantiles(minute(0)).unwrap();
            let read = u64::try_from(seen.p50.as_micros()).unwrap();
            prop_assert!(read.abs_diff(micros) * 8 <= micros + 8, "{read} for {micros}");
            prop_assert_eq!(seen.p50, seen.p99);
        }

        #[test]
        fn any_duration_has_a_bucket(took in any::<u64>()) {
            let latency = Latency::default();
            latency.note(Duration::from_micros(took), minute(0));
            prop_assert_eq!(latency.quantiles(minute(0)).unwrap().calls, 1);
        }
    }
}
