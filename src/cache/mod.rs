//! Partner tokens, kept per user until they must not be: two tiers behind one type. A Redis fault is a miss, never an error.
//!
//! What is taken away stays away. A [`Fence`] is raised before something is fetched or obtained, and what was purged since
//! is not kept; in Redis the same is done by the lock of who obtains it, which a purge takes too.

pub mod entry;
mod issued;
mod listener;
mod live;
mod memory;
pub mod purge;
pub mod redis;
pub mod revocations;
pub mod sealing;
mod sessions;
mod signals;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

pub use entry::{CacheKey, CachedToken, FurtherTokens, Issue, Lifetimes};
pub use issued::Issued;
pub use listener::listen;
pub use live::LiveTokens;
pub use memory::Kept;
use memory::MemoryTier;
pub use purge::{Fence, Purge};
use purge::{Generations, Marks};
pub use redis::{Deployment, Lock, Password, RedisError, RedisSettings, RedisTier};
pub use revocations::{Presented, Revocation, Revocations, Revoked};
pub use sealing::{SealingError, SealingKeys};
use signals::Signals;

use crate::clock::{Clock, Moment};
use crate::secret::{Token, TokenRef};

/// More entries of one user than partners, clients and sets of scopes make: then it begins anew, so that a client that
/// asks for every combination of scopes fills nothing.
const MAX_ENTRIES_OF_A_USER: usize = 64;
/// While another replica obtains a token it is looked at this often, should the news of it get lost.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Limits of the cache.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Bytes of tokens in memory.
    pub memory_bytes: u64,
    /// Entries in memory older than this are asked for in Redis again, so that another replica's purge is seen even if
    /// the news of it got lost; `None`: there is no other replica; zero: nothing is kept in memory.
    pub memory_max_age: Option<Duration>,
    /// How long tokens are served and kept.
    pub lifetimes: Lifetimes,
}

/// Where a token was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// In this process.
    Memory,
    /// In Redis.
    Redis,
}

/// Redis, which would know, does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisIsAway;

/// The two tiers.
#[derive(Debug)]
pub struct TokenCache {
    lifetimes: Lifetimes,
    memory: MemoryTier,
    redis: Option<RedisTier>,
    generations: Generations,
    marks: Marks,
    revocations: Revocations,
    signals: Signals,
    /// Held by who looks through the whole memory.
    searching: Arc<tokio::sync::Mutex<()>>,
    /// Held by who counts what is there.
    counting: Arc<tokio::sync::Mutex<Option<live::Counted>>>,
    /// Whether the generations of the other replicas were asked for.
    settled: AtomicBool,
    settling: Notify,
    clock: Clock,
}

/// Who obtains a token that is not there.
#[derive(Debug)]
pub enum Claim {
    /// Another replica did meanwhile.
    Filled(Kept),
    /// We, and nobody else on any replica. The token that was kept before, whatever is left of it.
    Ours(Option<Lock>, Option<Kept>),
    /// We, and perhaps others: there is no agreeing with them. What others may be using is not touched.
    Alone,
}

impl TokenCache {
    /// `redis`: absent, the cache is this process's memory alone.
    pub fn new(settings: &CacheSettings, redis: Option<RedisTier>, clock: Clock) -> Self {
        let lifetimes = settings.lifetimes;
        let memory =
            MemoryTier::new(settings.memory_bytes, settings.memory_max_age, lifetimes, clock.clone());
        Self {
            lifetimes,
            memory,
            settled: AtomicBool::new(redis.is_none()),
            settling: Notify::new(),
            redis,
            generations: Generations::default(),
            marks: Marks::default(),
            revocations: Revocations::default(),
            signals: Signals::default(),
            searching: Arc::default(),
            counting: Arc::default(),
            clock,
        }
    }

    /// Whether the generations that go into keys are those of all replicas, or could not be had.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Waits until they are, no longer than Redis may take to answer.
    pub async fn settle(&self) {
        let told = self.settling.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        if self.is_settled() {
            return;
        }
        let longest = self.redis.as_ref().map_or(Duration::ZERO, |redis| redis.timeout() * 3);
        let _ = tokio::time::timeout(longest, told).await;
        self.mark_settled();
    }

    fn mark_settled(&self) {
        self.settled.store(true, Ordering::Release);
        self.settling.notify_waiters();
    }

    /// What goes into the keys of one client's tokens for one partner: replaced by a purge of either, or of everything.
    pub fn generations(&self, client: &str, partner: &str) -> [[u8; 16]; 3] {
        self.generations.of(client, partner)
    }

    /// To be raised before a token is obtained.
    pub fn fence(&self) -> Fence {
        self.marks.fence()
    }

    /// The token in memory, if it can be served.
    pub fn recall(&self, key: &CacheKey, now: Moment) -> Option<Kept> {
        self.memory.get(key, now)
    }

    /// The token in Redis, if it can be served.
    pub async fn fetch(&self, key: &CacheKey) -> Option<Kept> {
        let redis = self.redis.as_ref()?;
        let fence = self.fence();
        let token = redis.get(key).await?;
        self.found(key, token, fence)
    }

    /// Something that was found in Redis goes into memory, if it is good.
    fn found(&self, key: &CacheKey, token: CachedToken, fence: Fence) -> Option<Kept> {
        let now = self.clock.now();
        if self.lifetimes.served(&token, now).is_zero() {
            return None;
        }
        self.memory.put(key, token, now, || self.marks.allow(&key.user, fence))
    }

    /// Agrees with the other replicas on who obtains a token, and waits for whoever does. `than`: only a token that was
    /// obtained later will do. To be bounded by the caller.
    pub async fn claim(&self, key: &CacheKey, than: Option<&CachedToken>) -> Claim {
        let newer = |token: &CachedToken| than.is_none_or(|old| token.obtained_at > old.obtained_at);
        let Some(redis) = &self.redis else {
            // Who had the turn before may have brought it.
            return match self.recall(key, self.clock.moment()).filter(|token| newer(token)) {
                Some(token) => Claim::Filled(token),
                None => Claim::Ours(None, self.memory.last(key)),
            };
        };
        let waiting = self.signals.wait(key.entry);
        loop {
            let told = waiting.told();
            tokio::pin!(told);
            told.as_mut().enable();
            let fence = self.fence();
            let Some(claimed) = redis.claim(key, than.is_some()).await else { return Claim::Alone };
            let entry = claimed.entry;
            let newer_one = entry.clone().filter(|token| newer(token));
            match (newer_one.and_then(|token| self.found(key, token, fence)), claimed.lock) {
                (Some(token), lock) => {
                    self.give_up(lock.as_ref().ok()).await;
                    return Claim::Filled(token);
                }
                (None, Ok(lock)) => return Claim::Ours(Some(lock), entry.map(Kept::nowhere)),
                (None, Err(held)) => {
                    let _ = tokio::time::timeout(held.min(LONGEST_WAIT), told).await;
                }
            }
        }
    }

    /// Does work that a lock was taken for, and holds it meanwhile.
    pub async fn while_locked<T>(&self, lock: Option<&Lock>, work: impl Future<Output = T>) -> T {
        let (Some(redis), Some(lock)) = (&self.redis, lock) else { return work.await };
        tokio::pin!(work);
        loop {
            let hold = async {
                tokio::time::sleep(redis::LOCK_LIFE / 3).await;
                redis.extend(lock).await;
            };
            // Side by side: a Redis that does not answer holds nobody up.
            tokio::select! {
                outcome = &mut work => return outcome,
                () = hold => {}
            }
        }
    }

    /// Gives a refresh token up before it is used, so that nobody else finds it afterwards: used twice it is taken for
    /// stolen, even if the second one only did not hear of the first. False: it must not be used.
    pub async fn spend_refresh_token(&self, lock: Option<&Lock>, last: &CachedToken) -> bool {
        let Some(redis) = &self.redis else { return true };
        let Some(lock) = lock else { return false };
        let mut spent = last.clone();
        if let Some(further) = &mut spent.further {
            further.kept_refresh_token = None;
        }
        redis.replace(lock, &spent).await
    }

    /// Keeps what was obtained since `fence`, in Redis first: a refresh token that replaced another is written down before
    /// its access token is used. `None`: the user was purged meanwhile, or, as far as can be told, may have been: the lock
    /// was not ours any more. The token must not be used. `handles`: the session and the account that have obtained it.
    pub async fn keep(
        &self,
        key: &CacheKey,
        token: CachedToken,
        handles: [Option<[u8; 8]>; 2],
        fence: Fence,
        lock: Option<&Lock>,
    ) -> Option<Kept> {
        let now = self.clock.now();
        let lifetime = self.lifetimes.kept(&token, now);
        if lifetime.is_zero() {
            let may_be_purged = !self.give_up(lock).await || !self.marks.allow(&key.user, fence);
            return (!may_be_purged).then(|| Kept::nowhere(token));
        }
        if let (Some(redis), Some(lock)) = (&self.redis, lock) {
            // Side by side: one round trip's time.
            let noted_for = lifetime.max(now.until(token.expires_at));
            let noted = redis.note_issued(key, &token, noted_for);
            let note = async |handle: Option<[u8; 8]>| {
                if let Some(handle) = handle {
                    redis.note_session(handle, &key.user, noted_for).await;
                }
            };
            let [session, account] = handles;
            let kept = redis.keep(lock, &token, lifetime);
            let (kept, (), (), ()) = tokio::join!(kept, noted, note(session), note(account));
            if kept == Some(false) {
                return None;
            }
        }
        self.memory.put(key, token, now, || self.marks.allow(&key.user, fence))
    }

    /// The user for whom a session has obtained tokens, at whichever replica.
    pub async fn user_of_session(&self, session: [u8; 8]) -> Option<[u8; 16]> {
        self.redis.as_ref()?.user_of_session(session).await
    }

    /// Gives a lock back without a token; false: it was not ours any more.
    pub async fn give_up(&self, lock: Option<&Lock>) -> bool {
        match (&self.redis, lock) {
            (Some(redis), Some(lock)) => redis.release(lock).await != Some(false),
            _ => true,
        }
    }

    /// Takes one entry away, here and in Redis. Other replicas serve theirs until it is as old as it may get.
    pub async fn remove(&self, key: &CacheKey) {
        self.memory.remove(key);
        if let Some(redis) = &self.redis {
            redis.remove(key).await;
        }
    }

    /// Takes entries away: here at once, in Redis and on the other replicas as soon as they hear of it. What is on its
    /// way to the cache does not get there any more. False: Redis could not be told; it will be, as soon as it listens.
    pub async fn purge(&self, purge: &Purge) -> bool {
        let _telling = match (&self.redis, purge) {
            // First of all: what Redis still has must not be fetched between now and when it was told.
            (Some(redis), Purge::User(user) | Purge::Entry(CacheKey { user, .. })) => {
                redis.unsent().telling(*user)
            }
            _ => None,
        };
        self.take_away(purge);
        match &self.redis {
            None => true,
            Some(redis) => self.tell(redis, purge).await,
        }
    }

    /// Whose token it is, if it was obtained here and lives. Asked of Redis first, then of this process's memory, one search
    /// at a time.
    ///
    /// # Errors
    /// Nobody here knows it, and Redis cannot say.
    pub async fn issued(self: &Arc<Self>, token: TokenRef<'_>) -> Result<Option<Issued>, RedisIsAway> {
        let answer = match &self.redis {
            Some(redis) => redis.issued(token).await,
            None => Some(None),
        };
        if let Some(Some(issued)) = answer {
            return Ok(Some(issued));
        }
        let one_at_a_time = Arc::clone(&self.searching).lock_owned().await;
        let (this, token) = (Arc::clone(self), Token::from(token));
        // The search holds the lock until it is done, also when whoever asked has stopped waiting.
        let search = move || {
            let _one_at_a_time = one_at_a_time;
            this.memory.find(TokenRef::from(&token))
        };
        let found = tokio::task::spawn_blocking(search).await;
        match (found.ok().flatten(), answer) {
            (Some(issued), _) => Ok(Some(issued)),
            (None, Some(_)) => Ok(None),
            (None, None) => Err(RedisIsAway),
        }
    }

    /// All tokens of a user that this replica can see, each once.
    pub async fn entries(&self, user: &[u8; 16]) -> Vec<(CacheKey, CachedToken)> {
        let mut entries = self.memory.entries(user);
        if let Some(redis) = &self.redis {
            let seen: Vec<_> = entries.iter().map(|(key, token)| (*key, token.digest)).collect();
            let theirs = redis.entries(user).await.into_iter();
            entries.extend(theirs.filter(|(key, token)| !seen.contains(&(*key, token.digest))));
        }
        entries
    }

    /// From now on entries in Redis are sealed by the first of these keys, and opened by any.
    pub fn seal_with(&self, keys: &SealingKeys) {
        if let Some(redis) = &self.redis {
            redis.seal_with(keys);
        }
    }

    /// What the home domain took back.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Refuses what is revoked from now on, here at once and on the other replicas as soon as they hear of it. False: Redis
    /// could not be told; it will be, as soon as it listens.
    pub async fn revoke(&self, revocation: Revocation) -> bool {
        self.revocations.add(revocation, self.clock.now());
        let Some(redis) = &self.redis else { return true };
        let told = redis.run_all(&RedisTier::append(&revocation)).await;
        if !told {
            self.revocations.keep_unsent(revocation);
        }
        told
    }

    /// In this process.
    fn take_away(&self, purge: &Purge) {
        match purge {
            Purge::User(user) => {
                self.marks.mark(*user);
                self.memory.purge(user);
            }
            Purge::Entry(key) => {
                // Whatever of this user is on its way is obtained once more.
                self.marks.mark(key.user);
                self.memory.remove(key);
            }
            Purge::Client(_) | Purge::Partner(_) => self.generations.renew(purge, self.clock.now()),
            Purge::All => {
                self.generations.renew(purge, self.clock.now());
                self.memory.clear();
            }
        }
    }

    /// What is left of a token's life at `now`.
    pub fn left(&self, token: &Kept, now: Moment) -> Duration {
        token.left(&self.lifetimes, now)
    }

    /// How long tokens are served and kept.
    pub fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Whether the Redis tier answers; `None`: there is none.
    pub fn redis_answers(&self) -> Option<bool> {
        self.redis.as_ref().map(RedisTier::answers)
    }

    /// Whether the other replicas are heard through Redis; `None`: there is none.
    pub fn listens(&self) -> Option<bool> {
        self.redis.as_ref().map(RedisTier::is_listening)
    }

    /// Whether a purge at any other replica is heard of.
    pub fn hears_purges(&self) -> bool {
        self.listens() == Some(true)
    }

    /// How many users have entries in memory, and how many bytes they are taken for.
    pub fn memory_size(&self) -> (usize, u64) {
        self.memory.size()
    }
}
