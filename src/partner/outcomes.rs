//! What became of the legs of one partner's exchanges, for people: metrics say how many over time, this says what was last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::diagnosis::{About, Cause, Leg};

/// An identity server that refuses one user, or one scope, does well: if others got something of it.
const ABOUT_ONE_USER: [&str; 3] = ["partner_user_refused", "partner_scope_refused", "home_subject_refused"];

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

/// The failure that came last on any leg, and how that leg did beside it.
#[derive(Debug, Clone)]
pub struct LastFailure {
    /// What went wrong.
    pub failure: Failure,
    /// Calls of that leg that ended so since the start.
    pub count: u64,
    /// Whether that leg has not been well since.
    pub lasts: bool,
    /// Whether it says something of one user, or of what he asked for, and not of the server.
    pub about_one_user: bool,
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

    /// The last failure of all.
    pub fn last_failure(&self) -> Option<LastFailure> {
        let noted = self.noted();
        let failure = noted.failures.values().max_by_key(|failure| failure.at)?.clone();
        let of = |code| noted.outcomes.get(&(failure.leg.as_str(), code));
        let (same, ok) = (of(failure.code), of("ok"));
        Some(LastFailure {
            count: same.map_or(1, |outcome| outcome.count),
            lasts: ok.is_none_or(|ok| ok.last <= failure.at),
            about_one_user: failure.cause.about == About::User
                || (ok.is_some() && ABOUT_ONE_USER.contains(&failure.code)),
            failure,
        })
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Seen, diagnose};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn failed(outcomes: &Outcomes, leg: Leg, code: &'static str, when: i64) {
        let cause = diagnose(&Seen::new(leg, None, code));
        outcomes.note(leg.as_str(), code, Duration::ZERO, at(when));
        outcomes.failed(Failure { leg, code, status: None, error: None, cause, at: at(when) });
    }

    #[test]
    fn what_came_last_counts_and_lasts_until_its_own_leg_works() {
        let outcomes = Outcomes::default();
        assert!(outcomes.last_failure().is_none());
        failed(&outcomes, Leg::Home, "home_unavailable", 10);
        failed(&outcomes, Leg::Partner, "partner_unavailable", 20);
        failed(&outcomes, Leg::Partner, "partner_unavailable", 21);
        for (ok, when, lasts) in [(None, 0, true), (Some("home"), 30, true), (Some("partner"), 30, false)] {
            if let Some(leg) = ok {
                outcomes.note(leg, "ok", Duration::ZERO, at(when));
            }
            let last = outcomes.last_failure().unwrap();
            assert_eq!(
                (last.failure.code, last.count, last.lasts),
                ("partner_unavailable", 2, lasts),
                "{ok:?}"
            );
        }
        failed(&outcomes, Leg::Home, "home_unavailable", 40);
        assert_eq!(outcomes.last_failure().unwrap().failure.leg, Leg::Home);
    }

    #[test]
    fn a_refused_user_says_nothing_of_a_server_that_took_others() {
        for (code, others, about_one_user) in [
            // The partner has said that it is about the user.
            ("partner_user_refused", false, true),
            ("partner_user_refused", true, true),
            ("partner_scope_refused", false, false),
            ("partner_scope_refused", true, true),
            ("partner_unavailable", true, false),
            ("partner_credentials_refused", true, false),
        ] {
            let outcomes = Outcomes::default();
            if others {
                outcomes.note("partner", "ok", Duration::ZERO, at(1));
            }
            failed(&outcomes, Leg::Partner, code, 2);
            let last = outcomes.last_failure().unwrap();
            assert_eq!(
                last.about_one_user, about_one_user,
                "{code}, others: {others}, {:?}",
                last.failure.cause
            );
        }
    }
}
