//! What was asked of the sandbox: for assertions in tests.

use std::collections::HashMap;
use std::sync::Mutex;

use super::endpoint::Endpoint;
use super::locked;

/// More requests than any test looks at: older ones are forgotten, the counts stay.
const KEPT: usize = 256;

/// One request, as it arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Names and values of the form or query, in their order.
    pub parameters: Vec<(String, String)>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `traceparent` header (W3C Trace Context).
    pub trace_parent: Option<String>,
    /// Its `tracestate`, for the same reason.
    pub trace_state: Option<String>,
}

impl Recorded {
    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for Recorded {
    /// Names only: the values are tokens and secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Recorded")
            .field("endpoint", &self.endpoint)
            .field("parameters", &self.parameters.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Journal(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    counts: HashMap<Endpoint, usize>,
    requests: std::collections::VecDeque<Recorded>,
}

impl Journal {
    pub(super) fn record(&self, request: Recorded) {
        let mut entries = locked(&self.0);
        *entries.counts.entry(request.endpoint).or_default() += 1;
        if entries.requests.len() == KEPT {
            entries.requests.pop_front();
        }
        entries.requests.push_back(request);
    }

    pub(super) fn count(&self, endpoint: Endpoint) -> usize {
        locked(&self.0).counts.get(&endpoint).copied().unwrap_or_default()
    }

    pub(super) fn of(&self, endpoint: Endpoint) -> Vec<Recorded> {
        locked(&self.0).requests.iter().filter(|request| request.endpoint == endpoint).cloned().collect()
    }
}
