//! Requests by minute, made from counters that are read now and then.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// As many are remembered.
pub const MINUTES: usize = 60;

/// What became of the requests of a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Answered from memory or Redis.
    pub cached: u64,
    /// Answered with a token that was obtained for them.
    pub obtained: u64,
    /// Without a token.
    pub failed: u64,
}

impl Minute {
    /// All of them.
    pub const fn requests(&self) -> u64 {
        self.cached + self.obtained + self.failed
    }

    /// The share that was answered from the cache, of what got a token, to a thousandth; `None`: nothing did.
    pub fn hit_rate(&self) -> Option<f64> {
        let thousandths = (self.cached * 1000).checked_div(self.cached + self.obtained)?;
        u32::try_from(thousandths).ok().map(|thousandths| f64::from(thousandths) / 1000.0)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            cached: self.cached + other.cached,
            obtained: self.obtained + other.obtained,
            failed: self.failed + other.failed,
        }
    }

    const fn since(&self, before: &Self) -> Self {
        Self {
            cached: self.cached.saturating_sub(before.cached),
            obtained: self.obtained.saturating_sub(before.obtained),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

/// The last hour.
#[derive(Debug)]
pub struct Traffic(Mutex<Ring>);

#[derive(Debug)]
struct Ring {
    /// Counters at the last look.
    seen: Minute,
    /// A minute's place is its number modulo their number.
    minutes: [Minute; MINUTES],
    /// The last one that was written to.
    number: u64,
}

impl Traffic {
    /// `totals`: what counters say already, which is nothing new.
    pub(super) const fn after(totals: Minute) -> Self {
        let minutes = [Minute { cached: 0, obtained: 0, failed: 0 }; MINUTES];
        Self(Mutex::new(Ring { seen: totals, minutes, number: 0 }))
    }

    /// `totals`: since ever; `now`: by the monotonic clock.
    pub(super) fn observe(&self, totals: Minute, now: Duration) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.turn_to(now);
        let new = totals.since(&ring.seen);
        ring.seen = totals;
        let place = place(ring.number);
        ring.minutes[place] = ring.minutes[place].plus(&new);
    }

    pub(super) fn hour(&self, now: Duration) -> [Minute; MINUTES] {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.turn_to(now);
        let oldest = place(ring.number + 1);
        std::array::from_fn(|at| ring.minutes[(oldest + at) % MINUTES])
    }
}

impl Ring {
    /// Minutes in which nobody looked were empty, as far as is known.
    fn turn_to(&mut self, now: Duration) {
        let number = now.as_secs() / 60;
        let passed = number.saturating_sub(self.number).min(MINUTES as u64);
        for passed in 1..=passed {
            self.minutes[place(number - passed + 1)] = Minute::default();
        }
        self.number = self.number.max(number);
    }
}

fn place(minute: u64) -> usize {
    usize::try_from(minute % MINUTES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn totals(cached: u64, obtained: u64, failed: u64) -> Minute {
        Minute { cached, obtained, failed }
    }

    fn at(minute: u64) -> Duration {
        Duration::from_secs(minute * 60 + 59)
    }

    #[test]
    fn what_was_counted_since_the_last_look_belongs_to_its_minute() {
        let traffic = Traffic::after(Minute::default());
        traffic.observe(totals(0, 1, 0), at(0));
        traffic.observe(totals(2, 1, 0), at(0));
        traffic.observe(totals(7, 2, 3), at(2));
        let hour = traffic.hour(at(3));
        assert_eq!(hour[56..], [totals(2, 1, 0), totals(0, 0, 0), totals(5, 1, 3), totals(0, 0, 0)]);
        assert_eq!(hour.iter().map(Minute::requests).sum::<u64>(), 12);
    }

    #[test]
    fn what_was_counted_before_is_nobodys_minute() {
        let traffic = Traffic::after(totals(7, 7, 7));
        traffic.observe(totals(7, 8, 7), at(0));
        assert_eq!(traffic.hour(at(0))[59], totals(0, 1, 0));
    }

    #[test]
    fn an_hour_later_nothing_is_left_however_long_nobody_looked() {
        for pause in [60, 61, 119, 120, 10_000] {
            let traffic = Traffic::after(Minute::default());
            for minute in 0..60 {
                traffic.observe(totals(minute + 1, 0, 0), at(minute));
            }
            assert_eq!(traffic.hour(at(59)), [totals(1, 0, 0); MINUTES]);
            assert_eq!(traffic.hour(at(59 + pause)), [Minute::default(); MINUTES], "{pause}");
        }
    }

    #[test]
    fn a_minute_is_forgotten_when_its_hour_is_over_and_not_before() {
        let traffic = Traffic::after(Minute::default());
        traffic.observe(totals(1, 0, 0), at(10));
        assert_eq!(traffic.hour(at(69))[0], totals(1, 0, 0));
        assert_eq!(traffic.hour(at(70)), [Minute::default(); MINUTES]);
    }
}
