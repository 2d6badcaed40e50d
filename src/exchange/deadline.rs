//! The overall deadline of one exchange, shared by its legs: a slow home IdM leaves less for the partner.

use std::time::Duration;

use super::{ExchangeError, Leg};
use crate::clock::Clock;

/// When an exchange must have ended.
#[derive(Debug, Clone)]
pub struct Deadline {
    at: Duration,
    clock: Clock,
}

impl Deadline {
    /// `timeout` after `begun`, by the monotonic clock.
    pub fn after(begun: Duration, timeout: Duration, clock: &Clock) -> Self {
        Self { at: begun + timeout, clock: clock.clone() }
    }

    /// A deadline so much later.
    #[must_use]
    pub fn later(&self, by: Duration) -> Self {
        Self { at: self.at + by, clock: self.clock.clone() }
    }

    /// A deadline no later than `timeout` after `begun`.
    #[must_use]
    pub fn no_later_than(&self, begun: Duration, timeout: Duration) -> Self {
        Self { at: self.at.min(begun + timeout), clock: self.clock.clone() }
    }

    /// What is left.
    pub fn left(&self) -> Duration {
        self.at.saturating_sub(self.clock.monotonic())
    }

    /// Waits for work on `leg`, no longer than the deadline.
    ///
    /// # Errors
    /// That of the work, or [`ExchangeError::Deadline`].
    pub async fn wait<T, E: Into<ExchangeError>>(
        &self,
        leg: Leg,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ExchangeError> {
        match tokio::time::timeout(self.left(), work).await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(_) => Err(ExchangeError::Deadline(leg)),
        }
    }
}
