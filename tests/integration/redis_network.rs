//! The network to Redis fails in every way it can, and its name leads elsewhere: no request fails, the outage costs one
//! timeout a second, and the tier returns by itself. `docs/reliability.md` has the table.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::broker::Broker;
use crate::support::federation::{CLIENT, Federation, PARTNER, Setup, merged};
use crate::support::proxy::{Network, OUTAGES, Proxy};
use crate::support::redis::Redis;
use crate::support::tier::{
    REST, is_listening, keeps, listens, listens_no_more, outcomes, purged, token_at, token_of,
};
use crate::support::{stopwatch, until};

/// `cache.redis_timeout`, unless a test says otherwise.
const TIMEOUT: Duration = Duration::from_millis(500);
/// An answer is late when it comes this much after the timeout: less than the timeouts of as many requests as are made.
const SLACK: Duration = Duration::from_millis(1500);
/// Requests that are made one after the other.
const REQUESTS: u64 = 10;
const MEMORY_OFF: &str = "0s";
const MEMORY_ON: &str = "5s";
/// Longer than any test: only the news of a purge takes anything away.
const MEMORY_FOR_EVER: &str = "1h";

/// Each way, so that an answer takes longer than the timeout.
const TOO_SLOW: Network = Network::Latency(Duration::from_millis(400));

/// The faults that leave nothing of Redis, by their number.
fn fault(number: usize) -> Network {
    OUTAGES.get(number).copied().unwrap_or(TOO_SLOW)
}

/// A broker whose Redis is behind a proxy.
struct Ground {
    redis: Redis,
    proxy: Proxy,
    federation: Federation,
}

impl Ground {
    async fn start(memory_max_age: &str) -> Self {
        Self::start_with(memory_max_age, TIMEOUT, Network::Fine).await
    }

    async fn start_with(memory_max_age: &str, timeout: Duration, network: Network) -> Self {
        let redis = Redis::start();
        let proxy = Proxy::before(&redis.url()).await;
        proxy.be(network).await;
        let cache = cache_toml(&proxy.url(), &redis, memory_max_age, timeout);
        let federation = Setup::new().broker(&cache).start().await;
        Self { redis, proxy, federation }
    }

    /// Another replica, with another way to the same Redis.
    fn replica(&self, url: &str, memory_max_age: &str) -> Broker {
        self.federation.another_broker(&cache_toml(url, &self.redis, memory_max_age, TIMEOUT), "")
    }

    /// The network is well again, and after the rest so is the tier, without anybody's doing.
    async fn heals(&self) {
        self.proxy.be(Network::Fine).await;
        listens(&self.federation.broker).await;
        self.tier_is_used().await;
    }

    /// A token is kept in Redis, and another replica that keeps nothing in memory finds it there.
    async fn tier_is_used(&self) {
        let witness = self.replica(&self.redis.url(), MEMORY_OFF);
        until("the tier is used again", async || {
            self.federation.hand.advance(REST);
            let kept = token_of(&self.federation, "bob").await;
            token_at(&self.federation, &witness, "bob").await == kept
                && token_of(&self.federation, "bob").await == kept
        })
        .await;
    }

    async fn failed(&self) -> u64 {
        outcomes(&self.federation.broker).await[1]
    }

    async fn memory_hits(&self) -> u64 {
        let line =
            format!("mcx_broker_token_requests_total{{code=\"ok\",source=\"memory\",partner=\"{PARTNER}\"}}");
        self.federation.broker.metric(&line).await
    }
}

fn cache_toml(url: &str, redis: &Redis, memory_max_age: &str, timeout: Duration) -> String {
    let cache =
        crate::support::redis::cache_toml(&[url.to_owned()], &redis.sealing_key_file(), memory_max_age);
    merged(&cache, &format!("[cache]\nredis_timeout = \"{}ms\"", timeout.as_millis()))
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_fails_no_request_and_costs_one_timeout_a_second(
    #[values(0, 1, 2, 3, 4, 5)] number: usize,
) {
    let ground = Ground::start(MEMORY_OFF).await;
    let federation = &ground.federation;
    until("the tier is used", async || keeps(federation, "alice").await).await;
    let kept = token_of(federation, "alice").await;
    let before = ground.failed().await;

    ground.proxy.be(fault(number)).await;
    let elapsed = stopwatch();
    for _ in 0..REQUESTS {
        assert_ne!(token_of(federation, "alice").await, kept, "obtained directly");
    }
    assert!(elapsed() < TIMEOUT + SLACK, "one timeout for all: {:?}", elapsed());
    assert_eq!(ground.failed().await, before + 1, "one request found out, the others were spared");

    federation.hand.advance(REST);
    let elapsed = stopwatch();
    let many: Vec<_> =
        (0..8).map(|user| federation.spawn_exchange(&federation.token_of(user), &[])).collect();
    for answer in many {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert!(elapsed() < TIMEOUT + SLACK, "{:?}", elapsed());
    assert_eq!(ground.failed().await, before + 2, "of eight at once one looked");

    ground.heals().await;
}

/// The replica notices that it does not hear the others, and drops what it has: it may have been purged. What it keeps from
/// then on it serves, no longer than memory may.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn in_an_outage_memory_is_the_tier_that_is_left(#[values(0, 1, 2, 3, 4, 5)] number: usize) {
    let ground = Ground::start(MEMORY_ON).await;
    let federation = &ground.federation;
    listens(&federation.broker).await;
    token_of(federation, "alice").await;

    ground.proxy.be(fault(number)).await;
    listens_no_more(&federation.broker).await;
    let kept = token_of(federation, "alice").await;
    let (hits, [.., skipped], elapsed) =
        (ground.memory_hits().await, outcomes(&federation.broker).await, stopwatch());
    for _ in 0..REQUESTS {
        assert_eq!(token_of(federation, "alice").await, kept);
    }
    assert!(elapsed() < SLACK, "{:?}", elapsed());
    assert_eq!(ground.memory_hits().await, hits + REQUESTS);
    assert_eq!(outcomes(&federation.broker).await[2], skipped, "nobody asks Redis for what is in memory");
    federation.hand.advance(Duration::from_secs(5));
    assert_ne!(token_of(federation, "alice").await, kept, "not longer than memory_max_age");

    ground.heals().await;
}

/// The second is so far that connecting and a command together take longer than either may.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn far_is_not_away(#[values(20, 300)] latency_millis: u64) {
    let timeout = Duration::from_secs(1);
    let network = Network::Latency(Duration::from_millis(latency_millis));
    let ground = Ground::start_with(MEMORY_OFF, timeout, network).await;
    listens(&ground.federation.broker).await;
    ground.tier_is_used().await;
}

/// The connection goes while the commands of many are on it: each loses its own, and none fails.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn commands_of_many_that_are_lost_with_their_connection_fail_nobody(
    #[values(Network::Refuses, Network::Resets, Network::Cuts)] fault: Network,
) {
    const MANY: usize = 20;
    let ground = Ground::start_with(MEMORY_OFF, Duration::from_secs(20), Network::Fine).await;
    let federation = &ground.federation;
    assert!(keeps(federation, "alice").await);
    let verified = r#"mcx_broker_home_tokens_total{outcome="verified"}"#;
    let before = federation.broker.metric(verified).await;

    ground.proxy.be(Network::HalfOpen).await;
    let elapsed = stopwatch();
    let asked: Vec<_> =
        (0..MANY).map(|user| federation.spawn_exchange(&federation.token_of(user), &[])).collect();
    until("all of them ask Redis", async || federation.broker.metric(verified).await == before + MANY as u64)
        .await;
    ground.proxy.be(fault).await;
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert!(elapsed() < Duration::from_secs(15), "nobody waits for the timeout: {:?}", elapsed());
    assert!(ground.failed().await > 1, "several were under way");

    ground.heals().await;
}

/// Two replicas want the same token, and one is cut off: the one that obtains it, or the one that waits for that.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_from_a_lock_keeps_nobody_waiting(#[values(true, false)] holder_is_cut_off: bool) {
    let ground = Ground::start(MEMORY_OFF).await;
    let federation = &ground.federation;
    let direct = ground.replica(&ground.redis.url(), MEMORY_OFF);
    let (holder, waiting) =
        if holder_is_cut_off { (&federation.broker, &direct) } else { (&direct, &federation.broker) };
    let alice = federation.home_token("alice");
    federation.partner.fault_times(Endpoint::Token, Fault::Hold, 1);
    let first = federation.spawn_exchange_at(holder, &alice, &[]);
    until("it is obtained", async || federation.partner.requests(Endpoint::Token) == 1).await;
    let second = federation.spawn_exchange_at(waiting, &alice, &[]);
    until("the other one waits", async || is_waited_for(&ground.redis)).await;

    ground.proxy.be(Network::HalfOpen).await;
    assert_eq!(second.await.unwrap().status, 200, "obtained by the one that waited");
    assert_eq!(federation.partner.requests(Endpoint::Token), 2);
    federation.partner.clear(Endpoint::Token);
    assert_eq!(first.await.unwrap().status, 200);

    ground.heals().await;
}

/// Whether a lock carries the note that somebody wants to be told.
fn is_waited_for(redis: &Redis) -> bool {
    let mut connection = redis.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("mcx:token:*").query(&mut connection).unwrap();
    let hash = |key| redis::cmd("HVALS").arg(key).query::<Vec<Vec<u8>>>(&mut connection).unwrap();
    keys.iter().flat_map(hash).any(|value| value.get(22) == Some(&b'w'))
}

/// One replica is cut off and the other is not: both serve, and a purge at either reaches the other when the network is well.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_delays_purges_and_loses_none(
    #[values(Network::Refuses, Network::HalfOpen)] fault: Network,
    #[values("user", "client", "partner", "all")] scope: &str,
    #[values(true, false)] at_the_one_cut_off: bool,
) {
    let whose: Value = match scope {
        "user" => json!({"user": "alice@mcx.example"}),
        "client" => json!({"client": CLIENT}),
        "partner" => json!({"partner": PARTNER}),
        _ => json!({"all": true}),
    };
    let ground = Ground::start(MEMORY_FOR_EVER).await;
    let federation = &ground.federation;
    let (cut_off, direct) = (&federation.broker, ground.replica(&ground.redis.url(), MEMORY_FOR_EVER));
    for broker in [cut_off, &direct] {
        listens(broker).await;
    }
    let alice = async |broker: &Broker| token_at(federation, broker, "alice").await;
    let shared = alice(cut_off).await;
    assert_eq!(alice(&direct).await, shared);

    ground.proxy.be(fault).await;
    listens_no_more(cut_off).await;
    let own = alice(cut_off).await;
    assert_eq!((alice(&direct).await, alice(cut_off).await), (shared.clone(), own.clone()), "both serve");
    let purger = if at_the_one_cut_off { cut_off } else { &direct };
    let told = purged(purger, whose.clone()).await;
    assert_eq!(told, !at_the_one_cut_off);
    assert!(
        ![&shared, &own].contains(&&alice(purger).await),
        "the purge holds at once where it was asked for"
    );
    // The other one does not know yet.
    assert_eq!(alice(&direct).await == shared, at_the_one_cut_off);

    ground.proxy.be(Network::Fine).await;
    until("both have heard of it, and share again", async || {
        federation.hand.advance(REST);
        let (here, there) = (alice(cut_off).await, alice(&direct).await);
        here == there && here != shared && here != own
    })
    .await;
    assert!(purged(cut_off, whose).await, "and of the next one at once");
}

/// The name of Redis leads to another server, with the old one's data; the old one is a replica that goes stale, and
/// connections to it stay open: what cloud providers do in a failover.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_a_new_primary_is_followed() {
    let ground = Ground::start(MEMORY_OFF).await;
    let federation = &ground.federation;
    let other = ground.replica(&ground.proxy.url(), MEMORY_FOR_EVER);
    listens(&federation.broker).await;
    listens(&other).await;
    let kept = token_of(federation, "alice").await;
    assert_eq!(token_at(federation, &other, "alice").await, kept);
    let promoted = Redis::start_with(&["--repl-diskless-sync-delay", "0"]);
    let nobody = { Redis::start().port() };
    replicate(&promoted, Some(ground.redis.port()));
    until("it has everything", async || size(&promoted) == size(&ground.redis)).await;

    replicate(&promoted, None);
    replicate(&ground.redis, Some(nobody));
    ground.proxy.lead_to(&promoted.url());

    assert_eq!(token_of(federation, "alice").await, kept, "read from the old one, or the new");
    token_of(federation, "bob").await;
    assert!(keeps(federation, "carol").await, "a write that was refused led to the new one, without a rest");
    assert_eq!(size(&promoted), size(&ground.redis) + 2, "carol's, and where it is");
    assert_eq!(outcomes(&federation.broker).await[1..], [1, 0], "one refusal, no rest");

    // The other one has written nothing, so that only its listener can find out; a purge gets to it all the same.
    until("the purge is told", async || purged(&federation.broker, json!({"partner": PARTNER})).await).await;
    until("the other replica has heard of it", async || token_at(federation, &other, "alice").await != kept)
        .await;
    assert!(is_listening(&other).await);
}

fn replicate(redis: &Redis, primary: Option<u16>) {
    let arguments = match primary {
        Some(port) => ["127.0.0.1".to_owned(), port.to_string()],
        None => ["NO", "ONE"].map(str::to_owned),
    };
    let () = redis::cmd("REPLICAOF").arg(&arguments).query(&mut redis.connection()).unwrap();
}

fn size(redis: &Redis) -> u64 {
    redis::cmd("DBSIZE").query(&mut redis.connection()).unwrap()
}
