//! What became of the legs of one partner's exchanges, for people: metrics say how many over time, this says what was last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::diagnosis::{Cause, Leg};

/// By leg and stable code, of which there are few, and the last failure of each leg.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    outcomes: BTreeMap<(&'static str, &'static str), Outcome>,
    failures: BTreeMap<Leg, Failure>,
}

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

/// A failure of a leg, explained. It has nothing of the server's own words but `error`, reduced to the characters of codes.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Where it shows.
    pub leg: Leg,
    /// The stable code of the error.
    pub code: &'static str,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// `error` of the answer, if it was an OAuth error response.
    pub error: Option<String>,
    /// What is probably wrong.
    pub cause: &'static Cause,
    /// When.
    pub at: Timestamp,
}

impl Outcomes {
    /// Takes note of one.
    pub fn note(&self, leg: &'static str, code: &'static str, took: Duration, now: Timestamp) {
        let outcomes = &mut self.noted().outcomes;
        let fresh = Outcome { leg, code, count: 0, last: now, took };
        let outcome = outcomes.entry((leg, code)).or_insert(fresh);
        *outcome = Outcome { count: outcome.count + 1, ..fresh };
    }

    /// Keeps it as the last failure of its leg.
    pub fn failed(&self, failure: Failure) {
        self.noted().failures.insert(failure.leg, failure);
    }

    /// All of them, by leg.
    pub fn all(&self) -> Vec<Outcome> {
        self.noted().outcomes.values().copied().collect()
    }

    /// The last failure of each leg that had one.
    pub fn failures(&self) -> Vec<Failure> {
        self.noted().failures.values().cloned().collect()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
