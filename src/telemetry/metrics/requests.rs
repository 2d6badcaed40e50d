//! What became of requests, and of the legs that they needed.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Metrics, OutcomeLabels};

/// Seconds: from a local answer to the overall deadline.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

pub(super) struct Requests {
    finished: Family<RequestLabels, Counter>,
    legs: Family<LegLabels, Histogram, fn() -> Histogram>,
    home_tokens: Family<OutcomeLabels, Counter>,
    /// Resolved: asked for on every request.
    recalled: Counter,
    coalesced: Counter,
    renewals: Family<RenewalLabels, Counter>,
    refreshes: Family<RenewalLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: &'static str,
    source: &'static str,
    partner: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenewalLabels {
    partner: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LegLabels {
    leg: &'static str,
    partner: String,
    outcome: &'static str,
}

/// Where the token came from that a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Kept in this process.
    Memory,
    /// Kept in Redis.
    Redis,
    /// The home IdM, or the broker's own key: a security token for a client that makes the second leg itself.
    Home,
    /// The partner, for this request.
    Partner,
}

impl Source {
    const ALL: [Self; 4] = [Self::Memory, Self::Redis, Self::Home, Self::Partner];

    /// In labels, audit records and spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Home => "home",
            Self::Partner => "partner",
        }
    }
}

/// The counters of one partner that most requests touch, by [`Source`], resolved once.
#[derive(Debug, Clone)]
pub struct Served([Counter; Source::ALL.len()]);

impl Served {
    /// A request got a token.
    pub fn count(&self, source: Source) {
        self.0[source as usize].inc();
    }

    /// How many requests got a token that was kept.
    pub fn kept(&self) -> u64 {
        self.total(Source::Memory) + self.total(Source::Redis)
    }

    /// How many requests got a token that was obtained for them.
    pub fn obtained(&self) -> u64 {
        self.total(Source::Home) + self.total(Source::Partner)
    }

    fn total(&self, source: Source) -> u64 {
        self.0[source as usize].get()
    }
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let finished = Family::default();
        registry.register(
            "token_requests",
            "Token requests by stable code, partner, and where the token came from",
            finished.clone(),
        );
        let legs: Family<LegLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit("leg", "Calls to identity servers by leg", Unit::Seconds, legs.clone());
        let home_tokens: Family<OutcomeLabels, Counter> = Family::default();
        let recalled = home_tokens.get_or_create_owned(&OutcomeLabels { outcome: "remembered" });
        registry.register("home_tokens", "Home tokens by what came of validating them", home_tokens.clone());
        let coalesced = Counter::default();
        registry.register(
            "coalesced_requests",
            "Requests that waited for a token that another one obtained",
            coalesced.clone(),
        );
        let (renewals, refreshes) = (Family::default(), Family::default());
        registry.register("renewals", "Tokens renewed ahead of their end, by outcome", renewals.clone());
        registry.register("refreshes", "Uses of a partner's refresh token, by outcome", refreshes.clone());
        Self { finished, legs, home_tokens, recalled, coalesced, renewals, refreshes }
    }
}

impl Metrics {
    /// The counters of a partner.
    pub fn served(&self, partner: &str) -> Served {
        let Requests { finished, renewals, refreshes, .. } = &self.0.requests;
        for counters in [renewals, refreshes] {
            drop(counters.get_or_create(&RenewalLabels { partner: partner.to_owned(), outcome: "ok" }));
        }
        Served(Source::ALL.map(|source| {
            let (source, partner) = (source.as_str(), partner.to_owned());
            finished.get_or_create_owned(&RequestLabels { code: "ok", source, partner })
        }))
    }

    /// A token request that got none. `partner`: an id from configuration, or empty.
    pub fn refused(&self, code: &'static str, partner: &str) {
        let labels = RequestLabels { code, source: "", partner: partner.to_owned() };
        self.0.requests.finished.get_or_create(&labels).inc();
    }

    /// A home token was accepted because it had been verified before.
    pub fn home_token_remembered(&self) {
        self.0.requests.recalled.inc();
    }

    /// What came of validating a home token: `verified`, `introspected`, or the code of what is wrong.
    pub fn home_token(&self, outcome: &'static str) {
        self.0.requests.home_tokens.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// A request waited for what another one obtained.
    pub fn coalesced(&self) {
        self.0.requests.coalesced.inc();
    }

    /// A renewal ahead of a token's end.
    pub fn renewal(&self, partner: &str, outcome: &'static str) {
        let labels = RenewalLabels { partner: partner.to_owned(), outcome };
        self.0.requests.renewals.get_or_create(&labels).inc();
    }

    /// A partner's refresh token was used.
    pub fn refresh(&self, partner: &str, outcome: &'static str) {
        let labels = RenewalLabels { partner: partner.to_owned(), outcome };
        self.0.requests.refreshes.get_or_create(&labels).inc();
    }

    /// A finished leg.
    pub fn leg(&self, leg: &'static str, partner: &str, outcome: &'static str, took: Duration) {
        let labels = LegLabels { leg, partner: partner.to_owned(), outcome };
        self.0.requests.legs.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
