//! The overall deadline of one exchange, shared by its legs: a slow home IdM leaves less for the partner.

use std::time::Duration;

use super::{ExchangeError, Leg};
use crate::clock::Clock;

/// When an exchange must have ended.
#[derive(Debug)]
pub struct Deadline {
    at: Duration,
    clock: Clock,
}

impl Deadline {
    /// `timeout` from now.
    pub fn after(timeout: Duration, clock: &Clock) -> Self {
        Self { at: clock.monotonic() + timeout, clock: clock.clone() }
    }

    /// Waits for work at the home IdM, no longer than the deadline.
    pub async fn home<T>(&self, work: impl Future<Output = T>) -> Result<T, ExchangeError> {
        self.wait(Leg::Home, work).await
    }

    /// Waits for work at the partner IdM, no longer than the deadline.
    pub async fn partner<T>(&self, work: impl Future<Output = T>) -> Result<T, ExchangeError> {
        self.wait(Leg::Partner, work).await
    }

    async fn wait<T>(&self, leg: Leg, work: impl Future<Output = T>) -> Result<T, ExchangeError> {
        let left = self.at.saturating_sub(self.clock.monotonic());
        tokio::time::timeout(left, work).await.map_err(|_| ExchangeError::Deadline(leg))
    }
}
