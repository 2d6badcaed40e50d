//! Every metric in one place. Labels are codes of ours and partner ids from configuration: their number is bounded
//! whatever clients send.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds: from a local answer to the overall deadline.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// All metrics of the broker. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    hits: Family<TierLabels, Counter>,
    legs: Family<LegLabels, Histogram, fn() -> Histogram>,
    redis: Family<RedisLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: &'static str,
    partner: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TierLabels {
    tier: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LegLabels {
    leg: &'static str,
    partner: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RedisLabels {
    outcome: &'static str,
}

/// What a command to Redis came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedisOutcome {
    /// It answered.
    Answered,
    /// Error or timeout.
    Failed,
    /// Not asked, shortly after a fault.
    Skipped,
    /// An entry that no sealing key opens in its place: an alarm.
    Unsealable,
}

impl RedisOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unsealable => "unsealable",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own: several brokers can live in one process (tests, the demo).
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("mcx_broker");
        let requests = Family::default();
        registry.register("token_requests", "Token requests by stable code and partner", requests.clone());
        let hits = Family::default();
        registry.register("cache_hits", "Token requests answered from a cache tier", hits.clone());
        let legs: Family<LegLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit("leg", "Calls to identity servers by leg", Unit::Seconds, legs.clone());
        let redis = Family::default();
        registry.register("redis_commands", "Commands to Redis by outcome", redis.clone());
        Self(Arc::new(Inner { registry, requests, hits, legs, redis }))
    }

    /// A finished token request. `partner`: an id from configuration, or empty.
    pub fn request(&self, code: &'static str, partner: &str) {
        self.0.requests.get_or_create(&RequestLabels { code, partner: partner.to_owned() }).inc();
    }

    /// A request answered from a tier.
    pub fn hit(&self, tier: &'static str) {
        self.0.hits.get_or_create(&TierLabels { tier }).inc();
    }

    /// A finished leg.
    pub fn leg(&self, leg: &'static str, partner: &str, outcome: &'static str, took: Duration) {
        let labels = LegLabels { leg, partner: partner.to_owned(), outcome };
        self.0.legs.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A command to Redis.
    pub fn redis(&self, outcome: RedisOutcome) {
        self.0.redis.get_or_create(&RedisLabels { outcome: outcome.as_str() }).inc();
    }

    /// The OpenMetrics text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.0.registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}
