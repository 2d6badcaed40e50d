//! What the replicas tell each other through Redis: whose entries are gone, and which generations are in force.
//!
//! A replica that does not hear the others may serve what they have taken away, so it then drops its memory tier; what it
//! puts there until it hears them again does not get older than `memory_max_age`. It knows by a beat of its own that comes
//! back to it or does not, and reads the generations with each, so that a message that got lost is made good a second later.

use std::sync::Weak;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::RedisResult;
use redis::aio::ConnectionLike;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::purge::{Purge, Table};
use super::redis::{CHANNEL, Link, Message, RedisTier};
use super::{CacheKey, TokenCache};
use crate::telemetry::runbook::Runbook;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// Beats that may get lost before the subscription is taken for lost.
const MISSED_BEATS: u32 = 3;
/// Before connecting is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens for as long as the cache is there.
pub async fn listen(cache: Weak<TokenCache>) {
    let mut heard_before = true;
    while let Some(this) = cache.upgrade() {
        let Some(redis) = &this.redis else { return };
        let session = Session::start(&this, redis).await;
        this.mark_settled();
        drop(this);
        let listened = session.is_ok();
        let ended = match session {
            Ok(session) => session.run(&cache).await,
            Err(error) => Err(error),
        };
        let Some(this) = cache.upgrade() else { return };
        // Once for each session that was lost: while Redis is away, memory is all there is.
        if listened {
            this.memory.clear();
        }
        this.set_listening(false);
        // The text of a Redis error can carry what was sent, so only its kind is logged, and once for each outage.
        if listened || heard_before {
            let fault = ended.err().and_then(|error| error.code().map(str::to_owned));
            let fault = fault.as_deref().unwrap_or("connection");
            tracing::warn!(
                fault,
                dropped = listened,
                runbook = %Runbook("McxBrokerReplicasNotHeard"),
                "not hearing the other replicas through Redis; dropped: what was in memory"
            );
        }
        heard_before = listened;
        drop(this);
        sleep(PAUSE).await;
    }
}

/// A subscription, and a connection to speak on.
struct Session {
    messages: ::redis::aio::PubSub,
    link: Link,
    patience: Duration,
}

impl Session {
    /// Agrees on the generations before it subscribes: who may not subscribe must not miss them for ever.
    async fn start(cache: &TokenCache, redis: &RedisTier) -> RedisResult<Self> {
        let patience = redis.timeout();
        let mut link = redis.connector().connect().await?;
        cache.agree(redis, &mut link, patience).await?;
        let messages = redis.connector().subscribe(CHANNEL).await?;
        // What was put here since the last subscription ended may have been purged unheard.
        cache.memory.clear();
        cache.set_listening(true);
        Ok(Self { messages, link, patience })
    }

    /// Returns when the subscription is lost, or the cache is gone.
    async fn run(mut self, cache: &Weak<TokenCache>) -> RedisResult<()> {
        let mut messages = self.messages.on_message();
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        loop {
            let agree = tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else { return Ok(()) };
                    silent = 0;
                    let Some(cache) = cache.upgrade() else { return Ok(()) };
                    within(self.patience, cache.hear(message.get_payload_bytes(), &mut self.link)).await?
                }
                _ = beats.tick() => {
                    silent += 1;
                    true
                }
            };
            if silent > MISSED_BEATS {
                return Ok(());
            }
            let Some(cache) = cache.upgrade() else { return Ok(()) };
            let Some(redis) = &cache.redis else { return Ok(()) };
            if agree {
                // Its name may lead to the new primary by now. What is published there is heard here as well, from the
                // primary of this replica; else our beat is not, and the session ends.
                if within(self.patience, self.link.is_at_replica()).await? {
                    self.link = redis.connector().connect().await?;
                }
                cache.agree(redis, &mut self.link, self.patience).await?;
                within(self.patience, Message::Beat.publish().query_async::<()>(&mut self.link)).await?;
            }
        }
    }
}

/// One command's time: a thousand purges that have to be told may take a thousand times as long.
pub(super) async fn within<T>(
    patience: Duration,
    command: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    timeout(patience, command).await.unwrap_or_else(late)
}

/// Whether Redis took a command; one that it refuses ends no session: what else it can do is used.
fn said(outcome: RedisResult<()>) -> RedisResult<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if RedisTier::is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

impl TokenCache {
    /// A message of another replica, or of our own. True: the generations are to be read again.
    async fn hear(&self, message: &[u8], link: &mut Link) -> RedisResult<bool> {
        match Message::parse(message) {
            Some(Message::User(user)) => {
                self.take_away(&Purge::User(user));
                // Entries that only we can open have names that only we know.
                if let Some(redis) = self.redis.as_ref().filter(|redis| redis.has_own_names()) {
                    let [unlink, _] = redis.purge_user(&user);
                    unlink.query_async::<()>(link).await?;
                }
                Ok(false)
            }
            Some(Message::Entry(key)) => {
                self.take_away(&Purge::Entry(key));
                if let Some(redis) = self.redis.as_ref().filter(|redis| redis.has_own_names()) {
                    let [unlink, _] = redis.purge_entry(&key);
                    unlink.query_async::<()>(link).await?;
                }
                Ok(false)
            }
            Some(Message::Released(entry)) => {
                self.signals.wake(&entry);
                Ok(false)
            }
            Some(Message::Generations) => Ok(true),
            Some(Message::Beat) | None => Ok(false),
        }
    }

    /// Tells Redis what it missed, and takes what is later elsewhere. One command, when there is nothing to tell.
    async fn agree(
        &self,
        redis: &RedisTier,
        link: &mut impl ConnectionLike,
        patience: Duration,
    ) -> RedisResult<()> {
        for (user, number) in redis.unsent().left() {
            let mut told = true;
            for command in redis.purge_user(&user) {
                told &= said(within(patience, command.query_async::<()>(link)).await)?;
            }
            if told {
                redis.unsent().told(&user, number);
            }
        }
        let known = within(patience, RedisTier::read_generations(link)).await?;
        self.generations.merge(&known);
        let to_state = RedisTier::state_generations(&self.generations.table(), &known);
        if !to_state.is_empty() {
            for command in to_state {
                said(within(patience, command.query_async::<()>(link)).await)?;
            }
            self.generations.merge(&within(patience, RedisTier::read_generations(link)).await?);
        }
        match self.agree_on_revocations(link, patience).await {
            // A user without the rights to the journal keeps what else it has.
            Err(error) if RedisTier::is_refusal(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Tells Redis of a purge; what it does not take is told later.
    pub(super) async fn tell(&self, redis: &RedisTier, purge: &Purge) -> bool {
        match purge {
            Purge::User(user) | Purge::Entry(CacheKey { user, .. }) => {
                let Some(telling) = redis.unsent().telling(*user) else {
                    return Box::pin(self.purge(&Purge::All)).await;
                };
                let commands = match purge {
                    Purge::Entry(key) => redis.purge_entry(key),
                    _ => redis.purge_user(user),
                };
                // What is not taken now is told later, and then of the whole user.
                let told = redis.run_all(&commands).await;
                if told {
                    telling.told();
                }
                told
            }
            Purge::Client(_) | Purge::Partner(_) | Purge::All => {
                let mut commands = RedisTier::state_generations(&self.generations.table(), &Table::default());
                commands.push(Message::Generations.publish());
                redis.run_all(&commands).await
            }
        }
    }

    fn set_listening(&self, listens: bool) {
        if let Some(redis) = &self.redis {
            redis.set_listening(listens);
        }
    }
}
