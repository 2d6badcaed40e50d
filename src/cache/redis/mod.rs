//! The tier that replicas share: sealed values in Redis. Every fault is a miss and a metric, never an error or a stall.

mod commands;
pub(super) mod journal;
pub mod link;
mod password;
mod sentinel;
pub mod settings;
mod unsent;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult};
use thread_local::ThreadLocal;

use super::purge::{Generation, Table};
use super::revocations::Revocation;
use super::sealing::SealingKeys;
use super::sessions;
use super::{CacheKey, CachedToken, Issued};
use crate::clock::{Clock, millis};
use crate::random;
use crate::secret::TokenRef;
use crate::telemetry::metrics::{Metrics, RedisOutcome};
use crate::telemetry::runbook::Runbook;
pub(super) use commands::{CHANNEL, Message};
use commands::{GENERATIONS, Place};
pub use link::{Connector, Link};
pub use password::Password;
pub use settings::{Deployment, RedisError, RedisSettings};
use unsent::Unsent;

/// After a fault Redis is left alone this long, and then asked by one request at a time until it answers: a dead server
/// costs one timeout a second, not one per request.
const REST: Duration = Duration::from_secs(1);

/// For whoever reads that Redis does not do what it is asked.
const AWAY: Runbook<'static> = Runbook("McxBrokerRedisAway");

/// A lock that its holder does not extend ends after this: what a replica that died leaves others waiting for.
pub(super) const LOCK_LIFE: Duration = Duration::from_secs(3);

/// Answers of a server that is well and refuses one command: full, a replica, unable to save, a value of another type.
/// What it can still do is used.
const REFUSALS: [&str; 7] = ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "WRONGTYPE", "NOPERM", "ERR"];

/// The Redis tier.
pub struct RedisTier {
    connector: Connector,
    /// One connection per thread: its own runtime drives it, and nobody is woken on another core for an answer.
    links: ThreadLocal<Slot>,
    /// Raised by each fault: a connection that was made before is not used any more. It may be one that nobody answers on,
    /// or whose login failed.
    era: AtomicU64,
    keys: SealingKeys,
    prefix: Vec<u8>,
    own_keys: bool,
    timeout: Duration,
    /// On the monotonic clock; zero: it answers.
    resting_until_millis: AtomicU64,
    unsent: Unsent,
    /// Whether there was ever a connection: before, only the listener knows whether there is anybody.
    met: AtomicBool,
    listening: AtomicBool,
    clock: Clock,
    metrics: Metrics,
}

#[derive(Default)]
struct Slot {
    link: Mutex<Option<(u64, Link)>>,
    /// Held by the one who connects; the others wait for its connection.
    connecting: tokio::sync::Mutex<()>,
}

impl Slot {
    fn link(&self, era: u64) -> Option<Link> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.as_ref().filter(|(made, link)| *made == era && !link.is_lost()).map(|(_, link)| link.clone())
    }
}

/// The right to obtain one entry, among all replicas.
#[derive(Debug)]
pub struct Lock {
    key: CacheKey,
    token: String,
}

/// What a claim came to.
#[derive(Debug)]
pub(super) struct Claimed {
    /// The entry as it was found.
    pub(super) entry: Option<CachedToken>,
    /// The lock, or how long somebody else may hold it.
    pub(super) lock: Result<Lock, Duration>,
}

impl RedisTier {
    /// From now on these keys seal and open. Keys of this process's own are not replaced: its entries are named after it.
    pub fn seal_with(&self, keys: &SealingKeys) {
        if !self.own_keys {
            self.keys.replace(keys);
        }
    }

    /// Connects when first used, so that the broker starts without Redis. `own_keys`: the keys are this process's alone,
    /// so its entries have names of their own.
    pub fn new(
        settings: &RedisSettings,
        keys: SealingKeys,
        own_keys: bool,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, RedisError> {
        let mut prefix = b"mcx:token:".to_vec();
        if own_keys {
            prefix.extend_from_slice(format!("{}:", random::id()).as_bytes());
        }
        Ok(Self {
            connector: Connector::new(settings)?,
            links: ThreadLocal::new(),
            era: AtomicU64::new(0),
            keys,
            prefix,
            own_keys,
            timeout: settings.timeout,
            resting_until_millis: AtomicU64::new(0),
            unsent: Unsent::default(),
            met: AtomicBool::new(false),
            listening: AtomicBool::new(false),
            clock,
            metrics,
        })
    }

    /// Whether it answered when it was last asked, by requests or, before any did, by the listener.
    pub fn answers(&self) -> bool {
        let met = self.met.load(Ordering::Relaxed) || self.is_listening();
        met && self.resting_until_millis.load(Ordering::Relaxed) == 0
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn unsent(&self) -> &Unsent {
        &self.unsent
    }

    /// One round trip.
    pub(super) async fn get(&self, key: &CacheKey) -> Option<CachedToken> {
        if self.unsent.concerns(&key.user) {
            return None;
        }
        let sealed: Option<Vec<u8>> = self.run(&self.place(key).get()).await?;
        self.open_or_alarm(key, sealed?)
    }

    /// `None`: there is nobody to agree with. `unseen`: nobody has looked at the entry before, so that one which does not
    /// open is told of here.
    pub(super) async fn claim(&self, key: &CacheKey, unseen: bool) -> Option<Claimed> {
        if self.unsent.concerns(&key.user) {
            return None;
        }
        let token = random::id();
        let (sealed, held_millis): (Option<Vec<u8>>, u64) =
            self.run(&self.place(key).claim(&token, millis(LOCK_LIFE))).await?;
        Some(Claimed {
            entry: sealed.and_then(|sealed| {
                if unseen {
                    self.open_or_alarm(key, sealed)
                } else {
                    CachedToken::open(&self.keys, key, sealed)
                }
            }),
            lock: match held_millis {
                0 => Ok(Lock { key: *key, token }),
                held => Err(Duration::from_millis(held)),
            },
        })
    }

    /// Whether the entry was kept; `Some(false)`: the lock was not ours any more, so the user may have been purged.
    pub(super) async fn keep(&self, lock: &Lock, token: &CachedToken, lifetime: Duration) -> Option<bool> {
        let sealed = token.seal(&self.keys, &lock.key)?;
        let command = self.place(&lock.key).keep(&lock.token, &sealed, millis(lifetime));
        self.run::<u8>(&command).await.map(|kept| kept == 1)
    }

    /// Replaces the entry while the lock is held; false: it was not replaced.
    pub(super) async fn replace(&self, lock: &Lock, token: &CachedToken) -> bool {
        let Some(sealed) = token.seal(&self.keys, &lock.key) else { return false };
        let command = self.place(&lock.key).replace(&lock.token, &sealed);
        self.run::<u8>(&command).await == Some(1)
    }

    /// As [`RedisTier::keep`], with nothing to keep.
    pub(super) async fn release(&self, lock: &Lock) -> Option<bool> {
        let command = self.place(&lock.key).release(&lock.token);
        self.run::<u8>(&command).await.map(|released| released == 1)
    }

    pub(super) async fn extend(&self, lock: &Lock) {
        self.run::<u8>(&self.place(&lock.key).extend(&lock.token, millis(LOCK_LIFE))).await;
    }

    pub(super) async fn remove(&self, key: &CacheKey) {
        self.run::<u8>(&self.place(key).remove()).await;
    }

    /// All entries of a user that open.
    pub(super) async fn entries(&self, user: &[u8; 16]) -> Vec<(CacheKey, CachedToken)> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.user_key(user));
        let fields: HashMap<Vec<u8>, Vec<u8>> = self.run(&command).await.unwrap_or_default();
        let entry = |(field, sealed): (Vec<u8>, Vec<u8>)| {
            let key = CacheKey { user: *user, entry: field.try_into().ok()? };
            Some((key, CachedToken::open(&self.keys, &key, sealed)?))
        };
        fields.into_iter().filter_map(entry).collect()
    }

    /// Notes where a token is kept; see [`Issued`].
    pub(super) async fn note_issued(&self, key: &CacheKey, token: &CachedToken, lifetime: Duration) {
        let issued = TokenRef::from(&token.access_token);
        let Some(sealed) = Issued::of(key, token).seal(&self.keys, issued) else { return };
        let mut command = redis::cmd("SET");
        command.arg(Issued::name(issued)).arg(sealed).arg("PX").arg(millis(lifetime));
        self.run::<redis::Value>(&command).await;
    }

    /// What is noted of a token. `None`: no answer.
    pub(super) async fn issued(&self, token: TokenRef<'_>) -> Option<Option<Issued>> {
        let mut command = redis::cmd("GET");
        command.arg(Issued::name(token));
        let sealed: Option<Vec<u8>> = self.run(&command).await?;
        Some(sealed.and_then(|sealed| Issued::open(&self.keys, token, sealed)))
    }

    /// Notes whose session it is.
    pub(super) async fn note_session(&self, session: [u8; 8], user: &[u8; 16], lifetime: Duration) {
        let Some(sealed) = sessions::seal(&self.keys, session, user) else { return };
        let mut command = redis::cmd("SET");
        command.arg(sessions::name(session)).arg(sealed).arg("PX").arg(millis(lifetime));
        self.run::<redis::Value>(&command).await;
    }

    /// Whose session it is, if that is noted and Redis answers.
    pub(super) async fn user_of_session(&self, session: [u8; 8]) -> Option<[u8; 16]> {
        let mut command = redis::cmd("GET");
        command.arg(sessions::name(session));
        let sealed: Option<Vec<u8>> = self.run(&command).await?;
        sessions::open(&self.keys, session, sealed?)
    }

    /// Carries out commands that a purge consists of; false: not all of them were.
    pub(super) async fn run_all(&self, commands: &[Cmd]) -> bool {
        for command in commands {
            if self.run::<redis::Value>(command).await.is_none() {
                return false;
            }
        }
        true
    }

    /// Writes the generations that are later than those `known` to Redis, and one for everything where it has none.
    pub(super) fn state_generations(table: &Table, known: &Table) -> Vec<Cmd> {
        let write = |command: &str, field: &str, generation: &Generation| {
            let mut command = redis::cmd(command);
            command.arg(GENERATIONS).arg(field).arg(generation);
            command
        };
        let there: HashMap<String, Generation> = known.fields().collect();
        let later = |(field, generation): &(String, Generation)| {
            there.get(field).is_none_or(|there| there < generation)
        };
        let later = table.fields().filter(later);
        let mut commands: Vec<Cmd> =
            later.map(|(field, generation)| write("HSET", &field, &generation)).collect();
        if table.all.max(known.all) == Generation::default() {
            // Without a time: whatever is purged later is later.
            let mut first = Generation::default();
            first[8..].copy_from_slice(&random::bytes::<8>());
            commands.push(write("HSETNX", "all", &first));
        }
        commands
    }

    pub(super) async fn read_generations(link: &mut impl ConnectionLike) -> RedisResult<Table> {
        let fields: HashMap<String, Vec<u8>> =
            redis::cmd("HGETALL").arg(GENERATIONS).query_async(link).await?;
        let mut table = Table::default();
        for (field, generation) in fields {
            let Ok(generation) = Generation::try_from(generation) else { continue };
            match field.split_once(':') {
                Some(("client", id)) => drop(table.clients.insert(id.to_owned(), generation)),
                Some(("partner", id)) => drop(table.partners.insert(id.to_owned(), generation)),
                _ => table.all = generation,
            }
        }
        Ok(table)
    }

    /// Whether only this process can open its entries, so that they have names of their own.
    pub(super) fn has_own_names(&self) -> bool {
        self.own_keys
    }

    /// Whether an error is about one command, so that the connection is good for others.
    pub(super) fn is_refusal(error: &redis::RedisError) -> bool {
        error.code().is_some_and(|code| REFUSALS.contains(&code))
    }

    /// Whether the other replicas are heard.
    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    pub(super) fn set_listening(&self, listens: bool) {
        self.listening.store(listens, Ordering::Relaxed);
        self.metrics.listening(listens);
    }

    /// Takes a user's entries away, and tells the others.
    pub(super) fn purge_user(&self, user: &[u8; 16]) -> [Cmd; 2] {
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(self.user_key(user));
        [unlink, Message::User(*user).publish()]
    }

    /// Takes one entry away, and tells the others.
    pub(super) fn purge_entry(&self, key: &CacheKey) -> [Cmd; 2] {
        [self.place(key).purge(), Message::Entry(*key).publish()]
    }

    /// Writes a revocation down, and tells the others to read.
    pub(super) fn append(revocation: &Revocation) -> [Cmd; 2] {
        [journal::append(revocation), Message::Generations.publish()]
    }

    fn open_or_alarm(&self, key: &CacheKey, sealed: Vec<u8>) -> Option<CachedToken> {
        let opened = CachedToken::open(&self.keys, key, sealed);
        if opened.is_none() {
            // Another key, or a hand in the store.
            let runbook = Runbook("McxBrokerUnsealable");
            tracing::warn!(?key, %runbook, "an entry in Redis does not open with any sealing key, or not in its place");
            self.metrics.redis(RedisOutcome::Unsealable);
        }
        opened
    }

    fn place(&self, key: &CacheKey) -> Place {
        Place::of(self.user_key(&key.user), key)
    }

    /// The braces say which part decides the Cluster slot: the user alone.
    fn user_key(&self, user: &[u8; 16]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 24);
        key.extend_from_slice(&self.prefix);
        key.push(b'{');
        let mut text = [0; 22];
        // 16 bytes are 22 characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(user, &mut text);
        key.extend_from_slice(&text);
        key.push(b'}');
        key
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        if !self.may_ask() {
            self.metrics.redis(RedisOutcome::Skipped);
            return None;
        }
        let era = self.era.load(Ordering::Acquire);
        let mut link = match self.link(era).await {
            Ok(Some(link)) => link,
            Ok(None) => {
                self.metrics.redis(RedisOutcome::Skipped);
                return None;
            }
            // No refusal, whatever it says (too many clients, for one): there is nothing that can still be used.
            Err(error) => {
                self.metrics.redis(RedisOutcome::Failed);
                self.rest(era, &fault_of(&error));
                return None;
            }
        };
        // Connecting is not a part of it: else a server so far that both fit, and together do not, would never be used.
        let answer = tokio::time::timeout(self.timeout, command.query_async(&mut link)).await;
        let fault = match answer {
            Ok(Ok(value)) => {
                self.metrics.redis(RedisOutcome::Answered);
                self.resting_until_millis.store(0, Ordering::Relaxed);
                return Some(value);
            }
            Ok(Err(error)) => fault_of(&error),
            Err(_) => "timeout".to_owned(),
        };
        self.metrics.redis(RedisOutcome::Failed);
        if REFUSALS.contains(&fault.as_str()) {
            tracing::warn!(fault, runbook = %AWAY, "Redis refuses a command; going on without it");
            self.resting_until_millis.store(0, Ordering::Relaxed);
        } else {
            self.rest(era, &fault);
        }
        // A server that was made a replica: its name, or a Sentinel, may lead to the new primary by now.
        if fault == "READONLY" {
            self.leave(era);
        }
        None
    }

    /// `None`: another request found out in the meantime that there is no connection to be had.
    async fn link(&self, era: u64) -> RedisResult<Option<Link>> {
        let slot = self.links.get_or_default();
        match slot.link(era) {
            Some(link) => Ok(Some(link)),
            // Boxed: rare, and by far the largest part of every request that looks in Redis.
            None => Box::pin(self.connect(slot, era)).await,
        }
    }

    /// The connection is made by the first who needs it, while the others wait for what comes of that.
    async fn connect(&self, slot: &Slot, era: u64) -> RedisResult<Option<Link>> {
        let Ok(_connecting) = slot.connecting.try_lock() else {
            let _connected = slot.connecting.lock().await;
            return Ok(slot.link(era));
        };
        if let Some(link) = slot.link(era) {
            return Ok(Some(link));
        }
        let link = self.connector.connect().await?;
        self.met.store(true, Ordering::Relaxed);
        *slot.link.lock().unwrap_or_else(PoisonError::into_inner) = Some((era, link.clone()));
        Ok(Some(link))
    }

    /// Leaves Redis alone for a while, unless another request noticed the same fault already.
    fn rest(&self, era: u64, fault: &str) {
        if self.leave(era) {
            tracing::warn!(fault, runbook = %AWAY, "Redis does not answer; going on without it");
            self.resting_until_millis.store(self.after_rest(), Ordering::Relaxed);
        }
    }

    /// Gives the connections of this era up; false: somebody has done so.
    fn leave(&self, era: u64) -> bool {
        self.era.compare_exchange(era, era + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
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
        millis(self.clock.monotonic())
    }

    fn after_rest(&self) -> u64 {
        self.now_millis().saturating_add(millis(REST)).max(1)
    }
}

/// The kind of an error, for the log: its text can carry what was sent.
fn fault_of(error: &redis::RedisError) -> String {
    if error.is_timeout() {
        "timeout".to_owned()
    } else if error.kind() == ErrorKind::MasterNameNotFoundBySentinel {
        "no primary of this name".to_owned()
    } else {
        error.code().unwrap_or("connection").to_owned()
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RedisTier")
    }
}
