//! What became of the legs of one partner's exchanges, for people: metrics say how many over time, this says what was last.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// By leg and stable code, of which there are few.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<BTreeMap<(&'static str, &'static str), Outcome>>);

/// One kind of outcome.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// `home` or `partner`.
    pub leg: &'static str,
    /// `ok`, or the stable code of the error.
    pub code: &'static str,
    /// How often since the start.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
    /// How long the last one took.
    pub took: Duration,
}

impl Outcomes {
    /// Takes note of one.
    pub fn note(&self, leg: &'static str, code: &'static str, took: Duration, now: Timestamp) {
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Outcome { leg, code, count: 0, last: now, took };
        let outcome = outcomes.entry((leg, code)).or_insert(fresh);
        *outcome = Outcome { count: outcome.count + 1, ..fresh };
    }

    /// All of them, by leg.
    pub fn all(&self) -> Vec<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }
}
