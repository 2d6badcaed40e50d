//! The tier that replicas share: sealed values in Redis. Every fault is a miss and a metric, never an error or a stall.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

use super::sealing::SealingKeys;
use super::{CacheKey, CachedToken};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::telemetry::metrics::{Metrics, RedisOutcome};

/// After a fault Redis is left alone this long, and then asked by one request at a time until it answers: a dead server
/// costs one timeout a second, not one per request.
const REST: Duration = Duration::from_secs(1);

/// Answers of a server that is well and refuses one command: full, a replica, unable to save, a value of another type.
/// What it can still do is used.
const REFUSALS: [&str; 5] = ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "WRONGTYPE"];

/// How to reach Redis.
#[derive(Debug)]
pub struct RedisSettings {
    /// `redis://` or `rediss://`, with the database and optionally an ACL user.
    pub url: Secret,
    /// The password, when it is not in the URL.
    pub password: Option<Secret>,
    /// PEM certificates trusted for `rediss://` instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// For connecting, and for each command.
    pub timeout: Duration,
}

/// A URL that is not one of Redis, or TLS that cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Redis URL (redis://[user[:password]@]host[:port][/db], rediss:// for TLS)")]
pub struct RedisError;

/// The Redis tier.
pub struct RedisTier {
    client: Client,
    config: ConnectionManagerConfig,
    /// Replaced after each fault. The manager on its own keeps for ever a connection that nobody answers on any more,
    /// and the error of a login that failed once.
    connection: ArcSwap<ConnectionManager>,
    keys: SealingKeys,
    timeout: Duration,
    /// On the monotonic clock; zero: it answers.
    resting_until_millis: AtomicU64,
    clock: Clock,
    metrics: Metrics,
}

impl RedisTier {
    /// Connects when first used, so that the broker starts without Redis. Must be called within a tokio runtime.
    pub fn new(
        settings: RedisSettings,
        keys: SealingKeys,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, RedisError> {
        let info = settings.url.expose().into_connection_info().map_err(|_| RedisError)?;
        // RESP3: on RESP2 the first command after an idle connection was killed fails.
        let mut redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if let Some(password) = &settings.password {
            redis = redis.set_password(password.expose());
        }
        let info = info.set_redis_settings(redis);
        let client = match settings.ca_pem {
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
                Client::build_with_tls(info, certificates).map_err(|_| RedisError)?
            }
            None => Client::open(info).map_err(|_| RedisError)?,
        };
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())
            .map_err(|_| RedisError)?;
        Ok(Self {
            client,
            config,
            connection: ArcSwap::from_pointee(connection),
            keys,
            timeout: settings.timeout,
            resting_until_millis: AtomicU64::new(0),
            clock,
            metrics,
        })
    }

    /// Whether it answered when it was last asked.
    pub fn answers(&self) -> bool {
        self.resting_until_millis.load(Ordering::Relaxed) == 0
    }

    pub(super) async fn get(&self, key: &CacheKey) -> Option<CachedToken> {
        let sealed: Option<Vec<u8>> = self.run(&Cmd::get(key.redis_key())).await?;
        let sealed = sealed?;
        let opened = self.keys.open(key, &sealed).and_then(|plain| CachedToken::from_bytes(&plain));
        if opened.is_none() {
            // Another key, or a hand in the store.
            tracing::warn!(?key, "an entry in Redis does not open with any sealing key, or not in its place");
            self.metrics.redis(RedisOutcome::Unsealable);
        }
        opened
    }

    pub(super) async fn put(&self, key: &CacheKey, token: &CachedToken, lifetime: Duration) {
        let sealed = token.to_bytes().and_then(|plain| self.keys.seal(key, &plain));
        let Some(sealed) = sealed else { return };
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        self.run::<()>(&Cmd::pset_ex(key.redis_key(), sealed, millis)).await;
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        if !self.may_ask() {
            self.metrics.redis(RedisOutcome::Skipped);
            return None;
        }
        let used = self.connection.load_full();
        let mut connection = ConnectionManager::clone(&used);
        let outcome = tokio::time::timeout(self.timeout, command.query_async(&mut connection)).await;
        // The text of a Redis error can carry what was sent, so only its kind is logged.
        let fault = match outcome {
            Ok(Ok(value)) => {
                self.metrics.redis(RedisOutcome::Answered);
                self.resting_until_millis.store(0, Ordering::Relaxed);
                return Some(value);
            }
            Ok(Err(error)) => error.code().unwrap_or("connection").to_owned(),
            Err(_) => "timeout".to_owned(),
        };
        self.metrics.redis(RedisOutcome::Failed);
        if REFUSALS.contains(&fault.as_str()) {
            tracing::warn!(fault, "Redis refuses a command; going on without it");
            self.resting_until_millis.store(0, Ordering::Relaxed);
        } else {
            self.rest(&used, &fault);
        }
        // A server that was made a replica: its name may lead to the new primary by now.
        if fault == "READONLY" {
            self.renew(&used);
        }
        None
    }

    /// Leaves Redis alone for a while and drops the connection, unless another request that shared it did so already.
    fn rest(&self, used: &Arc<ConnectionManager>, fault: &str) {
        if self.renew(used) {
            tracing::warn!(fault, "Redis does not answer; going on without it");
            self.resting_until_millis.store(self.after_rest(), Ordering::Relaxed);
        }
    }

    /// Puts a connection that is made when first used into the place of `used`; `false`: it was not there any more.
    fn renew(&self, used: &Arc<ConnectionManager>) -> bool {
        let fresh = ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone());
        fresh.is_ok_and(|fresh| Arc::ptr_eq(&self.connection.compare_and_swap(used, Arc::new(fresh)), used))
    }

    /// Whether this request asks Redis. After a rest only one does, to see whether it is back.
    fn may_ask(&self) -> bool {
        let until = self.resting_until_millis.load(Ordering::Relaxed);
        let claim = |until| {
            let (next, order) = (self.after_rest(), Ordering::Relaxed);
            self.resting_until_millis.compare_exchange(until, next, order, order).is_ok()
        };
        until == 0 || (self.now_millis() >= until && claim(until))
    }

    fn now_millis(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn after_rest(&self) -> u64 {
        let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        self.now_millis().saturating_add(rest)
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RedisTier")
    }
}
