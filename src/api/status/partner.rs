//! How one partner does.

use std::time::Duration;

use serde::Serialize;

use super::super::files::{FileProblem, ListedPartner};
use super::overview::GuardView;
use super::time;
use crate::cache::LiveTokens;
use crate::clock::Timestamp;
use crate::diagnosis::{Cause, File};
use crate::idm::BreakerState;
use crate::partner::{Failure, LastFailure, Latency, Minute, Partner};

/// One partner, whether it is served or not.
#[derive(Debug, Serialize)]
pub(in crate::api) struct PartnerStatus {
    /// Empty: the file's name is no id.
    pub(in crate::api) id: String,
    pub(in crate::api) display_name: String,
    pub(in crate::api) state: PartnerState,
    /// Whether somebody should look at it.
    pub(in crate::api) needs_attention: bool,
    /// Of its file. If it was usable before, what it said then goes on.
    pub(in crate::api) problems: Vec<FileProblem>,
    /// What clients send as `resource`.
    pub(in crate::api) resource: Option<String>,
    /// Its token endpoint.
    pub(in crate::api) token: Option<GuardView>,
    /// Its revocation endpoint.
    pub(in crate::api) revocation: Option<GuardView>,
    /// Requests that wait for its tokens.
    pub(in crate::api) waiting: usize,
    /// Tokens that could be served from memory now; `None`: they could not be counted.
    pub(in crate::api) live_tokens: Option<usize>,
    /// The first leg.
    pub(in crate::api) home_leg: Option<LegStatus>,
    /// The second.
    pub(in crate::api) partner_leg: Option<LegStatus>,
    /// Share of its requests of the last hour that were answered from the cache, of those that got a token.
    pub(in crate::api) hit_rate: Option<f64>,
    /// Its requests of the last sixty minutes, the oldest first.
    pub(in crate::api) hour: Vec<Minute>,
    /// The last one of its legs that failed.
    pub(in crate::api) last_error: Option<LastError>,
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum PartnerState {
    /// It works, as far as is known.
    Serving,
    /// What was tried last failed.
    Failing,
    /// Its circuit breaker is open.
    BreakerOpen,
    /// Its file says so.
    Disabled,
    /// Its file cannot be used, and could not before.
    NotServed,
}

/// How long the calls of a leg took within the last quarter of an hour.
#[derive(Debug, Serialize)]
pub(in crate::api) struct LegStatus {
    pub(in crate::api) calls: u64,
    pub(in crate::api) p50_ms: f64,
    pub(in crate::api) p99_ms: f64,
}

/// What went wrong last.
#[derive(Debug, Serialize)]
pub(in crate::api) struct LastError {
    #[serde(flatten)]
    pub(in crate::api) failure: FailureView,
    /// Calls of that leg that ended so since the start.
    pub(in crate::api) count: u64,
    /// Whether that leg has not been well since.
    pub(in crate::api) lasts: bool,
    #[serde(skip)]
    about_one_user: bool,
}

/// How a leg failed.
#[derive(Debug, Serialize)]
pub(in crate::api) struct FailureView {
    /// `home` or `partner`.
    pub(in crate::api) leg: &'static str,
    pub(in crate::api) code: &'static str,
    /// HTTP status, if there was an answer.
    pub(in crate::api) status: Option<u16>,
    /// `error` of the answer, if it was an OAuth error response.
    pub(in crate::api) error: Option<String>,
    #[serde(serialize_with = "time::serialize")]
    pub(in crate::api) at: Timestamp,
    pub(in crate::api) cause: CauseView,
    /// Where the runbook explains it, on this listener.
    pub(in crate::api) runbook: String,
}

/// What is probably wrong, and what mends it.
#[derive(Debug, Serialize)]
pub(in crate::api) struct CauseView {
    pub(in crate::api) name: &'static str,
    pub(in crate::api) cause: &'static str,
    /// `broker` or `partner`: whose file has the key.
    pub(in crate::api) file: Option<&'static str>,
    pub(in crate::api) key: Option<&'static str>,
    pub(in crate::api) remedy: &'static str,
}

impl From<&'static Cause> for CauseView {
    fn from(cause: &'static Cause) -> Self {
        Self {
            name: &cause.name,
            cause: &cause.cause,
            file: cause.file().map(File::as_str),
            key: cause.key.as_deref(),
            remedy: &cause.remedy,
        }
    }
}

impl PartnerStatus {
    pub(super) fn of(listed: &ListedPartner, live: Option<&LiveTokens>, now: Duration) -> Self {
        let unknown = Self {
            id: listed.id.clone(),
            display_name: String::new(),
            state: PartnerState::NotServed,
            needs_attention: true,
            problems: listed.problems.clone(),
            resource: None,
            token: None,
            revocation: None,
            waiting: 0,
            live_tokens: Some(0),
            home_leg: None,
            partner_leg: None,
            hit_rate: None,
            hour: Vec::new(),
            last_error: None,
        };
        match &listed.partner {
            Some(partner) => unknown.known_as(partner, live, now),
            None => unknown,
        }
    }

    fn known_as(self, partner: &Partner, live: Option<&LiveTokens>, now: Duration) -> Self {
        let history = &partner.history;
        history.observe(&partner.served, now);
        let hour = history.hour(now);
        let last_error = partner.outcomes.last_failure().map(LastError::from);
        let state = state(partner, last_error.as_ref());
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&partner.epoch[..8]);
        Self {
            display_name: partner.display_name.clone(),
            state,
            needs_attention: matches!(state, PartnerState::Failing | PartnerState::BreakerOpen),
            resource: Some(partner.resource.clone()),
            token: Some(partner.idm.guard().status().into()),
            revocation: Some(partner.revocation.status().into()),
            waiting: partner.waiting.count(),
            live_tokens: live.map(|live| live.get(&(partner.id.clone(), epoch)).copied().unwrap_or(0)),
            home_leg: LegStatus::of(&history.home, now),
            partner_leg: LegStatus::of(&history.partner, now),
            hit_rate: hour.iter().fold(Minute::default(), |sum, minute| sum.plus(minute)).hit_rate(),
            hour: hour.to_vec(),
            last_error,
            ..self
        }
    }
}

fn state(partner: &Partner, last_error: Option<&LastError>) -> PartnerState {
    if !partner.enabled {
        PartnerState::Disabled
    } else if partner.idm.guard().status().breaker == BreakerState::Open {
        PartnerState::BreakerOpen
    } else if last_error.is_some_and(|error| error.lasts && !error.about_one_user) {
        PartnerState::Failing
    } else {
        PartnerState::Serving
    }
}

impl LegStatus {
    fn of(latency: &Latency, now: Duration) -> Option<Self> {
        let seen = latency.quantiles(now)?;
        let in_millis = |duration: Duration| {
            let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
            f64::from(micros) / 1000.0
        };
        Some(Self { calls: seen.calls, p50_ms: in_millis(seen.p50), p99_ms: in_millis(seen.p99) })
    }
}

impl From<LastFailure> for LastError {
    fn from(last: LastFailure) -> Self {
        let LastFailure { failure, count, lasts, about_one_user } = last;
        Self { failure: failure.into(), count, lasts, about_one_user }
    }
}

impl From<Failure> for FailureView {
    fn from(failure: Failure) -> Self {
        let Failure { leg, code, status, error, cause, at } = failure;
        let runbook = format!("/runbook#{code}");
        Self { leg: leg.as_str(), code, status, error, at, cause: cause.into(), runbook }
    }
}
