//! What is not of one partner: the home IdM, Redis, files, keys.

use std::time::Duration;

use serde::Serialize;

use super::super::AdminApi;
use super::super::files::{FileProblem, Files};
use super::partner::PartnerStatus;
use super::time;
use crate::clock::Timestamp;
use crate::exchange::Exchange;
use crate::home::Introspector;
use crate::idm::{BreakerState, GuardStatus};
use crate::partner::Minute;

/// How the broker does.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Status {
    pub(in crate::api) version: &'static str,
    #[serde(serialize_with = "time::serialize")]
    pub(in crate::api) now: Timestamp,
    #[serde(serialize_with = "time::serialize")]
    pub(in crate::api) started: Timestamp,
    pub(in crate::api) uptime_seconds: u64,
    /// Whether requests are taken.
    pub(in crate::api) ready: bool,
    pub(in crate::api) configuration: ConfigurationStatus,
    pub(in crate::api) home: HomeStatus,
    pub(in crate::api) redis: RedisStatus,
    pub(in crate::api) memory: MemoryStatus,
    /// Tokens that are being obtained now.
    pub(in crate::api) acquisitions: usize,
    /// Tokens that partners are still to be told of.
    pub(in crate::api) revocations_pending: usize,
    pub(in crate::api) certificates: Vec<CertificateStatus>,
    pub(in crate::api) keys: Vec<KeyStatus>,
    /// By id.
    pub(in crate::api) partners: Vec<PartnerStatus>,
}

/// How it stands with the files.
#[derive(Debug, Serialize)]
pub(in crate::api) struct ConfigurationStatus {
    /// Whether every file could be used.
    pub(in crate::api) ok: bool,
    #[serde(serialize_with = "time::serialize")]
    pub(in crate::api) read: Timestamp,
    /// Of the broker's own files; those of partners stand there.
    pub(in crate::api) problems: Vec<FileProblem>,
    /// Sections that changed, and count from the next start on.
    pub(in crate::api) restart: Vec<&'static str>,
}

/// The home IdM.
#[derive(Debug, Serialize)]
pub(in crate::api) struct HomeStatus {
    /// Whether nothing is known to be wrong with it. If something is, nobody new gets a token.
    pub(in crate::api) ok: bool,
    /// Its token endpoint.
    pub(in crate::api) token: GuardView,
    /// Its introspection endpoint, where it is asked.
    pub(in crate::api) introspection: Option<GuardView>,
    pub(in crate::api) keys: HomeKeysStatus,
}

/// The home IdM's public keys.
#[derive(Debug, Serialize)]
pub(in crate::api) struct HomeKeysStatus {
    /// `file` or `jwks_uri`.
    pub(in crate::api) source: &'static str,
    pub(in crate::api) count: usize,
    #[serde(serialize_with = "time::serialize_if_any")]
    pub(in crate::api) fetched: Option<Timestamp>,
    /// Why the last attempt to fetch them failed.
    pub(in crate::api) failure: Option<String>,
}

/// A circuit breaker, and what is under way behind it.
#[derive(Debug, Serialize)]
pub(in crate::api) struct GuardView {
    pub(in crate::api) breaker: BreakerState,
    pub(in crate::api) in_flight: usize,
    pub(in crate::api) queued: usize,
}

/// The second tier.
#[derive(Debug, Serialize)]
pub(in crate::api) struct RedisStatus {
    pub(in crate::api) state: RedisState,
    /// Whether the other replicas are heard.
    pub(in crate::api) listening: bool,
}

/// Whether it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum RedisState {
    /// There is none.
    Off,
    Connected,
    Away,
}

/// The first tier.
#[derive(Debug, Serialize)]
pub(in crate::api) struct MemoryStatus {
    pub(in crate::api) users: usize,
    pub(in crate::api) bytes: u64,
}

/// A certificate of ours.
#[derive(Debug, Serialize)]
pub(in crate::api) struct CertificateStatus {
    pub(in crate::api) named_in: String,
    #[serde(serialize_with = "time::serialize_if_any")]
    pub(in crate::api) ends: Option<Timestamp>,
    /// Whole days; zero: it has ended, or ends today.
    pub(in crate::api) days_left: Option<u64>,
}

/// A key of ours.
#[derive(Debug, Serialize)]
pub(in crate::api) struct KeyStatus {
    pub(in crate::api) named_in: String,
    pub(in crate::api) name: Option<String>,
    #[serde(serialize_with = "time::serialize_if_any")]
    pub(in crate::api) written: Option<Timestamp>,
    /// Whole days since then.
    pub(in crate::api) age_days: Option<u64>,
}

impl Status {
    /// How it stands now.
    pub(in crate::api) async fn now(api: &AdminApi) -> Self {
        let exchange = &api.exchange;
        let live = exchange.cache.live_tokens().await;
        let files = api.files.load();
        let moment = api.clock.moment();
        let partners: Vec<PartnerStatus> = files
            .partners
            .iter()
            .map(|listed| PartnerStatus::of(listed, live.as_deref(), moment.monotonic))
            .collect();
        let (users, bytes) = exchange.cache.memory_size();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: moment.wall,
            started: api.started,
            uptime_seconds: api.started.until(moment.wall).as_secs(),
            ready: api.readiness.is_ready(),
            configuration: ConfigurationStatus::of(&files),
            home: HomeStatus::of(exchange, moment.wall, moment.monotonic),
            redis: RedisStatus::of(exchange),
            memory: MemoryStatus { users, bytes },
            acquisitions: exchange.under_way(),
            revocations_pending: exchange.revocations_pending(),
            certificates: CertificateStatus::all(&files, moment.wall),
            keys: KeyStatus::all(&files, moment.wall),
            partners,
        }
    }

    /// Partners that somebody should look at.
    pub(in crate::api) fn to_look_at(&self) -> usize {
        self.partners.iter().filter(|partner| partner.needs_attention).count()
    }

    /// All partners' requests of the last hour.
    pub(in crate::api) fn hour(&self) -> Minute {
        let minutes = self.partners.iter().flat_map(|partner| &partner.hour);
        minutes.fold(Minute::default(), |sum, minute| sum.plus(minute))
    }
}

impl ConfigurationStatus {
    fn of(files: &Files) -> Self {
        let partners_ok = files.partners.iter().all(|partner| partner.problems.is_empty());
        Self {
            ok: partners_ok && files.problems.is_empty(),
            read: files.read_at,
            problems: files.problems.clone(),
            restart: files.restart.clone(),
        }
    }
}

impl HomeStatus {
    fn of(exchange: &Exchange, now: Timestamp, monotonic: Duration) -> Self {
        let introspector = exchange.subject_tokens.introspector().map(Introspector::guard);
        let keys = exchange.subject_tokens.keys().state(monotonic);
        let token: GuardView = exchange.security_tokens.guard().status().into();
        let introspection: Option<GuardView> = introspector.map(|guard| guard.status().into());
        let guards = [Some(&token), introspection.as_ref()];
        let is_paused = guards.into_iter().flatten().any(|guard| guard.breaker == BreakerState::Open);
        Self {
            ok: keys.failure.is_none() && !is_paused,
            token,
            introspection,
            keys: HomeKeysStatus {
                source: keys.source,
                count: keys.keys,
                fetched: keys.age.map(|age| now.minus(age)),
                failure: keys.failure,
            },
        }
    }
}

impl From<GuardStatus> for GuardView {
    fn from(status: GuardStatus) -> Self {
        let GuardStatus { breaker, in_flight, queued } = status;
        Self { breaker, in_flight, queued }
    }
}

impl RedisStatus {
    fn of(exchange: &Exchange) -> Self {
        let state = match exchange.cache.redis_answers() {
            None => RedisState::Off,
            Some(true) => RedisState::Connected,
            Some(false) => RedisState::Away,
        };
        Self { state, listening: exchange.cache.hears_purges() }
    }
}

impl CertificateStatus {
    fn all(files: &Files, now: Timestamp) -> Vec<Self> {
        let status = |certificate: &super::super::files::Certificate| Self {
            named_in: certificate.named_in.clone(),
            ends: certificate.ends,
            days_left: certificate.ends.map(|ends| days(now.until(ends))),
        };
        files.certificates.iter().map(status).collect()
    }
}

impl KeyStatus {
    fn all(files: &Files, now: Timestamp) -> Vec<Self> {
        let status = |key: &super::super::files::Key| Self {
            named_in: key.named_in.clone(),
            name: key.name.clone(),
            written: key.written,
            age_days: key.written.map(|written| days(written.until(now))),
        };
        files.keys.iter().map(status).collect()
    }
}

const fn days(duration: Duration) -> u64 {
    duration.as_secs() / (24 * 60 * 60)
}
