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
    hits: Family<TierLabels, Counter>,
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
    partner: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TierLabels {
    tier: &'static str,
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

/// The counters of one partner that most requests touch, resolved once.
#[derive(Debug, Clone)]
pub struct Served {
    ok: Counter,
    memory: Counter,
    redis: Counter,
}

impl Served {
    /// A request got a token that was obtained for it.
    pub fn obtained(&self) {
        self.ok.inc();
    }

    /// A request got a token that was kept in memory.
    pub fn from_memory(&self) {
        self.ok.inc();
        self.memory.inc();
    }

    /// A request got a token that was kept in Redis.
    pub fn from_redis(&self) {
        self.ok.inc();
        self.redis.inc();
    }

    /// How many got a kept token, and how many got one at all: never fewer.
    pub fn totals(&self) -> (u64, u64) {
        // In this order: who is counted as the former was counted as the latter before.
        let kept = self.memory.get() + self.redis.get();
        (kept, self.ok.get())
    }
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let finished = Family::default();
        registry.register("token_requests", "Token requests by stable code and partner", finished.clone());
        let hits = Family::default();
        registry.register("cache_hits", "Token requests answered from a cache tier", hits.clone());
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
        Self { finished, hits, legs, home_tokens, recalled, coalesced, renewals, refreshes }
    }
}

impl Metrics {
    /// The counters of a partner.
    pub fn served(&self, partner: &str) -> Served {
        let Requests { finished, hits, renewals, refreshes, .. } = &self.0.requests;
        for counters in [renewals, refreshes] {
            drop(counters.get_or_create(&RenewalLabels { partner: partner.to_owned(), outcome: "ok" }));
        }
        let ok = RequestLabels { code: "ok", partner: partner.to_owned() };
        let hits = |tier| hits.get_or_create_owned(&TierLabels { tier, partner: partner.to_owned() });
        Served { ok: finished.get_or_create_owned(&ok), memory: hits("memory"), redis: hits("redis") }
    }

    /// A finished token request. `partner`: an id from configuration, or empty.
    pub fn request(&self, code: &'static str, partner: &str) {
        let labels = RequestLabels { code, partner: partner.to_owned() };
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
