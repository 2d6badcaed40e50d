//! How often one client may ask: a client in a loop must not use up what the others need.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;

/// Requests per second of one client, with a burst of one second's worth.
pub struct RateLimit {
    requests: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Duration>>,
}

#[derive(Debug, Clone)]
struct Monotonic(Clock);

impl governor::clock::Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

impl RateLimit {
    /// `requests`: per second.
    pub fn per_second(requests: NonZeroU32, clock: Clock) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(requests), Monotonic(clock));
        Self { requests, limiter }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// How long the client should wait.
    pub fn admit(&self) -> Result<(), Duration> {
        let now = || self.limiter.clock().now();
        self.limiter.check().map_err(|refused| refused.wait_time_from(now()))
    }

    /// Whether `other` lets as many pass.
    pub fn is_like(&self, other: &Self) -> bool {
        self.requests == other.requests
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RateLimit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_second_brings_a_seconds_worth() {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(1000));
        let limit = RateLimit::per_second(NonZeroU32::new(2).unwrap(), clock);
        assert!(limit.admit().is_ok() && limit.admit().is_ok());
        let wait = limit.admit().unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(500), "{wait:?}");
        hand.advance(Duration::from_millis(500));
        assert!(limit.admit().is_ok());
        assert!(limit.admit().is_err());
    }
}
