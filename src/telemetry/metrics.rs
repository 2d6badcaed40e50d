//! Every metric in one place. Labels are codes of ours and partner ids from configuration: their number is bounded
//! whatever clients send.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
    redis: Family<OutcomeLabels, Counter>,
    verified: Family<SourceLabels, Counter>,
    /// Resolved: asked for on every request.
    recalled: Counter,
    coalesced: Counter,
    renewals: Family<RenewalLabels, Counter>,
    refreshes: Family<RenewalLabels, Counter>,
    purges: Family<PurgeLabels, Counter>,
    revocations: Family<RevocationLabels, Counter>,
    listening: Gauge,
    revocations_pending: Gauge,
    memory_users: Gauge,
    memory_bytes: Gauge,
    audit_lost: Counter,
    breakers: Family<IdmLabels, Gauge>,
    in_flight: Family<IdmLabels, Gauge>,
    queued: Family<IdmLabels, Gauge>,
    shed: Family<ShedLabels, Counter>,
    retries: Family<IdmLabels, Counter>,
    reloads: Family<OutcomeLabels, Counter>,
    files_ok: Gauge,
}

/// What is counted of one identity server's guard, resolved once.
#[derive(Debug, Clone)]
pub struct Guarded {
    open: Gauge,
    in_flight: Gauge,
    queued: Gauge,
    paused: Counter,
    overloaded: Counter,
    retries: Counter,
}

impl Guarded {
    /// Its circuit breaker opened, or closed.
    pub fn opened(&self, open: bool) {
        self.open.set(i64::from(open));
    }

    /// Calls under way, and calls that wait: told when somebody asks.
    pub fn load(&self, in_flight: usize, queued: usize) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(number(in_flight));
        self.queued.set(number(queued));
    }

    /// A call was not made because the breaker is open.
    pub fn paused(&self) {
        self.paused.inc();
    }

    /// A call was not made because too many are waiting.
    pub fn overloaded(&self) {
        self.overloaded.inc();
    }

    /// A call is made again.
    pub fn retried(&self) {
        self.retries.inc();
    }
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
struct SourceLabels {
    source: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenewalLabels {
    partner: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurgeLabels {
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RevocationLabels {
    by: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IdmLabels {
    idm: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    idm: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LegLabels {
    leg: &'static str,
    partner: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
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
        let verified: Family<SourceLabels, Counter> = Family::default();
        let recalled = verified.get_or_create_owned(&SourceLabels { source: "remembered" });
        registry.register(
            "verified_tokens",
            "Home tokens by how their signature was verified",
            verified.clone(),
        );
        let coalesced = Counter::default();
        registry.register(
            "coalesced_requests",
            "Requests that waited for a token that another one obtained",
            coalesced.clone(),
        );
        let (renewals, refreshes) = (Family::default(), Family::default());
        registry.register("renewals", "Tokens renewed ahead of their end, by outcome", renewals.clone());
        registry.register("refreshes", "Uses of a partner's refresh token, by outcome", refreshes.clone());
        let purges = Family::default();
        registry.register("purges", "Purges that were asked of this replica", purges.clone());
        let revocations = Family::default();
        registry.register("revocations", "Revocations and logouts, by outcome", revocations.clone());
        let revocations_pending = Gauge::default();
        registry.register(
            "revocations_pending",
            "Tokens that partners are still to be told of",
            revocations_pending.clone(),
        );
        let (listening, memory_users, memory_bytes) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "listening",
            "Whether the other replicas are heard through Redis",
            listening.clone(),
        );
        registry.register("memory_users", "Users with tokens in the memory tier", memory_users.clone());
        registry.register("memory_bytes", "Bytes that the memory tier is taken for", memory_bytes.clone());
        let audit_lost = Counter::default();
        registry.register(
            "audit_lost_records",
            "Audit records that could not be written",
            audit_lost.clone(),
        );
        let (breakers, in_flight, queued) = (Family::default(), Family::default(), Family::default());
        registry.register(
            "breaker_open",
            "Whether an identity server's circuit breaker is open",
            breakers.clone(),
        );
        registry.register("calls_in_flight", "Calls to an identity server under way", in_flight.clone());
        registry.register(
            "calls_queued",
            "Calls to an identity server waiting for their turn",
            queued.clone(),
        );
        let (shed, retries) = (Family::default(), Family::default());
        registry.register("calls_shed", "Calls to an identity server that were not made", shed.clone());
        registry.register("call_retries", "Calls to an identity server made again", retries.clone());
        let (reloads, files_ok) = (Family::default(), Gauge::default());
        registry.register("reloads", "Times that the configuration's files were read again", reloads.clone());
        registry.register(
            "configuration_ok",
            "Whether every file was usable when it was last read",
            files_ok.clone(),
        );
        files_ok.set(1);
        Self(Arc::new(Inner {
            registry,
            requests,
            hits,
            legs,
            redis,
            verified,
            recalled,
            coalesced,
            renewals,
            refreshes,
            purges,
            revocations,
            listening,
            revocations_pending,
            memory_users,
            memory_bytes,
            audit_lost,
            breakers,
            in_flight,
            queued,
            shed,
            retries,
            reloads,
            files_ok,
        }))
    }

    /// An identity server that is called no more has no breaker and no load.
    pub fn unguarded(&self, idm: &str) {
        let labels = IdmLabels { idm: idm.to_owned() };
        let Inner { breakers, in_flight, queued, .. } = &*self.0;
        for gauge in [breakers, in_flight, queued] {
            gauge.remove(&labels);
        }
    }

    /// The files were read again; whether all were usable.
    pub fn reloaded(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.0.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
        self.0.files_ok.set(i64::from(ok));
    }

    /// The counters of a partner.
    pub fn served(&self, partner: &str) -> Served {
        let ok = RequestLabels { code: "ok", partner: partner.to_owned() };
        let hits = |tier| self.0.hits.get_or_create_owned(&TierLabels { tier, partner: partner.to_owned() });
        Served { ok: self.0.requests.get_or_create_owned(&ok), memory: hits("memory"), redis: hits("redis") }
    }

    /// What is counted of the guard of one identity server; `idm`: from configuration.
    pub fn guarded(&self, idm: &str) -> Guarded {
        let (inner, labels) = (&self.0, IdmLabels { idm: idm.to_owned() });
        let shed = |reason| inner.shed.get_or_create_owned(&ShedLabels { idm: idm.to_owned(), reason });
        Guarded {
            open: inner.breakers.get_or_create_owned(&labels),
            in_flight: inner.in_flight.get_or_create_owned(&labels),
            queued: inner.queued.get_or_create_owned(&labels),
            paused: shed("breaker_open"),
            overloaded: shed("overloaded"),
            retries: inner.retries.get_or_create_owned(&labels),
        }
    }

    /// A home token was verified, or remembered to have been.
    pub fn home_token(&self, remembered: bool) {
        if remembered {
            self.0.recalled.inc();
        } else {
            self.0.verified.get_or_create(&SourceLabels { source: "verified" }).inc();
        }
    }

    /// A request waited for what another one obtained.
    pub fn coalesced(&self) {
        self.0.coalesced.inc();
    }

    /// A renewal ahead of a token's end.
    pub fn renewal(&self, partner: &str, outcome: &'static str) {
        self.0.renewals.get_or_create(&RenewalLabels { partner: partner.to_owned(), outcome }).inc();
    }

    /// A partner's refresh token was used.
    pub fn refresh(&self, partner: &str, outcome: &'static str) {
        self.0.refreshes.get_or_create(&RenewalLabels { partner: partner.to_owned(), outcome }).inc();
    }

    /// A purge was asked for: `user`, `client`, `partner` or `all`.
    pub fn purge(&self, scope: &'static str) {
        self.0.purges.get_or_create(&PurgeLabels { scope }).inc();
    }

    /// A token was given up (`token`), or somebody was signed out (`logout`).
    pub fn revocation(&self, by: &'static str, outcome: &'static str) {
        self.0.revocations.get_or_create(&RevocationLabels { by, outcome }).inc();
    }

    /// Tokens that partners are still to be told of, told when somebody asks.
    pub fn revocations_pending(&self, tokens: usize) {
        self.0.revocations_pending.set(i64::try_from(tokens).unwrap_or(i64::MAX));
    }

    /// Whether the other replicas are heard.
    pub fn listening(&self, listens: bool) {
        self.0.listening.set(i64::from(listens));
    }

    /// What the memory tier holds, told when somebody asks.
    pub fn memory(&self, users: usize, bytes: u64) {
        self.0.memory_users.set(i64::try_from(users).unwrap_or(i64::MAX));
        self.0.memory_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Audit records that were lost.
    pub fn audit_lost(&self, records: u64) {
        self.0.audit_lost.inc_by(records);
    }

    /// A finished token request. `partner`: an id from configuration, or empty.
    pub fn request(&self, code: &'static str, partner: &str) {
        self.0.requests.get_or_create(&RequestLabels { code, partner: partner.to_owned() }).inc();
    }

    /// A finished leg.
    pub fn leg(&self, leg: &'static str, partner: &str, outcome: &'static str, took: Duration) {
        let labels = LegLabels { leg, partner: partner.to_owned(), outcome };
        self.0.legs.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A command to Redis.
    pub fn redis(&self, outcome: RedisOutcome) {
        self.0.redis.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }).inc();
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
