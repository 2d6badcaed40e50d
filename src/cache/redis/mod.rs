//! The tier that replicas share: sealed values in Redis. Every fault is a miss and a metric, never an error or a stall.

pub mod link;
mod sentinel;
pub mod settings;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
pub use link::{Connector, Link};
use redis::{Cmd, ErrorKind, FromRedisValue};
pub use settings::{Deployment, RedisError, RedisSettings};
use tokio::sync::Mutex;

use super::sealing::SealingKeys;
use super::{CacheKey, CachedToken};
use crate::clock::Clock;
use crate::telemetry::metrics::{Metrics, RedisOutcome};

/// After a fault Redis is left alone this long, and then asked by one request at a time until it answers: a dead server
/// costs one timeout a second, not one per request.
const REST: Duration = Duration::from_secs(1);

/// Answers of a server that is well and refuses one command: full, a replica, unable to save, a value of another type.
/// What it can still do is used.
const REFUSALS: [&str; 5] = ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "WRONGTYPE"];

/// The Redis tier.
pub struct RedisTier {
    connector: Connector,
    /// Made when first needed, and let go after each fault: it never reconnects.
    link: ArcSwapOption<Link>,
    /// Held by who connects.
    connecting: Mutex<()>,
    keys: SealingKeys,
    timeout: Duration,
    /// On the monotonic clock; zero: it answers.
    resting_until_millis: AtomicU64,
    clock: Clock,
    metrics: Metrics,
}

impl RedisTier {
    /// Connects when first used, so that the broker starts without Redis.
    pub fn new(
        settings: &RedisSettings,
        keys: SealingKeys,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, RedisError> {
        Ok(Self {
            connector: Connector::new(settings)?,
            link: ArcSwapOption::empty(),
            connecting: Mutex::new(()),
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
        let mut used = None;
        let outcome = tokio::time::timeout(self.timeout, self.ask(command, &mut used)).await;
        // The text of a Redis error can carry what was sent, so only its kind is logged.
        let fault = match outcome {
            Ok(Ok(Some(value))) => {
                self.metrics.redis(RedisOutcome::Answered);
                self.resting_until_millis.store(0, Ordering::Relaxed);
                return Some(value);
            }
            Ok(Ok(None)) => {
                self.metrics.redis(RedisOutcome::Skipped);
                return None;
            }
            Ok(Err(error)) if error.is_timeout() => "timeout".to_owned(),
            Ok(Err(error)) if error.kind() == ErrorKind::MasterNameNotFoundBySentinel => {
                "no primary of this name".to_owned()
            }
            Ok(Err(error)) => error.code().unwrap_or("connection").to_owned(),
            Err(_) => "timeout".to_owned(),
        };
        self.metrics.redis(RedisOutcome::Failed);
        if REFUSALS.contains(&fault.as_str()) {
            tracing::warn!(fault, "Redis refuses a command; going on without it");
            self.resting_until_millis.store(0, Ordering::Relaxed);
        } else {
            self.rest(used.as_ref(), &fault);
        }
        // A server that was made a replica: its name, or a Sentinel, may lead to the new primary by now.
        if fault == "READONLY" {
            self.let_go(used.as_ref());
        }
        None
    }

    /// `None`: another request found out in the meantime that there is no connection to be had. Tells by `used` on
    /// which link it failed, also to who gives up waiting.
    async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        used: &mut Option<Arc<Link>>,
    ) -> redis::RedisResult<Option<T>> {
        let Some(link) = self.link().await? else { return Ok(None) };
        let mut connection = Link::clone(used.insert(link));
        command.query_async(&mut connection).await.map(Some)
    }

    /// The link; made by the first who needs it, while the others wait for what comes of that.
    async fn link(&self) -> redis::RedisResult<Option<Arc<Link>>> {
        let present = || self.link.load_full().filter(|link| !link.is_lost());
        if let Some(link) = present() {
            return Ok(Some(link));
        }
        let Ok(_connecting) = self.connecting.try_lock() else {
            let _connected = self.connecting.lock().await;
            return Ok(present());
        };
        if let Some(link) = present() {
            return Ok(Some(link));
        }
        self.link.store(None);
        let link = Arc::new(self.connector.connect().await?);
        self.link.store(Some(Arc::clone(&link)));
        Ok(Some(link))
    }

    /// Leaves Redis alone for a while and lets go of the link, unless another request that shared it did so already.
    fn rest(&self, used: Option<&Arc<Link>>, fault: &str) {
        if self.let_go(used) {
            tracing::warn!(fault, "Redis does not answer; going on without it");
            self.resting_until_millis.store(self.after_rest(), Ordering::Relaxed);
        }
    }

    /// `false`: `used` is not what is in place any more.
    fn let_go(&self, used: Option<&Arc<Link>>) -> bool {
        let used = used.cloned();
        let before = self.link.compare_and_swap(&used, None);
        before.as_ref().map(Arc::as_ptr) == used.as_ref().map(Arc::as_ptr)
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
