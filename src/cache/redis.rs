//! The tier that replicas share: sealed values in Redis. Every fault is a miss and a metric, never an error or a stall.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

use super::sealing::SealingKeys;
use super::{CacheKey, CachedToken};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::telemetry::metrics::{Metrics, RedisOutcome};

/// After a fault Redis is left alone this long: a dead server costs one timeout, not one per request.
const REST: Duration = Duration::from_secs(1);

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
    connection: ConnectionManager,
    keys: SealingKeys,
    timeout: Duration,
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
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(100));
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(|_| RedisError)?;
        let resting_until_millis = AtomicU64::new(0);
        Ok(Self { connection, keys, timeout: settings.timeout, resting_until_millis, clock, metrics })
    }

    /// Whether it answered when it was last asked.
    pub fn answers(&self) -> bool {
        !self.is_resting()
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
        let Some(sealed) = self.keys.seal(key, &token.to_bytes()) else { return };
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        self.run::<()>(&Cmd::pset_ex(key.redis_key(), sealed, millis)).await;
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        if self.is_resting() {
            self.metrics.redis(RedisOutcome::Skipped);
            return None;
        }
        let mut connection = self.connection.clone();
        let outcome = tokio::time::timeout(self.timeout, command.query_async(&mut connection)).await;
        match outcome {
            Ok(Ok(value)) => {
                self.metrics.redis(RedisOutcome::Answered);
                Some(value)
            }
            Ok(Err(error)) => self.fault(error.code().unwrap_or("connection")),
            Err(_) => self.fault("timeout"),
        }
    }

    /// The text of a Redis error can carry what was sent, so only its kind is logged.
    fn fault<T>(&self, kind: &str) -> Option<T> {
        tracing::warn!(kind, "Redis does not answer; going on without it");
        self.metrics.redis(RedisOutcome::Failed);
        let until = self.clock.monotonic() + REST;
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.resting_until_millis.store(millis, Ordering::Relaxed);
        None
    }

    fn is_resting(&self) -> bool {
        let until = Duration::from_millis(self.resting_until_millis.load(Ordering::Relaxed));
        self.clock.monotonic() < until
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RedisTier")
    }
}
