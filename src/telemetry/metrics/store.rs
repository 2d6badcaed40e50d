//! Where tokens are kept, and what takes them away.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, OutcomeLabels, number};

/// Outcomes of taking something back that hold at this replica only, or not at all: an alert waits for them.
const NOT_HELD: [&str; 3] = ["replicas_not_told", "store_is_away", "logout_home"];

pub(super) struct Store {
    redis: Family<OutcomeLabels, Counter>,
    redis_state: Family<StateLabels, Gauge>,
    listening: Gauge,
    memory_users: Gauge,
    memory_bytes: Gauge,
    purges: Family<PurgeLabels, Counter>,
    revocations: Family<RevocationLabels, Counter>,
    revocations_pending: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
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

impl Store {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let redis: Family<OutcomeLabels, Counter> = Family::default();
        for outcome in [RedisOutcome::Answered, RedisOutcome::Failed, RedisOutcome::Unsealable] {
            drop(redis.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }));
        }
        registry.register("redis_commands", "Commands to Redis by outcome", redis.clone());
        let redis_state = Family::default();
        registry.register("redis_state", "1 for the state that Redis is in", redis_state.clone());
        let (listening, memory_users, memory_bytes) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "listening",
            "Whether the other replicas are heard through Redis",
            listening.clone(),
        );
        registry.register("memory_users", "Users with tokens in the memory tier", memory_users.clone());
        registry.register("memory_bytes", "Bytes that the memory tier is taken for", memory_bytes.clone());
        let purges: Family<PurgeLabels, Counter> = Family::default();
        for scope in ["user", "client", "partner", "all"] {
            drop(purges.get_or_create(&PurgeLabels { scope }));
        }
        registry.register("purges", "Purges that were asked of this replica", purges.clone());
        let revocations: Family<RevocationLabels, Counter> = Family::default();
        for (by, outcome) in ["token", "logout"].into_iter().flat_map(|by| NOT_HELD.map(|it| (by, it))) {
            drop(revocations.get_or_create(&RevocationLabels { by, outcome }));
        }
        registry.register("revocations", "Revocations and logouts, by outcome", revocations.clone());
        let revocations_pending = Gauge::default();
        registry.register(
            "revocations_pending",
            "Tokens that partners are still to be told of",
            revocations_pending.clone(),
        );
        Self {
            redis,
            redis_state,
            listening,
            memory_users,
            memory_bytes,
            purges,
            revocations,
            revocations_pending,
        }
    }
}

impl Metrics {
    /// A command to Redis.
    pub fn redis(&self, outcome: RedisOutcome) {
        self.0.store.redis.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }).inc();
    }

    /// Whether Redis answers; `None`: there is none. Told when somebody asks.
    pub fn redis_answers(&self, answers: Option<bool>) {
        for (state, of) in [("answers", Some(true)), ("away", Some(false)), ("off", None)] {
            let gauge = self.0.store.redis_state.get_or_create_owned(&StateLabels { state });
            gauge.set(i64::from(answers == of));
        }
    }

    /// Whether the other replicas are heard.
    pub fn listening(&self, listens: bool) {
        self.0.store.listening.set(i64::from(listens));
    }

    /// What the memory tier holds, told when somebody asks.
    pub fn memory(&self, users: usize, bytes: u64) {
        self.0.store.memory_users.set(number(users));
        self.0.store.memory_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A purge was asked for: `user`, `client`, `partner` or `all`.
    pub fn purge(&self, scope: &'static str) {
        self.0.store.purges.get_or_create(&PurgeLabels { scope }).inc();
    }

    /// A token was given up (`token`), or somebody was signed out (`logout`).
    pub fn revocation(&self, by: &'static str, outcome: &'static str) {
        self.0.store.revocations.get_or_create(&RevocationLabels { by, outcome }).inc();
    }

    /// Tokens that partners are still to be told of, told when somebody asks.
    pub fn revocations_pending(&self, tokens: usize) {
        self.0.store.revocations_pending.set(number(tokens));
    }
}
